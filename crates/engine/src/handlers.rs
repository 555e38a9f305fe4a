//! What does the tasks that belong to no run: a function for each kind.
//!
//! A handler may be run more than once for the same task (delivery is at least once); (task id, failures) names a try,
//! and an effect that must happen once is made under that name.
//!
//! Deliberately absent: the queue. A handler says how it ended and never writes about its task.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mb_core::queue::{Outcome, Task};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// Longest time a `sleep` task may ask for.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// A task at hand.
pub struct Job {
    /// The engine it runs in.
    pub engine: Engine,
    /// The task.
    pub task: Task,
    /// Cancelled when it should stop; half a second later it is dropped.
    pub cancel: CancellationToken,
}

type Doing = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Handler = Arc<dyn Fn(Job) -> Doing + Send + Sync>;

/// Handlers by kind. Clones share them.
#[derive(Clone, Default)]
pub struct Handlers(BTreeMap<String, Handler>);

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Handlers {
    /// `noop` does nothing; `sleep` waits for `{"ms": N}`. Both are for trying out and measuring a queue.
    pub fn builtin() -> Handlers {
        let noop = |_job| std::future::ready(Outcome::Succeeded);
        Handlers::default().with("noop", noop).with("sleep", sleep)
    }

    /// These and one more.
    #[must_use]
    pub fn with<F, D>(mut self, kind: &str, handler: F) -> Handlers
    where
        F: Fn(Job) -> D + Send + Sync + 'static,
        D: Future<Output = Outcome> + Send + 'static,
    {
        self.0.insert(kind.to_owned(), Arc::new(move |job| Box::pin(handler(job)) as Doing));
        self
    }

    /// The handler of a kind.
    pub(crate) fn get(&self, kind: &str) -> Option<&Handler> {
        self.0.get(kind)
    }

    /// The kinds there are handlers for.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sleep {
    ms: u64,
}

async fn sleep(job: Job) -> Outcome {
    let sleep: Sleep = match serde_json::from_str(&job.task.payload) {
        Ok(sleep) => sleep,
        Err(error) => {
            let error = format!("the payload is not {{\"ms\": N}}: {error}");
            return Outcome::Failed { error, is_permanent: true, retry_after: None };
        }
    };
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(sleep.ms).min(SLEEP_MAX)) => Outcome::Succeeded,
        () = job.cancel.cancelled() => Outcome::Canceled,
    }
}
