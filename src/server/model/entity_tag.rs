//! Entity tags (RFC 9110 §8.8.3): what a change can insist on having been made from.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::UnixTime;
use crate::crypto::sha256;

use super::{Api, Client, Organization, Project, Role};

/// The tag of a record: another for every revision, and for what is made later under the same name. When a secret was
/// last used is shown with a client and is no change of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    fn new(kind: &str, name: &str, created_at: Option<UnixTime>, revision: u64, distinct: &str) -> Self {
        let created_at = created_at.map_or(0, UnixTime::seconds);
        let digest = sha256(format!("{kind}\0{name}\0{created_at}\0{revision}\0{distinct}").as_bytes());
        Self(URL_SAFE_NO_PAD.encode(digest.get(..12).unwrap_or_default()))
    }

    /// What stands between its quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl Client {
    /// Its tag. The newest secret tells it from one that was made in the same second under the same id.
    #[must_use]
    pub fn tag(&self) -> EntityTag {
        let newest = self.secrets.last().map_or("", |secret| secret.id.as_str());
        EntityTag::new("client", self.client_id.as_str(), Some(self.created_at), self.revision, newest)
    }
}

/// All that is kept of it: what tells it from one that was made in the same second under the same name.
fn content(record: &impl serde::Serialize) -> String {
    serde_json::to_string(record).unwrap_or_default()
}

impl Api {
    /// Its tag.
    #[must_use]
    pub fn tag(&self) -> EntityTag {
        EntityTag::new("api", &self.identifier, Some(self.created_at), self.revision, &content(self))
    }
}

impl Organization {
    /// Its tag.
    #[must_use]
    pub fn tag(&self) -> EntityTag {
        EntityTag::new("organization", &self.id, Some(self.created_at), self.revision, &content(self))
    }
}

impl Project {
    /// Its tag.
    #[must_use]
    pub fn tag(&self) -> EntityTag {
        EntityTag::new("project", &self.id, Some(self.created_at), self.revision, &content(self))
    }
}

impl Role {
    /// Its tag.
    #[must_use]
    pub fn tag(&self) -> EntityTag {
        EntityTag::new("role", &self.name, self.created_at, self.revision, &content(self))
    }
}
