//! Whose API keys are in use, above the store, so that a request with one asks no disk.
//!
//! What is kept here says whom to ask, and no more: the client record decides, and a key that is none of its secrets is
//! none of its keys. So nothing has to be forgotten when a key ends.

use crate::crypto::Sha256;
use crate::id::ClientId;

/// The most keys whose holders are kept at hand.
const CAPACITY: u64 = 100_000;

#[derive(Debug)]
pub(super) struct KeyCache(moka::sync::Cache<Sha256, ClientId>);

impl KeyCache {
    pub(super) fn new() -> Self {
        Self(moka::sync::Cache::new(CAPACITY))
    }

    /// Whose key has this digest, if that is known.
    pub(super) fn holder(&self, digest: &Sha256) -> Option<ClientId> {
        self.0.get(digest)
    }

    pub(super) fn learn(&self, digest: Sha256, holder: ClientId) {
        self.0.insert(digest, holder);
    }

    /// It turned out to be none of that holder's any more.
    pub(super) fn forget(&self, digest: &Sha256) {
        self.0.invalidate(digest);
    }
}
