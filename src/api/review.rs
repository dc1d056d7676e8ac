//! What an operator should look at.

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A secret, an API key or a Digest key is about to end.
    SecretExpiring,
    /// A client's last secret has ended, so that it gets no tokens any more; or its last Digest key has.
    SecretsExpired,
    /// A secret, an API key or a Digest key lives longer than the policy of its project allows for new ones.
    SecretBeyondPolicy,
    /// A client has never been used, or was refused each time.
    ClientNeverUsed,
    /// A client has not been used for long, or was refused each time since.
    ClientUnused,
    /// A scope that a client was granted has never been used by it, or not for long.
    ScopeUnused,
}

impl FindingKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SecretExpiring,
        Self::SecretsExpired,
        Self::SecretBeyondPolicy,
        Self::ClientNeverUsed,
        Self::ClientUnused,
        Self::ScopeUnused,
    ];

    /// Its word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecretExpiring => "secret_expiring",
            Self::SecretsExpired => "secrets_expired",
            Self::SecretBeyondPolicy => "secret_beyond_policy",
            Self::ClientNeverUsed => "client_never_used",
            Self::ClientUnused => "client_unused",
            Self::ScopeUnused => "scope_unused",
        }
    }
}

/// Something that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The client.
    pub client_id: String,
    /// What people call it.
    pub name: String,
    /// Who answers for it.
    pub owner: String,
    /// Its organization.
    pub organization: String,
    /// Its project.
    pub project: String,
    /// The secret, where it is about one.
    pub secret_id: Option<String>,
    /// The Digest key, where it is about one.
    #[serde(default)]
    pub digest_key_id: Option<String>,
    /// The scope, where it is about one.
    pub scope: Option<String>,
    /// When the secret or the Digest key ends or has ended, where it is about that.
    pub expires_at: Option<Rfc3339>,
    /// When it was last used, even if only to be refused; never if null.
    pub last_used_at: Option<Rfc3339>,
    /// What it means, and what to do.
    pub detail: String,
}
