//! Where keys, revocations, API keys and Digest credentials come from.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use http::{Method, Uri};

use crate::clock::UnixTime;
use crate::jose::KeySet;

use super::control::Refused;
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

/// What becomes of an API key or of Digest credentials: what they stand for, or why the request is refused, and whose they
/// are, where that is known. Where it came from, the guard adds.
pub type ApiKeyAnswer<'a> = Pin<Box<dyn Future<Output = Result<AccessToken, Refused>> + Send + 'a>>;

/// Who knows what API keys stand for: static bearer credentials, which say nothing of themselves. May wait, so that only
/// a bearer that is a key by its form is brought before it.
pub trait ApiKeySource: std::fmt::Debug + Send + Sync {
    /// Whether the text of a `Bearer` has the form of a key. A JWT never has.
    fn is_key(&self, bearer: &str) -> bool;

    /// What `key` stands for now: a token with the claims that one issued for it would have. The guard weighs it like any
    /// other. `source` is where the request came from, where that is known.
    fn introspect<'a>(&'a self, key: &'a str, source: Option<IpAddr>) -> ApiKeyAnswer<'a>;
}

/// What a request asks for, as its client wrote it: what Digest credentials are made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The request target: path and query, byte for byte.
    pub target: String,
}

/// In a request's extensions, what it asked for before a router took parts of the path off.
#[derive(Clone, Debug)]
pub struct RequestTarget(pub Uri);

/// Who knows what HTTP Digest credentials stand for (RFC 7616), and whose challenges they answer.
pub trait DigestSource: std::fmt::Debug + Send + Sync {
    /// Fresh challenges, each the value of a `WWW-Authenticate`, the preferred one first. `stale` says that the credentials
    /// were right, and the nonce was not in use.
    fn challenges(&self, stale: bool) -> Vec<String>;

    /// What the credentials in `parameters`, which stand behind `Digest`, stand for now: a token with the claims that one
    /// issued for them would have. The guard weighs it like any other.
    fn resolve<'a>(&'a self, parameters: &'a str, asked: &'a Asked, source: Option<IpAddr>) -> ApiKeyAnswer<'a>;
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
