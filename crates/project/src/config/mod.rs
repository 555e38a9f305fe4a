//! `meta-builder.toml` and the layers above it.
//!
//! [`doc`] reads the text and keeps every position, [`layers`] is what overrides it, [`resolve`] picks each value
//! from the strongest layer and remembers which one that was, [`steps`] does the same for the steps.

pub(crate) mod doc;
pub(crate) mod error;
pub(crate) mod layers;
pub(crate) mod resolve;
pub(crate) mod steps;

/// The nearest of `known` to a mistyped `name`, when it is near enough to be what was meant.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let scored = known.into_iter().map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.75).then(|| best.1.to_owned())
}
