//! Tokens by what they are for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use moka::policy::EvictionPolicy;

use super::endpoint::AuthMethod;
use super::entry::Entry;
use super::identity::Identity;
use super::kept::Kept;
use super::{Endpoint, TokenRequest};

/// The most kinds of tokens that are kept, unless set otherwise.
const DEFAULT_CAPACITY: u64 = 10_000;
/// As long as any token is believed: what nobody asked for in the meantime has nothing to hand out.
const IDLE: Duration = Duration::from_secs(25 * 3600);

/// The tokens of one or several [`TokenSource`](super::TokenSource)s: one for each token endpoint, client, set of scopes
/// and set of resources, with one request in flight for each.
///
/// Every source has one of its own unless it is given another's. Sources that share one also share the way to the
/// endpoint: the first that asks for a token fetches it for all.
#[derive(Clone, Debug)]
pub struct TokenCache {
    kinds: moka::sync::Cache<Key, Arc<Entry>>,
    /// Those that are a source's own, which are not looked up to be used, and would be taken for idle.
    own: Arc<Mutex<HashMap<Key, Weak<Entry>>>>,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    endpoint: Endpoint,
    method: Option<AuthMethod>,
    client: Identity,
    /// In order of their names.
    scopes: String,
    /// In order, each once.
    resources: Vec<String>,
}

impl Key {
    pub(super) fn new(
        endpoint: &Endpoint,
        method: Option<AuthMethod>,
        client: Identity,
        request: &TokenRequest,
    ) -> Self {
        let mut resources = request.resources.clone();
        resources.sort();
        resources.dedup();
        Self { endpoint: endpoint.clone(), method, client, scopes: request.scopes.to_string(), resources }
    }
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }
}

impl TokenCache {
    /// A cache for so many kinds of tokens; beyond it, what was asked for longest ago is let go.
    #[must_use]
    pub fn with_capacity(kinds: u64) -> Self {
        // Not the least often asked for: what is new would be let go at once, and fetched again each time.
        let builder = moka::sync::Cache::builder().eviction_policy(EvictionPolicy::lru());
        Self { kinds: builder.max_capacity(kinds).time_to_idle(IDLE).build(), own: Arc::default() }
    }

    pub(super) fn entry(&self, key: Key, make: impl FnOnce() -> Entry) -> Arc<Entry> {
        if let Some(own) = self.own().get(&key).and_then(Weak::upgrade) {
            return own;
        }
        let entry = self.kinds.entry(key).or_insert_with(|| Arc::new(make()));
        if entry.is_fresh() {
            // What has to go for it would otherwise go with one of the next that come, and be renewed until then.
            self.kinds.run_pending_tasks();
        }
        entry.into_value()
    }

    /// One that a source holds for as long as it lives.
    pub(super) fn kept(&self, key: Key, make: impl FnOnce() -> Entry) -> Kept {
        let entry = self.entry(key.clone(), make);
        let mut own = self.own();
        own.retain(|_, entry| entry.strong_count() > 0);
        own.insert(key, Arc::downgrade(&entry));
        Kept::new(entry)
    }

    fn own(&self) -> MutexGuard<'_, HashMap<Key, Weak<Entry>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
