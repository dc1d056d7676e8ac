//! The audience that follows from scopes, and what an API says of itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::oauth::metadata::ProtectedResourceMetadata;
use crate::scope::{Scope, ScopeSet};
use crate::server::error::Error;

use super::Service;

/// A scope that no API defines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no API defines the scope {scope}{}", .near.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
pub struct UnknownScope {
    /// It, as it was sent.
    pub scope: Scope,
    /// One that is much like it: then it is a slip, and no secret in the wrong place.
    pub near: Option<String>,
}

impl From<UnknownScope> for Error {
    fn from(unknown: UnknownScope) -> Self {
        Self::Malformed(unknown.to_string())
    }
}

impl Service {
    /// The identifiers of the APIs that define `scopes`: who needs those scopes needs tokens for all of these.
    ///
    /// # Errors
    /// [`UnknownScope`].
    pub fn audiences_of(&self, scopes: &ScopeSet) -> Result<Vec<Arc<str>>, UnknownScope> {
        let catalog = self.catalog.now();
        let mut audiences = BTreeSet::new();
        for scope in scopes.iter() {
            if !catalog.defines(scope) {
                let near = catalog.nearest(scope.as_str(), None).map(|near| near.to_string());
                return Err(UnknownScope { scope: scope.clone(), near });
            }
            audiences.insert(match catalog.owner(scope) {
                Some(api) => Arc::from(api.identifier.as_str()),
                None => Arc::clone(&self.settings.issuer),
            });
        }
        Ok(audiences.into_iter().collect())
    }

    /// Whether tokens can be for this audience: an API, or the service itself.
    #[must_use]
    pub fn knows_audience(&self, identifier: &str) -> bool {
        identifier == &*self.settings.issuer || self.catalog.now().api(identifier).is_some()
    }

    /// The metadata of a registered API as a protected resource (RFC 9728).
    #[must_use]
    pub fn protected_resource(&self, identifier: &str) -> Option<ProtectedResourceMetadata> {
        let catalog = self.catalog.now();
        let api = catalog.api(identifier)?;
        let scopes = api.scopes.iter().map(|scope| scope.name.to_string()).collect();
        Some(ProtectedResourceMetadata::new(&self.settings.issuer, identifier, scopes))
    }
}
