//! Rows of the queue as values, and the statements that move them.

use mb_core::id::{TaskId, WorkerId};
use mb_core::queue::{Ending, Priority, Rank, Task, TaskOptions, Waiting};
use mb_core::task::{Fence, QueueClass, TaskKey, Work};
use mb_core::time::Timestamp;

use crate::db::{Column, Row, Session, Value};
use crate::error::StoreError;
use crate::sql;

/// Tasks taken back in one transaction at most.
pub(crate) const TAKE_BACK_MAX: u32 = 500;
/// Transactions one call that takes back whatever there is makes at most.
pub(crate) const TAKE_BACK_ROUNDS_MAX: u32 = 20;

/// A leased task, as its row says.
pub(crate) struct Held {
    pub(crate) task: Task,
    pub(crate) fence: Fence,
    pub(crate) worker: WorkerId,
    pub(crate) key: Option<TaskKey>,
    /// Since when it could be claimed.
    pub(crate) ready_at: Timestamp,
    /// Whether that is the turn of its rate key, which is its own.
    pub(crate) is_reserved: bool,
    /// Somebody wants it to stop.
    pub(crate) is_interrupted: bool,
}

impl Held {
    pub(crate) fn of(row: &Row) -> Result<Held, StoreError> {
        Ok(Held {
            task: task_of(row)?,
            fence: Fence(row.count("fence")?),
            worker: row.parse("worker")?,
            key: key_of(row)?,
            ready_at: row.time("ready_at")?,
            is_reserved: row.int("reserved")? != 0,
            is_interrupted: row.int("interrupt")? != 0,
        })
    }

    pub(crate) fn id(&self) -> TaskId {
        self.task.id
    }
}

/// The part of a row that a waiting and a leased task share.
pub(crate) fn task_of(row: &Row) -> Result<Task, StoreError> {
    Ok(Task {
        id: row.parse("id")?,
        tenant: row.parse("tenant")?,
        kind: row.text("kind")?,
        class: row.word("class", QueueClass::from_word)?,
        priority: row.word("priority", Priority::from_word)?,
        payload: row.text("payload")?,
        failures: row.count("failures")?,
        losses: row.count("losses")?,
        enqueued_at: row.time("enqueued_at")?,
        rank: Rank(row.int("rank")?),
        options: options_of(row)?,
    })
}

/// The options of a row; none stored are the default.
pub(crate) fn options_of(row: &Row) -> Result<TaskOptions, StoreError> {
    match row.opt_text("options")? {
        None => Ok(TaskOptions::default()),
        Some(text) => serde_json::from_str(&text).map_err(|source| StoreError::corrupt("options", source)),
    }
}

/// The options as they are stored.
pub(crate) fn options_text(options: &TaskOptions) -> Result<Option<String>, StoreError> {
    if *options == TaskOptions::default() {
        return Ok(None);
    }
    let text = serde_json::to_string(options);
    text.map(Some).map_err(|source| StoreError::Invalid { what: "the options".into(), source: Some(source.into()) })
}

fn key_of(row: &Row) -> Result<Option<TaskKey>, StoreError> {
    let Some(work) = row.opt_text("work")? else { return Ok(None) };
    let parsed = parse_work(&work).ok_or_else(|| StoreError::corrupt("work", format!("{work:?} names no work")))?;
    Ok(Some(TaskKey { run: row.parse("run")?, work: parsed }))
}

/// The text form of [`Work`] back. No step's name holds `#` or `!`.
fn parse_work(text: &str) -> Option<Work> {
    if text == "publish" {
        return Some(Work::Publish);
    }
    let at = text.rfind(['#', '!'])?;
    let (step, number) = (text[..at].to_owned(), text[at + 1..].parse().ok()?);
    Some(if text[at..].starts_with('#') { Work::Attempt { step, number } } else { Work::Repair { step, number } })
}

/// Ids as a value.
pub(crate) fn ids<'a>(ids: impl IntoIterator<Item = &'a TaskId>) -> Value {
    Value::Texts(ids.into_iter().map(ToString::to_string).collect())
}

/// A leased task that is to wait again.
pub(crate) struct Back {
    pub(crate) id: TaskId,
    pub(crate) state: Waiting,
    pub(crate) ready_at: Timestamp,
    pub(crate) failures: u32,
    pub(crate) losses: u32,
    pub(crate) is_reserved: bool,
}

/// Makes leased tasks wait again.
pub(crate) async fn put_back(tx: &mut Session, tasks: &[Back]) -> Result<(), StoreError> {
    if tasks.is_empty() {
        return Ok(());
    }
    let columns = vec![
        Column::Texts(tasks.iter().map(|task| task.id.to_string()).collect()),
        Column::Texts(tasks.iter().map(|task| task.state.to_string()).collect()),
        Column::Ints(tasks.iter().map(|task| task.ready_at.as_micros()).collect()),
        Column::Ints(tasks.iter().map(|task| i64::from(task.failures)).collect()),
        Column::Ints(tasks.iter().map(|task| i64::from(task.losses)).collect()),
        Column::Ints(tasks.iter().map(|task| i64::from(task.is_reserved)).collect()),
    ];
    tx.execute(sql::LEASES_BACK, &[Value::Columns(columns)]).await?;
    tx.execute(sql::LEASES_REMOVE, &[ids(tasks.iter().map(|task| &task.id))]).await?;
    tx.is_change = true;
    Ok(())
}

/// From which table a record is made.
#[derive(Clone, Copy)]
pub(crate) enum From {
    Queue,
    Leases,
}

/// Ends tasks: a record each, and their unique keys are free again.
pub(crate) async fn record(
    tx: &mut Session,
    now: Timestamp,
    from: From,
    endings: &[(TaskId, Ending)],
) -> Result<(), StoreError> {
    if endings.is_empty() {
        return Ok(());
    }
    let columns = vec![
        Column::Texts(endings.iter().map(|(id, _)| id.to_string()).collect()),
        Column::Texts(endings.iter().map(|(_, ending)| ending.fate.to_string()).collect()),
        Column::OptTexts(endings.iter().map(|(_, ending)| error_of(ending)).collect()),
        Column::Ints(endings.iter().map(|(_, ending)| i64::from(ending.failures)).collect()),
        Column::Ints(endings.iter().map(|(_, ending)| i64::from(ending.losses)).collect()),
    ];
    let (record, remove) = match from {
        From::Queue => (sql::QUEUE_RECORD, sql::QUEUE_REMOVE),
        From::Leases => (sql::LEASES_RECORD, sql::LEASES_REMOVE),
    };
    let removed = ids(endings.iter().map(|(id, _)| id));
    tx.execute(record, &[Value::time(now), Value::Columns(columns)]).await?;
    tx.execute(remove, std::slice::from_ref(&removed)).await?;
    tx.execute(sql::TASK_KEYS_FREE, &[removed]).await.map(|_| ())
}

fn error_of(ending: &Ending) -> Option<String> {
    ending.error.as_deref().map(|error| crate::json::clean(error).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_read_back_from_its_text() {
        let step = "web:lint/a.b-c_d".to_owned();
        for work in [
            Work::Attempt { step: step.clone(), number: 1 },
            Work::Attempt { step: "publish".into(), number: 12 },
            Work::Repair { step, number: u32::MAX },
            Work::Publish,
        ] {
            assert_eq!(parse_work(&work.to_string()), Some(work));
        }
        for text in ["", "a", "a#", "a#x", "#", "a!-1"] {
            assert_eq!(parse_work(text), None, "{text}");
        }
    }
}
