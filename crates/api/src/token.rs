//! API tokens on the wire. A secret appears once, in the answer that made it.

use std::collections::BTreeSet;

use mb_core::id::TokenId;
use mb_core::scope::Scope;
use mb_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words;

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    #[schema(value_type = String, example = "tok_01jbx2m5k8e6t9h3v4n7q0r1sa")]
    pub id: TokenId,
    /// What it is for, in the words of whoever made it.
    pub name: String,
    /// What it may do.
    #[schema(schema_with = words::scopes)]
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it stops working by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

/// A wish for a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for; 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it may do; at least one. Nobody can grant what they do not hold.
    #[schema(schema_with = words::scopes)]
    pub scopes: BTreeSet<Scope>,
    /// After how many seconds it stops working; absent means never.
    #[serde(default)]
    #[schema(minimum = 60)]
    pub expires_in_s: Option<u64>,
}

/// A fresh token with its secret, shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenSecret {
    /// The token.
    pub token: Token,
    /// What to send as `Authorization: Bearer …`. It cannot be shown again.
    #[schema(example = "mb_01jbx2m5k8e6t9h3v4n7q0r1sa_…")]
    pub secret: String,
}

impl std::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSecret").field("token", &self.token).field("secret", &"…").finish()
    }
}
