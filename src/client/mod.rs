//! Fetching tokens: a [`TokenSource`] that always has a fresh one, and what puts it on requests.
//!
//! Responsible for: asking a token endpoint, renewing ahead of expiry and through outages, one request in flight however
//! many callers. Credentials and tokens are never printed, and never follow a redirect. Never: verifying tokens.
//!
//! ```no_run
//! # async fn call() -> Result<(), Box<dyn std::error::Error>> {
//! use mintage::client::TokenSource;
//!
//! let tokens = TokenSource::discover("https://auth.example.com")
//!     .credentials_file("/etc/billing/credentials.json")
//!     .scopes(["orders:read"])
//!     .build()?;
//! let authorization = tokens.token().await?.authorization();
//! # Ok(()) }
//! ```

mod answer;
mod bearer;
mod cache;
mod endpoint;
mod entry;
mod error;
mod forced;
mod identity;
mod kept;
mod refresher;
mod schedule;
mod shared;
mod source;
mod token;

pub use crate::credentials::{BadCredentials, Credentials};
pub use crate::fetch::http_client;
pub use bearer::{Bearer, BearerLayer, BearerService, ClonedBody, NoRetry, SecondBody};
pub use cache::TokenCache;
pub use endpoint::AuthMethod;
pub use error::Error;
pub use schedule::{lead, lifetime_of, renew_after};
pub use shared::Health;
pub use source::{TokenChanges, TokenSource, TokenSourceBuilder};
pub use token::Token;

use crate::scope::ScopeSet;

/// Where the token endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// To be found in the metadata of this issuer (RFC 8414).
    Issuer(String),
    /// Known.
    TokenUrl(String),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Issuer(url) | Self::TokenUrl(url)) = self;
        f.write_str(url)
    }
}

/// What a token is to be for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// The scopes asked for; none asks for all that the client was granted.
    pub scopes: ScopeSet,
    /// The APIs it is to be for (RFC 8707); none leaves that to the scopes.
    pub resources: Vec<String>,
}
