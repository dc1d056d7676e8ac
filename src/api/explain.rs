//! What a token says, and why a request was refused.

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;
use crate::secret::Environment;

/// What a token says of its bearer.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    /// All claims of the token.
    #[cfg_attr(feature = "server", schema(value_type = Object))]
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Where the request came from, as it was decided.
    pub source_address: String,
    /// How it was decided: `peer`, `forwarded` or `x-forwarded-for`.
    #[cfg_attr(feature = "server", schema(pattern = "^(peer|forwarded|x-forwarded-for)$"))]
    pub source_address_from: String,
    /// In how many seconds the token expires.
    pub expires_in: u64,
}

/// A token about which a guarded route would have to decide.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExplainToken {
    /// The token.
    pub token: String,
    /// The scopes that the route needs.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::scope::Scope>))]
    pub scopes: Vec<String>,
    /// The audience that it takes; that of the scopes' API if left out, any if there are no scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The environment that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The address that the request comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When; now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Rfc3339>,
}

impl std::fmt::Debug for ExplainToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExplainToken")
            .field("scopes", &self.scopes)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// A refused request, as it was recorded.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Refusal {
    /// Its name, as the caller was told it.
    pub request_id: String,
    /// When.
    pub refused_at: Rfc3339,
    /// What the caller was told.
    pub reason: String,
    /// What that means.
    pub meaning: String,
    /// What the caller is to do.
    pub action: String,
    /// What really happened, where the caller was not told.
    pub cause: Option<String>,
    /// What the caller was told besides.
    pub detail: Option<String>,
    /// The client whose credential it came with, or named, where that is known.
    pub client_id: Option<String>,
    /// Which of its Digest keys, by the public key.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Where the request came from.
    pub source_address: Option<String>,
}
