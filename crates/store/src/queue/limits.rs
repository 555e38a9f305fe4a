//! Limits by key, decided when a task was taken and before anybody hears of it.

use std::collections::BTreeMap;

use mb_core::id::{TaskId, TenantId};
use mb_core::queue::limit::Rate;
use mb_core::queue::{Ending, Fate, TaskOptions, Waiting};
use mb_core::time::Timestamp;

use crate::db::{Session, Value};
use crate::error::StoreError;
use crate::queue::row::{Back, From, Held, put_back, record};
use crate::sql;

/// Keys looked after in one pass.
const KEYS_MAX: i64 = 500;

/// Sends back those of the tasks just taken that may not begin now; keeps the others, in their order. Each that is sent
/// back is put aside, so that it is not taken again before something changed for it.
pub(crate) async fn sift(tx: &mut Session, now: Timestamp, taken: &mut Vec<Held>) -> Result<bool, StoreError> {
    if taken.iter().all(|held| is_free(&held.task.options)) {
        return Ok(false);
    }
    let keys = Keys::lock(tx, taken).await?;
    let mut sifter = Sifter { now, keys, back: Vec::new(), over: Vec::new() };
    taken.retain(|held| sifter.may_begin(held));
    let was_sifted = !sifter.back.is_empty() || !sifter.over.is_empty();
    sifter.keys.save(tx).await?;
    put_back(tx, &sifter.back).await?;
    record(tx, now, From::Leases, &sifter.over).await?;
    Ok(was_sifted)
}

fn is_free(options: &TaskOptions) -> bool {
    options.deadline.is_none() && options.rate.is_none() && options.concurrency.is_none()
}

struct Sifter {
    now: Timestamp,
    keys: Keys,
    back: Vec<Back>,
    over: Vec<(TaskId, Ending)>,
}

impl Sifter {
    fn may_begin(&mut self, held: &Held) -> bool {
        let (task, options) = (&held.task, &held.task.options);
        if options.deadline.is_some_and(|deadline| deadline < self.now) {
            let error = Some("its deadline passed while it waited");
            self.over.push((task.id, Ending::of(task, Fate::Expired, error)));
            return false;
        }
        let (mut is_reserved, mut turn) = (false, self.now);
        if let Some(rate) = &options.rate {
            is_reserved = held.is_reserved && rate.holds(self.now, held.ready_at);
            turn = held.ready_at;
        }
        if let Some(rate) = options.rate.as_ref().filter(|_| !is_reserved) {
            let at = self.keys.turn(self.now, task.tenant, rate);
            if at > self.now {
                self.aside(held, Waiting::Delayed, at, true);
                return false;
            }
            (is_reserved, turn) = (true, self.now);
        }
        if let Some(limit) = &options.concurrency {
            let leased = self.keys.leased.entry((task.tenant, limit.key.clone())).or_default();
            if *leased >= u64::from(limit.max) {
                self.aside(held, Waiting::Blocked, turn, is_reserved);
                return false;
            }
            *leased += 1;
        }
        true
    }

    fn aside(&mut self, held: &Held, state: Waiting, ready_at: Timestamp, is_reserved: bool) {
        let (id, failures, losses) = (held.id(), held.task.failures, held.task.losses);
        self.back.push(Back { id, state, ready_at, failures, losses, is_reserved });
    }
}

/// What is known of the keys of some tasks, whose rows are locked until the end of the transaction.
#[derive(Default)]
struct Keys {
    /// Leased with the key, those being decided about left out.
    leased: BTreeMap<(TenantId, String), u64>,
    arrivals: BTreeMap<(TenantId, String), Option<Timestamp>>,
}

impl Keys {
    async fn lock(tx: &mut Session, taken: &[Held]) -> Result<Keys, StoreError> {
        let mut keys = Keys::default();
        for Held { task, .. } in taken {
            if let Some(limit) = &task.options.concurrency {
                *keys.leased.entry((task.tenant, limit.key.clone())).or_default() += 1;
            }
            if let Some(rate) = &task.options.rate {
                keys.arrivals.insert((task.tenant, rate.key.clone()), None);
            }
        }
        // In the order of the maps, so that two claims cannot wait for each other.
        for ((tenant, key), leased) in &mut keys.leased {
            lock(tx, *tenant, "concurrency", key).await?;
            let row = tx.row(sql::LEASES_GATE, &[Value::id(*tenant), Value::text(key)]).await?;
            let all: u64 = row.map_or(Ok(0), |row| row.count("held"))?;
            *leased = all.saturating_sub(*leased);
        }
        for ((tenant, key), arrival) in &mut keys.arrivals {
            *arrival = lock(tx, *tenant, "rate", key).await?;
        }
        Ok(keys)
    }

    fn turn(&mut self, now: Timestamp, tenant: TenantId, rate: &Rate) -> Timestamp {
        let arrival = self.arrivals.entry((tenant, rate.key.clone())).or_default();
        let turn = rate.turn(now, *arrival);
        *arrival = Some(turn.arrival);
        turn.at
    }

    async fn save(&self, tx: &mut Session) -> Result<(), StoreError> {
        for ((tenant, key), arrival) in &self.arrivals {
            let values = [Value::id(tenant), Value::text("rate"), Value::text(key), Value::opt_time(*arrival)];
            tx.execute(sql::LIMITS_PUT, &values).await?;
        }
        Ok(())
    }
}

async fn lock(
    tx: &mut Session,
    tenant: TenantId,
    kind: &'static str,
    key: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let values = [Value::id(tenant), Value::text(kind), Value::text(key)];
    tx.execute(sql::LIMITS_ADD, &values).await?;
    tx.row(sql::LIMITS_LOCK, &values).await?.map_or(Ok(None), |row| row.opt_time("arrival"))
}

/// Makes as many blocked tasks of the keys ready as places were freed.
pub(crate) async fn unblock(
    tx: &mut Session,
    freed: impl IntoIterator<Item = (TenantId, String)>,
) -> Result<(), StoreError> {
    let mut places = BTreeMap::<(TenantId, String), i64>::new();
    freed.into_iter().for_each(|key| *places.entry(key).or_default() += 1);
    for ((tenant, key), count) in places {
        let values = [Value::id(tenant), Value::text(key), Value::int(count)];
        tx.is_change |= tx.execute(sql::QUEUE_UNBLOCK, &values).await? > 0;
    }
    Ok(())
}

/// Makes the first blocked task of each key ready that has a free place: what a freed place should have done, should one
/// have been freed by something that does not know of keys.
pub(crate) async fn unblock_stuck(tx: &mut Session) -> Result<(), StoreError> {
    let rows = tx.rows(sql::QUEUE_BLOCKED, &[Value::int(KEYS_MAX)]).await?;
    let mut freed = Vec::new();
    for row in &rows {
        let (tenant, gate): (TenantId, String) = (row.parse("tenant")?, row.text("gate")?);
        let max = super::row::options_of(row)?.concurrency.map_or(u64::MAX, |limit| u64::from(limit.max));
        let held = tx.row(sql::LEASES_GATE, &[Value::id(tenant), Value::text(&gate)]).await?;
        if held.map_or(Ok(0), |row| row.count::<u64>("held"))? < max {
            freed.push((tenant, gate));
        }
    }
    unblock(tx, freed).await
}
