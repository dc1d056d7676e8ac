//! Taking compact JWSs apart and checking their signatures.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Map, Value};

use crate::crypto::{PublicKey, Sha256, VerifyingKey};

use super::jwk::ParsedJwk;
use super::{ACCESS_TOKEN_TYPE, algorithm_name, strict};

/// Longer tokens are refused unread.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a JWS is refused. Its text is ours alone: nothing of the token is in it but the names of algorithms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Too long.
    #[error("it is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three base64url parts.
    #[error("it is not a compact JWS: three parts of unpadded base64url with dots between them")]
    NotCompact,
    /// The header is not a JSON object of the registered members' types.
    #[error("its header is not a JSON object with the members of RFC 7515, each named once")]
    BadHeader,
    /// The header names an algorithm that is not accepted here.
    #[error("its algorithm is not one of those accepted here ({accepted})")]
    AlgorithmNotAccepted {
        /// The accepted ones.
        accepted: String,
    },
    /// `crit` (RFC 7515 §4.1.11) or `b64` (RFC 7797).
    #[error("its header asks for extensions (crit, b64) that are not understood here")]
    CriticalExtension,
    /// A key, or where to fetch one, in the header.
    #[error("its header brings or points to a key (jwk, jku, x5u, x5c), and keys come from the issuer alone")]
    KeyInHeader,
    /// Not `at+jwt`.
    #[error("its typ is not at+jwt: it is not an access token (RFC 9068)")]
    WrongType,
    /// No `kid`.
    #[error("its header has no kid to choose the key by")]
    NoKeyId,
    /// No key of that `kid`.
    #[error("it is signed with a key that the issuer does not publish")]
    UnknownKey,
    /// The signature is not that of this key.
    #[error("its signature is not good")]
    BadSignature,
    /// The payload is not a JSON object.
    #[error("its claims are not a JSON object in which each is named once")]
    BadClaims,
}

/// A compact JWS, taken apart and not yet believed (RFC 7515 §7.1).
#[derive(Debug)]
pub struct CompactJws<'a> {
    /// Header and payload as they were signed.
    signed: &'a [u8],
    /// The header's members, each named once.
    pub header: Map<String, Value>,
    /// What was signed.
    pub payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What the header of an access token says.
#[derive(Clone, Debug)]
pub struct TokenHeader {
    /// The algorithm, one of the accepted.
    pub algorithm: Algorithm,
    /// The key.
    pub kid: String,
}

impl<'a> CompactJws<'a> {
    /// Takes `token` apart.
    ///
    /// # Errors
    /// [`JwsError::TooLong`], [`JwsError::NotCompact`], [`JwsError::BadHeader`].
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwsError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::NotCompact)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::NotCompact);
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header = strict::parse_object(&header).map_err(|_| JwsError::BadHeader)?;
        Ok(Self { signed: signed.as_bytes(), header, payload, signature })
    }

    /// The algorithm that the header names, if we know it, and the header as registered members. Refuses what would
    /// change how the rest is read.
    ///
    /// # Errors
    /// [`JwsError::BadHeader`], [`JwsError::AlgorithmNotAccepted`], [`JwsError::CriticalExtension`].
    pub fn checked_header(&self, accepted: &[Algorithm]) -> Result<Header, JwsError> {
        if self.header.contains_key("crit") || self.header.contains_key("b64") {
            return Err(JwsError::CriticalExtension);
        }
        let not_accepted = || JwsError::AlgorithmNotAccepted {
            accepted: accepted.iter().map(|a| algorithm_name(*a)).collect::<Vec<_>>().join(", "),
        };
        let named = self.header.get("alg").and_then(Value::as_str).ok_or(JwsError::BadHeader)?;
        let algorithm: Algorithm = named.parse().map_err(|_| not_accepted())?;
        if !accepted.contains(&algorithm) {
            return Err(not_accepted());
        }
        serde_json::from_value(Value::Object(self.header.clone())).map_err(|_| JwsError::BadHeader)
    }

    /// The header of an access token (RFC 9068 §4).
    ///
    /// # Errors
    /// What [`Self::checked_header`] refuses, [`JwsError::KeyInHeader`], [`JwsError::WrongType`],
    /// [`JwsError::NoKeyId`].
    pub fn access_token_header(&self, accepted: &[Algorithm]) -> Result<TokenHeader, JwsError> {
        let header = self.checked_header(accepted)?;
        if ["jwk", "jku", "x5u", "x5c"].iter().any(|name| self.header.contains_key(*name)) {
            return Err(JwsError::KeyInHeader);
        }
        // Media types compare without case, and `application/` may be left out (RFC 7515 §4.1.9).
        let is_access_token = header.typ.as_deref().is_some_and(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").unwrap_or(&typ) == ACCESS_TOKEN_TYPE
        });
        if !is_access_token {
            return Err(JwsError::WrongType);
        }
        let kid = header.kid.ok_or(JwsError::NoKeyId)?;
        Ok(TokenHeader { algorithm: header.alg, kid })
    }

    /// Whether `key` made the signature.
    ///
    /// # Errors
    /// [`JwsError::BadSignature`].
    pub fn verify_signature(&self, key: &dyn JwtVerifier) -> Result<(), JwsError> {
        key.verify(self.signed, &self.signature).map_err(|_| JwsError::BadSignature)
    }

    /// Whether the MAC is that of `key` (HS256): for inspecting a JWS by hand, never for a token.
    #[must_use]
    pub fn verify_hs256(&self, key: &crate::crypto::HmacKey) -> bool {
        key.verify(self.signed, &self.signature)
    }

    /// The claims, each named once.
    ///
    /// # Errors
    /// [`JwsError::BadClaims`].
    pub fn claims(&self) -> Result<Map<String, Value>, JwsError> {
        strict::parse_object(&self.payload).map_err(|_| JwsError::BadClaims)
    }
}

/// The keys of one issuer, each parsed once. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Arc<HashMap<String, Vec<VerifyingKey>>>);

impl KeySet {
    /// The keys of a JWK Set that are named and serve one of `accepted`. A key that names no `alg` is readied for each
    /// accepted algorithm of its kind.
    #[must_use]
    pub fn from_jwks(jwks: Vec<ParsedJwk>, accepted: &[Algorithm]) -> Self {
        let mut keys: HashMap<String, Vec<VerifyingKey>> = HashMap::new();
        for jwk in jwks {
            let Some(kid) = jwk.kid else { continue };
            for algorithm in accepted.iter().filter(|a| jwk.algorithm.is_none_or(|own| own == **a)) {
                if let Some(key) = VerifyingKey::new(&jwk.key, *algorithm) {
                    keys.entry(kid.clone()).or_default().push(key);
                }
            }
        }
        Self(Arc::new(keys))
    }

    /// A set of these keys.
    #[must_use]
    pub fn from_keys<'k>(keys: impl IntoIterator<Item = (String, &'k PublicKey, Algorithm)>) -> Self {
        let parsed = keys
            .into_iter()
            .filter_map(|(kid, key, algorithm)| Some((kid, vec![VerifyingKey::new(key, algorithm)?])))
            .collect();
        Self(Arc::new(parsed))
    }

    /// The key that `kid` names, for `algorithm`.
    #[must_use]
    pub fn find(&self, kid: &str, algorithm: Algorithm) -> Option<&VerifyingKey> {
        self.0.get(kid)?.iter().find(|key| key.algorithm() == algorithm)
    }

    /// Whether the key of this fingerprint is in the set under that `kid`: a name alone can be given to another key.
    #[must_use]
    pub fn holds(&self, kid: &str, fingerprint: &Sha256) -> bool {
        self.0.get(kid).is_some_and(|keys| keys.iter().any(|key| key.fingerprint() == fingerprint))
    }

    /// How many `kid`s there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key of that `kid` is in the set.
    #[must_use]
    pub fn contains(&self, kid: &str) -> bool {
        self.0.contains_key(kid)
    }
}
