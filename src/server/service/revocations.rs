//! What is revoked: at hand for every token that is verified here, and published for verifiers elsewhere.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::UnixTime;
use crate::oauth::feed::{RevocationFeed, RevokedGeneration, RevokedJti, RevokedKid};
use crate::resource::{KEPT_LONGER, RevocationSource, RevokedSet};
use crate::server::model::{Revocation, RevokedTarget};
use crate::server::store::{Store, StoreError};

/// What is revoked. The locks are held for a look-up or an insertion, never across I/O.
#[derive(Debug)]
pub struct Revocations {
    set: RevokedSet,
    log: Mutex<Log>,
    /// The number of the last entry, for those who wait for the next one.
    news: watch::Sender<u64>,
    /// The whole list, as it was last asked for.
    whole: Mutex<Option<Whole>>,
    /// What tells the cursors of this run from those of others, whose numbers mean something else.
    run: String,
}

/// The whole list as JSON, with what it was made of: the last entry, the key set, the second.
#[derive(Debug)]
struct Whole {
    key: (u64, u64, i64),
    body: Bytes,
}

/// The entries in the order in which they came, numbered from 1.
#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<(u64, Revocation)>,
    last: u64,
}

/// How far somebody has read: opaque to them, and known to this run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The last entry of the log.
    pub(super) entry: u64,
    /// The version of the key set.
    pub(super) keys: u64,
}

impl Revocations {
    /// How many entries are held.
    pub(super) fn held(&self) -> usize {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }

    pub(super) async fn load(store: &dyn Store, now: UnixTime, run: String) -> Result<Self, StoreError> {
        let revocations = Self {
            set: RevokedSet::default(),
            log: Mutex::default(),
            news: watch::Sender::new(0),
            whole: Mutex::default(),
            run,
        };
        revocations.add(store.revocations(now).await?);
        Ok(revocations)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // Entries are added whole.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the store remembers as revoked.
    pub(super) fn add(&self, revoked: impl IntoIterator<Item = Revocation>) {
        let mut news = RevocationFeed::default();
        let mut log = self.log();
        for revocation in revoked {
            push(&mut news, &revocation);
            log.last += 1;
            let number = log.last;
            log.entries.push_back((number, revocation));
        }
        // In the set before anybody is told: who hears of it may try a token here.
        self.set.add(&news);
        // Still under the lock: of two that come at once the later one must not be overtaken, or those who wait would
        // be told an older number and wait on.
        self.news.send_replace(log.last);
    }

    /// Takes in what of `all` is not known yet.
    pub(super) fn catch_up(&self, all: Vec<Revocation>) {
        let known = |target: &RevokedTarget| match target {
            RevokedTarget::Token { jti, .. } => self.set.token_is_revoked(jti, None),
            RevokedTarget::Generation(generation) => self.set.token_is_revoked("", Some(generation)),
            RevokedTarget::Kid(kid) => self.set.key_is_revoked(kid),
        };
        let missed: Vec<_> = all.into_iter().filter(|revocation| !known(&revocation.target)).collect();
        if !missed.is_empty() {
            self.add(missed);
        }
    }

    /// Forgets what has not mattered for a while at `now`.
    pub(super) fn purge(&self, now: UnixTime) {
        self.set.purge(now, |_| false);
        self.log().entries.retain(|(_, revocation)| revocation.until.plus(KEPT_LONGER) > now);
    }

    /// Hears of every new entry.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The position that a cursor stands for, if it is one of this run's.
    pub(super) fn position(&self, cursor: &str) -> Option<Position> {
        let mut parts = cursor.strip_prefix(&self.run)?.strip_prefix('.')?.split('.');
        let mut number = || parts.next()?.parse().ok();
        let position = Position { entry: number()?, keys: number()? };
        // As it was written, byte for byte: a number can be read that is written otherwise.
        (position.entry <= self.log().last && self.cursor(position) == cursor).then_some(position)
    }

    /// What came after `since` and matters at `now`; where that is unknown, all of it. As JSON: the whole list, which any
    /// stranger can ask for, is written once for all who ask within a second.
    pub(super) fn feed(&self, since: Option<Position>, keys: u64, now: UnixTime) -> Bytes {
        if since.is_some() {
            return json(&self.entries(since, keys, now));
        }
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, stamp) = (self.log().last, now.seconds());
        match &*whole {
            Some(known) if known.key == (last, keys, stamp) => known.body.clone(),
            _ => {
                let body = json(&self.entries(None, keys, now));
                *whole = Some(Whole { key: (last, keys, stamp), body: body.clone() });
                body
            }
        }
    }

    fn entries(&self, since: Option<Position>, keys: u64, now: UnixTime) -> RevocationFeed {
        let log = self.log();
        let mut feed = RevocationFeed { reset: since.is_none(), ..RevocationFeed::default() };
        let read = since.map_or(0, |since| since.entry);
        let start = log.entries.partition_point(|(number, _)| *number <= read);
        for (_, revocation) in log.entries.range(start..).filter(|(_, revocation)| revocation.until > now) {
            push(&mut feed, revocation);
        }
        feed.cursor = self.cursor(Position { entry: log.last, keys });
        feed
    }

    fn cursor(&self, position: Position) -> String {
        format!("{}.{}.{}", self.run, position.entry, position.keys)
    }
}

fn json(feed: &RevocationFeed) -> Bytes {
    // Strings and numbers always serialize.
    serde_json::to_vec(feed).unwrap_or_default().into()
}

fn push(feed: &mut RevocationFeed, Revocation { target, until }: &Revocation) {
    let until = *until;
    match target {
        RevokedTarget::Token { jti, .. } => feed.jtis.push(RevokedJti { jti: jti.clone(), until }),
        RevokedTarget::Generation(generation) => {
            feed.generations.push(RevokedGeneration { generation: generation.clone(), until });
        }
        RevokedTarget::Kid(kid) => feed.kids.push(RevokedKid { kid: kid.clone(), until }),
    }
}

impl RevocationSource for Revocations {
    fn key_is_revoked(&self, kid: &str) -> bool {
        self.set.key_is_revoked(kid)
    }

    fn token_is_revoked(&self, token_id: &str, generation: Option<&str>) -> bool {
        self.set.token_is_revoked(token_id, generation)
    }
}
