//! Guarding routes: the verifier, the tower layer, the refusals.
//!
//! Responsible for: whether a request's bearer token lets it through a route, and the words of the refusal where it
//! does not. Never: issuing, storing, fetching tokens; it reaches keys and revocations through [`KeySource`] and
//! [`RevocationSource`] alone.
//!
//! ```
//! # #[cfg(feature = "server")]
//! # fn guarded(jwks_document: &[u8]) -> Result<axum::Router, Box<dyn std::error::Error>> {
//! # use std::sync::Arc;
//! # use axum::{Router, routing::get};
//! # use mintage::jose::KeySet;
//! # use mintage::resource::{AccessToken, Guard, GuardLayer, RequireScopes, StaticKeys, Verifier};
//! # async fn list(token: AccessToken) -> String { token.client_id().to_owned() }
//! let keys = mintage::jose::jwk::parse_set(&jwks_document)?;
//! let keys = StaticKeys(KeySet::from_jwks(keys, &mintage::crypto::TOKEN_ALGORITHMS));
//! let verifier = Verifier::builder("https://auth.example.com", "https://orders.example", Arc::new(keys)).build();
//! let guard = Guard::new(Arc::new(verifier)).scopes(RequireScopes::all(["orders:read"])?);
//! let app = Router::new().route("/orders", get(list).layer(GuardLayer::new(guard)));
//! # Ok(app)
//! # }
//! ```

mod builder;
mod control;
mod explain;
mod guard;
mod issuer;
mod layer;
mod refusal;
mod revoked;
mod source;
mod token;
mod verifier;

pub use builder::{Discovered, Given, VerifierBuilder};
pub use control::{Control, LogRefusals, NoSuchControl, RefusalObserver, Refused, ShadowCounts};
pub use explain::{Check, Explanation, Outcome};
pub use guard::{Guard, RequireScopes};
pub use issuer::{DiscoverError, Health, KeysHealth, RevocationsHealth, StaleRevocations};
pub use layer::{GuardFuture, GuardLayer, GuardService};
pub use refusal::Refusal;
pub use revoked::RevokedSet;
pub use source::{KeySource, NoRevocations, RevocationSource, StaticKeys};
pub use token::AccessToken;
#[cfg(feature = "axum")]
pub use token::NotGuarded;
pub use verifier::{TokenError, Verifier};
