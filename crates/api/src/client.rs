//! A typed client of `/api/v1`: what the command line uses when it talks to a server.
//!
//! Deliberately absent: retries of writes. Give an idempotency key and repeat the call; the server answers with
//! the run the first call made.

mod registry;

use std::time::Duration;

use mb_core::id::{RunId, TaskId, TokenId, WorkerId};
use mb_core::task::QueueClass;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::event::Event;
use crate::fleet::{Cleared, Ending, Queue, Worker};
use crate::page::{LogPage, Page};
use crate::probe::{Readiness, Version};
use crate::problem::{MEDIA_TYPE, Problem};
use crate::run::{Canceling, Created, Run, RunSummary, StartRun};
use crate::signal::{NewDecision, NewSignal, RetryRun};
use crate::sse::{Message, Parser, TooLarge};
use crate::task::{AddedTasks, NewTasks, Requeue, Requeued, Task};
use crate::token::{NewToken, Token, TokenSecret};

/// How long a connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take (a little longer than the server's own limit).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);
/// A stream that says nothing for this long is dead: the server sends a heartbeat every 15 s.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is no URL we can use.
    #[error("{url:?} is not an http or https address")]
    Address {
        /// What was given.
        url: String,
    },
    /// The server could not be reached, or the connection broke.
    #[error("no answer from {url}")]
    Unreachable {
        /// Where we asked.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server said no, and why.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The server answered something we cannot read (a proxy's page, perhaps).
    #[error("{url} answered {status} with something that is not ours")]
    Foreign {
        /// Where we asked.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// A stream sent a message that is too large.
    #[error("the event stream cannot be read")]
    Stream(#[from] TooLarge),
}

/// A server, a token and a connection pool. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

/// What of the runs to list. Empty fields do not filter.
#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    /// Words of state or outcome, separated by commas.
    pub state: Option<String>,
    /// Text in id, project, commit or summary.
    pub text: Option<String>,
    /// The workflow's name.
    pub workflow: Option<String>,
    /// `15m`, `1h`, `6h`, `24h` or `7d`.
    pub window: Option<String>,
    /// At most this many, up to 200.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

impl RunQuery {
    fn encode(&self) -> String {
        let limit = self.limit.map(|n| n.to_string());
        let all = [
            ("state", &self.state),
            ("text", &self.text),
            ("workflow", &self.workflow),
            ("window", &self.window),
            ("limit", &limit),
            ("after", &self.after),
        ];
        let given: Vec<_> = all.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        encode(&given)
    }
}

/// A query string with its question mark; empty for no pairs.
fn encode(pairs: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("http://localhost/").expect("a constant address");
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url.query().map(|query| format!("?{query}")).unwrap_or_default()
}

/// A name as one segment of a path: a step's may hold `/`.
pub fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

type Answer<T> = Result<T, ClientError>;

impl Client {
    /// A client of the server at `base` (`http://127.0.0.1:8000`).
    ///
    /// # Errors
    /// When `base` is no http or https address, or the TLS set-up fails.
    pub fn new(base: &str, token: Option<String>) -> Answer<Client> {
        let address = || ClientError::Address { url: base.to_owned() };
        let url = reqwest::Url::parse(base).map_err(|_| address())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(address());
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .user_agent(concat!("meta-builder/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| ClientError::Unreachable { url: base.to_owned(), source })?;
        Ok(Client { base: base.trim_end_matches('/').to_owned(), token, http })
    }

    /// Starts a run; the same key again gives the same run.
    ///
    /// # Errors
    /// See [`ClientError`], as for every call here.
    pub async fn start_run(&self, wish: &StartRun, idempotency_key: Option<&str>) -> Answer<Created> {
        let mut request = self.request(Method::POST, "/api/v1/runs").json(wish);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.json(request).await
    }

    /// Does a run again; the same key again gives the same run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn retry(&self, id: RunId, wish: &RetryRun, idempotency_key: Option<&str>) -> Answer<Created> {
        let mut request = self.request(Method::POST, &format!("/api/v1/runs/{id}/retry")).json(wish);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.json(request).await
    }

    /// Sends a run a signal.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn signal(&self, id: RunId, name: &str, signal: &NewSignal) -> Answer<Run> {
        let path = format!("/api/v1/runs/{id}/signals/{}", segment(name));
        self.json(self.request(Method::POST, &path).json(signal)).await
    }

    /// Approves or rejects a step that waits for approval.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn decide(&self, id: RunId, step: &str, approved: bool, decision: &NewDecision) -> Answer<Run> {
        let word = if approved { "approve" } else { "reject" };
        let path = format!("/api/v1/runs/{id}/steps/{}/{word}", segment(step));
        self.json(self.request(Method::POST, &path).json(decision)).await
    }

    /// Lists runs, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn runs(&self, query: &RunQuery) -> Answer<Page<RunSummary>> {
        self.get(&format!("/api/v1/runs{}", query.encode())).await
    }

    /// A run in full.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn run(&self, id: RunId) -> Answer<Run> {
        self.get(&format!("/api/v1/runs/{id}")).await
    }

    /// A run's events after `after`, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn timeline(&self, id: RunId, after: i64, limit: u32) -> Answer<Page<Event>> {
        self.get(&format!("/api/v1/runs/{id}/timeline?after={after}&limit={limit}")).await
    }

    /// A piece of the log of an attempt (`test#1`).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logs(&self, id: RunId, work: &str, from: u64, limit: u32) -> Answer<LogPage> {
        let query = encode(&[("work", work), ("from", &from.to_string()), ("limit", &limit.to_string())]);
        self.get(&format!("/api/v1/runs/{id}/logs{query}")).await
    }

    /// The report of a run as text (`text/plain`, `text/markdown` or `application/json`).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn report(&self, id: RunId, media_type: &str) -> Answer<String> {
        let request = self.request(Method::GET, &format!("/api/v1/runs/{id}/report")).header(ACCEPT, media_type);
        self.text(request).await
    }

    /// The change a run made, as one unified diff; empty when it made none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn diff(&self, id: RunId) -> Answer<String> {
        self.text(self.request(Method::GET, &format!("/api/v1/runs/{id}/diff"))).await
    }

    /// Asks a run to stop.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel(&self, id: RunId) -> Answer<Canceling> {
        self.json(self.request(Method::POST, &format!("/api/v1/runs/{id}/cancel"))).await
    }

    /// Calls a route that takes a body and answers with JSON.
    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: &impl serde::Serialize) -> Answer<T> {
        self.json(self.request(method, path).json(body)).await
    }

    /// The workers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn workers(&self) -> Answer<Page<Worker>> {
        self.get("/api/v1/workers").await
    }

    /// The queues.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn queues(&self) -> Answer<Page<Queue>> {
        self.get("/api/v1/queues").await
    }

    /// Pauses, resumes, drains or restarts a class.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_flow(&self, class: QueueClass, verb: &str) -> Answer<Queue> {
        self.post(&format!("/api/v1/queues/{class}/{verb}"), &()).await
    }

    /// Takes back tasks whose workers vanished.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn clear_stuck(&self) -> Answer<Cleared> {
        self.post("/api/v1/queues/clear-stuck", &()).await
    }

    /// Asks one worker or all of them to end.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn end_workers(&self, only: Option<WorkerId>) -> Answer<Ending> {
        let path = only.map_or_else(|| "/api/v1/workers/shutdown".into(), |id| format!("/api/v1/workers/{id}/drain"));
        self.post(&path, &()).await
    }

    /// Puts tasks on the queue, all of them or none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn enqueue(&self, wish: &NewTasks) -> Answer<AddedTasks> {
        self.post("/api/v1/tasks", wish).await
    }

    /// A task.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn task(&self, id: TaskId) -> Answer<Task> {
        self.get(&format!("/api/v1/tasks/{id}")).await
    }

    /// Cancels a task that belongs to no run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_task(&self, id: TaskId) -> Answer<Task> {
        self.post(&format!("/api/v1/tasks/{id}/cancel"), &()).await
    }

    /// Tasks that failed for good, latest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn dead_letters(&self, limit: u32, after: Option<&str>) -> Answer<Page<Task>> {
        let limit = limit.to_string();
        let mut pairs = vec![("limit", limit.as_str())];
        pairs.extend(after.map(|after| ("after", after)));
        self.get(&format!("/api/v1/dead-letters{}", encode(&pairs))).await
    }

    /// Puts tasks that failed for good on the queue again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn requeue(&self, wish: &Requeue) -> Answer<Requeued> {
        self.post("/api/v1/dead-letters/requeue", wish).await
    }

    /// The tokens, without their secrets.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn tokens(&self) -> Answer<Page<Token>> {
        self.get("/api/v1/tokens").await
    }

    /// Makes a token; the answer is the only place its secret is ever shown.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn add_token(&self, wish: &NewToken) -> Answer<TokenSecret> {
        self.json(self.request(Method::POST, "/api/v1/tokens").json(wish)).await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_token(&self, id: TokenId) -> Answer<()> {
        self.send(self.request(Method::DELETE, &format!("/api/v1/tokens/{id}"))).await.map(drop)
    }

    /// Readiness in full.
    ///
    /// # Errors
    /// See [`ClientError`]; a server that is not ready answers with a problem-free 503 that is read all the same.
    pub async fn ready(&self) -> Answer<Readiness> {
        let path = "/readyz";
        let response = self.raw(self.request(Method::GET, path)).await?;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE && !is_problem(response.headers()) {
            return self.decode(response).await;
        }
        self.decode(self.refuse(response).await?).await
    }

    /// What is running there.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn version(&self) -> Answer<Version> {
        self.get("/version").await
    }

    /// Live events of one run, or of all, after the event with the number `after`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, run: Option<RunId>, after: Option<i64>) -> Answer<EventReader> {
        let path = run.map_or_else(|| "/api/v1/events".to_owned(), |id| format!("/api/v1/runs/{id}/events"));
        let mut reader = EventReader {
            client: self.clone(),
            path,
            parser: Parser::resuming(after.map(|seq| seq.to_string())),
            response: None,
            ready: Vec::new().into_iter(),
        };
        reader.connect().await?;
        Ok(reader)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).header(ACCEPT, "application/json");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Answer<T> {
        self.json(self.request(Method::GET, path)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Answer<T> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Answer<T> {
        let response = self.send(request).await?;
        self.decode(response).await
    }

    async fn text(&self, request: RequestBuilder) -> Answer<String> {
        let response = self.send(request).await?;
        response.text().await.map_err(|source| self.unreachable(source))
    }

    async fn send(&self, request: RequestBuilder) -> Answer<Response> {
        let response = self.raw(request.timeout(ANSWER_TIMEOUT)).await?;
        self.refuse(response).await
    }

    async fn raw(&self, request: RequestBuilder) -> Answer<Response> {
        request.send().await.map_err(|source| self.unreachable(source))
    }

    /// Turns an answer that is a refusal into an error.
    async fn refuse(&self, response: Response) -> Answer<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let url = response.url().to_string();
        if !is_problem(response.headers()) {
            return Err(ClientError::Foreign { url, status });
        }
        match response.json::<Problem>().await {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(ClientError::Foreign { url, status }),
        }
    }

    async fn decode<T: DeserializeOwned>(&self, response: Response) -> Answer<T> {
        let (url, status) = (response.url().to_string(), response.status());
        let bytes = response.bytes().await.map_err(|source| self.unreachable(source))?;
        serde_json::from_slice(&bytes).map_err(|_| ClientError::Foreign { url, status })
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        ClientError::Unreachable { url: self.base.clone(), source: source.without_url() }
    }
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(MEDIA_TYPE.as_bytes()))
}

/// A live stream of events that knows where it was.
pub struct EventReader {
    client: Client,
    path: String,
    parser: Parser,
    response: Option<Response>,
    ready: std::vec::IntoIter<Message>,
}

/// What a stream gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Live {
    /// An event.
    Event(Box<Event>),
    /// Events were left out because we read too slowly: read the state again, then go on.
    Reset,
    /// The server ended the stream (the run is over, or the server is going away).
    End,
}

impl EventReader {
    /// The next thing of the stream. After [`Live::End`] or an error, [`EventReader::connect`] resumes after the
    /// last event seen; whether and when to is the caller's decision.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next(&mut self) -> Answer<Live> {
        loop {
            for message in self.ready.by_ref() {
                if message.event == "reset" {
                    return Ok(Live::Reset);
                }
                // A message we cannot read is of a newer server: skipping it is what additive change means.
                if let Ok(event) = serde_json::from_str(&message.data) {
                    return Ok(Live::Event(Box::new(event)));
                }
            }
            let Some(response) = &mut self.response else { return Ok(Live::End) };
            match response.chunk().await.map_err(|source| self.client.unreachable(source))? {
                Some(bytes) => self.ready = self.parser.feed(&bytes)?.into_iter(),
                None => self.response = None,
            }
        }
    }

    /// Connects (again), after the last event seen.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connect(&mut self) -> Answer<()> {
        let mut request = self.client.request(Method::GET, &self.path).header(ACCEPT, "text/event-stream");
        if let Some(id) = self.parser.last_id() {
            request = request.header("last-event-id", id);
        }
        let response = self.client.raw(request).await?;
        self.parser = Parser::resuming(self.parser.last_id().map(str::to_owned));
        self.response = Some(self.client.refuse(response).await?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_are_taken_and_the_token_is_never_printed() {
        for bad in ["", "localhost:8000", "ftp://x", "file:///etc/passwd"] {
            assert!(matches!(Client::new(bad, None), Err(ClientError::Address { .. })), "{bad}");
        }
        let client = Client::new("http://127.0.0.1:8000/", Some("mb_x_secret".into())).expect("an address");
        assert_eq!(client.base, "http://127.0.0.1:8000");
        assert!(!format!("{client:?}").contains("secret"));
    }

    #[test]
    fn a_query_is_encoded() {
        let query = RunQuery { text: Some("a&b #1".into()), limit: Some(5), ..RunQuery::default() };
        assert_eq!(query.encode(), "?text=a%26b+%231&limit=5");
        assert_eq!(RunQuery::default().encode(), "");
    }
}
