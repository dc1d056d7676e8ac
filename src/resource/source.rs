//! Where keys, revocations and API keys come from.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use crate::clock::UnixTime;
use crate::jose::KeySet;

use super::refusal::Refusal;
use super::token::AccessToken;

/// The keys of the issuer, as they are at this moment. Called for every token: it must neither wait nor lock.
pub trait KeySource: std::fmt::Debug + Send + Sync {
    /// The keys. Cheap: a clone of a shared set.
    fn keys(&self) -> KeySet;

    /// Told that a token names a key that is not among them. May have them fetched again, in the background.
    fn key_is_unknown(&self, _kid: &str) {}

    /// Whether the keys are fresh enough to go by at `now`.
    fn is_fresh(&self, _now: UnixTime) -> bool {
        true
    }
}

/// What has been revoked, as it is known at this moment. Called for every token: it must not wait.
pub trait RevocationSource: std::fmt::Debug + Send + Sync {
    /// Whether tokens signed with this key are revoked.
    fn key_is_revoked(&self, kid: &str) -> bool;

    /// Whether this token, or the generation of the secret it was bought with, is revoked.
    fn token_is_revoked(&self, token_id: &str, generation: Option<&str>) -> bool;

    /// Whether what is known is fresh enough to go by at `now`.
    fn is_fresh(&self, _now: UnixTime) -> bool {
        true
    }
}

/// What becomes of an API key: what it stands for, or why the request is refused.
pub type ApiKeyAnswer<'a> = Pin<Box<dyn Future<Output = Result<AccessToken, Refusal>> + Send + 'a>>;

/// Who knows what API keys stand for: static bearer credentials, which say nothing of themselves. May wait, so that only
/// a bearer that is a key by its form is brought before it.
pub trait ApiKeySource: std::fmt::Debug + Send + Sync {
    /// Whether the text of a `Bearer` has the form of a key. A JWT never has.
    fn is_key(&self, bearer: &str) -> bool;

    /// What `key` stands for now: a token with the claims that one issued for it would have. The guard weighs it like any
    /// other. `source` is where the request came from, where that is known.
    fn introspect<'a>(&'a self, key: &'a str, source: Option<IpAddr>) -> ApiKeyAnswer<'a>;
}

/// Keys that do not change.
#[derive(Debug)]
pub struct StaticKeys(pub KeySet);

impl KeySource for StaticKeys {
    fn keys(&self) -> KeySet {
        self.0.clone()
    }
}

/// Nothing is ever revoked: tokens are good until they expire.
#[derive(Debug)]
pub struct NoRevocations;

impl RevocationSource for NoRevocations {
    fn key_is_revoked(&self, _kid: &str) -> bool {
        false
    }

    fn token_is_revoked(&self, _token_id: &str, _generation: Option<&str>) -> bool {
        false
    }
}
