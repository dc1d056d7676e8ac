//! The audience that follows from scopes, and what an API says of itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::oauth::metadata::ProtectedResourceMetadata;
use crate::scope::ScopeSet;
use crate::server::error::Error;

use super::Service;

impl Service {
    /// The identifiers of the APIs that define `scopes`: who needs those scopes needs tokens for all of these.
    ///
    /// # Errors
    /// [`Error::Malformed`], which names a scope that no API defines.
    pub fn audiences_of(&self, scopes: &ScopeSet) -> Result<Vec<Arc<str>>, Error> {
        let catalog = self.catalog.now();
        let mut audiences = BTreeSet::new();
        for scope in scopes.iter() {
            if !catalog.defines(scope) {
                let hint = catalog.nearest(scope.as_str(), None).map(|near| format!("; did you mean {near}?"));
                return Err(Error::Malformed(format!("no API defines the scope {scope}{}", hint.unwrap_or_default())));
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
