//! The model step: one question to an OpenAI-compatible chat endpoint.
//!
//! What it may cost at most was held back from the run's budget before it was queued. A question that could cost more
//! than that is not asked; what it did cost is charged with its outcome. The address is the operator's own setting,
//! so it may be on this machine, unlike those of HTTP steps.

use std::time::Duration;

use mb_core::attempt::AttemptOutcome;
use mb_core::budget::MicroUsd;
use mb_core::error::chain;
use mb_core::expression::{self, Scope};
use mb_core::failure::{Failure, FailureKind};
use mb_core::time::{millis, retry_after};
use mb_core::workflow::{Llm, hex};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::context::{Context, TaskError};
use crate::outbound::{MOCK, ModelSettings};
use crate::{http, plain};

/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Characters a token has at least: what a question may cost is never guessed too low by much.
const TOKEN_CHARS: usize = 3;
const TOOL: &str = "llm";

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Usage,
    #[serde(default)]
    model: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// An answer with what it cost.
struct Given {
    output: Value,
    cost: MicroUsd,
}

/// Asks. Whatever becomes of it is the attempt's outcome.
pub(crate) async fn execute(context: &Context<'_>, llm: &Llm) -> Result<AttemptOutcome, TaskError> {
    let begin = context.engine.env().now();
    let limit = Duration::from_millis(llm.request_timeout_ms).min(context.time_left());
    let given = tokio::select! {
        () = context.cancel.cancelled() => Err(plain::canceled(TOOL)),
        timed = tokio::time::timeout(limit, ask(context, llm)) => {
            timed.unwrap_or_else(|_| Err(plain::timed_out(TOOL, millis(limit))))
        }
    };
    let took_ms = millis(context.engine.env().now().since(begin));
    let outcome = match given {
        Ok(Given { output, cost }) => {
            AttemptOutcome { output: Some(output), cost_microusd: cost, ..AttemptOutcome::plain(took_ms, None) }
        }
        Err(mut failure) => {
            failure.summary = context.redact(&failure.summary);
            context.note(&failure.summary)?;
            AttemptOutcome::plain(took_ms, Some(*failure))
        }
    };
    Ok(AttemptOutcome { log_lines: context.lines().await, ..outcome })
}

fn wrong(kind: FailureKind, why: impl Into<String>) -> Box<Failure> {
    plain::failure(TOOL, kind, why.into())
}

async fn ask(context: &Context<'_>, llm: &Llm) -> Result<Given, Box<Failure>> {
    let bad = |error: expression::BadExpression| wrong(FailureKind::ConfigCi, error.to_string());
    let Some(settings) = &context.engine.outbound().model else {
        let why = "this worker has no model: set LLM_BASE_URL (and LLM_API_KEY, LLM_MODEL), or LLM_BASE_URL=mock";
        return Err(wrong(FailureKind::ConfigCi, why));
    };
    let (step, ..) = context.part().map_err(|error| wrong(FailureKind::ConfigCi, chain(&error)))?;
    let scope = Scope::of(context.run, step);
    // What leaves this machine has no known secret in it.
    let prompt = context.redact(&expression::render(&llm.prompt, &scope).map_err(bad)?);
    let system = context.redact(&expression::render(&llm.system, &scope).map_err(bad)?);
    let model = if llm.model.is_empty() { settings.model.clone() } else { llm.model.clone() };
    let tokens = ((prompt.chars().count() + system.chars().count()) / TOKEN_CHARS) as u64 + 16;
    let most = Usage { prompt_tokens: tokens, completion_tokens: llm.tokens_max.into() };
    let most = cost(settings, most);
    if most > llm.cost_microusd_max {
        let why = format!("the question may cost {most}, and cost_microusd_max is {}", llm.cost_microusd_max);
        return Err(wrong(FailureKind::Policy, why));
    }
    let said = |what: &str| context.note(what).map_err(|error| wrong(FailureKind::ConfigCi, chain(&error)));
    let (text, model, usage) = if settings.base_url == MOCK {
        said("the model is `mock`: its answer is made here and always the same")?;
        let text = mock(&system, &prompt);
        let usage = Usage { prompt_tokens: tokens, completion_tokens: (text.len() / TOKEN_CHARS) as u64 };
        (text, MOCK.to_owned(), usage)
    } else {
        said(&format!("asking {model}"))?;
        request(context, settings, &model, llm.tokens_max, &system, &prompt).await?
    };
    let cost = cost(settings, usage);
    said(&format!("{model} answered {} tokens for {cost}", usage.completion_tokens))?;
    let usage = json!({ "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens });
    let output = json!({
        "text": context.redact(&text), "model": model, "usage": usage, "cost_microusd": cost,
        "mock": settings.base_url == MOCK,
    });
    Ok(Given { output, cost })
}

/// An answer without a model: the same question always has the same one, and it says what it is.
fn mock(system: &str, prompt: &str) -> String {
    let digest = hex(&Sha256::digest(format!("{system}\0{prompt}")));
    let start: String = prompt.chars().take(80).collect();
    format!("mock answer {} to: {start}", &digest[..12])
}

/// A dollar per million tokens is a millionth of a dollar per token. Rounded up: nothing is free that has a price.
fn cost(settings: &ModelSettings, usage: Usage) -> MicroUsd {
    let dollars = usage.prompt_tokens as f64 * settings.input_usd_per_mtok
        + usage.completion_tokens as f64 * settings.output_usd_per_mtok;
    // A float beyond the range becomes the largest number, which no budget admits.
    MicroUsd(dollars.ceil() as u64)
}

async fn request(
    context: &Context<'_>,
    settings: &ModelSettings,
    model: &str,
    tokens_max: u32,
    system: &str,
    prompt: &str,
) -> Result<(String, String, Usage), Box<Failure>> {
    let unreachable = |error: &reqwest::Error| wrong(FailureKind::NetworkInfra, chain(error));
    let client = context.engine.model_client().map_err(|error| unreachable(&error))?;
    let mut messages = Vec::new();
    if !system.is_empty() {
        messages.push(json!({ "role": "system", "content": system }));
    }
    messages.push(json!({ "role": "user", "content": prompt }));
    let url = format!("{}/chat/completions", settings.base_url.trim_end_matches('/'));
    let body = json!({ "model": model, "messages": messages, "max_tokens": tokens_max });
    let mut request = client.post(&url).json(&body);
    if let Some(key) = &settings.api_key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let wait = asked.and_then(|value| retry_after(context.engine.env().now(), value)).map(millis);
    let text = http::read(answer, ANSWER_BYTES_MAX).await.map_err(|why| wrong(FailureKind::NetworkInfra, why))?;
    if !status.is_success() {
        let kind = match status.as_u16() {
            429 => FailureKind::RateLimit,
            408 | 500..=599 => FailureKind::NetworkInfra,
            _ => FailureKind::ConfigCi,
        };
        let start: String = String::from_utf8_lossy(&text).chars().take(200).collect();
        return Err(plain::asking(wrong(kind, format!("the model answered {status}: {}", start.trim())), wait));
    }
    let answer: Answer = serde_json::from_slice(&text)
        .map_err(|error| wrong(FailureKind::NetworkInfra, format!("the model's answer cannot be read: {error}")))?;
    let model = answer.model.unwrap_or_else(|| model.to_owned());
    let text = answer.choices.into_iter().next().and_then(|choice| choice.message.content).unwrap_or_default();
    Ok((text, model, answer.usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_per_million_tokens_and_rounded_up() {
        let settings = ModelSettings {
            base_url: MOCK.into(),
            api_key: None,
            model: MOCK.into(),
            input_usd_per_mtok: 2.5,
            output_usd_per_mtok: 10.0,
        };
        let check = |prompt_tokens, completion_tokens, expected| {
            assert_eq!(cost(&settings, Usage { prompt_tokens, completion_tokens }), MicroUsd(expected));
        };
        check(0, 0, 0);
        check(1, 0, 3);
        check(1_000, 100, 3_500);
        check(u64::MAX, u64::MAX, u64::MAX);
    }

    #[test]
    fn the_mock_gives_the_same_answer_to_the_same_question() {
        assert_eq!(mock("", "why?"), mock("", "why?"));
        assert_ne!(mock("", "why?"), mock("be brief", "why?"));
    }
}
