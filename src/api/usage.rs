//! What a client has used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;

/// What figures are of, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum UsageBucket {
    /// Hours.
    Hour,
    /// Days.
    Day,
}

impl UsageBucket {
    /// Its word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// What a client has used.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Usage {
    /// The client.
    pub client_id: String,
    /// What `items` are of.
    pub bucket: UsageBucket,
    /// Where the first hour or day begins that is looked at.
    pub since_at: Rfc3339,
    /// The last one begins before this.
    pub until_at: Rfc3339,
    /// Up to this moment everything is written. What came later is counted here as well, and is lost if the service
    /// crashes before it is written.
    pub complete_until_at: Rfc3339,
    /// How long that takes, in seconds: a crash loses that much at most.
    pub flush_interval: u64,
    /// When a secret of it was last used; never if null.
    pub last_used_at: Option<Rfc3339>,
    /// How many tokens were issued, in all of it.
    pub issued: u64,
    /// How many token requests were refused.
    pub refused: u64,
    /// The same by reason; where the client could not be authenticated, by what really happened.
    pub refused_by: BTreeMap<String, u64>,
    /// Its secrets.
    pub secrets: Vec<SecretUsage>,
    /// The scopes that it holds.
    pub scopes: Vec<ScopeUsage>,
    /// The hours or days in which anything was used.
    pub items: Vec<UsageItem>,
}

/// What a secret was used for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SecretUsage {
    /// Its identifier.
    pub id: String,
    /// How many tokens were issued for it.
    pub issued: u64,
    /// How many token requests were refused although it was right.
    pub refused: u64,
    /// When it was last used; never if null.
    pub last_used_at: Option<Rfc3339>,
    /// From where.
    pub last_used_from: Option<String>,
}

/// What a scope was used for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ScopeUsage {
    /// Its name.
    pub name: String,
    /// How many tokens were issued with it.
    pub issued: u64,
    /// When a token was last issued with it; never if null.
    pub last_used_at: Option<Rfc3339>,
}

/// An hour or a day.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct UsageItem {
    /// When it began.
    pub start_at: Rfc3339,
    /// How many tokens were issued.
    pub issued: u64,
    /// How many token requests were refused.
    pub refused: u64,
    /// The same by reason.
    pub refused_by: BTreeMap<String, u64>,
    /// By the id of the secret. Beyond 32 of them, the rest is one: `all others`.
    pub secrets: BTreeMap<String, SecretCounts>,
    /// How many tokens were issued with a scope, by the scope. Beyond 32 of them, the rest is one: `all others`.
    pub scopes: BTreeMap<String, u64>,
}

/// How often a secret was used.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SecretCounts {
    /// How many tokens were issued for it.
    pub issued: u64,
    /// How many token requests were refused although it was right.
    pub refused: u64,
}
