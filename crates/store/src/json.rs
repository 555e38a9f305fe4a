//! Documents as they are stored: JSON without NUL characters.
//!
//! PostgreSQL refuses U+0000 in text and JSONB, and a build's output may hold it. It is replaced by U+FFFD on both
//! backends, so both keep the same. Differences are stored as bytes and keep theirs.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use crate::error::StoreError;

/// The text without NUL characters.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// A value as a document that both databases can store.
pub(crate) fn encode(value: &impl Serialize) -> Result<Value, StoreError> {
    let mut document = serde_json::to_value(value)
        .map_err(|source| StoreError::Invalid { what: "it has no JSON form".into(), source: Some(source.into()) })?;
    scrub(&mut document);
    Ok(document)
}

// Recursion is bounded by the depth of our own types and of a snapshot, which serde_json limits to 128.
fn scrub(document: &mut Value) {
    match document {
        Value::String(text) if text.contains('\0') => *text = clean(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                *fields = std::mem::take(fields).into_iter().map(|(k, v)| (clean(&k).into_owned(), v)).collect();
            }
            fields.values_mut().for_each(scrub);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_nul_survives_anywhere() {
        let dirty = serde_json::json!({"a\0": ["x\0y", {"k": "\0"}], "n": 1});
        let stored = encode(&dirty).expect("plain data");
        assert_eq!(stored, serde_json::json!({"a\u{fffd}": ["x\u{fffd}y", {"k": "\u{fffd}"}], "n": 1}));
    }
}
