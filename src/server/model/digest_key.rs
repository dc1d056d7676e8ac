//! Key pairs of clients for HTTP Digest.

use serde::{Deserialize, Serialize};

use crate::api;
use crate::clock::{Rfc3339, UnixTime};
use crate::id::Generation;

use super::SecretUse;

/// The most Digest keys that one client has.
pub const MAX_DIGEST_KEYS: usize = 5;

/// A pair, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DigestKeyRecord {
    /// Its identifier.
    pub id: String,
    /// The user name, which no other pair has.
    pub public_key: String,
    /// Enough of the private key to tell it from others.
    pub prefix: String,
    /// Whether it was brought along, so that nobody knows how well it was chosen.
    #[serde(default)]
    pub brought: bool,
    /// What is kept of the private key: not itself, but what Digest takes in its place, and so sealed.
    pub sealed: SealedSecret,
    /// What a request with it is known by.
    pub generation: Generation,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends.
    pub expires_at: Option<UnixTime>,
}

/// What only who has the sealing key can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// Which sealing key.
    pub by: String,
    /// Base64.
    pub text: String,
}

impl DigestKeyRecord {
    /// Whether it is good at `now`.
    #[must_use]
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// As it is shown.
    #[must_use]
    pub fn shown(&self, used: Option<SecretUse>) -> api::DigestKey {
        api::DigestKey {
            id: self.id.clone(),
            public_key: self.public_key.clone(),
            private_key: None,
            prefix: self.prefix.clone(),
            created_at: Rfc3339(self.created_at),
            expires_at: self.expires_at.map(Rfc3339),
            last_used_at: used.map(|used| Rfc3339(used.at)),
            last_used_from: used.map(|used| used.from.to_string()),
        }
    }
}
