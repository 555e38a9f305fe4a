//! The layers above the file: flags, then the environment. One table says which variable sets which key.
//!
//! Deliberately absent: reading the process environment. The caller passes what it has.

use std::collections::BTreeMap;

/// Which environment variable sets which key, strongest name first where a key has several. A new alias is one
/// line here. Any single-valued key outside `[steps]` can be listed.
pub const ENV_NAMES: &[(&str, &str)] = &[
    ("budget.time", "MB_BUDGET_TIME"),
    ("budget.cost_usd", "MB_BUDGET_COST_USD"),
    ("budget.attempts", "MB_BUDGET_ATTEMPTS"),
];

/// A value given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The key it sets (`budget.time`).
    pub key: String,
    /// The flag as typed (`--budget-time`).
    pub name: String,
    /// Its text.
    pub value: String,
}

/// What overrides the file: flags first, then environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// The environment. Empty values count as absent.
    pub env: BTreeMap<String, String>,
    /// Flags.
    pub flags: Vec<Flag>,
}

/// Where an override comes from.
pub(crate) enum Above<'l> {
    Flag(&'l Flag),
    Env { name: &'static str, value: &'l str },
}

impl Layers {
    /// The strongest override of a key.
    pub(crate) fn above(&self, key: &str) -> Option<Above<'_>> {
        if let Some(flag) = self.flags.iter().rev().find(|flag| flag.key == key) {
            return Some(Above::Flag(flag));
        }
        ENV_NAMES.iter().filter(|(known, _)| *known == key).find_map(|&(_, name)| {
            let value = self.env.get(name).filter(|value| !value.is_empty())?;
            Some(Above::Env { name, value })
        })
    }
}
