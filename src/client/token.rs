//! A token, and how old it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::clock::{Stopwatch, UnixTime};

/// An access token. Cheap to clone; never printed by `Debug`.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

/// What a [`Token`] is made of.
pub(super) struct Inner {
    pub(super) text: Zeroizing<String>,
    pub(super) authorization: HeaderValue,
    pub(super) scope: String,
    pub(super) lifetime: Duration,
    pub(super) refresh_in: Option<Duration>,
    /// `None`: not in the background.
    pub(super) renew_after: Option<Duration>,
    /// Both from before the request was sent: the server's count began later.
    pub(super) asked: Stopwatch,
    pub(super) asked_at: UnixTime,
}

impl From<Inner> for Token {
    fn from(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("scope", &self.scope)
            .field("asked_at", &self.asked_at)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0.text
    }

    /// The value of `Authorization` (RFC 6750 §2.1): `Bearer` and the token, marked as sensitive.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.0.authorization.clone()
    }

    /// Its scopes, as the server named them, or those that were asked for where it named none.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.0.scope
    }

    /// When it ends, by the clock of this machine.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.0.asked_at.plus(self.0.lifetime)
    }

    /// When it was asked for.
    #[must_use]
    pub fn fetched_at(&self) -> UnixTime {
        self.0.asked_at
    }

    /// When the server would have it renewed, counted from when it was asked for: a hint of ours, which other servers do
    /// not give.
    #[must_use]
    pub fn refresh_in(&self) -> Option<Duration> {
        self.0.refresh_in
    }

    /// Whether it has not ended at `now`.
    #[must_use]
    pub fn is_valid(&self, now: UnixTime) -> bool {
        self.age(now) < self.0.lifetime
    }

    /// Whether both are one and the same answer of the server.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How long it lives, from when it was asked for: what its answer said, within reason
    /// ([`lifetime_of`](super::lifetime_of)).
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    /// How long it is until it is to be renewed; `None` where that is not done in the background.
    pub(super) fn until_renewal(&self, now: UnixTime) -> Option<Duration> {
        Some(self.0.renew_after?.saturating_sub(self.age(now)))
    }

    /// Whether it has ended at `now` by the clock that goes on while the machine sleeps, and by that one alone.
    pub(super) fn was_slept_through(&self, now: UnixTime) -> bool {
        !self.is_valid(now) && self.0.asked.elapsed() < self.0.lifetime
    }

    /// By the clock that says more: the monotonic one stands while the machine sleeps, the other can be set back.
    fn age(&self, now: UnixTime) -> Duration {
        // A moment is a whole second: up to one of them may not have passed.
        let by_date = now.since(self.0.asked_at).saturating_sub(Duration::from_secs(1));
        self.0.asked.elapsed().max(by_date)
    }

    pub(super) fn from_shared(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    pub(super) fn shared(&self) -> Arc<Inner> {
        Arc::clone(&self.0)
    }
}
