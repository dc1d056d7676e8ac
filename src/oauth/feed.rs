//! The revocation feed: what an issuer publishes as revoked, for verifiers that look nothing up.

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;

/// The longest that an answer may be held back until there is news, in seconds.
pub const MAX_WAIT: u64 = 60;

/// A header of the feed's answers: the entity tag of the key set as it is now. A verifier that has another one fetches
/// the set again, so that a new key is known before it signs.
pub const JWKS_ETAG: &str = "mintage-jwks-etag";

/// An answer of the feed. `until` is when the last token that an entry concerns has expired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RevocationFeed {
    /// What to ask with next time, to get what came after. Opaque.
    pub cursor: String,
    /// Whether this is the whole list, because what was asked with is not known.
    pub reset: bool,
    /// Tokens.
    pub jtis: Vec<RevokedJti>,
    /// Generations of secrets, with all tokens that were bought with them.
    pub generations: Vec<RevokedGeneration>,
    /// Keys, with all tokens signed with them.
    pub kids: Vec<RevokedKid>,
}

/// A revoked token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RevokedJti {
    /// Its `jti`.
    pub jti: String,
    /// Unix seconds.
    pub until: UnixTime,
}

/// A revoked generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RevokedGeneration {
    /// What its tokens carry as `gen`.
    #[serde(rename = "gen")]
    pub generation: String,
    /// Unix seconds.
    pub until: UnixTime,
}

/// A revoked key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RevokedKid {
    /// Its `kid`.
    pub kid: String,
    /// Unix seconds.
    pub until: UnixTime,
}

impl RevocationFeed {
    /// Whether it names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jtis.is_empty() && self.generations.is_empty() && self.kids.is_empty()
    }
}
