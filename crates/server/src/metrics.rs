//! The server's own counters, appended to the engine's.
//!
//! Label values are route patterns, methods and statuses: bounded. Paths are never labels.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

/// Seconds at which durations are counted.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The metrics of the HTTP side of one process.
pub(crate) struct HttpMetrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Family<Route, Histogram>,
    pub(crate) panics: Counter<u64, AtomicU64>,
    pub(crate) streams: Gauge,
    pub(crate) lagged: Counter<u64, AtomicU64>,
}

impl HttpMetrics {
    pub(crate) fn new() -> HttpMetrics {
        let mut registry = Registry::default();
        let requests = Family::default();
        let seconds = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let (panics, streams, lagged) = (Counter::default(), Gauge::default(), Counter::default());
        registry.register("http_requests", "Requests answered, by method, route and status", requests.clone());
        registry.register("http_request_duration_seconds", "Time to answer, streams aside", seconds.clone());
        registry.register("http_panics", "Handlers that panicked; each is a defect", panics.clone());
        registry.register("http_event_streams", "Streams of events and logs open now", streams.clone());
        registry.register("http_event_streams_lagged", "Streams that read too slowly and were reset", lagged.clone());
        HttpMetrics { registry, requests, seconds, panics, streams, lagged }
    }

    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.seconds.get_or_create(&Route { method: method.clone(), route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Request { method, route, status }).inc();
    }

    /// The engine's text with ours behind it, one end mark for both.
    pub(crate) fn append_to(&self, engine: &str) -> String {
        let mut out = engine.strip_suffix("# EOF\n").unwrap_or(engine).to_owned();
        if encode(&mut out, &self.registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_registries_become_one_text() {
        let metrics = HttpMetrics::new();
        metrics.answered("GET", "/api/v1/runs", 200, Duration::from_millis(3));
        let text = metrics.append_to("# TYPE a counter\na_total 1\n# EOF\n");
        assert!(text.starts_with("# TYPE a counter\na_total 1\n# HELP http_requests"));
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.contains(r#"http_requests_total{method="GET",route="/api/v1/runs",status="200"} 1"#), "{text}");
    }
}
