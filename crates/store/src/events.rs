//! The event stream: numbered by commit, so a reader that has seen `n` has seen all before it.
//!
//! The numbers come from a counter row that stays locked until the commit (see `machine`), not from a sequence,
//! whose numbers can become visible out of order. Deliberately absent: appending on its own; events are only
//! written with the change they tell of.

use mb_core::event::Event;
use mb_core::id::{RunId, TenantId};

use crate::db::{Row, Value};
use crate::error::StoreError;
use crate::sql;
use crate::store::Store;

/// Events of one answer at most.
const EVENTS_MAX: u32 = 1_000;

impl Store {
    /// Events after a number, in order, of one run or of all of the tenant's. `limit` is brought into 1 to 1,000.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn events(
        &self,
        tenant: TenantId,
        run: Option<RunId>,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let limit = Value::int(limit.clamp(1, EVENTS_MAX));
        let mut values = vec![Value::id(tenant), Value::int(after_seq), limit];
        let statement = match run {
            None => sql::EVENTS_OF_TENANT,
            Some(run) => {
                values.push(Value::id(run));
                sql::EVENTS_OF_RUN
            }
        };
        self.read(statement, &values).await?.iter().map(event).collect()
    }

    /// The number of the last event of all; 0 before the first.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn last_seq(&self) -> Result<i64, StoreError> {
        self.read(sql::EVENTS_LAST, &[]).await?.first().map_or(Ok(0), |row| row.int("value"))
    }
}

fn event(row: &Row) -> Result<Event, StoreError> {
    Ok(Event { seq: row.int("seq")?, run: row.parse("run")?, at: row.time("at")?, kind: row.json("doc")? })
}
