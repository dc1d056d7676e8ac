//! Signed heads: what somebody keeps elsewhere, to hold the chain against later.

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;
use crate::crypto::TOKEN_ALGORITHMS;
use crate::jose::CompactJws;
use crate::server::model::AuditHead;

use super::signed::{KnownKeys, Wrong};

/// The `typ` of a signed head. It is no access token, and no verifier of those takes it for one.
pub const HEAD_TYPE: &str = "mintage-audit-head+jwt";

/// What a signed head says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeadClaims {
    /// Whose chain it is.
    pub iss: String,
    /// When it was signed.
    pub iat: UnixTime,
    /// The end of the chain then.
    #[serde(flatten)]
    pub head: AuditHead,
}

/// A text is not a signed head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a signed head, as `mintage audit verify --json` and `mintage audit head` print it")]
pub struct BadHead;

/// A signed head that somebody presents: its signature is looked at when the keys are known.
#[derive(Clone, Debug)]
pub struct ClaimedHead {
    jws: String,
    kid: String,
    /// The end of the chain that it vouches for.
    pub head: AuditHead,
}

impl ClaimedHead {
    /// Takes a signed head apart.
    ///
    /// # Errors
    /// [`BadHead`].
    pub fn parse(text: &str) -> Result<Self, BadHead> {
        let text = text.trim();
        let jws = CompactJws::parse(text).map_err(|_| BadHead)?;
        let header = jws.checked_header(&TOKEN_ALGORITHMS).map_err(|_| BadHead)?;
        let claims: HeadClaims = serde_json::from_slice(&jws.payload).map_err(|_| BadHead)?;
        match (header.typ.as_deref(), header.kid) {
            (Some(HEAD_TYPE), Some(kid)) => Ok(Self { jws: text.to_owned(), kid, head: claims.head }),
            _ => Err(BadHead),
        }
    }

    /// What is wrong with its signature. A head is kept elsewhere because the store's word is not enough: a key that the
    /// store alone knows is not, either.
    pub(super) fn signature_problem(&self, keys: &KnownKeys) -> Option<String> {
        let of_the_store = |kid: &str| {
            format!(
                "the head given is signed with the key {kid}, and only the store says that it has signed here, to which \
                 whoever can write it can add one: name the public keys with --jwks"
            )
        };
        match keys.verify(&self.jws, HEAD_TYPE) {
            Ok(_) if keys.are_from_elsewhere => None,
            Ok(_) => Some(of_the_store(&self.kid)),
            Err(Wrong::OfTheStore(kid)) => Some(of_the_store(&kid)),
            Err(Wrong::Unknown(kid)) => {
                Some(format!("the head given is signed with the key {kid}, which has never signed here"))
            }
            Err(Wrong::Bad) => Some("the signature of the head given is not good".to_owned()),
        }
    }
}
