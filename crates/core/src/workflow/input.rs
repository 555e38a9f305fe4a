//! What a workflow takes and checks before it starts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Workflow;
use crate::words::words;

/// Inputs of one run, as JSON text, in bytes.
pub const INPUTS_BYTES_MAX: usize = 256 << 10;

words! {
    /// The type of an input.
    InputType {
        /// Text.
        String = "string",
        /// A number.
        Number = "number",
        /// True or false.
        Boolean = "boolean",
        /// Anything.
        Json = "json",
    }
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its type.
    #[serde(rename = "type", default = "text")]
    pub of: InputType,
    /// Whether it must be given. One with a default need not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// What it is when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it is for, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

fn text() -> InputType {
    InputType::String
}

/// Why the inputs of a run were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInputs {
    /// They are no table.
    #[error("inputs are not an object of names and values")]
    NotAnObject,
    /// There are too many bytes.
    #[error("inputs have {bytes} bytes of JSON; at most {INPUTS_BYTES_MAX} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// A name the workflow does not know.
    #[error("input {name:?} is not one of this workflow's: {}", .known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// One that must be given is not.
    #[error("input {name:?} is required")]
    Missing {
        /// The name.
        name: String,
    },
    /// Of another type.
    #[error("input {name:?} must be a {of}, and is {found}")]
    Type {
        /// The name.
        name: String,
        /// The type it should have.
        of: InputType,
        /// What it is.
        found: String,
    },
}

impl InputType {
    /// Whether a value is of this type.
    pub fn admits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Json => true,
        }
    }
}

impl Input {
    fn check(&self, name: &str, value: &Value) -> Result<(), BadInputs> {
        if self.of.admits(value) {
            return Ok(());
        }
        let mut found = value.to_string();
        found.truncate(found.char_indices().nth(60).map_or(found.len(), |(at, _)| at));
        Err(BadInputs::Type { name: name.to_owned(), of: self.of, found })
    }
}

impl Workflow {
    /// The inputs of a run: what was given, checked, with the defaults of what was not. Null is the same as none.
    ///
    /// # Errors
    /// [`BadInputs`]: the first thing found wrong.
    pub fn bind(&self, given: Value) -> Result<Value, BadInputs> {
        let given = match given {
            Value::Null => Map::new(),
            Value::Object(given) => given,
            _ => return Err(BadInputs::NotAnObject),
        };
        if let Some(name) = given.keys().find(|name| !self.inputs.contains_key(*name)) {
            let known = self.inputs.keys().cloned().collect();
            return Err(BadInputs::Unknown { name: name.clone(), known });
        }
        let mut bound = Map::new();
        for (name, input) in &self.inputs {
            let value = match given.get(name).or(input.default.as_ref()) {
                Some(value) => value.clone(),
                None if input.required => return Err(BadInputs::Missing { name: name.clone() }),
                None => Value::Null,
            };
            if !value.is_null() || given.contains_key(name) {
                input.check(name, &value)?;
            }
            bound.insert(name.clone(), value);
        }
        let bound = Value::Object(bound);
        match bound.to_string().len() {
            bytes if bytes > INPUTS_BYTES_MAX => Err(BadInputs::TooLarge { bytes }),
            _ => Ok(bound),
        }
    }
}

/// The first default that is not of its input's type.
pub(super) fn bad_default(inputs: &BTreeMap<String, Input>) -> Option<BadInputs> {
    inputs.iter().find_map(|(name, input)| input.check(name, input.default.as_ref()?).err())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workflow::{Action, StepSpec, Transform};

    fn check(given: Value, expected: &str) {
        let step = StepSpec::new("a", Action::Transform(Transform { value: Value::Null }));
        let mut workflow = Workflow::new("w", vec![step]);
        let input = |of, required, default| Input { of, required, default, description: String::new() };
        workflow.inputs = BTreeMap::from([
            ("n".into(), input(InputType::Number, false, Some(json!(3)))),
            ("s".into(), input(InputType::String, true, None)),
            ("x".into(), input(InputType::Json, false, None)),
        ]);
        let got = workflow.bind(given).map_or_else(|error| error.to_string(), |bound| bound.to_string());
        assert_eq!(got, expected);
    }

    #[test]
    fn inputs_are_checked_and_defaults_filled_in() {
        check(json!({ "s": "a" }), r#"{"n":3,"s":"a","x":null}"#);
        check(json!({ "s": "a", "n": 1.5, "x": [1] }), r#"{"n":1.5,"s":"a","x":[1]}"#);
        check(Value::Null, r#"input "s" is required"#);
        check(json!({ "s": 1 }), r#"input "s" must be a string, and is 1"#);
        check(json!({ "s": "a", "t": 1 }), r#"input "t" is not one of this workflow's: n, s, x"#);
        check(json!([]), "inputs are not an object of names and values");
        let long = "x".repeat(INPUTS_BYTES_MAX);
        check(json!({ "s": long }), "inputs have 262167 bytes of JSON; at most 262144 are allowed");
    }
}
