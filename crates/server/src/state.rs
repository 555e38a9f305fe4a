//! What every handler shares. One cheap handle.

use std::sync::Arc;
use std::time::Duration;

use mb_core::time::Timestamp;
use mb_engine::Engine;
use mb_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::live::Hub;
use crate::metrics::HttpMetrics;

/// Streams (of events and logs) that may be open at once.
const STREAMS_MAX: usize = 512;

/// What an operator may set.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether the console is reached by HTTPS only, so that cookies may say so.
    pub secure_cookies: bool,
    /// How long to go on answering after readiness has flipped, for load balancers to notice.
    pub drain_wait: Duration,
}

/// The shared state. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    options: Options,
    hub: Hub,
    metrics: HttpMetrics,
    streams: Arc<Semaphore>,
    closing: CancellationToken,
}

impl AppState {
    /// The state of a server over this engine, with default options.
    pub fn new(engine: Engine) -> AppState {
        AppState::with_options(engine, Options::default())
    }

    /// The state of a server over this engine.
    pub fn with_options(engine: Engine, options: Options) -> AppState {
        let closing = CancellationToken::new();
        let hub = Hub::new(engine.store().clone(), closing.clone());
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        let metrics = HttpMetrics::new();
        AppState { inner: Arc::new(Inner { engine, options, hub, metrics, streams, closing }) }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn store(&self) -> &Store {
        self.inner.engine.store()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.engine.env().now()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    pub(crate) fn metrics(&self) -> &HttpMetrics {
        &self.inner.metrics
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.inner.streams
    }

    /// Cancelled when streams must end and no connection is taken any more.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.inner.closing
    }
}
