//! Signing keys, without the keys themselves: those are files.

use serde::{Deserialize, Serialize};

use crate::api;
use crate::api::KeyState;
use crate::clock::{Rfc3339, UnixTime};
use crate::server::config::SigningAlgorithm;

/// Where a signing key is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// Its state.
    pub state: KeyState,
    /// Its file, within the folder of keys.
    pub file: String,
    /// Whether it was generated here, so that its file goes when it does.
    pub generated: bool,
    /// When it was made or taken in, and so published.
    pub published_at: UnixTime,
    /// When it began to sign.
    pub activated_at: Option<UnixTime>,
    /// Whether it is to take over as soon as it may.
    pub rotation_requested: bool,
    /// The longest that a token signed with it can live, in seconds.
    pub longest_token: u64,
    /// When the last token signed with it has expired.
    pub retires_at: Option<UnixTime>,
}

impl KeyRecord {
    /// Whether it is in the JWKS.
    #[must_use]
    pub fn is_published(&self) -> bool {
        matches!(self.state, KeyState::Next | KeyState::Active | KeyState::Retiring)
    }

    /// As it is shown; `activates_at` is known to who knows when keys are rotated.
    #[must_use]
    pub fn shown(&self, activates_at: Option<UnixTime>) -> api::Key {
        api::Key {
            kid: self.kid.clone(),
            algorithm: crate::jose::algorithm_name(self.algorithm.into()),
            state: self.state,
            created_at: Rfc3339(self.published_at),
            activates_at: activates_at.or(self.activated_at).map(Rfc3339),
            retires_at: self.retires_at.map(Rfc3339),
        }
    }
}
