//! Fetching tokens: discovery and the token request.
//!
//! Responsible for: one request to a token endpoint and its answer, with credentials that are never printed and never
//! follow a redirect. Never: verifying tokens, or keeping them.

mod credentials;
mod error;
mod http;

pub use credentials::Credentials;
pub use error::Error;
#[cfg(feature = "server")]
pub(crate) use http::unix_client;
pub use http::{MAX_ANSWER_BYTES, TokenClient, http_client, read_bounded};

use crate::scope::ScopeSet;

/// Where the token endpoint is.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// To be found in the metadata of this issuer (RFC 8414).
    Issuer(String),
    /// Known.
    TokenUrl(String),
}

/// What a token is to be for.
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// The scopes asked for; none asks for all that the client was granted.
    pub scopes: ScopeSet,
    /// The APIs it is to be for (RFC 8707); none leaves that to the scopes.
    pub resources: Vec<String>,
}
