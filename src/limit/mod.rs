//! The arithmetic of limits, and the headers that tell of them.
//!
//! Responsible for: how much of something there may be ([`Rate`]), what of it one credential has left ([`Allowance`]),
//! and how that is said ([`headers`]). Never: reading a clock, knowing whose allowance it is, deciding who has one.

mod allowance;
mod bucket;
mod day;
pub mod headers;
mod limiter;
mod members;
mod quota;
mod rate;

pub use allowance::{Allowance, Permit, Taken};
pub use limiter::{Limiter, address_key};
pub use members::Member;
pub use quota::{InsufficientBalance, Period, QuotaExceeded};
pub use rate::{BadRate, Class, Limit, Limited, Rate, Shadow};

use std::time::Duration;

use crate::clock::UnixTime;

/// The most requests that a limit can speak of.
pub const MAX_REQUESTS: u32 = 100_000_000;

/// The length of a day.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the clock that nobody sets back ([`Clock::elapsed`](crate::clock::Clock::elapsed)).
    pub elapsed: Duration,
    /// By the calendar.
    pub now: UnixTime,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn of(clock: &dyn crate::clock::Clock) -> Self {
        Self { elapsed: clock.elapsed(), now: clock.now() }
    }
}

/// How a credential stands with the limit that binds: the one that is used up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which limit it is.
    pub limit: Limit,
    /// How many requests it lets through at a stretch.
    pub quota: u64,
    /// How many of these are left.
    pub remaining: u64,
    /// In how many seconds it is whole again from nothing; none where time does nothing for it.
    pub window: Option<u64>,
    /// In how many seconds it is whole again from here.
    pub reset_after: u64,
    /// When that is.
    pub reset_at: UnixTime,
}

/// A request that a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// How the credential stands.
    pub standing: Standing,
    /// After how many seconds the same request is let through, if no other comes first.
    pub retry_after: u64,
    /// Whose limit it is.
    pub whose: Whose,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A client's, at the token endpoint.
    Client,
    /// A credential's, on guarded routes of this class.
    Credential(Class),
    /// That of a source address, for failed authentications.
    Address,
}

impl Exceeded {
    /// The same, told so much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self { retry_after: self.retry_after.saturating_sub(span.as_secs()).max(1), ..self }
    }

    /// What happened, and what to do.
    #[must_use]
    pub fn detail(&self) -> String {
        let Standing { quota, window, .. } = self.standing;
        let what = match (self.standing.limit, window) {
            (Limit::PerMinute, Some(window)) => format!("{} within {window} s", counted(quota, "request")),
            (Limit::PerDay, _) => format!("{} a day", counted(quota, "request")),
            (Limit::PerMinute | Limit::Concurrent, _) => format!("{} at once", counted(quota, "request")),
        };
        let whose = match self.whose {
            Whose::Client => "this client has at the token endpoint".to_owned(),
            Whose::Credential(class) => format!("this credential has on routes that {}", class.as_str()),
            Whose::Address => "this address has for failed authentications".to_owned(),
        };
        format!("the limit of {what}, which {whose}, is reached; try again in {} s", self.retry_after)
    }
}

/// So many of something, as one says it.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Whole seconds that `span` does not exceed.
fn seconds_up(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
