//! Signed heads: what somebody keeps elsewhere, to hold the chain against later.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::crypto::TOKEN_ALGORITHMS;
use crate::jose::{Algorithm, CompactJws, KeySet, jwk};
use crate::server::model::AuditHead;

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
    algorithm: Algorithm,
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
            (Some(HEAD_TYPE), Some(kid)) => {
                Ok(Self { jws: text.to_owned(), kid, algorithm: header.alg, head: claims.head })
            }
            _ => Err(BadHead),
        }
    }

    /// What is wrong with its signature, given the public keys that have ever signed here.
    pub(super) fn signature_problem(&self, keys: &[Value]) -> Option<String> {
        let mut parsed: Vec<_> = keys.iter().filter_map(jwk::from_jwk).collect();
        // A key is who it is by its thumbprint, whatever it is called.
        parsed.iter_mut().for_each(|key| key.kid = Some(jwk::thumbprint(&key.key)));
        let keys = KeySet::from_jwks(parsed, &TOKEN_ALGORITHMS);
        let Some(key) = keys.find(&self.kid, self.algorithm) else {
            return Some(format!("the head given is signed with the key {}, which has never signed here", self.kid));
        };
        let good = CompactJws::parse(&self.jws).is_ok_and(|jws| jws.verify_signature(key).is_ok());
        (!good).then(|| "the signature of the head given is not good".to_owned())
    }
}
