//! What is kept of a secret.

use serde::{Deserialize, Serialize};

use crate::crypto::SlowHash;
use crate::secret::SecretHash;

/// What is kept of a secret: a quick hash of one that is known to be random, a slow one of any other.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeptHash {
    /// SHA-256. `sha256:…`
    Quick(SecretHash),
    /// What takes a core for a while. `$argon2id$…`, `$2b$…`
    Slow(SlowHash),
}

impl KeptHash {
    /// The slow hash, if it is one.
    #[must_use]
    pub const fn slow(&self) -> Option<&SlowHash> {
        match self {
            Self::Quick(_) => None,
            Self::Slow(hash) => Some(hash),
        }
    }
}

impl From<SecretHash> for KeptHash {
    fn from(hash: SecretHash) -> Self {
        Self::Quick(hash)
    }
}
