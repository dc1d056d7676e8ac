//! Signing keys.

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;

/// Where a signing key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, not yet used.
    Next,
    /// Signs.
    Active,
    /// Published until the last token signed with it has expired.
    Retiring,
    /// Out of use: every token signed with it is refused.
    Revoked,
    /// Out of use: no token signed with it is left.
    Retired,
}

impl KeyState {
    /// Its word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

/// A signing key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Key {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made or taken in.
    pub created_at: Rfc3339,
    /// For the next key: when it becomes, or can become, the active one.
    pub activates_at: Option<Rfc3339>,
    /// For a retiring key: when it is no longer published.
    pub retires_at: Option<Rfc3339>,
}

/// How keys are to be rotated.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotateKeys {
    /// Do not wait until every verifier has seen the next key.
    #[serde(default)]
    pub now: bool,
}

/// What a rotation did, or will do.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Rotation {
    /// Whether it has happened.
    pub rotated: bool,
    /// When it has happened, or will.
    pub activates_at: Rfc3339,
    /// All keys.
    pub keys: Vec<Key>,
}
