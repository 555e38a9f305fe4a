//! Schedules, triggers and the starts they lead to: decided once, by the one who leads, about what people set last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mb_core::id::{ScheduleId, TriggerId};
use mb_core::run::{Parent, RunOutcome, Trigger as RunTrigger, TriggerKind};
use mb_core::schedule::{Form, Schedule};
use mb_core::trigger::{On, Trigger};
use mb_store::{
    Added, FireRow, FireState, Lead, Led, NewSchedule, SCHEDULES_MAX, ScheduleDecision, ScheduleRow, Store, TriggerRow,
};
use serde_json::json;

use crate::support::{Home, TENANT, at, new_run, run_id, suite, worker};

suite! {
    a_schedule_lives_from_its_making_to_its_removal,
    a_former_leader_changes_nothing,
    what_a_person_changed_is_not_decided_over,
    a_start_is_decided_once_and_settled_once,
    a_schedule_is_busy_while_a_run_of_it_is_open,
    as_many_schedules_as_allowed_and_no_more,
    triggers_are_found_by_what_they_wait_for,
    finished_runs_are_looked_at_once,
}

const TTL: Duration = Duration::from_secs(15);

fn every(every_s: u64) -> Schedule {
    let form = Form { every_s: Some(every_s), anchor: Some(at(0)), ..Form::default() };
    Schedule::new(form.try_into().unwrap())
}

fn schedule(n: u8) -> NewSchedule {
    NewSchedule {
        id: ScheduleId::from_bytes([n; 16]),
        tenant: TENANT,
        name: format!("nightly-{n}"),
        workflow: "build".into(),
        version: n.is_multiple_of(2).then_some(3),
        inputs: json!({"n": n}),
        schedule: every(60),
        actor: "ann".into(),
    }
}

fn fire(source: &str, seconds: u64) -> FireRow {
    FireRow {
        source: source.into(),
        occasion: at(seconds).to_string(),
        kind: if source.starts_with("sch_") { TriggerKind::Schedule } else { TriggerKind::Event },
        name: "nightly".into(),
        tenant: TENANT,
        workflow: "build".into(),
        version: None,
        inputs: json!({"a": [1, "b"]}),
        depth: 0,
        cancels: false,
        at: at(seconds),
        decided_at: at(seconds + 1),
        state: FireState::Pending,
    }
}

fn decision(row: &ScheduleRow, seconds: u64) -> ScheduleDecision {
    ScheduleDecision {
        id: row.set.id,
        revision: row.revision,
        fires: vec![fire(&row.set.id.to_string(), seconds)],
        after: at(seconds),
        waiting: None,
        next: Some(at(seconds + 60)),
    }
}

async fn leader(store: &Store, n: u64, seconds: u64) -> Lead {
    store.lead(at(seconds), "control", worker(n), TTL).await.unwrap().unwrap()
}

async fn row(store: &Store, n: u8) -> ScheduleRow {
    store.schedule(TENANT, &format!("nightly-{n}")).await.unwrap().unwrap()
}

async fn due(store: &Store, seconds: u64) -> Vec<String> {
    let rows = store.schedules_due(at(seconds)).await.unwrap();
    rows.into_iter().map(|(row, busy)| format!("{}{}", row.set.name, if busy { " busy" } else { "" })).collect()
}

async fn a_schedule_lives_from_its_making_to_its_removal(Home { store, .. }: Home) {
    let new = schedule(1);
    assert_eq!(store.schedule_add(at(10), &new).await.unwrap(), Added::Added);
    let same_name = NewSchedule { id: ScheduleId::from_bytes([9; 16]), ..new.clone() };
    assert_eq!(store.schedule_add(at(10), &same_name).await.unwrap(), Added::NameTaken);
    let made = ScheduleRow {
        set: new.clone(),
        created_at: at(10),
        updated_at: at(10),
        revision: 1,
        paused: None,
        after: at(10),
        waiting: None,
        next: Some(at(60)),
    };
    assert_eq!(store.schedule(TENANT, &new.id.to_string()).await.unwrap(), Some(made.clone()));
    assert_eq!((due(&store, 59).await, due(&store, 60).await), (vec![], vec!["nightly-1".to_owned()]));

    let set = NewSchedule { schedule: every(100), inputs: json!({}), actor: "bob".into(), ..new.clone() };
    assert!(store.schedule_update(at(20), 1, &set).await.unwrap());
    assert!(!store.schedule_update(at(21), 1, &new).await.unwrap(), "somebody was faster");
    let changed = ScheduleRow {
        set: set.clone(),
        updated_at: at(20),
        revision: 2,
        after: at(20),
        next: Some(at(100)),
        ..made.clone()
    };
    assert_eq!(row(&store, 1).await, changed);

    assert!(store.schedule_pause(at(30), TENANT, new.id, "ann: release").await.unwrap());
    assert!(!store.schedule_pause(at(31), TENANT, new.id, "again").await.unwrap());
    assert_eq!(due(&store, 1_000).await, Vec::<String>::new());
    assert!(store.schedule_resume(at(450), TENANT, new.id).await.unwrap());
    assert!(!store.schedule_resume(at(451), TENANT, new.id).await.unwrap());
    let resumed = ScheduleRow { updated_at: at(450), revision: 4, after: at(450), next: Some(at(500)), ..changed };
    assert_eq!(row(&store, 1).await, resumed, "what came during the pause is nobody's");

    assert!(store.schedule_remove(TENANT, new.id).await.unwrap());
    assert!(!store.schedule_remove(TENANT, new.id).await.unwrap());
    assert!(store.schedules(TENANT).await.unwrap().is_empty());
}

async fn a_former_leader_changes_nothing(home: Home) {
    let (store, other) = (home.store.clone(), home.again().await);
    store.schedule_add(at(0), &schedule(1)).await.unwrap();
    let before = row(&store, 1).await;
    let old = leader(&store, 1, 0).await;
    let new = leader(&other, 2, 20).await;
    let pending = fire("sch_x", 5);
    store.fire_on_event(std::slice::from_ref(&pending)).await.unwrap();

    let started = FireState::Started(run_id(7));
    assert_eq!(store.schedule_decide(old, &decision(&before, 60)).await.unwrap(), Led::Deposed);
    assert_eq!(store.fire_settle(old, &pending, &started).await.unwrap(), Led::Deposed);
    assert_eq!(store.fire_on_runs(old, 0, 5, &[fire("trg_x", 6)]).await.unwrap(), Led::Deposed);
    assert_eq!(store.fires_sweep(at(9_999), old, Duration::ZERO).await.unwrap(), Led::Deposed);
    assert_eq!(row(&store, 1).await, before);
    assert_eq!(store.fires_pending(10).await.unwrap(), vec![pending.clone()]);
    assert_eq!(store.leaders().await.unwrap()[0].position, 0);

    assert_eq!(other.schedule_decide(new, &decision(&before, 60)).await.unwrap(), Led::Done(true));
    assert_eq!(other.fire_settle(new, &pending, &started).await.unwrap(), Led::Done(true));
    assert_eq!(other.fire_on_runs(new, 0, 5, &[fire("trg_x", 6)]).await.unwrap(), Led::Done(1));
}

async fn what_a_person_changed_is_not_decided_over(Home { store, .. }: Home) {
    let lead = leader(&store, 1, 0).await;
    store.schedule_add(at(0), &schedule(1)).await.unwrap();
    let read = row(&store, 1).await;
    let set = NewSchedule { schedule: every(3_600), ..schedule(1) };
    store.schedule_update(at(59), read.revision, &set).await.unwrap();
    assert_eq!(store.schedule_decide(lead, &decision(&read, 60)).await.unwrap(), Led::Done(false));
    let read = row(&store, 1).await;
    store.schedule_pause(at(60), TENANT, read.set.id, "stop").await.unwrap();
    assert_eq!(store.schedule_decide(lead, &decision(&read, 60)).await.unwrap(), Led::Done(false));
    store.schedule_remove(TENANT, read.set.id).await.unwrap();
    assert_eq!(store.schedule_decide(lead, &decision(&read, 60)).await.unwrap(), Led::Done(false));
    assert!(store.fires_pending(10).await.unwrap().is_empty(), "nothing was started");
}

async fn a_start_is_decided_once_and_settled_once(Home { store, .. }: Home) {
    let lead = leader(&store, 1, 0).await;
    store.schedule_add(at(0), &schedule(2)).await.unwrap();
    let read = row(&store, 2).await;
    let decided = decision(&read, 60);
    for _ in 0..2 {
        // The answer to a commit may be lost; the leader then says the same again.
        assert_eq!(store.schedule_decide(lead, &decided).await.unwrap(), Led::Done(true));
    }
    let pending = store.fires_pending(10).await.unwrap();
    assert_eq!(pending, decided.fires);
    assert_eq!(pending[0].key(), format!("schedule/{}/{}", read.set.id, at(60)));
    assert_eq!(store.fire_settle(lead, &pending[0], &FireState::Started(run_id(1))).await.unwrap(), Led::Done(true));
    let failed = FireState::Failed("too late".into());
    assert_eq!(store.fire_settle(lead, &pending[0], &failed).await.unwrap(), Led::Done(false));
    let started = FireRow { state: FireState::Started(run_id(1)), ..pending[0].clone() };
    assert_eq!(store.fires(TENANT, &pending[0].source, 10).await.unwrap(), vec![started.clone()]);
    assert_eq!(store.fire_of(run_id(1)).await.unwrap(), Some(started));
    assert_eq!(store.fire_of(run_id(2)).await.unwrap(), None);
    let now = row(&store, 2).await;
    assert_eq!((now.after, now.next, now.revision), (at(60), Some(at(120)), 1));

    assert_eq!(store.fires_sweep(at(100), lead, Duration::from_secs(39)).await.unwrap(), Led::Done(0));
    store.fire_on_event(&[fire("trg_x", 1)]).await.unwrap();
    assert_eq!(store.fires_sweep(at(100), lead, Duration::from_secs(38)).await.unwrap(), Led::Done(1));
    assert_eq!(store.fires_pending(10).await.unwrap().len(), 1, "what is not made yet is kept, however old");
}

async fn a_schedule_is_busy_while_a_run_of_it_is_open(Home { store, .. }: Home) {
    let lead = leader(&store, 1, 0).await;
    store.schedule_add(at(0), &schedule(1)).await.unwrap();
    let read = row(&store, 1).await;
    store.schedule_decide(lead, &decision(&read, 60)).await.unwrap();
    assert_eq!(due(&store, 120).await, ["nightly-1 busy"], "a start is decided and not made yet");
    let pending = store.fires_pending(10).await.unwrap().remove(0);
    store.create_run(at(61), new_run(1, at(61), &["a"])).await.unwrap();
    store.fire_settle(lead, &pending, &FireState::Started(run_id(1))).await.unwrap();
    assert_eq!(due(&store, 120).await, ["nightly-1 busy"]);
    assert_eq!(store.schedule_open_runs(&pending.source, at(61)).await.unwrap(), [run_id(1)]);
    assert!(store.schedule_open_runs(&pending.source, at(60)).await.unwrap().is_empty(), "only earlier times");
    store.cancel(at(62), TENANT, run_id(1), "ann").await.unwrap();
    assert_eq!(due(&store, 120).await, ["nightly-1"]);
    assert!(store.schedule_open_runs(&pending.source, at(99)).await.unwrap().is_empty());

    // A time that waits is looked at again, although no further time has come.
    let waits = ScheduleDecision { fires: vec![], after: at(120), waiting: Some(at(120)), ..decision(&read, 120) };
    store.schedule_decide(lead, &waits).await.unwrap();
    assert_eq!(due(&store, 121).await, ["nightly-1"]);
    assert_eq!(row(&store, 1).await.waiting, Some(at(120)));
}

async fn as_many_schedules_as_allowed_and_no_more(home: Home) {
    let Home { store, .. } = &home;
    for n in 0..SCHEDULES_MAX {
        let id = ScheduleId::from_bytes(u128::from(n).to_be_bytes());
        let new = NewSchedule { id, name: format!("s{n}"), ..schedule(1) };
        assert_eq!(store.schedule_add(at(0), &new).await.unwrap(), Added::Added, "{n}");
    }
    assert_eq!(store.schedule_add(at(0), &schedule(9)).await.unwrap(), Added::Full);
    assert_eq!(store.schedules(TENANT).await.unwrap().len(), SCHEDULES_MAX as usize);
    assert_eq!(store.schedules_due(at(60)).await.unwrap().len(), 100, "one look finds so many at most");
}

fn trigger(n: u8, on: On) -> TriggerRow {
    TriggerRow {
        id: TriggerId::from_bytes([n; 16]),
        tenant: TENANT,
        name: format!("t{n}"),
        workflow: "build".into(),
        version: None,
        trigger: Trigger { on, inputs: BTreeMap::from([("who".into(), "{{ event.data.who }}".into())]) },
        actor: "ann".into(),
        created_at: at(n.into()),
        paused: None,
    }
}

async fn triggers_are_found_by_what_they_wait_for(Home { store, .. }: Home) {
    let runs = |workflow: Option<&str>| On::RunFinished {
        workflow: workflow.map(str::to_owned),
        outcomes: BTreeSet::from([RunOutcome::Failed]),
    };
    let all = [
        trigger(1, On::Event { name: "deploy".parse().unwrap() }),
        trigger(2, runs(Some("build"))),
        trigger(3, runs(None)),
        trigger(4, runs(Some("deploy"))),
    ];
    for new in &all {
        assert_eq!(store.trigger_add(new).await.unwrap(), Added::Added);
    }
    let same_name = TriggerRow { id: TriggerId::from_bytes([9; 16]), ..all[0].clone() };
    assert_eq!(store.trigger_add(&same_name).await.unwrap(), Added::NameTaken);
    assert_eq!(store.triggers(TENANT).await.unwrap(), all);
    let found = |kind: &'static str, subject: &'static str| {
        let store = store.clone();
        async move {
            let rows = store.triggers_on(TENANT, kind, subject).await.unwrap();
            rows.into_iter().map(|row| row.name).collect::<Vec<_>>().join(" ")
        }
    };
    assert_eq!(found("event", "deploy").await, "t1");
    assert_eq!(found("event", "other").await, "");
    assert_eq!(found("run_finished", "build").await, "t2 t3");
    assert!(store.trigger_pause(TENANT, all[2].id, Some("ann")).await.unwrap());
    assert!(!store.trigger_pause(TENANT, all[2].id, Some("ann")).await.unwrap());
    assert_eq!(found("run_finished", "build").await, "t2");
    assert!(store.trigger_pause(TENANT, all[2].id, None).await.unwrap());
    assert_eq!(found("run_finished", "build").await, "t2 t3");
    assert!(store.trigger_remove(TENANT, all[1].id).await.unwrap());
    assert_eq!(found("run_finished", "build").await, "t3");
    assert_eq!(store.trigger(TENANT, "t3").await.unwrap(), Some(all[2].clone()));
}

async fn finished_runs_are_looked_at_once(Home { store, .. }: Home) {
    let lead = leader(&store, 1, 0).await;
    for n in 1..=2 {
        store.create_run(at(n), new_run(n, at(n), &["a"])).await.unwrap();
        store.cancel(at(n + 10), TENANT, run_id(n), "ann").await.unwrap();
    }
    let (runs, upto) = store.finished_after(0).await.unwrap();
    let seen: Vec<_> = runs.iter().map(|run| (run.run, run.outcome, run.workflow.as_str(), run.depth)).collect();
    assert_eq!(seen, [(run_id(1), RunOutcome::Canceled, "build", 0), (run_id(2), RunOutcome::Canceled, "build", 0)]);
    assert_eq!(upto, store.last_seq().await.unwrap());

    let on = FireRow { depth: 2, ..fire("trg_1", 20) };
    assert_eq!(store.fire_on_runs(lead, 0, upto, std::slice::from_ref(&on)).await.unwrap(), Led::Done(1));
    assert_eq!(store.fire_on_runs(lead, 0, upto, &[fire("trg_2", 21)]).await.unwrap(), Led::Done(0), "it was moved");
    assert_eq!(store.finished_after(upto).await.unwrap(), (vec![], upto));
    // What a run that a trigger started leads to is one further away from its beginning.
    let mut third = new_run(3, at(30), &["a"]);
    third.run.trigger = Some(RunTrigger { kind: TriggerKind::Run, name: "t".into(), depth: 2, due_at: None });
    store.create_run(at(30), third).await.unwrap();
    // One that is a step of another is none of its own.
    let mut fourth = new_run(4, at(31), &["a"]);
    fourth.run.parent = Some(Parent { run: run_id(3), step: "call".into(), number: 1, depth: 1 });
    store.create_run(at(31), fourth).await.unwrap();
    for n in 3..=4 {
        store.cancel(at(n + 30), TENANT, run_id(n), "ann").await.unwrap();
    }
    let (runs, upto) = store.finished_after(upto).await.unwrap();
    assert_eq!(runs.iter().map(|run| (run.run, run.depth)).collect::<Vec<_>>(), [(run_id(3), 2)]);
    // A leader whose row is new begins where the events are now.
    let fresh = store.lead(at(50), "fresh", worker(1), TTL).await.unwrap().unwrap();
    assert_eq!(store.leaders().await.unwrap().iter().find(|row| row.name == fresh.name).unwrap().position, upto);
}
