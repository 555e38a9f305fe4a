//! Enqueueing: checked, bounded, ranked, once per key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use mb_core::id::{TaskId, TenantId};
use mb_core::queue::{
    Bounds, ENQUEUE_MAX, Enqueued, FULL_RETRY, Flow, FlowKey, Head as QueueHead, NewTask, Priority, Rank, Ranks,
    Refused, TaskOptions,
};
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;

use crate::db::{Column, Session, Value};
use crate::error::StoreError;
use crate::queue::gather;
use crate::queue::row::options_text;
use crate::store::{Store, transaction};
use crate::{json, sql};

/// Tasks written by one statement.
const CHUNK: usize = 5_000;

/// Who goes before whom, as far as this process has seen.
#[derive(Default)]
pub(crate) struct Fair {
    ranks: Mutex<Ranks>,
    weights: BTreeMap<TenantId, u32>,
}

impl Fair {
    pub(crate) fn new(weights: BTreeMap<TenantId, u32>) -> Fair {
        Fair { ranks: Mutex::default(), weights }
    }

    /// Ranks for so many tasks of a flow.
    pub(crate) fn next(&self, now: Timestamp, head: Option<QueueHead>, flow: FlowKey, count: usize) -> Vec<Rank> {
        let weight = self.weights.get(&flow.tenant).copied().unwrap_or(1);
        let mut ranks = self.ranks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = head;
        let mut one = || {
            let rank = ranks.next(now, head, flow, weight);
            // From the first one on somebody waits.
            head.get_or_insert((rank, flow.priority));
            rank
        };
        (0..count).map(|_| one()).collect()
    }

    pub(crate) fn taken(&self, now: Timestamp, class: QueueClass, count: usize) {
        self.ranks.lock().unwrap_or_else(PoisonError::into_inner).taken(now, class, count);
    }
}

/// The task of a class that goes next.
pub(crate) async fn head(tx: &mut Session, class: QueueClass) -> Result<Option<QueueHead>, StoreError> {
    let row = tx.row(sql::QUEUE_HEAD, &[Value::id(class)]).await?;
    row.map(|row| Ok((Rank(row.int("rank")?), row.word("priority", Priority::from_word)?))).transpose()
}

impl Store {
    /// Puts tasks on the queue, all of them or none; the answers are in the order of `tasks`. Calls with few tasks that
    /// come at the same time share a commit. Whoever waits for work in this process is woken at once, in others after the
    /// commit.
    ///
    /// # Errors
    /// [`StoreError::Refused`] says which task is not valid or which bound is reached; nothing was enqueued.
    pub async fn enqueue(
        &self,
        now: Timestamp,
        tasks: &[NewTask],
        bounds: &Bounds,
    ) -> Result<Vec<Enqueued>, StoreError> {
        if tasks.len() > ENQUEUE_MAX {
            return Err(Refused::TooMany(tasks.len()).into());
        }
        for (index, task) in tasks.iter().enumerate() {
            task.check().map_err(|reason| Refused::Bad { index, reason })?;
        }
        match tasks.len() {
            0 => Ok(Vec::new()),
            1..=gather::FEW => self.inner.gather.enqueue(now, tasks, bounds).await,
            _ => self.enqueue_together(now, tasks, bounds).await,
        }
    }

    /// Checked tasks, in one transaction.
    pub(super) async fn enqueue_together(
        &self,
        now: Timestamp,
        tasks: &[NewTask],
        bounds: &Bounds,
    ) -> Result<Vec<Enqueued>, StoreError> {
        let fair = &self.inner.fair;
        transaction!(self, |tx| enqueue(tx, now, tasks, bounds, fair).await)
    }
}

pub(crate) async fn enqueue(
    tx: &mut Session,
    now: Timestamp,
    tasks: &[NewTask],
    bounds: &Bounds,
    fair: &Fair,
) -> Result<Vec<Enqueued>, StoreError> {
    refuse_draining(tx, |class| tasks.iter().any(|task| task.class == class)).await?;
    let taken = keys_of(tx, now, tasks).await?;
    let fresh: Vec<&NewTask> = tasks.iter().filter(|task| !taken.contains_key(&task.id)).collect();
    admit(tx, &fresh, bounds).await?;
    for (head, group) in groups(&fresh)? {
        for chunk in group.chunks(CHUNK) {
            add(tx, now, &head, chunk, fair).await?;
        }
    }
    tx.is_change |= !fresh.is_empty();
    let answer = |task: &NewTask| taken.get(&task.id).map_or(Enqueued::New(task.id), |&id| Enqueued::Duplicate(id));
    Ok(tasks.iter().map(answer).collect())
}

/// What many tasks share, and therefore is sent once.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head<'a> {
    tenant: TenantId,
    kind: &'a str,
    class: QueueClass,
    priority: Priority,
    gate: Option<&'a str>,
    options: Option<String>,
}

type Groups<'a> = BTreeMap<Head<'a>, Vec<&'a NewTask>>;

fn groups<'a>(tasks: &[&'a NewTask]) -> Result<Groups<'a>, StoreError> {
    let (mut groups, usual) = (Groups::new(), TaskOptions::default());
    for task in tasks {
        let head = Head {
            tenant: task.tenant,
            kind: &task.kind,
            class: task.class,
            priority: task.priority,
            gate: task.options.concurrency.as_ref().map(|limit| limit.key.as_str()),
            options: if task.options == usual { None } else { options_text(&task.options)? },
        };
        groups.entry(head).or_default().push(task);
    }
    Ok(groups)
}

async fn add(
    tx: &mut Session,
    now: Timestamp,
    head: &Head<'_>,
    tasks: &[&NewTask],
    fair: &Fair,
) -> Result<(), StoreError> {
    let ready_at = |task: &NewTask| task.not_before.unwrap_or(now);
    let flow = FlowKey { tenant: head.tenant, class: head.class, priority: head.priority };
    let ranks = fair.next(now, self::head(tx, head.class).await?, flow, tasks.len());
    let columns = vec![
        Column::Texts(tasks.iter().map(|task| task.id.to_string()).collect()),
        Column::Ints(ranks.into_iter().map(|rank| rank.0).collect()),
        Column::Ints(tasks.iter().map(|task| ready_at(task).as_micros()).collect()),
        Column::Texts(tasks.iter().map(|task| json::clean(&task.payload).into_owned()).collect()),
    ];
    let values = [
        Value::id(head.tenant),
        Value::text(head.kind),
        Value::id(head.class),
        Value::id(head.priority),
        Value::time(now),
        Value::opt_text(head.gate),
        Value::opt_text(head.options.as_deref()),
        Value::Columns(columns),
    ];
    let added = tx.execute(sql::QUEUE_ADD, &values).await?;
    if added == tasks.len() as u64 {
        return Ok(());
    }
    // Two grants of one id would keep everybody from claiming.
    let what = "one of the ids is that of a task which is being done".to_owned();
    Err(StoreError::Conflict { what, source: None })
}

/// Refuses a run of a class that takes nothing in or is full.
pub(crate) async fn admit_run(tx: &mut Session, class: QueueClass, bounds: &Bounds) -> Result<(), StoreError> {
    refuse_draining(tx, |draining| draining == class).await?;
    match bounds.class.get(&class) {
        Some(&bound) => fits(tx, sql::QUEUE_WAITING_OF_CLASS, class.as_str(), 1, bound).await,
        None => Ok(()),
    }
}

async fn refuse_draining(tx: &mut Session, is_wanted: impl Fn(QueueClass) -> bool) -> Result<(), StoreError> {
    let draining = flows(tx).await?.into_iter().find(|(class, flow)| *flow == Flow::Draining && is_wanted(*class));
    draining.map_or(Ok(()), |(class, _)| Err(Refused::Draining(class).into()))
}

/// Refuses when a bound would be passed. Two transactions at the same moment may each fill the last place: the bound is
/// one on memory and waiting time, and is worth no lock that all enqueueing would share.
async fn admit(tx: &mut Session, fresh: &[&NewTask], bounds: &Bounds) -> Result<(), StoreError> {
    for (class, more) in count(fresh.iter().map(|task| task.class)) {
        if let Some(&bound) = bounds.class.get(&class) {
            fits(tx, sql::QUEUE_WAITING_OF_CLASS, class.as_str(), more, bound).await?;
        }
    }
    for (priority, more) in count(fresh.iter().map(|task| task.priority)) {
        if let Some(&bound) = bounds.priority.get(&priority) {
            fits(tx, sql::QUEUE_WAITING_OF_PRIORITY, priority.as_str(), more, bound).await?;
        }
    }
    Ok(())
}

fn count<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    let mut counts = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}

async fn fits(tx: &mut Session, sql: sql::Sql, queue: &'static str, more: u64, bound: u64) -> Result<(), StoreError> {
    let limit = i64::try_from(bound).unwrap_or(i64::MAX);
    let row = tx.row(sql, &[Value::text(queue), Value::int(limit)]).await?;
    let waiting: u64 = row.map_or(Ok(0), |row| row.count("waiting"))?;
    if waiting.saturating_add(more) > bound {
        return Err(Refused::Full { queue, waiting, bound, retry_after: FULL_RETRY }.into());
    }
    Ok(())
}

/// What the classes do; those that are not named run.
pub(crate) async fn flows(tx: &mut Session) -> Result<BTreeMap<QueueClass, Flow>, StoreError> {
    let rows = tx.rows(sql::FLOWS_GET, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.word("class", QueueClass::from_word)?, row.word("state", Flow::from_word)?)))
        .collect()
}

/// Takes the keys of the tasks; names those whose key another task has, with that one.
async fn keys_of(tx: &mut Session, now: Timestamp, tasks: &[NewTask]) -> Result<BTreeMap<TaskId, TaskId>, StoreError> {
    let mut taken = BTreeMap::new();
    let with = |kind: &'static str| move |task: &NewTask| key_of(task, kind).map(|key| (task.tenant, key, task.id));
    let idempotent: Vec<_> = tasks.iter().filter_map(with("idempotency")).collect();
    take_keys(tx, now, "idempotency", &idempotent, &mut taken).await?;
    let unique: Vec<_> = tasks.iter().filter_map(with("unique")).filter(|(.., id)| !taken.contains_key(id)).collect();
    let before: BTreeSet<TaskId> = taken.keys().copied().collect();
    take_keys(tx, now, "unique", &unique, &mut taken).await?;
    // A new idempotency key of a task that already waits under its unique key names that one.
    for (tenant, key, id) in idempotent.iter().filter(|(.., id)| !before.contains(id)) {
        if let Some(other) = taken.get(id) {
            let values = [Value::id(tenant), Value::text("idempotency"), Value::text(key), Value::id(other)];
            tx.execute(sql::TASK_KEYS_POINT, &values).await?;
        }
    }
    // Who lost to a task of this call that lost as well was told of one that is nowhere.
    let there = taken.clone();
    taken.values_mut().for_each(|other| *other = there.get(other).copied().unwrap_or(*other));
    Ok(taken)
}

fn key_of(task: &NewTask, kind: &str) -> Option<String> {
    let key = if kind == "unique" { task.options.unique.as_deref() } else { task.idempotency.as_deref() };
    key.map(|key| json::clean(key).into_owned())
}

async fn take_keys(
    tx: &mut Session,
    now: Timestamp,
    kind: &'static str,
    keys: &[(TenantId, String, TaskId)],
    taken: &mut BTreeMap<TaskId, TaskId>,
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    // In one order for everybody, so that two calls cannot wait for each other. The first of a call wins: sorting is stable.
    let mut sorted: Vec<&(TenantId, String, TaskId)> = keys.iter().collect();
    sorted.sort_by_key(|(tenant, key, _)| (*tenant, key));
    let columns = vec![
        Column::Texts(sorted.iter().map(|(tenant, ..)| tenant.to_string()).collect()),
        Column::Texts(sorted.iter().map(|(_, key, _)| key.clone()).collect()),
        Column::Texts(sorted.iter().map(|(.., id)| id.to_string()).collect()),
    ];
    let values = [Value::text(kind), Value::time(now), Value::Columns(columns)];
    let rows = tx.rows(sql::TASK_KEYS_ADD, &values).await?;
    let won = rows.iter().map(|row| row.parse("task")).collect::<Result<BTreeSet<TaskId>, _>>()?;
    for (tenant, key, id) in keys.iter().filter(|(.., id)| !won.contains(id)) {
        let row = tx.row(sql::TASK_KEYS_GET, &[Value::id(tenant), Value::text(kind), Value::text(key)]).await?;
        // Its task may have ended between the two statements; the caller's next try finds the key free.
        let row =
            row.ok_or_else(|| StoreError::Busy { source: format!("the {kind} key {key:?} was just freed").into() })?;
        taken.insert(*id, row.parse("task")?);
    }
    Ok(())
}
