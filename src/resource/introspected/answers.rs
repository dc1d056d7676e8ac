//! What the issuer said of keys, for as long as it may be gone by.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, UnixTime};
use crate::crypto::Sha256;
use crate::resource::token::AccessToken;
use crate::resource::verifier::TokenError;

/// How long a key is let through by one answer.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// From what age on an answer is asked for anew while it serves.
const AGEING: Duration = Duration::from_secs(45);
/// How long a key is refused by one answer.
const DEAD_FOR: Duration = Duration::from_secs(5);
/// The most answers of either kind. Keys that somebody makes up do not push out those that are good.
const MOST: u64 = 10_000;
/// How long an answer is kept in all: what is gone by no more still says why a key is dead now.
const KEPT: Duration = Duration::from_secs(300);

/// When something was asked, by both clocks: one may be set, the other stands still while a machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    elapsed: Duration,
    at: UnixTime,
}

impl Asked {
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self { elapsed: clock.elapsed(), at: clock.now() }
    }

    pub(super) const fn at(&self) -> UnixTime {
        self.at
    }

    fn age(&self, clock: &dyn Clock) -> Duration {
        clock.elapsed().saturating_sub(self.elapsed).max(clock.now().since(self.at))
    }
}

/// A key that was good.
#[derive(Clone, Debug)]
pub(super) struct Good {
    pub(super) token: AccessToken,
    /// When the key ends, if it does.
    pub(super) end: Option<UnixTime>,
    pub(super) asked: Asked,
}

/// A key that was not.
#[derive(Clone, Debug)]
struct Dead {
    why: TokenError,
    asked: Asked,
}

/// What can be gone by.
#[derive(Debug)]
pub(super) enum Recalled {
    /// The key is good; and whether that should be asked for anew.
    Good(AccessToken, bool),
    /// It is not.
    Dead(TokenError),
}

/// The answers at hand, by the hash of the key.
#[derive(Debug)]
pub(super) struct Answers {
    good: moka::sync::Cache<Sha256, Arc<Good>>,
    dead: moka::sync::Cache<Sha256, Arc<Dead>>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            good: moka::sync::Cache::builder().max_capacity(MOST).time_to_live(KEPT).build(),
            dead: moka::sync::Cache::builder().max_capacity(MOST).time_to_live(KEPT).build(),
        }
    }
}

impl Answers {
    /// What can be gone by at this moment, given what is revoked.
    pub(super) fn recall(
        &self,
        key: &Sha256,
        clock: &dyn Clock,
        is_revoked: impl Fn(&AccessToken) -> bool,
    ) -> Option<Recalled> {
        if let Some(good) = self.good.get(key) {
            let age = good.asked.age(clock);
            let ended = good.end.is_some_and(|end| clock.now() >= end);
            // What was revoked may be another name of a key that lives: it may do less than it could.
            let serves = age < GOOD_FOR && !ended && !is_revoked(&good.token);
            return serves.then(|| Recalled::Good(good.token.clone(), age >= AGEING));
        }
        let dead = self.dead.get(key)?;
        (dead.asked.age(clock) < DEAD_FOR).then(|| Recalled::Dead(dead.why.clone()))
    }

    /// Whether the key was good a while ago: who has it is no stranger.
    pub(super) fn knows(&self, key: &Sha256) -> bool {
        self.good.contains_key(key)
    }

    pub(super) fn learn_good(&self, key: Sha256, good: Good) {
        self.good.insert(key, Arc::new(good));
        self.dead.invalidate(&key);
    }

    /// The key is dead; why, as far as that is known from before.
    pub(super) fn learn_dead(
        &self,
        key: Sha256,
        asked: Asked,
        is_revoked: impl Fn(&AccessToken) -> bool,
    ) -> TokenError {
        let ended = |good: &Good| good.end.filter(|end| asked.at() >= *end).map(TokenError::KeyEnded);
        let ended_or_revoked =
            |good: Arc<Good>| if is_revoked(&good.token) { Some(TokenError::KeyRevoked) } else { ended(&good) };
        let known = self.good.get(&key).and_then(ended_or_revoked);
        let why = known
            .or_else(|| self.dead.get(&key).map(|dead| dead.why.clone()))
            .unwrap_or_else(|| TokenError::Invalid("the issuer knows no such API key that is good here".to_owned()));
        self.dead.insert(key, Arc::new(Dead { why: why.clone(), asked }));
        self.good.invalidate(&key);
        why
    }
}
