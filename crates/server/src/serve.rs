//! Listening, and stopping in order.
//!
//! On the signal readiness flips first, so that load balancers look elsewhere; then streams end and no connection is
//! taken any more while requests that run are answered; the operations listener goes last. All of it has a deadline.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::routes::{ops_router, router};
use crate::state::AppState;

/// How long requests may take to end after the signal.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);

/// Why serving ended other than by the signal.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listener broke.
    #[error("a listener broke")]
    Listener(#[source] io::Error),
    /// Requests were still running at the deadline and were dropped.
    #[error("requests were still running {} s after the signal and were dropped", SHUTDOWN_DEADLINE.as_secs())]
    Deadline,
}

/// Serves until `shutdown` is cancelled and all requests are answered.
///
/// # Errors
/// When a listener breaks, or requests outlast the deadline.
pub async fn serve(
    listeners: Vec<TcpListener>,
    ops: Option<TcpListener>,
    state: AppState,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let ops_closing = CancellationToken::new();
    let mut servers = JoinSet::new();
    for listener in listeners {
        servers.spawn(listen(listener, router(state.clone()), state.closing().clone()));
    }
    let ops = ops.map(|listener| tokio::spawn(listen(listener, ops_router(state.clone()), ops_closing.clone())));
    let broken = tokio::select! {
        () = shutdown.cancelled() => None,
        Some(ended) = servers.join_next() => ended.ok().and_then(Result::err),
    };
    state.engine().drain();
    if broken.is_none() {
        tokio::time::sleep(state.options().drain_wait).await;
    }
    state.closing().cancel();
    let all = async { while servers.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(SHUTDOWN_DEADLINE, all).await.is_ok();
    servers.abort_all();
    ops_closing.cancel();
    if let Some(ops) = ops {
        ops.abort();
    }
    match (broken, in_time) {
        (Some(error), _) => Err(ServeError::Listener(error)),
        (None, true) => Ok(()),
        (None, false) => Err(ServeError::Deadline),
    }
}

async fn listen(listener: TcpListener, app: Router, closing: CancellationToken) -> io::Result<()> {
    axum::serve(listener, app).with_graceful_shutdown(closing.cancelled_owned()).await
}
