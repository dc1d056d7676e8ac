//! Guarding routes: the verifier, the tower layers, the refusals.
//!
//! Responsible for: whether a request's bearer token lets it through a route, the words of the refusal where it does
//! not, and following the issuer so that neither needs to ask it. Never: issuing, storing, fetching tokens. `issuer/`
//! makes requests in the background; verifying reaches keys and revocations through [`KeySource`] and
//! [`RevocationSource`]. `introspected/` alone asks while a request waits: about API keys, and only where a guard takes them.
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # async fn guarded() -> Result<axum::Router, Box<dyn std::error::Error>> {
//! # use std::sync::Arc;
//! # use axum::{Router, routing::get};
//! # use mintage::resource::{AccessToken, Guard, RequireScopes, Verifier};
//! # async fn list(token: AccessToken) -> String { token.client_id().to_owned() }
//! let verifier = Verifier::discover("https://auth.example.com")
//!     .audience("https://orders.example")
//!     .snapshot("/var/lib/orders/verifier.json")
//!     .build()
//!     .await?;
//! let guard = Guard::new(Arc::new(verifier)).scopes(RequireScopes::all(["orders:read"])?);
//! let app = Router::new().route("/orders", get(list).layer(guard.layer()));
//! # Ok(app)
//! # }
//! ```

mod body;
mod builder;
mod control;
mod explain;
mod guard;
mod introspected;
mod issuer;
mod layer;
mod limits;
mod presented;
mod refusal;
mod revoked;
mod source;
mod token;
mod verifier;

pub use crate::credentials::{BadCredentials, Credentials};
pub use body::{Peeked, RefuseTokenInBody, RefuseTokenInBodyFuture, RefuseTokenInBodyService};
pub use builder::{Discovered, Given, VerifierBuilder};
pub use control::{Control, LogRefusals, NoSuchControl, RefusalObserver, Refused, ShadowCounts, Untold};
pub use explain::{Check, Explanation, Outcome};
pub use guard::{Guard, RequireScopes};
pub use introspected::{IntrospectedKeys, IntrospectedKeysBuilder, NoIntrospection};
pub use issuer::{DiscoverError, Health, KeysHealth, RevocationsHealth, StaleRevocations};
pub use layer::{GuardFuture, GuardLayer, GuardService};
pub use limits::{LimitedFuture, LimitedService, RequestLimits};
pub use refusal::{DigestFailure, Refusal};
pub use revoked::{KEPT_LONGER, RevokedSet};
pub use source::{
    ApiKeyAnswer, ApiKeySource, Asked, DigestSource, KeySource, NoRevocations, RequestTarget, RevocationSource,
    StaticKeys,
};
pub use token::AccessToken;
#[cfg(feature = "axum")]
pub use token::NotGuarded;
pub use verifier::{TokenError, Verifier};
