//! The revocation feed, as those who follow it are answered: at once, or when there is news.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Deadline;

use super::Service;

/// The most that wait at once from one address (for IPv6, one network of 64 bits). Who comes on top is answered at
/// once.
const MAX_WAITING_PER_ADDRESS: usize = 64;

/// An answer of the feed.
#[derive(Debug)]
pub struct FeedAnswer {
    /// A [`RevocationFeed`](crate::oauth::feed::RevocationFeed) as JSON.
    pub body: Bytes,
    /// The entity tag of the key set.
    pub jwks_etag: String,
    /// It was asked to wait, and there was no place.
    pub crowded: bool,
}

/// Who waits for news.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<IpAddr, usize>>);

/// A place among those who wait, until it is dropped.
struct Place<'w> {
    waiting: &'w Waiting,
    from: IpAddr,
}

impl Waiting {
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, from: IpAddr, most: usize) -> Option<Place<'_>> {
        let from = network(from);
        let mut counts = self.counts();
        let total: usize = counts.values().sum();
        let own = counts.entry(from).or_default();
        if *own >= MAX_WAITING_PER_ADDRESS || total >= most {
            if *own == 0 {
                counts.remove(&from);
            }
            return None;
        }
        *own += 1;
        Some(Place { waiting: self, from })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        if let Some(own) = counts.get_mut(&self.from) {
            *own -= 1;
            if *own == 0 {
                counts.remove(&self.from);
            }
        }
    }
}

/// One host has as many IPv6 addresses as it likes.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Service {
    /// What was revoked since `since` (not known here: all of it), at once where there is something to tell: an entry,
    /// or another key set. Else when there is, or after `wait`, or when the service stops.
    pub async fn revocation_feed(&self, since: Option<&str>, wait: Duration, from: IpAddr) -> FeedAnswer {
        let (mut news, mut keys) = (self.revocations.subscribe(), self.keys.subscribe());
        let known = since.and_then(|cursor| self.revocations.position(cursor));
        let since = known.filter(|since| since.keys <= *keys.borrow());
        let mut crowded = false;
        if let Some(since) = since.filter(|_| !wait.is_zero()) {
            let place = self.waiting.enter(from, self.settings.most_waiting);
            crowded = place.is_none();
            let mut stopping = self.stopping.subscribe();
            let deadline = Deadline::after(if crowded { Duration::ZERO } else { wait });
            let anything = async {
                tokio::select! {
                    _ = news.wait_for(|last| *last > since.entry) => {}
                    _ = keys.wait_for(|version| *version != since.keys) => {}
                    _ = stopping.wait_for(|stopping| *stopping) => {}
                }
            };
            tokio::select! {
                () = anything => {}
                () = deadline.reached() => {}
            }
        }
        let version = *self.keys.subscribe().borrow();
        // The tag is read after the version: it may be newer than the cursor says, never older.
        let jwks_etag = self.keys.published().etag;
        FeedAnswer { body: self.revocations.feed(since, version, self.clock.now()), jwks_etag, crowded }
    }

    /// Lets go of those who wait for news: the service stops.
    pub fn stop_waiting(&self) {
        self.stopping.send_replace(true);
    }
}
