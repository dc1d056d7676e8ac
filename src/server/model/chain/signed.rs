//! What is signed in and about the chain, and whose word is taken for a key.
//!
//! Whoever can write the store can add a key to it. So the keys in it count only as far as a key vouches for them that is
//! known from elsewhere, or one that such a key vouches for: each key that takes over vouches for the one before it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::crypto::TOKEN_ALGORITHMS;
use crate::jose::jwk::ParsedJwk;
use crate::jose::{CompactJws, KeySet, TokenSigner, jwk};

/// The `typ` of what is signed of a pruning.
pub(super) const PRUNE_TYPE: &str = "mintage-audit-prune+jwt";
/// The `typ` of one key's word for another.
const ENDORSEMENT_TYPE: &str = "mintage-audit-key+jwt";
/// The member of a stored key that has such words, by the `kid` of who gave them.
pub const ENDORSEMENTS: &str = "endorsements";

/// A public key that has signed here, as it is kept for good.
#[derive(Clone, Debug)]
pub struct AuditKey {
    /// Its thumbprint.
    pub kid: String,
    /// It.
    pub jwk: Value,
    /// The key that vouches for it, and its word.
    pub endorsed: Option<(String, String)>,
}

/// What signs for the audit log.
#[derive(Clone, Debug)]
pub struct AuditSigner(Arc<TokenSigner>);

impl AuditSigner {
    /// With this key.
    #[must_use]
    pub fn new(signer: Arc<TokenSigner>) -> Self {
        Self(signer)
    }

    pub(super) fn sign(&self, typ: &str, payload: &impl Serialize) -> Option<String> {
        self.0.sign_as(typ, payload).ok()
    }

    /// The key itself, to be kept.
    #[must_use]
    pub fn key(&self) -> AuditKey {
        let jwk = jwk::to_jwk(&self.0.public_key(), self.0.kid(), self.0.algorithm());
        AuditKey { kid: self.0.kid().to_owned(), jwk, endorsed: None }
    }

    /// Another one, to be kept with this one's word for it.
    #[must_use]
    pub fn vouch_for(&self, key: &AuditKey) -> AuditKey {
        let word = self.sign(ENDORSEMENT_TYPE, &json!({ "kid": key.kid }));
        AuditKey { endorsed: word.map(|word| (self.0.kid().to_owned(), word)), ..key.clone() }
    }
}

/// Why a signature does not count.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It is not good, or of something else.
    Bad,
    /// The key has never signed here.
    Unknown(String),
    /// Nobody but the store says that the key has signed here.
    OfTheStore(String),
}

/// The keys that signatures are held against.
#[derive(Debug)]
pub(super) struct KnownKeys {
    /// Those that count.
    known: KeySet,
    /// All that the store has.
    stored: KeySet,
    /// Whether any is known from elsewhere.
    pub(super) are_from_elsewhere: bool,
}

/// A key is who it is by its thumbprint, whatever it is called.
fn parse(key: &Value) -> Option<ParsedJwk> {
    let parsed = jwk::from_jwk(key)?;
    Some(ParsedJwk { kid: Some(jwk::thumbprint(&parsed.key)), ..parsed })
}

fn set(keys: &[ParsedJwk]) -> KeySet {
    KeySet::from_jwks(keys.to_vec(), &TOKEN_ALGORITHMS)
}

/// What a JWS says, if one of these keys has signed it; else the `kid` that it names.
fn verified(keys: &KeySet, text: &str, typ: &str) -> Result<Value, Option<String>> {
    let jws = CompactJws::parse(text).map_err(|_| None)?;
    let header = jws.checked_header(&TOKEN_ALGORITHMS).map_err(|_| None)?;
    let kid = header.kid.filter(|_| header.typ.as_deref() == Some(typ)).ok_or(None)?;
    let key = keys.find(&kid, header.alg).ok_or(Some(kid))?;
    jws.verify_signature(key).map_err(|_| None)?;
    serde_json::from_slice(&jws.payload).map_err(|_| None)
}

impl KnownKeys {
    /// `elsewhere`: known from elsewhere than the store.
    pub(super) fn new(elsewhere: &[Value], stored: &[Value]) -> Self {
        let mut known: Vec<_> = elsewhere.iter().filter_map(parse).collect();
        let are_from_elsewhere = !known.is_empty();
        let all: Vec<_> = stored.iter().filter_map(parse).collect();
        if !are_from_elsewhere {
            return Self { known: set(&all), stored: set(&all), are_from_elsewhere };
        }
        let mut open: Vec<_> = stored.iter().filter_map(|key| Some((parse(key)?, key.get(ENDORSEMENTS)))).collect();
        loop {
            let keys = set(&known);
            let is_vouched_for = |(key, words): &(ParsedJwk, Option<&Value>)| {
                let words = words.and_then(Value::as_object).into_iter().flat_map(|words| words.values());
                words.filter_map(Value::as_str).any(|word| {
                    verified(&keys, word, ENDORSEMENT_TYPE)
                        .is_ok_and(|says| says.get("kid").and_then(Value::as_str) == key.kid.as_deref())
                })
            };
            let (more, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(is_vouched_for);
            open = rest;
            if more.is_empty() {
                break;
            }
            known.extend(more.into_iter().map(|(key, _)| key));
        }
        Self { known: set(&known), stored: set(&all), are_from_elsewhere }
    }

    /// What a JWS of this `typ` says, if its signature counts.
    pub(super) fn verify(&self, text: &str, typ: &str) -> Result<Value, Wrong> {
        verified(&self.known, text, typ).map_err(|kid| match kid {
            Some(kid) if self.stored.contains(&kid) => Wrong::OfTheStore(kid),
            Some(kid) => Wrong::Unknown(kid),
            None => Wrong::Bad,
        })
    }
}
