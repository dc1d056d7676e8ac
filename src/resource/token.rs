//! The token that let a request through.

use std::sync::Arc;

use crate::clock::UnixTime;
use crate::jose::claims::AccessTokenClaims;
use crate::scope::ScopeSet;

/// A verified access token, in the extensions of every request that a guard let through. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessToken {
    pub(super) claims: Arc<AccessTokenClaims>,
    /// Whether it is what an API key or a Digest pair stands for: all that there is to be had with it.
    pub(super) is_whole: bool,
}

impl AccessToken {
    /// What a credential stands for that is no JWT. For an [`ApiKeySource`](super::ApiKeySource), which has made sure of
    /// it; nothing verifies these claims.
    #[must_use]
    pub fn of_claims(claims: AccessTokenClaims) -> Self {
        Self { claims: Arc::new(claims), is_whole: true }
    }

    /// The client it was issued to.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.claims.client_id
    }

    /// Its scopes.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.claims.scopes
    }

    /// When it expires.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.claims.expires_at
    }

    /// `live` or `test`, where it says.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.claims.environment.as_deref()
    }

    /// A claim of your own, as the type that you expect it to be; `None` where it is not there.
    ///
    /// # Errors
    /// serde_json's, where it is of another type.
    pub fn claim<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.claims.all.get(name).map(T::deserialize).transpose()
    }

    /// All its claims, typed.
    #[must_use]
    pub fn claims(&self) -> &AccessTokenClaims {
        &self.claims
    }
}

/// The extractor found no token: the route is not behind a guard.
#[cfg(feature = "axum")]
#[derive(Clone, Copy, Debug)]
pub struct NotGuarded;

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for NotGuarded {
    fn into_response(self) -> axum_core::response::Response {
        tracing::error!("AccessToken was asked for on a route that no guard stands before");
        http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[cfg(feature = "axum")]
impl<S: Send + Sync> axum_core::extract::FromRequestParts<S> for AccessToken {
    type Rejection = NotGuarded;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, NotGuarded> {
        parts.extensions.get().cloned().ok_or(NotGuarded)
    }
}
