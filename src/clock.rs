//! Time, handed in from outside.
//!
//! Responsible for: what a moment is (`UnixTime`, whole seconds as in RFC 7519 `NumericDate`), where it comes from
//! (`Clock`), and how it is written (RFC 3339). Never: sleeping, except through [`Deadline`].

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in whole seconds since 1970-01-01T00:00:00Z (RFC 7519 `NumericDate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(transparent)]
#[cfg_attr(feature = "server", schema(description = "Unix seconds"))]
pub struct UnixTime(i64);

impl UnixTime {
    /// The moment `seconds` after the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// This moment and `span` (whole seconds of it) later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_secs()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339, in UTC and whole seconds: `2026-11-21T06:17:00Z`.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(moment) => write!(f, "{moment}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

/// A moment that is written as an RFC 3339 string: the `…_at` members of the REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
pub struct Rfc3339(pub UnixTime);

impl Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment: jiff::Timestamp = text
            .parse()
            .map_err(|_| serde::de::Error::custom("not an RFC 3339 time, such as \"2026-11-21T06:17:00Z\""))?;
        Ok(Self(UnixTime(moment.as_second())))
    }
}

/// Where the time comes from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> UnixTime;

    /// How long it is since some moment that is always the same one: the clock that nobody sets back.
    fn elapsed(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> UnixTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn elapsed(&self) -> Duration {
        static BEGIN: OnceLock<std::time::Instant> = OnceLock::new();
        BEGIN.get_or_init(std::time::Instant::now).elapsed()
    }
}

/// A clock that stands still until it is moved, for tests.
#[derive(Debug)]
pub struct ManualClock {
    start: UnixTime,
    /// In nanoseconds.
    elapsed: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub const fn new(start: UnixTime) -> Self {
        Self { start, elapsed: AtomicU64::new(0) }
    }

    /// Moves the clock on by `span`.
    pub fn advance(&self, span: Duration) {
        self.elapsed.fetch_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        self.start.plus(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::SeqCst))
    }
}

/// A point on the monotonic clock that something may not happen before.
#[cfg(any(feature = "client", feature = "resource"))]
#[derive(Clone, Copy, Debug)]
pub struct Deadline(tokio::time::Instant);

#[cfg(any(feature = "client", feature = "resource"))]
impl Deadline {
    /// The point `span` from now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn after(span: Duration) -> Self {
        let now = tokio::time::Instant::now();
        // A span without end: a year is long enough for anything that waits.
        Self(now.checked_add(span).unwrap_or(now + Duration::from_secs(366 * 24 * 3600)))
    }

    /// How long it is until then; zero once the point has come.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(tokio::time::Instant::now())
    }

    /// Waits until the point has come.
    pub async fn reached(self) {
        tokio::time::sleep_until(self.0).await;
    }
}

/// How long ago something was, by the monotonic clock, which nobody sets back.
#[cfg(any(feature = "client", feature = "resource"))]
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(tokio::time::Instant);

#[cfg(any(feature = "client", feature = "resource"))]
impl Stopwatch {
    /// Begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// How long ago it began.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn elapsed(self) -> Duration {
        tokio::time::Instant::now().saturating_duration_since(self.0)
    }
}
