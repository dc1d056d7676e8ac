//! The answers of the token endpoint (RFC 6749 §5.1 and §5.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::RequestId;
use crate::reason::Reason;

/// A token (RFC 6749 §5.1).
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct TokenResponse {
    /// The token.
    pub access_token: String,
    /// `Bearer`.
    #[cfg_attr(feature = "server", schema(pattern = "^Bearer$"))]
    pub token_type: String,
    /// How long it lives, in seconds.
    pub expires_in: u64,
    /// Its scopes, separated by spaces; left out where there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// What it is, where something was exchanged for it (RFC 8693 §2.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub issued_token_type: Option<String>,
    /// In how many seconds it is best renewed: a hint of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_in: Option<u64>,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse")
            .field("token_type", &self.token_type)
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A refusal (RFC 6749 §5.2), with two members of our own.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ErrorResponse {
    /// The RFC's code.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub error: &'static str,
    /// What happened, and what to do. ASCII, as the RFC asks.
    pub error_description: String,
    /// The stable word.
    pub reason: Reason,
    /// The request's name in the logs.
    pub request_id: RequestId,
    /// What the reason carries besides.
    #[serde(flatten)]
    #[cfg_attr(feature = "server", schema(ignore))]
    pub extensions: Map<String, Value>,
}

impl ErrorResponse {
    /// A refusal of this reason.
    #[must_use]
    pub fn new(reason: Reason, description: &str, request_id: RequestId) -> Self {
        // §5.2: %x20-21 / %x23-5B / %x5D-7E.
        let error_description = description
            .chars()
            .map(|c| match c {
                '"' => '\'',
                ' '..='~' if c != '\\' => c,
                _ => '?',
            })
            .collect();
        let error = reason.rfc_code().unwrap_or("invalid_request");
        Self { error, error_description, reason, request_id, extensions: Map::new() }
    }

    /// Adds members (RFC 6749 §8.2 leaves room for them).
    #[must_use]
    pub fn with_members<'a>(mut self, members: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        self.extensions.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }
}
