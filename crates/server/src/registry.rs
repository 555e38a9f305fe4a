//! Named workflows, schedules and triggers as a caller works with them: checked wishes in, wire forms out.
//!
//! The API's routes and the command line over a data folder call the same functions, so that both say the same and
//! refuse the same. Deliberately absent: rights, which the caller has checked.

use mb_api::{
    Applied, Code, EventSent, Fire, Moment, NamedWorkflow, NewEvent, NewSchedule, NewTrigger, Page, Schedule,
    StartNamed, Trigger, WorkflowVersion,
};
use mb_core::error::chain;
use mb_core::expression::{self, Scope};
use mb_core::id::TenantId;
use mb_core::name::Name;
use mb_core::run::Run;
use mb_core::schedule::{self as core, Form, Timing};
use mb_core::time::Timestamp;
use mb_core::workflow::Workflow;
use mb_engine::{Engine, RunNamed, SendError, SendEvent, StartError};
use mb_store::{Added, ScheduleRow, StoreError, TriggerRow};
use serde_json::{Map, Value, json};

use crate::wire;

/// Times that are shown ahead at most.
pub const NEXT_MAX: u32 = 100;
/// Longest reason for a pause, in characters.
const REASON_CHARS_MAX: usize = 500;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It may not be done, or there is nothing to do it to.
    #[error("{detail}")]
    Refused {
        /// The problem's code.
        code: Code,
        /// What is wrong, for the one who asked.
        detail: String,
    },
    /// The store did not do it.
    #[error("the store did not do what was asked")]
    Store(#[from] StoreError),
}

type Done<T> = Result<T, RegistryError>;

fn refuse(code: Code, detail: impl Into<String>) -> RegistryError {
    RegistryError::Refused { code, detail: detail.into() }
}

impl From<StartError> for RegistryError {
    fn from(error: StartError) -> RegistryError {
        let code = match &error {
            StartError::Store(_) => {
                let StartError::Store(cause) = error else { unreachable!("it was one a line above") };
                return cause.into();
            }
            StartError::NoSuchWorkflow { .. } => Code::WorkflowNotFound,
            StartError::Inputs { .. } => Code::BadInputs,
            StartError::Workflow(_) | StartError::Depth => Code::BadWorkflow,
            _ => Code::BadProject,
        };
        refuse(code, chain(&error))
    }
}

/// What a caller may do, and as whom.
pub struct Registry<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// Whose things.
    pub tenant: TenantId,
    /// Who asks, as it is shown.
    pub actor: &'a str,
}

impl Registry<'_> {
    fn now(&self) -> Timestamp {
        self.engine.env().now()
    }

    /// Makes a document the current version of its name.
    ///
    /// # Errors
    /// [`RegistryError`], as for every function here.
    pub async fn apply(&self, document: Workflow) -> Done<Applied> {
        let name: Name = named(&document.name)?;
        let workflow = document.validate().map_err(|error| refuse(Code::BadWorkflow, chain(&error)))?;
        let published =
            self.engine.store().publish_workflow(self.now(), self.tenant, &name, &workflow, self.actor).await?;
        Ok(Applied {
            name: name.into(),
            version: published.version,
            digest: published.digest,
            existed: published.existed,
            changed: !published.was_current,
        })
    }

    /// The current version of every workflow after `after`, by name.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn workflows(&self, after: &str, limit: u32) -> Done<Page<WorkflowVersion>> {
        let rows = self.engine.store().workflows(self.tenant, after, limit).await?;
        let next = rows.last().filter(|_| rows.len() >= limit as usize).map(|row| row.name.clone());
        Ok(Page { items: rows.iter().map(wire::version).collect(), next })
    }

    /// A version of a workflow with its document.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn workflow(&self, name: &str, version: Option<u32>) -> Done<NamedWorkflow> {
        let (row, document) = self.found(name, version).await?;
        Ok(NamedWorkflow { version: row, document })
    }

    async fn found(&self, name: &str, version: Option<u32>) -> Done<(WorkflowVersion, Workflow)> {
        let found = self.engine.store().workflow(self.tenant, name, version).await?;
        let (row, document) = found.ok_or_else(|| no_workflow(name, version))?;
        Ok((wire::version(&row), document))
    }

    /// The versions of a workflow below `before`, newest first.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn versions(&self, name: &str, before: Option<u32>, limit: u32) -> Done<Page<WorkflowVersion>> {
        let rows = self.engine.store().workflow_versions(self.tenant, name, before, limit).await?;
        if rows.is_empty() && before.is_none() {
            return Err(no_workflow(name, None));
        }
        let next = rows.last().filter(|_| rows.len() >= limit as usize).map(|row| row.version.to_string());
        Ok(Page { items: rows.iter().map(wire::version).collect(), next })
    }

    /// Makes another version the current one.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn choose(&self, name: &str, version: u32) -> Done<WorkflowVersion> {
        let checked = name.parse::<Name>().map_err(|_| no_workflow(name, None))?;
        if !self.engine.store().choose_version(self.now(), self.tenant, &checked, version, self.actor).await? {
            return Err(no_workflow(name, Some(version)));
        }
        Ok(self.found(name, Some(version)).await?.0)
    }

    /// Starts a run of a named workflow, for the workers with this label, if one is given.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn start(
        &self,
        name: &str,
        wish: StartNamed,
        idempotency_key: Option<String>,
        affinity: Option<String>,
    ) -> Done<Run> {
        let ask = RunNamed {
            tenant: self.tenant,
            workflow: name.to_owned(),
            version: wish.version,
            inputs: wish.inputs,
            actor: self.actor.to_owned(),
            idempotency_key,
            affinity,
            trigger: None,
        };
        Ok(self.engine.start_named(ask).await?)
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn schedules(&self) -> Done<Vec<Schedule>> {
        Ok(self.engine.store().schedules(self.tenant).await?.iter().map(wire::schedule).collect())
    }

    /// A schedule by its name or id.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn schedule(&self, name: &str) -> Done<Schedule> {
        Ok(wire::schedule(&self.schedule_row(name).await?))
    }

    /// The row of a schedule by its name or id.
    pub(crate) async fn schedule_row(&self, name: &str) -> Done<ScheduleRow> {
        let row = self.engine.store().schedule(self.tenant, name).await?;
        row.ok_or_else(|| refuse(Code::ScheduleNotFound, format!("there is no schedule {:?}", short(name))))
    }

    /// Makes a schedule.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn add_schedule(&self, wish: &NewSchedule) -> Done<Schedule> {
        let set = self.checked(wish, self.engine.env().schedule_id()).await?;
        match self.engine.store().schedule_add(self.now(), &set).await? {
            Added::Added => self.schedule(&set.name).await,
            Added::NameTaken => Err(taken("schedule", &wish.name)),
            Added::Full => Err(full("schedules", mb_store::SCHEDULES_MAX)),
        }
    }

    /// Changes what a schedule does and when; it keeps its name and counts from now.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn change_schedule(&self, name: &str, wish: &NewSchedule) -> Done<Schedule> {
        let row = self.schedule_row(name).await?;
        if wish.name != row.set.name {
            return Err(refuse(Code::BadSchedule, format!("a schedule keeps its name: {}", row.set.name)));
        }
        let set = self.checked(wish, row.set.id).await?;
        let revision = wish.revision.unwrap_or(row.revision);
        if !self.engine.store().schedule_update(self.now(), revision, &set).await? {
            return Err(refuse(Code::Conflict, format!("the schedule is at revision {} by now", row.revision)));
        }
        self.schedule(&set.name).await
    }

    /// A wish whose parts are all good: its workflow exists, its inputs fit, its timing comes.
    async fn checked(&self, wish: &NewSchedule, id: mb_core::id::ScheduleId) -> Done<mb_store::NewSchedule> {
        let name = named(&wish.name)?;
        let schedule = schedule(wish)?;
        let (_, workflow) = self.found(&wish.workflow, wish.version).await?;
        let inputs = if wish.inputs.is_null() { json!({}) } else { wish.inputs.clone() };
        let data = json!({ "name": name, "at": self.now() });
        let scope = Scope::new(Map::from_iter([("schedule".to_owned(), data)]));
        let bad = |detail: String| refuse(Code::BadInputs, detail);
        let filled = expression::fill(&inputs, &scope).map_err(|error| bad(chain(&error)))?;
        workflow.bind(filled).map_err(|error| bad(chain(&error)))?;
        Ok(mb_store::NewSchedule {
            id,
            tenant: self.tenant,
            name: name.into(),
            workflow: wish.workflow.clone(),
            version: wish.version,
            inputs,
            schedule,
            actor: self.actor.to_owned(),
        })
    }

    /// Pauses a schedule. One that is paused stays so, with the reason it has.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn pause_schedule(&self, name: &str, reason: &str) -> Done<Schedule> {
        let why = self.why(reason)?;
        let row = self.schedule_row(name).await?;
        self.engine.store().schedule_pause(self.now(), self.tenant, row.set.id, &why).await?;
        self.schedule(name).await
    }

    /// Lets a schedule go on from now.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn resume_schedule(&self, name: &str) -> Done<Schedule> {
        let row = self.schedule_row(name).await?;
        self.engine.store().schedule_resume(self.now(), self.tenant, row.set.id).await?;
        self.schedule(name).await
    }

    /// Removes a schedule; its runs stay.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn remove_schedule(&self, name: &str) -> Done<()> {
        let row = self.schedule_row(name).await?;
        self.engine.store().schedule_remove(self.tenant, row.set.id).await?;
        Ok(())
    }

    /// The next times of a schedule, whether it is paused or not.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn next(&self, name: &str, limit: u32) -> Done<Vec<Moment>> {
        Ok(next(self.now(), &self.schedule_row(name).await?.set.schedule.timing, limit))
    }

    /// What a schedule started last, newest first.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn schedule_fires(&self, name: &str, limit: u32) -> Done<Vec<Fire>> {
        let source = self.schedule_row(name).await?.set.id.to_string();
        Ok(self.engine.store().fires(self.tenant, &source, limit).await?.iter().map(wire::fire).collect())
    }

    /// All triggers, by name.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn triggers(&self) -> Done<Vec<Trigger>> {
        Ok(self.engine.store().triggers(self.tenant).await?.iter().map(wire::trigger).collect())
    }

    /// A trigger by its name or id.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn trigger(&self, name: &str) -> Done<Trigger> {
        Ok(wire::trigger(&self.trigger_row(name).await?))
    }

    async fn trigger_row(&self, name: &str) -> Done<TriggerRow> {
        let row = self.engine.store().trigger(self.tenant, name).await?;
        row.ok_or_else(|| refuse(Code::TriggerNotFound, format!("there is no trigger {:?}", short(name))))
    }

    /// Makes a trigger.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn add_trigger(&self, wish: &NewTrigger) -> Done<Trigger> {
        let name = named(&wish.name)?;
        let trigger = mb_core::trigger::Trigger { on: wish.on.clone(), inputs: wish.inputs.clone() };
        let trigger = trigger.validate().map_err(|error| refuse(Code::BadTrigger, chain(&error)))?;
        let (_, workflow) = self.found(&wish.workflow, wish.version).await?;
        if let Some(unknown) = wish.inputs.keys().find(|input| !workflow.inputs.contains_key(*input)) {
            let known: Vec<&str> = workflow.inputs.keys().map(String::as_str).collect();
            let detail = format!("input {unknown:?} is not one of {}'s: {}", wish.workflow, known.join(", "));
            return Err(refuse(Code::BadInputs, detail));
        }
        let row = TriggerRow {
            id: self.engine.env().trigger_id(),
            tenant: self.tenant,
            name: name.into(),
            workflow: wish.workflow.clone(),
            version: wish.version,
            trigger,
            actor: self.actor.to_owned(),
            created_at: self.now(),
            paused: None,
        };
        match self.engine.store().trigger_add(&row).await? {
            Added::Added => Ok(wire::trigger(&row)),
            Added::NameTaken => Err(taken("trigger", &wish.name)),
            Added::Full => Err(full("triggers", mb_store::TRIGGERS_MAX)),
        }
    }

    /// Pauses a trigger (with a reason) or lets it go on (without).
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn pause_trigger(&self, name: &str, reason: Option<&str>) -> Done<Trigger> {
        let why = reason.map(|reason| self.why(reason)).transpose()?;
        let row = self.trigger_row(name).await?;
        self.engine.store().trigger_pause(self.tenant, row.id, why.as_deref()).await?;
        self.trigger(name).await
    }

    /// Removes a trigger; its runs stay.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn remove_trigger(&self, name: &str) -> Done<()> {
        let row = self.trigger_row(name).await?;
        self.engine.store().trigger_remove(self.tenant, row.id).await?;
        Ok(())
    }

    /// What a trigger started last, newest first.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn trigger_fires(&self, name: &str, limit: u32) -> Done<Vec<Fire>> {
        let source = self.trigger_row(name).await?.id.to_string();
        Ok(self.engine.store().fires(self.tenant, &source, limit).await?.iter().map(wire::fire).collect())
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn send(&self, name: &str, event: NewEvent) -> Done<EventSent> {
        let NewEvent { id, data, cause } = event;
        let ask = SendEvent { tenant: self.tenant, name: named(name)?, id, data, cause };
        let sent = self.engine.send_event(ask).await.map_err(|error| match error {
            SendError::Store(cause) => cause.into(),
            SendError::TooLarge { .. } => refuse(Code::TooLarge, chain(&error)),
            SendError::Cause { .. } => refuse(Code::RunNotFound, chain(&error)),
            SendError::Id => refuse(Code::BadBody, chain(&error)),
        })?;
        Ok(EventSent { id: sent.id, triggers: sent.triggers as u64, fires: sent.fires })
    }

    /// Who pauses, and why, as it is shown.
    fn why(&self, reason: &str) -> Done<String> {
        if reason.chars().count() > REASON_CHARS_MAX {
            return Err(refuse(Code::BadBody, format!("a reason has at most {REASON_CHARS_MAX} characters")));
        }
        Ok(if reason.is_empty() { self.actor.to_owned() } else { format!("{}: {reason}", self.actor) })
    }
}

/// The schedule of a wish, its defaults filled in.
///
/// # Errors
/// [`Code::BadSchedule`].
pub fn schedule(wish: &NewSchedule) -> Done<core::Schedule> {
    let bad = |error: core::BadSchedule| refuse(Code::BadSchedule, chain(&error));
    let form = Form { cron: wish.cron.clone(), zone: wish.zone.clone(), every_s: wish.every_s, anchor: wish.anchor };
    let plain = core::Schedule::new(form.try_into().map_err(bad)?);
    let schedule = core::Schedule {
        jitter_s: wish.jitter_s.unwrap_or(plain.jitter_s),
        catch_up: wish.catch_up.unwrap_or(plain.catch_up),
        catch_up_window_s: wish.catch_up_window_s.unwrap_or(plain.catch_up_window_s),
        catch_up_max: wish.catch_up_max.unwrap_or(plain.catch_up_max),
        overlap: wish.overlap.unwrap_or(plain.overlap),
        ..plain
    };
    schedule.validate().map_err(bad)
}

/// The next times of a timing, at most `limit` and at most 100.
pub fn next(now: Timestamp, timing: &Timing, limit: u32) -> Vec<Moment> {
    let mut at = now;
    let mut moments = Vec::new();
    for _ in 0..limit.min(NEXT_MAX) {
        let Some(next) = timing.next(at) else { break };
        moments.push(Moment { at: next, local: timing.show(next) });
        at = next;
    }
    moments
}

fn named(text: &str) -> Done<Name> {
    text.parse().map_err(|error: mb_core::name::BadName| refuse(Code::BadBody, error.to_string()))
}

fn no_workflow(name: &str, version: Option<u32>) -> RegistryError {
    let version = version.map(|n| format!(" with version {n}")).unwrap_or_default();
    refuse(Code::WorkflowNotFound, format!("there is no workflow {:?}{version}", short(name)))
}

fn taken(what: &str, name: &str) -> RegistryError {
    refuse(Code::NameTaken, format!("there is a {what} {name:?} already"))
}

fn full(what: &str, max: u32) -> RegistryError {
    refuse(Code::TooMany, format!("there are {max} {what}, as many as are allowed"))
}

/// What somebody sent as a name, short enough to be repeated.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Values given as text for a workflow's inputs, as `NAME=VALUE`: read as the input's type.
///
/// # Errors
/// [`Code::BadInputs`] for a name the workflow does not have, or a value that is not of its type.
pub fn inputs_of(workflow: &Workflow, pairs: &[(String, String)]) -> Done<Value> {
    use mb_core::workflow::InputType;
    let bad = |detail: String| refuse(Code::BadInputs, detail);
    let mut inputs = Map::new();
    for (name, text) in pairs {
        let known = || workflow.inputs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let input = workflow
            .inputs
            .get(name)
            .ok_or_else(|| bad(format!("input {name:?} is not one of this workflow's: {}", known())))?;
        let value = match input.of {
            InputType::String => Value::String(text.clone()),
            InputType::Number | InputType::Boolean | InputType::Json => serde_json::from_str(text)
                .map_err(|error| bad(format!("input {name:?} must be a {}, and is {text:?}: {error}", input.of)))?,
        };
        inputs.insert(name.clone(), value);
    }
    Ok(Value::Object(inputs))
}
