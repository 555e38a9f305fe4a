//! Expressions and templates over a run's data, in the Jinja language, evaluated by `minijinja`.
//!
//! The data are `inputs`, `steps.NAME.output` and `steps.NAME.state`, `run.id`, `run.name`, and within a foreach
//! `item` and `index`. A name that does not exist is an error and not an empty text, because a workflow that goes on
//! with nothing is found out too late (`default` gives a fallback).
//!
//! Deliberately absent: any function that reads a clock, a file or a random number, loading of other templates, and
//! unbounded work: every evaluation has the same fuel, and its result a largest size.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::{Map, Value, json};

use crate::run::{Role, Run, Step, StepState};

/// Instructions one evaluation may take.
const FUEL: u64 = 100_000;
/// Longest source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 64 << 10;
/// Largest result, in bytes of text or JSON.
pub const RESULT_BYTES_MAX: usize = 256 << 10;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} in `{source_text}`")]
pub struct BadExpression {
    /// What is wrong.
    pub what: String,
    /// The beginning of the expression or template.
    pub source_text: String,
}

/// What expressions see.
#[derive(Debug, Clone)]
pub struct Scope(minijinja::Value);

impl Scope {
    /// The data of a run as one of its steps sees them.
    pub fn of(run: &Run, step: &Step) -> Scope {
        let mut data = data(run);
        if let Role::Item { index, value, .. } = &step.role {
            data.insert("item".into(), value.clone());
            data.insert("index".into(), (*index).into());
        }
        Scope::new(data)
    }

    /// The data of a run as its outputs see them.
    pub fn of_run(run: &Run) -> Scope {
        Scope::new(data(run))
    }

    /// Any data, by name.
    pub fn new(data: Map<String, Value>) -> Scope {
        Scope(Serde(Value::Object(data)).into())
    }

    /// The same with one more name.
    #[must_use]
    pub fn with(self, name: &str, value: &Value) -> Scope {
        let more = minijinja::Value::from(Serde(json!({ name: value })));
        Scope(minijinja::context! { ..self.0, ..more })
    }
}

fn data(run: &Run) -> Map<String, Value> {
    // One that is not over has nothing to say yet: naming it is a mistake in the workflow's needs, not a null.
    let seen = run.steps.iter().filter(|step| step.role == Role::Step && matches!(step.state, StepState::Done { .. }));
    let one = |step: &Step| {
        let value = json!({ "output": step.output, "state": step.state_word() });
        (step.name.clone(), value)
    };
    let mut data = Map::new();
    data.insert("inputs".into(), run.inputs.clone());
    data.insert("steps".into(), Value::Object(seen.map(one).collect()));
    data.insert("run".into(), json!({ "id": run.id, "name": run.workflow.name }));
    data
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
}

/// The value of an expression.
///
/// # Errors
/// [`BadExpression`] when it is not one, names something that is not there, or takes or gives too much.
pub fn evaluate(source: &str, scope: &Scope) -> Result<Value, BadExpression> {
    let bad = |error: &minijinja::Error| wrong(source, error);
    sized(source)?;
    let environment = environment();
    let expression = environment.compile_expression(source).map_err(|e| bad(&e))?;
    let value = expression.eval(scope.0.clone()).map_err(|e| bad(&e))?;
    if value.is_undefined() {
        return Err(refuse(source, "it names something that is not there"));
    }
    let value = serde_json::to_value(&value).map_err(|error| refuse(source, &error.to_string()))?;
    if value.to_string().len() > RESULT_BYTES_MAX {
        return Err(refuse(source, &format!("its value has more than {RESULT_BYTES_MAX} bytes")));
    }
    Ok(value)
}

/// Whether an expression is true, as Jinja takes it: empty, zero, false and null are not.
///
/// # Errors
/// As [`evaluate`].
pub fn holds(source: &str, scope: &Scope) -> Result<bool, BadExpression> {
    Ok(minijinja::Value::from(Serde(evaluate(source, scope)?)).is_true())
}

/// The text of a template.
///
/// # Errors
/// As [`evaluate`].
pub fn render(source: &str, scope: &Scope) -> Result<String, BadExpression> {
    sized(source)?;
    if !source.contains('{') {
        return Ok(source.to_owned());
    }
    let text = environment().render_str(source, scope.0.clone()).map_err(|error| wrong(source, &error))?;
    match text.len() {
        bytes if bytes > RESULT_BYTES_MAX => Err(refuse(source, &format!("its text has {bytes} bytes"))),
        _ => Ok(text),
    }
}

/// A JSON value with the templates in its texts filled in; a text that is one `{{ expression }}` becomes its value.
///
/// # Errors
/// As [`evaluate`].
pub fn fill(value: &Value, scope: &Scope) -> Result<Value, BadExpression> {
    match value {
        Value::String(text) => match single(text) {
            Some(expression) => evaluate(expression, scope),
            None => render(text, scope).map(Value::String),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, scope)).collect(),
        Value::Object(fields) => {
            let filled = fields.iter().map(|(name, value)| Ok((name.clone(), fill(value, scope)?)));
            filled.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

/// Whether a text is an expression at all.
///
/// # Errors
/// [`BadExpression`] when it does not parse.
pub fn check(source: &str) -> Result<(), BadExpression> {
    sized(source)?;
    environment().compile_expression(source).map(drop).map_err(|error| wrong(source, &error))
}

/// Whether the texts in a value are templates.
///
/// # Errors
/// [`BadExpression`] for the first that does not parse.
pub fn check_fill(value: &Value) -> Result<(), BadExpression> {
    match value {
        Value::String(text) => match single(text) {
            Some(expression) => check(expression),
            None => check_template(text),
        },
        Value::Array(items) => items.iter().try_for_each(check_fill),
        Value::Object(fields) => fields.values().try_for_each(check_fill),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Whether a text is a template.
///
/// # Errors
/// [`BadExpression`] when it does not parse.
pub fn check_template(source: &str) -> Result<(), BadExpression> {
    sized(source)?;
    environment().template_from_str(source).map(drop).map_err(|error| wrong(source, &error))
}

/// The expression of a text that is nothing but one `{{ expression }}`.
fn single(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then_some(inner.trim())
}

fn sized(source: &str) -> Result<(), BadExpression> {
    match source.len() {
        bytes if bytes > SOURCE_BYTES_MAX => Err(refuse(source, &format!("it has {bytes} bytes"))),
        _ => Ok(()),
    }
}

fn wrong(source: &str, error: &minijinja::Error) -> BadExpression {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    refuse(source, &detail)
}

fn refuse(source: &str, what: &str) -> BadExpression {
    let mut source_text = source.to_owned();
    source_text.truncate(source.char_indices().nth(120).map_or(source.len(), |(at, _)| at));
    BadExpression { what: what.to_owned(), source_text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let Value::Object(data) = json!({
            "inputs": { "n": 3, "name": "ada", "list": [1, 2, 3], "html": "<b>" },
            "steps": { "a": { "output": { "ok": true }, "state": "succeeded" } },
        }) else {
            unreachable!("an object")
        };
        Scope::new(data)
    }

    #[test]
    fn expressions_have_values_with_their_types() {
        let check = |source: &str, expected: &str| {
            let got = evaluate(source, &scope()).map_or_else(|error| error.to_string(), |value| value.to_string());
            assert_eq!(got, expected, "{source}");
        };
        check("inputs.n + 1", "4");
        check("inputs.n > 2 and steps.a.output.ok", "true");
        check("inputs.list | map('string') | join('-')", r#""1-2-3""#);
        check("inputs.name | upper", r#""ADA""#);
        check("inputs.missing | default('x')", r#""x""#);
        check("inputs.missing", "it names something that is not there in `inputs.missing`");
        check("inputs.missing.more", "`inputs.missing` is undefined in `inputs.missing.more`");
        check("inputs.n +", "unexpected end of input, expected expression in `inputs.n +`");
    }

    #[test]
    fn templates_are_text_and_a_single_expression_keeps_its_type() {
        let check = |value: Value, expected: &str| {
            let got = fill(&value, &scope()).map_or_else(|error| error.to_string(), |value| value.to_string());
            assert_eq!(got, expected, "{value}");
        };
        check(json!("{{ inputs.n }}"), "3");
        check(json!("n={{ inputs.n }}"), r#""n=3""#);
        check(json!({ "a": ["{{ inputs.list }}", 1], "b": null }), r#"{"a":[[1,2,3],1],"b":null}"#);
        check(json!("{{ inputs.html }}!"), r#""<b>!""#);
        let endless = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}";
        check(json!(endless), &format!("engine ran out of fuel in `{endless}`"));
        check(json!("{{ 'x' * 300000 }}!"), "its text has 300001 bytes in `{{ 'x' * 300000 }}!`");
        check(json!("{{ 'x' * 300000 }}"), "its value has more than 262144 bytes in `'x' * 300000`");
    }

    #[test]
    fn the_same_data_give_the_same_text() {
        let source = "{{ inputs | tojson }}";
        let first = render(source, &scope());
        assert!((0..20).all(|_| render(source, &scope()) == first));
    }
}
