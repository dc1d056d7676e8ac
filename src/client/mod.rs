//! Fetching tokens: discovery and the token request.
//!
//! Responsible for: one request to a token endpoint and its answer, with credentials that are never printed and never
//! follow a redirect. Never: verifying tokens, or keeping them.

mod credentials;
mod error;
mod http;

pub use crate::fetch::http_client;
pub use credentials::Credentials;
pub use error::Error;
pub use http::TokenClient;

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
