//! Guarding routes: the verifier, the tower layer, the refusals.
//!
//! Responsible for: whether a request's bearer token lets it through a route, and the words of the refusal where it
//! does not. Never: issuing, storing, fetching tokens; it reaches keys and revocations through [`KeySource`] and
//! [`RevocationSource`] alone.

mod guard;
mod layer;
mod refusal;
mod source;
mod token;
mod verifier;

pub use guard::{Guard, RequireScopes};
pub use layer::{GuardFuture, GuardLayer, GuardService};
pub use refusal::Refusal;
pub use source::{KeySource, NoRevocations, RevocationSource, StaticKeys};
pub use token::AccessToken;
#[cfg(feature = "axum")]
pub use token::NotGuarded;
pub use verifier::{TokenError, Verifier, VerifierBuilder};
