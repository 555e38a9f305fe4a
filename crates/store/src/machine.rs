//! Where the run machine meets a transaction: runs are loaded whole, moved by `advance::apply`, and what changed is
//! written back.
//!
//! A [`Turn`] keeps the run as it was beside the run as it is, so only steps, attempts and repairs that differ are
//! written, and a transaction with many runs still takes one statement per table. Deliberately absent: any other
//! code that writes these tables.

use std::collections::{BTreeMap, BTreeSet};

use mb_core::advance::{self, Effect, Illegal, RunEvent};
use mb_core::attempt::{Attempt, AttemptState};
use mb_core::budget::Spend;
use mb_core::event::EventKind;
use mb_core::id::{RunId, TenantId};
use mb_core::queue::{FlowKey, Priority};
use mb_core::repair::{Repair, RepairState};
use mb_core::run::{AppliedPatch, Parent, Published, Role, Run, RunState, Signal, Step, StepState, Trigger};
use mb_core::task::{QueueClass, TaskKey, Work};
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::db::{Column, Row, Session, Value};
use crate::error::StoreError;
use crate::json::encode;
use crate::list;
use crate::queue::{self, Fair};
use crate::sql;

/// A run being moved in a transaction that holds its row.
pub(crate) struct Turn {
    now: Timestamp,
    before: Run,
    pub(crate) run: Run,
    effects: Vec<Effect>,
    pub(crate) events: Vec<EventKind>,
}

impl Turn {
    pub(crate) fn new(now: Timestamp, run: Run) -> Turn {
        Turn { now, before: run.clone(), run, effects: Vec::new(), events: Vec::new() }
    }

    /// A run of which nothing is stored yet but its own row.
    pub(crate) fn of_new_run(now: Timestamp, run: Run) -> Turn {
        let mut turn = Turn::new(now, run);
        turn.before.steps.clear();
        turn
    }

    /// Moves the run by one event; leaves it as it is when the event does not fit.
    pub(crate) fn apply(&mut self, event: RunEvent) -> Result<(), Illegal> {
        let advance = advance::apply(self.now, self.run.clone(), event)?;
        self.run = advance.next;
        self.effects.extend(advance.effects);
        self.events.extend(advance.events);
        Ok(())
    }

    /// Whether the work is put back on the queue by this turn.
    pub(crate) fn enqueues(&self, work: &Work) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Enqueue(spec) if spec.work == *work))
    }
}

/// Loads runs and, in a writing transaction, holds their rows until its end.
pub(crate) async fn hold(
    tx: &mut Session,
    now: Timestamp,
    ids: Vec<RunId>,
) -> Result<BTreeMap<RunId, Turn>, StoreError> {
    let ids = [Value::Texts(ids.iter().map(ToString::to_string).collect())];
    tx.rows(sql::RUNS_LOCK, &ids).await?;
    // A statement of its own: its snapshot is taken after the locks, so it sees what their last holders wrote.
    let rows = tx.rows(sql::RUNS_LOAD, &ids).await?;
    rows.iter().map(|row| decode(row).map(|run| (run.id, Turn::new(now, run)))).collect()
}

/// The part of a run that moves, beside its steps.
#[derive(Serialize, Deserialize)]
struct Head {
    state: RunState,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    spend: Spend,
    cancel: Option<String>,
    patches: Vec<AppliedPatch>,
    published: Option<Published>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outputs: Option<Json>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signals: Vec<Signal>,
    #[serde(default)]
    waited_ms: u64,
    #[serde(default)]
    idle_since: Option<Timestamp>,
}

/// How a run came to be. It never changes.
#[derive(Default, Serialize, Deserialize)]
struct Origin {
    #[serde(default)]
    inputs: Json,
    #[serde(default)]
    parent: Option<Parent>,
    #[serde(default)]
    retry_of: Option<RunId>,
    #[serde(default)]
    trigger: Option<Trigger>,
}

/// A step as it is stored. What was stored before steps had a role and an output has neither.
#[derive(Serialize, Deserialize)]
struct StepDoc {
    #[serde(flatten)]
    state: StepState,
    #[serde(default)]
    part: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct StepRow {
    name: String,
    state: StepDoc,
}

#[derive(Deserialize)]
struct PartRow<T> {
    step: String,
    doc: T,
}

/// The moving part as it is stored.
pub(crate) fn head(run: &Run) -> Result<Json, StoreError> {
    encode(&Head {
        state: run.state.clone(),
        created_at: run.created_at,
        started_at: run.started_at,
        finished_at: run.finished_at,
        spend: run.spend,
        cancel: run.cancel.clone(),
        patches: run.patches.clone(),
        published: run.published.clone(),
        outputs: run.outputs.clone(),
        signals: run.signals.clone(),
        waited_ms: run.waited_ms,
        idle_since: run.idle_since,
    })
}

/// The part that never changes, beside the source.
pub(crate) fn origin(run: &Run) -> Result<Json, StoreError> {
    encode(&Origin {
        inputs: run.inputs.clone(),
        parent: run.parent.clone(),
        retry_of: run.retry_of,
        trigger: run.trigger.clone(),
    })
}

/// A whole run from the row of `runs/load`.
pub(crate) fn decode(row: &Row) -> Result<Run, StoreError> {
    let head: Head = row.json("head")?;
    let Origin { inputs, parent, retry_of, trigger } = row.json("origin")?;
    let mut steps: Vec<Step> = row
        .json::<Vec<StepRow>>("steps")?
        .into_iter()
        .map(|StepRow { name, state: StepDoc { state, part: role, output, since, ended_at } }| Step {
            name,
            state,
            attempts: Vec::new(),
            repairs: Vec::new(),
            role,
            output,
            since,
            ended_at,
        })
        .collect();
    let index: BTreeMap<String, usize> = steps.iter().enumerate().map(|(i, step)| (step.name.clone(), i)).collect();
    let place = |step: &str| {
        index.get(step).copied().ok_or_else(|| StoreError::corrupt("steps", format!("there is no step {step:?}")))
    };
    for PartRow { step, doc } in row.json::<Vec<PartRow<Attempt>>>("attempts")? {
        steps[place(&step)?].attempts.push(doc);
    }
    for PartRow { step, doc } in row.json::<Vec<PartRow<Repair>>>("repairs")? {
        steps[place(&step)?].repairs.push(doc);
    }
    Ok(Run {
        id: row.parse("id")?,
        tenant: row.parse("tenant")?,
        workflow: row.json("workflow")?,
        source: row.json("source")?,
        inputs,
        parent,
        retry_of,
        trigger,
        state: head.state,
        created_at: head.created_at,
        started_at: head.started_at,
        finished_at: head.finished_at,
        spend: head.spend,
        cancel: head.cancel,
        steps,
        patches: head.patches,
        published: head.published,
        outputs: head.outputs,
        signals: head.signals,
        waited_ms: head.waited_ms,
        idle_since: head.idle_since,
    })
}

/// What a transaction writes, one array per statement.
#[derive(Default)]
struct Writes {
    runs: Vec<Json>,
    steps: Vec<Json>,
    attempts: Vec<Json>,
    repairs: Vec<Json>,
    withdrawn: Vec<TaskKey>,
    interrupted: Vec<TaskKey>,
    enqueued: Vec<(TenantId, TaskKey, QueueClass, Timestamp)>,
    woken: Vec<TaskKey>,
    now: Timestamp,
    events: Vec<(TenantId, RunId, Timestamp, EventKind)>,
}

/// Writes what the turns changed, and does their effects.
pub(crate) async fn save(
    tx: &mut Session,
    fair: &Fair,
    turns: impl IntoIterator<Item = &Turn>,
) -> Result<(), StoreError> {
    let mut writes = Writes::default();
    for turn in turns {
        writes.collect(turn)?;
    }
    tx.is_change |= !writes.events.is_empty() || !writes.enqueued.is_empty();
    run_all(tx, sql::RUNS_UPDATE, writes.runs).await?;
    run_all(tx, sql::RUNS_PUT_STEPS, writes.steps).await?;
    run_all(tx, sql::RUNS_PUT_ATTEMPTS, writes.attempts).await?;
    run_all(tx, sql::RUNS_PUT_REPAIRS, writes.repairs).await?;
    // Whoever holds a task that is withdrawn is told to stop instead.
    if !writes.withdrawn.is_empty() {
        tx.execute(sql::QUEUE_WITHDRAW, &[names(&writes.withdrawn)]).await?;
        writes.interrupted.append(&mut writes.withdrawn);
    }
    if !writes.interrupted.is_empty() {
        tx.execute(sql::LEASES_INTERRUPT, &[names(&writes.interrupted)]).await?;
    }
    enqueue(tx, writes.now, &writes.enqueued, fair).await?;
    if !writes.woken.is_empty() {
        tx.execute(sql::QUEUE_WAKE, &[Value::time(writes.now), names(&writes.woken)]).await?;
    }
    append(tx, writes.events).await
}

/// Runs a statement that must write exactly one row for each item.
async fn run_all(tx: &mut Session, sql: sql::Sql, items: Vec<Json>) -> Result<(), StoreError> {
    if items.is_empty() {
        return Ok(());
    }
    let expected = items.len();
    let written = tx.execute(sql, &[Value::array(items)]).await?;
    all_written(written, expected)
}

fn all_written(written: u64, expected: usize) -> Result<(), StoreError> {
    if written == expected as u64 {
        return Ok(());
    }
    let what = format!("{written} rows were written where {expected} belong: something finished would be overwritten");
    Err(StoreError::Conflict { what, source: None })
}

impl Writes {
    fn collect(&mut self, turn: &Turn) -> Result<(), StoreError> {
        let (before, run) = (&turn.before, &turn.run);
        if before != run {
            self.runs.push(list::columns(run, &head(run)?)?);
        }
        for (position, step) in run.steps.iter().enumerate() {
            self.collect_step(run, position, step, before.steps.get(position))?;
        }
        self.now = turn.now;
        let key = |work: &Work| TaskKey { run: run.id, work: work.clone() };
        let ended = before.state.outcome().is_none() && run.state.outcome().is_some();
        if let Some(Parent { run, step, number, .. }) = run.parent.as_ref().filter(|_| ended) {
            // Whoever started this run need not wait for its next question.
            let work = Work::Attempt { step: step.clone(), number: *number };
            self.woken.push(TaskKey { run: *run, work });
        }
        for effect in &turn.effects {
            match effect {
                Effect::Enqueue(spec) => self.enqueued.push((run.tenant, key(&spec.work), spec.class, spec.ready_at)),
                Effect::Withdraw(work) => self.withdrawn.push(key(work)),
                Effect::Interrupt(work) => self.interrupted.push(key(work)),
            }
        }
        self.events.extend(turn.events.iter().map(|kind| (run.tenant, run.id, turn.now, kind.clone())));
        Ok(())
    }

    fn collect_step(&mut self, run: &Run, position: usize, step: &Step, old: Option<&Step>) -> Result<(), StoreError> {
        if old.is_none_or(|old| old.state != step.state || old.output != step.output || old.since != step.since) {
            self.steps.push(json!({
                "run": run.id, "tenant": run.tenant, "name": step.name, "position": position,
                "state": step.word(), "doc": encode(&step_doc(step))?,
            }));
        }
        let part = |number: u32, state: &str, doc: Json| {
            json!({
                "run": run.id, "tenant": run.tenant, "step": step.name,
                "number": number, "state": state, "doc": doc,
            })
        };
        for (index, attempt) in step.attempts.iter().enumerate() {
            if old.and_then(|old| old.attempts.get(index)) != Some(attempt) {
                self.attempts.push(part(attempt.number, attempt_word(attempt), encode(attempt)?));
            }
        }
        for (index, repair) in step.repairs.iter().enumerate() {
            if old.and_then(|old| old.repairs.get(index)) != Some(repair) {
                self.repairs.push(part(repair.number, repair_word(repair), encode(repair)?));
            }
        }
        Ok(())
    }
}

fn step_doc(step: &Step) -> StepDoc {
    StepDoc {
        state: step.state.clone(),
        part: step.role.clone(),
        output: step.output.clone(),
        since: step.since,
        ended_at: step.ended_at,
    }
}

/// Names of tasks as the statements take them.
fn names(keys: &[TaskKey]) -> Value {
    Value::Columns(vec![
        Column::Texts(keys.iter().map(|key| key.run.to_string()).collect()),
        Column::Texts(keys.iter().map(|key| key.work.to_string()).collect()),
    ])
}

async fn enqueue(
    tx: &mut Session,
    now: Timestamp,
    tasks: &[(TenantId, TaskKey, QueueClass, Timestamp)],
    fair: &Fair,
) -> Result<(), StoreError> {
    if tasks.is_empty() {
        return Ok(());
    }
    let mut heads = BTreeMap::new();
    for class in tasks.iter().map(|&(_, _, class, _)| class).collect::<BTreeSet<_>>() {
        heads.insert(class, queue::head(tx, class).await?);
    }
    let mut ranks = Vec::with_capacity(tasks.len());
    for &(tenant, _, class, _) in tasks {
        let flow = FlowKey { tenant, class, priority: Priority::Normal };
        let head = heads.entry(class).or_default();
        ranks.extend(fair.next(now, *head, flow, 1));
        *head = head.or_else(|| ranks.last().map(|&rank| (rank, Priority::Normal)));
    }
    let columns = vec![
        Column::Texts(tasks.iter().map(|(_, key, ..)| key.id().to_string()).collect()),
        Column::Texts(tasks.iter().map(|(_, key, ..)| key.run.to_string()).collect()),
        Column::Texts(tasks.iter().map(|(_, key, ..)| key.work.to_string()).collect()),
        Column::Texts(tasks.iter().map(|(_, key, ..)| key.work.word().to_owned()).collect()),
        Column::Texts(tasks.iter().map(|(_, _, class, _)| class.to_string()).collect()),
        Column::Ints(ranks.into_iter().map(|rank| rank.0).collect()),
        Column::Ints(tasks.iter().map(|(.., ready_at)| ready_at.as_micros()).collect()),
    ];
    let written = tx.execute(sql::QUEUE_ADD_OF_RUN, &[Value::time(now), Value::Columns(columns)]).await?;
    all_written(written, tasks.len())
}

const fn attempt_word(attempt: &Attempt) -> &'static str {
    match attempt.state {
        AttemptState::Queued { .. } => "queued",
        AttemptState::Running { .. } => "running",
        AttemptState::Finished { .. } => "finished",
    }
}

const fn repair_word(repair: &Repair) -> &'static str {
    match repair.state {
        RepairState::Queued { .. } => "queued",
        RepairState::Running { .. } => "running",
        RepairState::Finished { .. } => "finished",
    }
}

/// Appends events. Their numbers come from a counter whose row stays locked until the commit, so this is last.
async fn append(tx: &mut Session, events: Vec<(TenantId, RunId, Timestamp, EventKind)>) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(events.len()).map_err(|source| StoreError::corrupt("events", source))?;
    let last = tx.row(sql::EVENTS_RESERVE, &[Value::int(count)]).await?;
    let last = last.ok_or_else(|| StoreError::corrupt("counters", "there is no counter of events"))?.int("value")?;
    let rows = (last - count + 1..).zip(events).map(|(seq, (tenant, run, at, kind))| {
        Ok(json!({
            "seq": seq, "tenant": tenant, "run": run, "at": at.as_micros(),
            "event": kind.word(), "step": kind.step(), "doc": encode(&kind)?,
        }))
    });
    let rows = rows.collect::<Result<Vec<_>, StoreError>>()?;
    tx.execute(sql::EVENTS_APPEND, &[Value::array(rows)]).await.map(|_| ())
}
