//! Triggers: which there are, and which go off for something that happened.
//!
//! Deliberately absent: what they start. The starts they lead to are decided in the engine and kept in `fires`.

use mb_core::id::{TenantId, TriggerId};
use mb_core::time::Timestamp;
use mb_core::trigger::{FAN_OUT_MAX, Trigger};

use crate::db::{Row, Value};
use crate::error::StoreError;
use crate::schedules::Added;
use crate::sql;
use crate::store::{Store, transaction};

/// Triggers of one tenant at most.
pub const TRIGGERS_MAX: u32 = 1_000;

/// A trigger as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerRow {
    /// Its id.
    pub id: TriggerId,
    /// Whose.
    pub tenant: TenantId,
    /// Its name, unique for the tenant.
    pub name: String,
    /// What is started.
    pub workflow: String,
    /// Which version of it; the current one at each start when there is none.
    pub version: Option<u32>,
    /// When, and with which inputs.
    pub trigger: Trigger,
    /// Who made it.
    pub actor: String,
    /// When it was made. What happened before is none of its business.
    pub created_at: Timestamp,
    /// Who paused it and why, while it is paused.
    pub paused: Option<String>,
}

impl Store {
    /// Stores a new trigger.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its id is taken.
    pub async fn trigger_add(&self, new: &TriggerRow) -> Result<Added, StoreError> {
        let values = [
            Value::id(new.id),
            Value::id(new.tenant),
            Value::text(&new.name),
            Value::text(new.trigger.on.kind()),
            Value::text(new.trigger.on.subject()),
            Value::text(&new.workflow),
            Value::Int(new.version.map(i64::from)),
            Value::json(&new.trigger)?,
            Value::text(&new.actor),
            Value::time(new.created_at),
            Value::int(TRIGGERS_MAX),
        ];
        let name = [Value::id(new.tenant), Value::text(&new.name)];
        transaction!(self, |tx| {
            if tx.execute(sql::TRIGGERS_ADD, &values).await? == 1 {
                return Ok(Added::Added);
            }
            let taken = tx.row(sql::TRIGGERS_GET, &name).await?.is_some();
            Ok(if taken { Added::NameTaken } else { Added::Full })
        })
    }

    /// Pauses a trigger, or lets it go on (`why` is none); says whether that changed anything.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn trigger_pause(&self, tenant: TenantId, id: TriggerId, why: Option<&str>) -> Result<bool, StoreError> {
        let values = [Value::id(tenant), Value::id(id), Value::opt_text(why)];
        transaction!(self, |tx| Ok(tx.execute(sql::TRIGGERS_PAUSE, &values).await? == 1))
    }

    /// Removes a trigger; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn trigger_remove(&self, tenant: TenantId, id: TriggerId) -> Result<bool, StoreError> {
        let values = [Value::id(tenant), Value::id(id)];
        transaction!(self, |tx| Ok(tx.execute(sql::TRIGGERS_REMOVE, &values).await? == 1))
    }

    /// A trigger by its id or name.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn trigger(&self, tenant: TenantId, named: &str) -> Result<Option<TriggerRow>, StoreError> {
        let rows = self.read(sql::TRIGGERS_GET, &[Value::id(tenant), Value::text(named)]).await?;
        rows.first().map(trigger).transpose()
    }

    /// All triggers of a tenant (at most 1,000), by name.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn triggers(&self, tenant: TenantId) -> Result<Vec<TriggerRow>, StoreError> {
        self.read(sql::TRIGGERS_LIST, &[Value::id(tenant)]).await?.iter().map(trigger).collect()
    }

    /// The triggers of a kind that wait for this subject or for any, oldest first: those that are not paused, and no
    /// more than one happening may set off.
    ///
    /// # Errors
    /// [`StoreError`], as any other verb.
    pub async fn triggers_on(
        &self,
        tenant: TenantId,
        kind: &'static str,
        subject: &str,
    ) -> Result<Vec<TriggerRow>, StoreError> {
        let limit = i64::try_from(FAN_OUT_MAX).unwrap_or(i64::MAX);
        let values = [Value::id(tenant), Value::text(kind), Value::text(subject), Value::int(limit)];
        self.read(sql::TRIGGERS_MATCHING, &values).await?.iter().map(trigger).collect()
    }
}

fn trigger(row: &Row) -> Result<TriggerRow, StoreError> {
    let version = row.opt_int("version")?.map(u32::try_from).transpose();
    Ok(TriggerRow {
        id: row.parse("id")?,
        tenant: row.parse("tenant")?,
        name: row.text("name")?,
        workflow: row.text("workflow")?,
        version: version.map_err(|source| StoreError::corrupt("version", source))?,
        trigger: row.json("doc")?,
        actor: row.text("actor")?,
        created_at: row.time("created_at")?,
        paused: row.opt_text("paused")?,
    })
}
