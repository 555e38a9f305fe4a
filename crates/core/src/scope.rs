//! What a token may do: a closed list, because a scope nobody checks is a promise nobody keeps.
//!
//! Deliberately absent: roles and hierarchies. The one rule is that [`Scope::Admin`] implies every other scope.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One right. The word has a colon (`runs:read`), as the runbooks write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Scope {
    /// See runs, their logs and events, workflows, schedules, triggers, queues and workers.
    RunsRead,
    /// Start and cancel runs and tasks.
    RunsOperate,
    /// Approve or reject what waits for a person.
    RunsApprove,
    /// Publish workflows; make, change, pause and remove schedules and triggers.
    WorkflowsWrite,
    /// Send events, which set triggers off.
    EventsSend,
    /// Pause and drain queues, let workers end, try failed tasks again: for all tenants.
    FleetOperate,
    /// List, create and revoke tokens.
    TokensAdmin,
    /// Read readiness in full and metrics.
    MetaRead,
    /// Everything.
    Admin,
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{word:?} is not a scope: use one of runs:read, runs:operate, runs:approve, workflows:write, events:send, fleet:operate, tokens:admin, meta:read, admin"
)]
pub struct BadScope {
    /// The text.
    pub word: String,
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Scope] = &[
        Self::RunsRead,
        Self::RunsOperate,
        Self::RunsApprove,
        Self::WorkflowsWrite,
        Self::EventsSend,
        Self::FleetOperate,
        Self::TokensAdmin,
        Self::MetaRead,
        Self::Admin,
    ];

    /// The word used in JSON, commands and problems alike.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunsRead => "runs:read",
            Self::RunsOperate => "runs:operate",
            Self::RunsApprove => "runs:approve",
            Self::WorkflowsWrite => "workflows:write",
            Self::EventsSend => "events:send",
            Self::FleetOperate => "fleet:operate",
            Self::TokensAdmin => "tokens:admin",
            Self::MetaRead => "meta:read",
            Self::Admin => "admin",
        }
    }

    /// The scope a word stands for.
    pub fn from_word(word: &str) -> Option<Scope> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == word)
    }

    /// Whether somebody holding `held` may do what this scope guards.
    pub fn allowed_by(self, held: &BTreeSet<Scope>) -> bool {
        held.contains(&self) || held.contains(&Self::Admin)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Scope> for &'static str {
    fn from(scope: Scope) -> Self {
        scope.as_str()
    }
}

impl TryFrom<String> for Scope {
    type Error = BadScope;

    fn try_from(word: String) -> Result<Self, BadScope> {
        Self::from_word(&word).ok_or(BadScope { word })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_implies_all_and_nothing_else_implies_another() {
        for &need in Scope::ALL {
            for &have in Scope::ALL {
                let allowed = need.allowed_by(&BTreeSet::from([have]));
                assert_eq!(allowed, have == need || have == Scope::Admin, "{have} for {need}");
            }
            assert!(!need.allowed_by(&BTreeSet::new()));
        }
    }

    #[test]
    fn words_and_json_agree() {
        for &scope in Scope::ALL {
            let json = serde_json::to_string(&scope).expect("serialises");
            assert_eq!(json, format!("\"{scope}\""));
            assert_eq!(serde_json::from_str::<Scope>(&json).expect("parses"), scope);
        }
        assert!(serde_json::from_str::<Scope>("\"root\"").is_err());
    }
}
