//! Schedules, triggers and leadership as nodes live them: clocks that jump, nodes that stop, runs that lead to runs. The
//! clock is moved by hand; each test runs on SQLite, and on PostgreSQL when `MB_TEST_POSTGRES` is set.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mb_core::id::{RunId, TenantId};
use mb_core::run::{Run, TriggerKind};
use mb_core::schedule::{CatchUp, Form, Overlap, Schedule};
use mb_core::time::Timestamp;
use mb_core::trigger::{DEPTH_MAX, On, Trigger};
use mb_core::workflow::{Action, Input, InputType, StepSpec, Wait, Workflow};
use mb_engine::{DataDir, Engine, Env, LEAD_TTL, RunNamed, SendEvent};
use mb_runner::Sandbox;
use mb_store::{
    Added, FireRow, FireState, Led, NewSchedule, RunFilter, ScheduleDecision, Store, StoreOptions, StoreUrl, TriggerRow,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const TENANT: TenantId = TenantId::DEFAULT;

/// Nodes over one database, and the clock they share.
struct Nodes {
    env: Env,
    url: StoreUrl,
    options: StoreOptions,
    dir: TempDir,
    made: AtomicU64,
}

impl Nodes {
    async fn sqlite(start: &str) -> Nodes {
        let dir = tempfile::tempdir().expect("a folder");
        let url = StoreUrl::Sqlite(dir.path().join("mb.db"));
        Nodes::of(start, url, StoreOptions::default(), dir).await
    }

    async fn postgres(start: &str) -> Option<Nodes> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let url = std::env::var("MB_TEST_POSTGRES").ok()?.parse().expect("an address");
        let schema = format!("mb_sched_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let options = StoreOptions { connections_max: 4, pg_schema: Some(schema), ..StoreOptions::default() };
        Some(Nodes::of(start, url, options, tempfile::tempdir().expect("a folder")).await)
    }

    async fn of(start: &str, url: StoreUrl, options: StoreOptions, dir: TempDir) -> Nodes {
        let start: Timestamp = serde_json::from_value(json!(start)).expect("a moment");
        let nodes = Nodes { env: Env::manual(start, 7), url, options, dir, made: AtomicU64::new(0) };
        nodes.store().await.migrate(start).await.expect("migrated");
        nodes
    }

    async fn store(&self) -> Store {
        Store::open(&self.url, self.options.clone()).await.expect("a store")
    }

    /// One more node.
    async fn node(&self) -> Engine {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let data = DataDir::open(&self.dir.path().join(format!("node-{number}"))).expect("a data folder");
        let sandbox = Sandbox::with_level(mb_runner::SandboxLevel::None).expect("none is always there");
        Engine::new(self.env.clone(), self.store().await, data, sandbox)
    }

    /// Lets time pass in steps, each node looking after each.
    async fn pass(&self, nodes: &[&Engine], steps: u64, step: Duration) {
        for _ in 0..steps {
            self.env.advance(step);
            let looks = nodes.iter().map(|node| {
                let node = (*node).clone();
                tokio::spawn(async move { node.schedule_once().await })
            });
            for look in looks.collect::<Vec<_>>() {
                look.await.expect("a pass ends well");
            }
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if let (StoreUrl::Postgres(url), Some(schema)) = (&self.url, &self.options.pg_schema) {
            let mut psql = Command::new("psql");
            psql.args(["--no-psqlrc", "--quiet", "--dbname", url]).env("PGOPTIONS", "-c client_min_messages=warning");
            let dropped = psql.args(["--command", &format!("drop schema {schema} cascade")]).status();
            assert!(dropped.is_ok_and(|status| status.success()), "{schema} is dropped");
        }
    }
}

/// Runs each function once per database, as tests of their own.
macro_rules! on_both {
    ($($name:ident from $start:literal,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Nodes::sqlite($start).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(nodes) = super::Nodes::postgres($start).await else { return };
                super::$name(nodes).await;
            })*
        }
    };
}

on_both! {
    a_daily_time_happens_once_a_day_over_both_changes_of_the_clock from "2024-03-29T12:00:00Z",
    two_nodes_start_each_time_once from "2024-06-01T00:00:00Z",
    when_the_leader_is_gone_another_takes_over_and_the_first_changes_nothing from "2024-06-01T00:00:00Z",
    what_was_missed_while_nobody_was_there_is_made_up_for from "2024-06-01T00:00:00Z",
    what_a_leader_decided_and_did_not_make_is_made_once from "2024-06-01T00:00:00Z",
    the_next_run_takes_the_place_of_an_open_one_or_waits_for_it from "2024-06-01T00:00:00Z",
    what_cannot_start_says_why from "2024-06-01T00:00:00Z",
    an_event_starts_what_waits_for_it_once from "2024-06-01T00:00:00Z",
    a_circle_of_triggers_ends from "2024-06-01T00:00:00Z",
}

/// A workflow that stays open: it waits for a signal nobody sends.
async fn publish(node: &Engine, name: &str) {
    let wait = Wait {
        duration_ms: None,
        until: None,
        signal: Some("go".into()),
        on_timeout: mb_core::workflow::OnTimeout::Fail,
    };
    let mut workflow = Workflow::new(name, vec![StepSpec::new("hold", Action::Wait(wait))]);
    let input = Input { of: InputType::Json, required: false, default: None, description: String::new() };
    workflow.inputs = BTreeMap::from([("who".into(), input)]);
    let workflow = workflow.validate().expect("valid");
    let name = name.parse().expect("a name");
    node.store().publish_workflow(node.env().now(), TENANT, &name, &workflow, "ann").await.expect("published");
}

fn cron(pattern: &str, zone: &str) -> Schedule {
    let form = Form { cron: Some(pattern.into()), zone: Some(zone.into()), ..Form::default() };
    Schedule { overlap: Overlap::Allow, ..Schedule::new(form.try_into().expect(pattern)) }
}

async fn add(node: &Engine, schedule: Schedule) -> NewSchedule {
    let new = NewSchedule {
        id: node.env().schedule_id(),
        tenant: TENANT,
        name: "nightly".into(),
        workflow: "build".into(),
        version: None,
        inputs: json!({ "who": "{{ schedule.name }}" }),
        schedule,
        actor: "ann".into(),
    };
    assert_eq!(node.store().schedule_add(node.env().now(), &new).await.expect("stored"), Added::Added);
    new
}

/// All runs, oldest first.
async fn runs(node: &Engine) -> Vec<Run> {
    let page = node.store().run_list(TENANT, &RunFilter::default(), None, 200).await.expect("listed");
    assert!(page.next.is_none(), "one page holds them");
    let mut runs = Vec::new();
    for row in page.items.iter().rev() {
        runs.push(node.store().run(TENANT, row.id).await.expect("readable").expect("there"));
    }
    runs
}

/// When the runs of schedules were due, as a zone's clocks show it.
async fn due(node: &Engine, zone: &str) -> Vec<String> {
    let zone: mb_core::schedule::Zone = zone.parse().expect("a zone");
    let mut times: Vec<Timestamp> = runs(node).await.iter().filter_map(|run| run.trigger.as_ref()?.due_at).collect();
    times.sort();
    times.iter().map(|at| zone.show(*at)).collect()
}

const MINUTES_10: Duration = Duration::from_secs(600);

async fn a_daily_time_happens_once_a_day_over_both_changes_of_the_clock(nodes: Nodes) {
    let node = nodes.node().await;
    publish(&node, "build").await;
    add(&node, cron("30 2 * * *", "Europe/Oslo")).await;
    nodes.pass(&[&node], 3 * 144, MINUTES_10).await;
    let spring = ["2024-03-30 02:30 CET", "2024-03-31 03:00 CEST", "2024-04-01 02:30 CEST"];
    assert_eq!(due(&node, "Europe/Oslo").await, spring);
    let run = runs(&node).await.remove(0);
    let trigger = run.trigger.expect("a schedule started it");
    assert_eq!((trigger.kind, trigger.name.as_str(), trigger.depth), (TriggerKind::Schedule, "nightly", 0));
    assert_eq!(run.inputs, json!({ "who": "nightly" }), "inputs are filled in");
    assert!(run.created_at.since(trigger.due_at.expect("a time")) <= MINUTES_10, "no later than the next look");

    // On to the end of summer; what passes in between is left out, as the schedule says.
    nodes.env.advance(Duration::from_secs(207 * 86_400));
    nodes.pass(&[&node], 3 * 144, MINUTES_10).await;
    let all = due(&node, "Europe/Oslo").await;
    let autumn = ["2024-10-26 02:30 CEST", "2024-10-27 02:30 CEST", "2024-10-28 02:30 CET"];
    assert_eq!(all[all.len() - 3..], autumn);
    assert_eq!(all.len(), 6, "{all:?}");
}

async fn two_nodes_start_each_time_once(nodes: Nodes) {
    let (one, two) = (nodes.node().await, nodes.node().await);
    publish(&one, "build").await;
    add(&one, cron("*/10 * * * *", "UTC")).await;
    nodes.pass(&[&one, &two], 60, Duration::from_secs(60)).await;
    let expected = ["00:10", "00:20", "00:30", "00:40", "00:50", "01:00"].map(|at| format!("2024-06-01 {at} UTC"));
    assert_eq!(due(&one, "UTC").await, expected);
    assert!(one.is_leader() != two.is_leader(), "exactly one leads");
}

async fn when_the_leader_is_gone_another_takes_over_and_the_first_changes_nothing(nodes: Nodes) {
    let (one, two) = (nodes.node().await, nodes.node().await);
    publish(&one, "build").await;
    add(&one, cron("* * * * *", "UTC")).await;
    nodes.pass(&[&one], 61, Duration::from_secs(1)).await;
    assert!(one.is_leader());
    nodes.pass(&[&two], 1, Duration::from_secs(1)).await;
    assert!(!two.is_leader(), "the lead of the first has not ended");
    // The first stands still. Nobody tells the second; it looks every second.
    nodes.pass(&[&two], LEAD_TTL.as_secs(), Duration::from_secs(1)).await;
    assert!(two.is_leader(), "within the time a lead lasts");
    nodes.pass(&[&two], 60, Duration::from_secs(1)).await;
    assert_eq!(due(&two, "UTC").await, ["2024-06-01 00:01 UTC", "2024-06-01 00:02 UTC"]);
    // The first goes on in the belief that it leads, both at the same time.
    nodes.pass(&[&one, &two], 60, Duration::from_secs(1)).await;
    assert!(!one.is_leader() && two.is_leader());
    assert_eq!(due(&two, "UTC").await.len(), 3, "each time once");
    // One that ends in order makes nobody wait.
    two.resign().await;
    nodes.pass(&[&one], 1, Duration::from_secs(1)).await;
    assert!(one.is_leader());
}

async fn what_was_missed_while_nobody_was_there_is_made_up_for(nodes: Nodes) {
    let node = nodes.node().await;
    publish(&node, "build").await;
    let schedule =
        Schedule { catch_up: CatchUp::All, catch_up_max: 3, catch_up_window_s: 6 * 3_600, ..cron("0 * * * *", "UTC") };
    let new = add(&node, schedule).await;
    nodes.pass(&[&node], 1, Duration::from_secs(3_600)).await;
    drop(node);
    nodes.env.advance(Duration::from_secs(10 * 3_600 + 120));
    let later = nodes.node().await;
    nodes.pass(&[&later], 2, Duration::from_secs(60)).await;
    let hours = ["01:00", "09:00", "10:00", "11:00"].map(|at| format!("2024-06-01 {at} UTC"));
    assert_eq!(due(&later, "UTC").await, hours);
    let fires = later.store().fires(TENANT, &new.id.to_string(), 10).await.expect("listed");
    let skipped: Vec<_> = fires
        .iter()
        .filter_map(|fire| match &fire.state {
            FireState::Skipped(why) => Some(why.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(skipped, ["7 times until 2024-06-01 08:00 UTC: nobody was there to start it in time"]);
}

async fn what_a_leader_decided_and_did_not_make_is_made_once(nodes: Nodes) {
    let node = nodes.node().await;
    publish(&node, "build").await;
    let new = add(&node, cron("0 * * * *", "UTC")).await;
    // A leader decides two starts, makes the run of the first, and dies before it can note that or make the second.
    nodes.env.advance(Duration::from_secs(2 * 3_600));
    let (store, now) = (node.store(), nodes.env.now());
    let dead = store.lead(now, "control", node.env().worker_id(), LEAD_TTL).await.expect("asked").expect("led");
    let row = store.schedule(TENANT, "nightly").await.expect("readable").expect("there");
    let times = [row.next.expect("a time"), now];
    let fires = times.map(|at| FireRow {
        source: new.id.to_string(),
        occasion: at.to_string(),
        kind: TriggerKind::Schedule,
        name: new.name.clone(),
        tenant: TENANT,
        workflow: new.workflow.clone(),
        version: None,
        inputs: json!({}),
        depth: 0,
        cancels: false,
        at,
        decided_at: now,
        state: FireState::Pending,
    });
    let decision = ScheduleDecision {
        id: new.id,
        revision: row.revision,
        fires: fires.to_vec(),
        after: now,
        waiting: None,
        next: None,
    };
    assert_eq!(store.schedule_decide(dead, &decision).await.expect("stored"), Led::Done(true));
    let ask = RunNamed {
        tenant: TENANT,
        workflow: "build".into(),
        version: None,
        inputs: Value::Null,
        actor: "the leader that died".into(),
        idempotency_key: Some(fires[0].key()),
        affinity: None,
        trigger: None,
    };
    let made = node.start_named(ask).await.expect("started").id;
    nodes.pass(&[&node], 2, Duration::from_secs(1)).await;
    assert_eq!(runs(&node).await.len(), 1, "the lead of the dead one has not ended");
    nodes.pass(&[&node], 2, LEAD_TTL).await;
    assert_eq!(runs(&node).await.len(), 2, "the second is made, the first is not made again");
    let fires = node.store().fires(TENANT, &new.id.to_string(), 10).await.expect("listed");
    assert_eq!(fires.len(), 2);
    assert_eq!(fires[1].state, FireState::Started(made), "and its run is known");
    assert!(matches!(fires[0].state, FireState::Started(run) if run != made), "{fires:?}");
}

async fn the_next_run_takes_the_place_of_an_open_one_or_waits_for_it(nodes: Nodes) {
    let node = nodes.node().await;
    publish(&node, "build").await;
    let mut new = add(&node, Schedule { overlap: Overlap::Cancel, ..cron("0 * * * *", "UTC") }).await;
    nodes.pass(&[&node], 3, Duration::from_secs(3_600)).await;
    let ended = |runs: &[Run]| runs.iter().map(|run| run.state.outcome().is_some()).collect::<Vec<_>>();
    let all = runs(&node).await;
    assert_eq!(ended(&all), [true, true, false], "each cancels the one before");
    assert_eq!(all[0].cancel.as_deref(), Some("schedule nightly"));

    new.schedule.overlap = Overlap::Queue;
    assert!(node.store().schedule_update(nodes.env.now(), 1, &new).await.expect("stored"));
    nodes.pass(&[&node], 3, Duration::from_secs(3_600)).await;
    assert_eq!(runs(&node).await.len(), 3, "one time waits, the others are left out");
    node.store().cancel(nodes.env.now(), TENANT, all[2].id, "ann").await.expect("canceled");
    nodes.pass(&[&node], 1, Duration::from_secs(1)).await;
    let all = due(&node, "UTC").await;
    assert_eq!(all[3..], ["2024-06-01 04:00 UTC"], "the one that waited starts when the open one has ended");
}

async fn what_cannot_start_says_why(nodes: Nodes) {
    let node = nodes.node().await;
    let new = add(&node, cron("0 * * * *", "UTC")).await;
    nodes.pass(&[&node], 1, Duration::from_secs(3_600)).await;
    publish(&node, "build").await;
    let bad = NewSchedule { inputs: json!({ "nobody": 1 }), ..new.clone() };
    node.store().schedule_update(nodes.env.now(), 1, &bad).await.expect("stored");
    nodes.pass(&[&node], 1, Duration::from_secs(3_600)).await;
    let bad = NewSchedule { inputs: json!({ "who": "{{ nothing }}" }), ..new.clone() };
    node.store().schedule_update(nodes.env.now(), 2, &bad).await.expect("stored");
    nodes.pass(&[&node], 1, Duration::from_secs(3_600)).await;
    let fires = node.store().fires(TENANT, &new.id.to_string(), 10).await.expect("listed");
    let said: Vec<String> = fires
        .iter()
        .rev()
        .map(|fire| match &fire.state {
            FireState::Failed(why) => why.clone(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        said,
        [
            "there is no workflow named \"build\"",
            "the inputs do not fit workflow build: input \"nobody\" is not one of this workflow's: who",
            "it names something that is not there in `nothing`",
        ]
    );
    assert!(runs(&node).await.is_empty());
}

async fn trigger(node: &Engine, name: &str, on: On, inputs: Value) {
    let Value::Object(inputs) = inputs else { panic!("a table") };
    let trigger = Trigger { on, inputs: inputs.into_iter().collect() }.validate().expect("valid");
    let row = TriggerRow {
        id: node.env().trigger_id(),
        tenant: TENANT,
        name: name.into(),
        workflow: "build".into(),
        version: None,
        trigger,
        actor: "ann".into(),
        created_at: node.env().now(),
        paused: None,
    };
    assert_eq!(node.store().trigger_add(&row).await.expect("stored"), Added::Added);
}

fn event(id: &str, data: Value, cause: Option<RunId>) -> SendEvent {
    SendEvent { tenant: TENANT, name: "deploy".parse().expect("a name"), id: Some(id.into()), data, cause }
}

async fn an_event_starts_what_waits_for_it_once(nodes: Nodes) {
    let node = nodes.node().await;
    publish(&node, "build").await;
    let deploy = || On::Event { name: "deploy".parse().expect("a name") };
    trigger(&node, "first", deploy(), json!({ "who": "{{ event.data.who }}" })).await;
    trigger(&node, "second", deploy(), json!({ "who": { "id": "{{ event.id }}", "n": "{{ event.data.n + 1 }}" } }))
        .await;
    trigger(&node, "other", On::Event { name: "other".parse().expect("a name") }, json!({})).await;
    let sent = node.send_event(event("e1", json!({ "who": "ada", "n": 1 }), None)).await.expect("taken");
    assert_eq!((sent.id.as_str(), sent.triggers, sent.fires), ("e1", 2, 2));
    let again = node.send_event(event("e1", json!({ "who": "ada", "n": 1 }), None)).await.expect("taken");
    assert_eq!((again.triggers, again.fires), (2, 0));
    nodes.pass(&[&node], 2, Duration::from_secs(1)).await;
    let mut inputs: Vec<String> = runs(&node).await.iter().map(|run| run.inputs.to_string()).collect();
    inputs.sort();
    assert_eq!(inputs, [r#"{"who":"ada"}"#, r#"{"who":{"id":"e1","n":2}}"#]);

    let large = node.send_event(event("e2", json!("x".repeat(256 << 10)), None)).await;
    assert_eq!(
        large.expect_err("refused").to_string(),
        "the data have 262146 bytes of JSON; at most 262144 are allowed"
    );
    assert!(node.send_event(event("", json!(1), None)).await.is_err());
    assert!(node.send_event(event(&"x".repeat(201), json!(1), None)).await.is_err());
    assert!(node.send_event(event("e3", json!(1), Some(node.env().run_id()))).await.is_err(), "no such run");
}

async fn a_circle_of_triggers_ends(nodes: Nodes) {
    let node = nodes.node().await;
    publish(&node, "build").await;
    nodes.pass(&[&node], 1, Duration::from_secs(1)).await;
    let on = On::RunFinished { workflow: Some("build".into()), outcomes: BTreeSet::new() };
    trigger(&node, "again", on, json!({ "who": "{{ run.outcome }} after {{ run.inputs.who }}" })).await;
    let first = RunNamed {
        tenant: TENANT,
        workflow: "build".into(),
        version: None,
        inputs: json!({ "who": "ann" }),
        actor: "ann".into(),
        idempotency_key: None,
        affinity: None,
        trigger: None,
    };
    node.start_named(first).await.expect("started");
    for _ in 0..10 {
        for run in runs(&node).await {
            node.store().cancel(nodes.env.now(), TENANT, run.id, "ann").await.expect("canceled");
        }
        nodes.pass(&[&node], 1, Duration::from_secs(1)).await;
    }
    let all = runs(&node).await;
    let depths: Vec<u32> = all.iter().map(|run| run.trigger.as_ref().map_or(0, |trigger| trigger.depth)).collect();
    assert_eq!(depths, (0..=DEPTH_MAX).collect::<Vec<_>>());
    assert_eq!(all[1].inputs, json!({ "who": "canceled after ann" }));
    let last = all.last().expect("some").id;
    let id = node.store().triggers(TENANT).await.expect("listed")[0].id.to_string();
    let fires = node.store().fires(TENANT, &id, 10).await.expect("listed");
    let end = fires.iter().find(|fire| fire.occasion == last.to_string()).expect("the last one was looked at");
    assert!(matches!(&end.state, FireState::Skipped(why) if why.contains("circle")), "{end:?}");
    // An event that such a run sends is as far away as the run.
    trigger(&node, "on-event", On::Event { name: "deploy".parse().expect("a name") }, json!({})).await;
    node.send_event(event("e1", json!(1), Some(last))).await.expect("taken");
    nodes.pass(&[&node], 1, Duration::from_secs(1)).await;
    assert_eq!(runs(&node).await.len(), all.len(), "nothing more is started");
}
