//! Streams to browsers and clients (server-sent events): of a run's or all events, of page changes, of a growing log.
//!
//! Each stream is a task that feeds a small bounded channel and ends when the reader is gone, the server closes, or
//! there is nothing more to come. Their number is bounded too.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use mb_api::{Code, Event, LogLine};
use mb_core::event::{Event as CoreEvent, EventKind};
use mb_core::id::{RunId, TenantId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::problem::{Answer, Refusal};
use crate::state::AppState;
use crate::views;

/// Silence after which a comment shows that the stream lives.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Messages one stream may be ahead of its reader.
const AHEAD: usize = 32;
/// Events read at once when a stream resumes.
const BATCH: u32 = 500;
/// Batches a stream may catch up; beyond it the reader has to read the state again.
const BATCHES_MAX: u32 = 40;
/// Changes that come together are one message.
const COALESCE: Duration = Duration::from_millis(250);
/// How often a growing log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Log lines in one message.
const LINES: u64 = 500;

/// Where messages go; `Err` when the reader is gone.
#[derive(Clone)]
struct Out(mpsc::Sender<Result<Message, Infallible>>);

/// The reader is gone.
struct Gone;

impl Out {
    async fn send(&self, message: Message) -> Result<(), Gone> {
        self.0.send(Ok(message)).await.map_err(|_| Gone)
    }
}

/// The event a reader has seen last, as it says itself.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// Starts a stream: `feed` runs until it ends, the reader goes, or the server closes.
fn start<F, Fut>(state: &AppState, feed: F) -> Answer<Response>
where
    F: FnOnce(Out) -> Fut,
    Fut: Future<Output = Result<(), Gone>> + Send + 'static,
{
    if state.closing().is_cancelled() {
        return Err(Refusal::new(Code::ShuttingDown, "no new streams are opened"));
    }
    let permit = Arc::clone(state.streams()).try_acquire_owned();
    let permit = permit.map_err(|_| Refusal::new(Code::TooManyStreams, "the limit of open streams is reached"))?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (task, closing, gauge) = (feed(Out(sender.clone())), state.closing().clone(), state.metrics().streams.clone());
    gauge.inc();
    tokio::spawn(async move {
        tokio::select! {
            _ = task => {}
            () = sender.closed() => {}
            () = closing.cancelled() => {}
        }
        gauge.dec();
        drop(permit);
    });
    let sse = Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok(([("x-accel-buffering", "no")], sse).into_response())
}

/// Events of a run (from its first, unless resumed) or of all (from now, unless resumed).
pub(crate) async fn events(
    state: &AppState,
    tenant: TenantId,
    run: Option<RunId>,
    after: Option<i64>,
) -> Answer<Response> {
    // Watch first, read then: what happens in between is seen twice and sent once.
    let live = state.hub().watch(tenant).await?;
    let after = match (after, run) {
        (Some(after), _) => after,
        (None, Some(_)) => 0,
        (None, None) => state.store().last_seq().await?,
    };
    // Asked after the watch began: a run that is not over yet will be seen to end.
    let is_over = match run {
        Some(id) => state.store().run(tenant, id).await?.is_none_or(|run| run.state.outcome().is_some()),
        None => false,
    };
    let feed = Feed { state: state.clone(), tenant, run, last: after, is_over };
    start(state, move |out| feed.run(out, live))
}

struct Feed {
    state: AppState,
    tenant: TenantId,
    run: Option<RunId>,
    last: i64,
    /// Whether nothing can come after what is stored.
    is_over: bool,
}

impl Feed {
    async fn run(mut self, out: Out, mut live: Receiver<Arc<CoreEvent>>) -> Result<(), Gone> {
        if self.catch_up(&out).await? || self.is_over {
            return Ok(());
        }
        loop {
            match live.recv().await {
                Ok(event) => {
                    if self.pass(&out, &event).await? {
                        return Ok(());
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    self.state.metrics().lagged.inc();
                    out.send(Message::default().event("reset").data(missed.to_string())).await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    /// Sends what is stored after the last one seen; says whether the stream is over.
    async fn catch_up(&mut self, out: &Out) -> Result<bool, Gone> {
        for _ in 0..BATCHES_MAX {
            let Ok(events) = self.state.store().events(self.tenant, self.run, self.last, BATCH).await else {
                return Ok(true);
            };
            let is_full = events.len() >= BATCH as usize;
            for event in &events {
                if self.pass(out, event).await? {
                    return Ok(true);
                }
            }
            if !is_full {
                return Ok(false);
            }
        }
        out.send(Message::default().event("reset").data("too far behind")).await?;
        Ok(false)
    }

    /// Sends one event unless it is another run's or was sent; says whether nothing can come after it.
    async fn pass(&mut self, out: &Out, event: &CoreEvent) -> Result<bool, Gone> {
        if event.seq <= self.last || self.run.is_some_and(|run| run != event.run) {
            return Ok(false);
        }
        self.last = event.seq;
        let wire = Event::from_domain(event);
        let message = Message::default().id(event.seq.to_string()).event(wire.event.clone());
        if let Ok(message) = message.json_data(&wire) {
            out.send(message).await?;
        }
        Ok(self.run.is_some() && matches!(event.kind, EventKind::RunFinished { .. }))
    }
}

/// Tells a page that its state changed since the event it was made after; changes that come together are one.
pub(crate) async fn changes(state: &AppState, tenant: TenantId, run: Option<RunId>, after: i64) -> Answer<Response> {
    let mut live = state.hub().watch(tenant).await?;
    let missed = state.store().last_seq().await?;
    start(state, move |out| async move {
        if missed > after {
            out.send(change(missed)).await?;
        }
        loop {
            let mut seq = match live.recv().await {
                Ok(event) if run.is_some_and(|run| run != event.run) => continue,
                Ok(event) => event.seq,
                Err(RecvError::Lagged(_)) => missed,
                Err(RecvError::Closed) => return Ok(()),
            };
            tokio::time::sleep(COALESCE).await;
            while let Ok(event) = live.try_recv() {
                seq = event.seq;
            }
            out.send(change(seq)).await?;
        }
    })
}

fn change(seq: i64) -> Message {
    Message::default().id(seq.to_string()).event("change").data(seq.to_string())
}

/// Follows the log of an attempt or repair from a line on, as HTML, until that task is over.
pub(crate) async fn log(state: &AppState, tenant: TenantId, run: RunId, work: String, from: u64) -> Answer<Response> {
    let live = state.hub().watch(tenant).await?;
    let is_over = !crate::console::is_growing(state, tenant, run, &work).await?;
    let tail = Tail { state: state.clone(), run, work, next: from, is_over };
    start(state, move |out| tail.run(out, live))
}

struct Tail {
    state: AppState,
    run: RunId,
    work: String,
    next: u64,
    is_over: bool,
}

impl Tail {
    async fn run(mut self, out: Out, mut live: Receiver<Arc<CoreEvent>>) -> Result<(), Gone> {
        loop {
            // Look whether it is over before reading: then what is read is all there is.
            self.is_over |= self.heard_of_end(&mut live);
            let Ok(page) = self.state.engine().log(self.run, &self.work, self.next, LINES).await else { return Ok(()) };
            let lines: Vec<LogLine> =
                page.lines.into_iter().map(|line| LogLine { n: line.n, text: line.text }).collect();
            let is_quiet = lines.is_empty();
            self.next = page.next;
            if !is_quiet {
                let html = views::log_lines(&lines).into_string();
                out.send(Message::default().id(self.next.to_string()).data(html)).await?;
            }
            if page.complete && self.is_over {
                return out.send(Message::default().event("end").data("end")).await;
            }
            if page.complete {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    fn heard_of_end(&self, live: &mut Receiver<Arc<CoreEvent>>) -> bool {
        let mut heard = false;
        loop {
            match live.try_recv() {
                Ok(event) if event.run == self.run => heard |= ends(&event.kind, &self.work),
                Ok(_) => {}
                Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_)) => heard = true,
                Err(_) => return heard,
            }
        }
    }
}

/// Whether an event ends the task of that name.
fn ends(kind: &EventKind, work: &str) -> bool {
    match kind {
        EventKind::StepAttempted { step, attempt, .. } => work == format!("{step}#{attempt}"),
        EventKind::RepairFinished { step, repair, .. } => work == format!("{step}!{repair}"),
        EventKind::RunFinished { .. } => true,
        _ => false,
    }
}
