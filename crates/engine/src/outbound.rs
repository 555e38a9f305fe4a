//! What a worker may reach beside its store, and with whose money: settings of the process, not of a workflow.

use std::env;

/// The model's address that asks nobody.
pub const MOCK: &str = "mock";

/// Settings of requests and models.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    /// Whether requests may go to loopback and private networks. Link-local addresses stay denied.
    pub allow_private: bool,
    /// The model, if there is one.
    pub model: Option<ModelSettings>,
}

/// An OpenAI-compatible endpoint. Its key prints as stars.
#[derive(Clone)]
pub struct ModelSettings {
    /// Address before `/chat/completions`, or `mock` for answers that are made here, always the same.
    pub base_url: String,
    /// The key, if it needs one.
    pub api_key: Option<String>,
    /// The model's name, where a step names none.
    pub model: String,
    /// US dollars per million tokens of the question.
    pub input_usd_per_mtok: f64,
    /// US dollars per million tokens of the answer.
    pub output_usd_per_mtok: f64,
}

impl std::fmt::Debug for ModelSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelSettings")
            .field("base_url", &self.base_url)
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Outbound {
    /// From the environment: `MB_ALLOW_PRIVATE`, `LLM_BASE_URL`, `LLM_API_KEY`, `LLM_MODEL`,
    /// `LLM_INPUT_USD_PER_MTOK`, `LLM_OUTPUT_USD_PER_MTOK`.
    pub fn from_env() -> Outbound {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let price = |name: &str| set(name).and_then(|value| value.parse::<f64>().ok()).filter(|price| *price >= 0.0);
        let model = set("LLM_BASE_URL").map(|base_url| ModelSettings {
            base_url,
            api_key: set("LLM_API_KEY"),
            model: set("LLM_MODEL").unwrap_or_else(|| MOCK.to_owned()),
            input_usd_per_mtok: price("LLM_INPUT_USD_PER_MTOK").unwrap_or(0.0),
            output_usd_per_mtok: price("LLM_OUTPUT_USD_PER_MTOK").unwrap_or(0.0),
        });
        let allow_private = set("MB_ALLOW_PRIVATE").is_some_and(|value| matches!(value.as_str(), "1" | "true" | "yes"));
        Outbound { allow_private, model }
    }
}
