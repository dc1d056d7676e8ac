//! How much of something there may be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::RateChange;

use super::MAX_REQUESTS;

/// One of the limits of a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Requests a minute, with as many at a stretch as the burst has.
    PerMinute,
    /// Requests within any 24 hours.
    PerDay,
    /// Requests at once.
    Concurrent,
}

impl Limit {
    /// Its word in configuration, headers, metrics and problems.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerMinute => "per_minute",
            Self::PerDay => "per_day",
            Self::Concurrent => "concurrent",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request does, as far as limits tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

impl Class {
    /// The class of requests with this method: the safe ones read (RFC 9110 §9.2.1).
    #[must_use]
    pub fn of(method: &http::Method) -> Self {
        if method.is_safe() { Self::Read } else { Self::Write }
    }

    /// Its word in metrics and problems.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// How many requests there may be. 0 is unlimited, for each of them.
///
/// `per_minute` and `burst` are a token bucket: it holds `burst` requests, and `per_minute` come back evenly in a minute,
/// so that any `t` seconds see at most `burst + per_minute * t / 60` of them. `per_day` bounds any 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute.
    pub per_minute: u32,
    /// Requests at a stretch.
    pub burst: u32,
    /// Requests within any 24 hours.
    pub per_day: u32,
    /// Requests at once.
    pub concurrent: u32,
}

/// A rate that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRate {
    /// A number that is too large.
    #[error("{field} can be {MAX_REQUESTS} at most; 0 is unlimited")]
    TooMany {
        /// The member.
        field: &'static str,
    },
    /// A limit per minute without a burst, or the other way round.
    #[error(
        "burst is 0 (unlimited) while per_minute is {0}, which would then limit nothing; leave burst out, or set per_minute to 0"
    )]
    NoBurst(u32),
    /// A burst that does not come back within a day.
    #[error("burst is {burst}, which takes more than a day to come back at {per_minute} a minute; make it smaller")]
    Endless {
        /// The burst.
        burst: u32,
        /// The rate.
        per_minute: u32,
    },
}

const MINUTES_A_DAY: u64 = 24 * 60;

impl Rate {
    /// No limits.
    pub const UNLIMITED: Self = Self { per_minute: 0, burst: 0, per_day: 0, concurrent: 0 };

    /// The same, where the numbers make sense together.
    ///
    /// # Errors
    /// [`BadRate`].
    pub fn checked(self) -> Result<Self, BadRate> {
        for (field, value) in [
            ("per_minute", self.per_minute),
            ("burst", self.burst),
            ("per_day", self.per_day),
            ("concurrent", self.concurrent),
        ] {
            if value > MAX_REQUESTS {
                return Err(BadRate::TooMany { field });
            }
        }
        if self.per_minute > 0 && self.burst == 0 {
            return Err(BadRate::NoBurst(self.per_minute));
        }
        if self.per_minute > 0 && u64::from(self.burst) > u64::from(self.per_minute) * MINUTES_A_DAY {
            return Err(BadRate::Endless { burst: self.burst, per_minute: self.per_minute });
        }
        Ok(self)
    }

    /// Whether it lets more through than `other`, in one way at least.
    #[must_use]
    pub fn exceeds(&self, other: &Self) -> bool {
        let unbounded = |limit: u32| if limit == 0 { u32::MAX } else { limit };
        let burst = |rate: &Self| if rate.per_minute == 0 { 0 } else { rate.burst };
        unbounded(self.per_minute) > unbounded(other.per_minute)
            || unbounded(burst(self)) > unbounded(burst(other))
            || unbounded(self.per_day) > unbounded(other.per_day)
            || unbounded(self.concurrent) > unbounded(other.concurrent)
    }

    /// The same, with what `change` names instead. A new `per_minute` is its own burst, unless one is named.
    #[must_use]
    pub fn with(self, change: &RateChange) -> Self {
        let per_minute = change.per_minute.unwrap_or(self.per_minute);
        let burst = change.burst.or(change.per_minute).unwrap_or(self.burst);
        // What was said where is not known to each other: a bucket of no size would be none, and one that takes more than
        // a day to fill would be forgotten before.
        let burst = if burst == 0 { per_minute } else { burst };
        let most = u64::from(per_minute) * MINUTES_A_DAY;
        Self {
            per_minute,
            burst: u32::try_from(most).map_or(burst, |most| burst.min(most.max(per_minute))),
            per_day: change.per_day.unwrap_or(self.per_day),
            concurrent: change.concurrent.unwrap_or(self.concurrent),
        }
    }
}

/// A rate, and which of its limits run in shadow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// The rate.
    pub rate: Rate,
    /// Its limits in shadow.
    pub shadow: Shadow,
}

/// Which limits run in shadow: they count what they would have refused, and let it through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shadow {
    per_minute: bool,
    per_day: bool,
    concurrent: bool,
}

impl Shadow {
    /// Whether none does.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Those that do.
    pub fn iter(self) -> impl Iterator<Item = Limit> {
        [Limit::PerMinute, Limit::PerDay, Limit::Concurrent].into_iter().filter(move |limit| self.has(*limit))
    }

    pub(super) fn insert(&mut self, limit: Limit) {
        match limit {
            Limit::PerMinute => self.per_minute = true,
            Limit::PerDay => self.per_day = true,
            Limit::Concurrent => self.concurrent = true,
        }
    }

    /// Whether `limit` does.
    #[must_use]
    pub const fn has(self, limit: Limit) -> bool {
        match limit {
            Limit::PerMinute => self.per_minute,
            Limit::PerDay => self.per_day,
            Limit::Concurrent => self.concurrent,
        }
    }
}

impl FromIterator<Limit> for Shadow {
    fn from_iter<I: IntoIterator<Item = Limit>>(limits: I) -> Self {
        let mut shadow = Self::default();
        limits.into_iter().for_each(|limit| shadow.insert(limit));
        shadow
    }
}

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, limit) in self.iter().enumerate() {
            write!(f, "{}{limit}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}
