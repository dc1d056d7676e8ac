//! APIs (resource servers).

use serde::{Deserialize, Serialize};

use crate::api;
use crate::clock::{Rfc3339, UnixTime};
use crate::scope::Scope;

use super::Place;

/// An API and the scopes it defines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// A URI: the `aud` of its tokens.
    pub identifier: String,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub organization: String,
    /// The scopes it defines.
    pub scopes: Vec<DefinedScope>,
    /// How long its tokens live at most, in seconds.
    pub token_ttl: Option<u64>,
    /// Clients that may introspect tokens for it.
    pub introspectors: Vec<String>,
    /// When it was registered.
    pub created_at: UnixTime,
    /// Counts its changes. A record from before they were counted has none.
    #[serde(default)]
    pub revision: u64,
}

/// A scope and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinedScope {
    /// Its name.
    pub name: Scope,
    /// For people.
    pub description: String,
}

impl Api {
    /// It, changed, without this client as an introspector; none where it is none.
    #[must_use]
    pub fn without_introspector(&self, client_id: &str) -> Option<Self> {
        let mut changed = self.clone();
        changed.introspectors.retain(|id| id != client_id);
        changed.revision += 1;
        (changed.introspectors.len() < self.introspectors.len()).then_some(changed)
    }

    /// Where it belongs.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::organization(&self.organization)
    }

    /// As it is shown.
    #[must_use]
    pub fn shown(&self) -> api::Api {
        api::Api {
            identifier: self.identifier.clone(),
            name: self.name.clone(),
            organization: self.organization.clone(),
            scopes: self
                .scopes
                .iter()
                .map(|s| api::ScopeDefinition { name: s.name.to_string(), description: s.description.clone() })
                .collect(),
            token_ttl: self.token_ttl,
            introspectors: self.introspectors.clone(),
            created_at: Rfc3339(self.created_at),
        }
    }
}
