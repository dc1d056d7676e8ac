//! The `WWW-Authenticate` of refusals (RFC 6750 §3, RFC 9728 §5.1).

use crate::scope::ScopeSet;

/// The realm that all challenges name.
pub const REALM: &str = "mintage";

/// For a token endpoint's `invalid_client` (RFC 6749 §5.2).
#[must_use]
pub fn basic() -> String {
    format!("Basic realm=\"{REALM}\"")
}

/// For a request without credentials: no `error`, so that a client knows it was not refused for what it sent.
#[must_use]
pub fn bearer_without_credentials(resource_metadata: Option<&str>) -> String {
    match resource_metadata {
        Some(url) => format!("Bearer realm=\"{REALM}\", resource_metadata=\"{}\"", quotable(url)),
        None => format!("Bearer realm=\"{REALM}\""),
    }
}

/// For a request whose credentials cannot be read.
#[must_use]
pub fn bearer_malformed() -> String {
    "Bearer error=\"invalid_request\"".to_owned()
}

/// For a token that is not good.
#[must_use]
pub fn bearer_invalid_token(description: &str) -> String {
    format!("Bearer error=\"invalid_token\", error_description=\"{}\"", quotable(description))
}

/// For a token that lacks scopes.
#[must_use]
pub fn bearer_insufficient_scope(needed: &ScopeSet) -> String {
    // A scope has neither a quote nor a backslash in it.
    format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"")
}

/// RFC 6750 §3: `error_description` is of %x20-21 / %x23-5B / %x5D-7E.
fn quotable(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '?' }).collect()
}
