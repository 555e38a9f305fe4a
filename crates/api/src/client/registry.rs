//! The client's calls about workflows, schedules, triggers and events.

use reqwest::Method;

use super::{Answer, Client, encode};
use crate::page::Page;
use crate::run::Created;
use crate::schedule::{Fire, Moment, NewSchedule, Schedule};
use crate::trigger::{EventSent, NewEvent, NewTrigger, Trigger};
use crate::workflow::{Applied, Choose, NamedWorkflow, Pause, StartNamed, WorkflowVersion};

/// Names are checked by the server; here they are only kept from being read as more than one part of the address.
fn part(name: &str) -> String {
    encode(&[("n", name)]).trim_start_matches("?n=").replace('+', "%20")
}

fn limited(limit: u32) -> String {
    encode(&[("limit", &limit.to_string())])
}

impl Client {
    /// The current version of every workflow after `after`, by name.
    ///
    /// # Errors
    /// See [`super::ClientError`], as for every call here.
    pub async fn workflows(&self, after: &str, limit: u32) -> Answer<Page<WorkflowVersion>> {
        let query = encode(&[("after", after), ("limit", &limit.to_string())]);
        self.get(&format!("/api/v1/workflows{query}")).await
    }

    /// A version of a workflow with its document; the current one when none is named.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn workflow(&self, name: &str, version: Option<u32>) -> Answer<NamedWorkflow> {
        let query = version.map(|n| format!("?version={n}")).unwrap_or_default();
        self.get(&format!("/api/v1/workflows/{}{query}", part(name))).await
    }

    /// The versions of a workflow, newest first.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn workflow_versions(&self, name: &str, limit: u32) -> Answer<Page<WorkflowVersion>> {
        self.get(&format!("/api/v1/workflows/{}/versions{}", part(name), limited(limit))).await
    }

    /// Makes a document the current version of its name.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn apply_workflow(&self, document: &mb_core::workflow::Workflow) -> Answer<Applied> {
        self.ask(Method::PUT, &format!("/api/v1/workflows/{}", part(&document.name)), document).await
    }

    /// Makes another version the current one.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn choose_version(&self, name: &str, version: u32) -> Answer<WorkflowVersion> {
        self.ask(Method::POST, &format!("/api/v1/workflows/{}/rollback", part(name)), &Choose { version }).await
    }

    /// Starts a run of a named workflow; the same key again gives the same run.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn start_named(&self, name: &str, wish: &StartNamed, idempotency_key: Option<&str>) -> Answer<Created> {
        let path = format!("/api/v1/workflows/{}/runs", part(name));
        let mut request = self.request(Method::POST, &path).json(wish);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.json(request).await
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn schedules(&self) -> Answer<Page<Schedule>> {
        self.get("/api/v1/schedules").await
    }

    /// A schedule by its name or id.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn schedule(&self, name: &str) -> Answer<Schedule> {
        self.get(&format!("/api/v1/schedules/{}", part(name))).await
    }

    /// Makes a schedule.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn add_schedule(&self, wish: &NewSchedule) -> Answer<Schedule> {
        self.ask(Method::POST, "/api/v1/schedules", wish).await
    }

    /// Changes a schedule.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn change_schedule(&self, wish: &NewSchedule) -> Answer<Schedule> {
        self.ask(Method::PUT, &format!("/api/v1/schedules/{}", part(&wish.name)), wish).await
    }

    /// Pauses a schedule.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn pause_schedule(&self, name: &str, pause: &Pause) -> Answer<Schedule> {
        self.ask(Method::POST, &format!("/api/v1/schedules/{}/pause", part(name)), pause).await
    }

    /// Lets a paused schedule go on.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn resume_schedule(&self, name: &str) -> Answer<Schedule> {
        self.json(self.request(Method::POST, &format!("/api/v1/schedules/{}/resume", part(name)))).await
    }

    /// Removes a schedule.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn remove_schedule(&self, name: &str) -> Answer<()> {
        self.send(self.request(Method::DELETE, &format!("/api/v1/schedules/{}", part(name)))).await.map(drop)
    }

    /// The next times of a schedule.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn schedule_next(&self, name: &str, limit: u32) -> Answer<Page<Moment>> {
        self.get(&format!("/api/v1/schedules/{}/next{}", part(name), limited(limit))).await
    }

    /// What a schedule started last.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn schedule_fires(&self, name: &str, limit: u32) -> Answer<Page<Fire>> {
        self.get(&format!("/api/v1/schedules/{}/fires{}", part(name), limited(limit))).await
    }

    /// All triggers, by name.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn triggers(&self) -> Answer<Page<Trigger>> {
        self.get("/api/v1/triggers").await
    }

    /// A trigger by its name or id.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn trigger(&self, name: &str) -> Answer<Trigger> {
        self.get(&format!("/api/v1/triggers/{}", part(name))).await
    }

    /// Makes a trigger.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn add_trigger(&self, wish: &NewTrigger) -> Answer<Trigger> {
        self.ask(Method::POST, "/api/v1/triggers", wish).await
    }

    /// Pauses a trigger.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn pause_trigger(&self, name: &str, pause: &Pause) -> Answer<Trigger> {
        self.ask(Method::POST, &format!("/api/v1/triggers/{}/pause", part(name)), pause).await
    }

    /// Lets a paused trigger go on.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn resume_trigger(&self, name: &str) -> Answer<Trigger> {
        self.json(self.request(Method::POST, &format!("/api/v1/triggers/{}/resume", part(name)))).await
    }

    /// Removes a trigger.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn remove_trigger(&self, name: &str) -> Answer<()> {
        self.send(self.request(Method::DELETE, &format!("/api/v1/triggers/{}", part(name)))).await.map(drop)
    }

    /// What a trigger started last.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn trigger_fires(&self, name: &str, limit: u32) -> Answer<Page<Fire>> {
        self.get(&format!("/api/v1/triggers/{}/fires{}", part(name), limited(limit))).await
    }

    /// Sends an event.
    ///
    /// # Errors
    /// See [`super::ClientError`].
    pub async fn send_event(&self, name: &str, event: &NewEvent) -> Answer<EventSent> {
        self.ask(Method::POST, &format!("/api/v1/events/{}", part(name)), event).await
    }
}
