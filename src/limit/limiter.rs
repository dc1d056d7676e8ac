//! The allowances of many: a bounded number of them, whoever asks.

use std::borrow::Borrow;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::{Allowance, DAY};

/// The allowances of those who have taken something within the last day or so.
#[derive(Debug)]
pub struct Limiter<K>
where
    K: Hash + Eq + Send + Sync + 'static,
{
    allowances: Cache<K, Arc<Allowance>>,
}

impl<K> Limiter<K>
where
    K: Hash + Eq + Send + Sync + 'static,
{
    /// Keeps `most` allowances; beyond that, who was not seen for longest begins anew.
    #[must_use]
    pub fn new(most: u64) -> Self {
        let allowances = Cache::builder()
            .max_capacity(most)
            // The default policy may not let a newcomer in, who would then begin anew each time.
            .eviction_policy(EvictionPolicy::lru())
            // By then nothing counts any more.
            .time_to_idle(2 * DAY)
            .build();
        Self { allowances }
    }

    /// How many are kept.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.allowances.run_pending_tasks();
        self.allowances.entry_count()
    }

    /// That of `key`. Held by whoever has it, it is the same for all.
    #[must_use]
    pub fn of<Q>(&self, key: &Q) -> Arc<Allowance>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        self.allowances.get_with_by_ref(key, Arc::default)
    }
}

/// Whom an address stands for: itself, or the network of 64 bits that a customer of an IPv6 provider has for themselves.
#[must_use]
pub fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}
