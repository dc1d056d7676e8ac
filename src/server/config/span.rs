//! Durations as operators write them: `"1h"`, `"90d"`, `"50ms"`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration that reads and prints as `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// Milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Days of 24 hours.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self::from_secs(days * 24 * 3600)
    }

    /// Reads whole seconds.
    ///
    /// # Errors
    /// Where it is no duration, or has a fraction of a second.
    pub fn whole_seconds(text: &str) -> Result<Self, String> {
        let span: Self = text.parse()?;
        if span.0.subsec_nanos() == 0 { Ok(span) } else { Err(format!("{text:?} is not whole seconds")) }
    }

    /// As a [`Duration`].
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Whole seconds of it.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0.as_secs()
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // humantime knows months and years too, and `M` for one of them.
        let known_units = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | 'd' | 'h' | 'm' | 's'));
        humantime::parse_duration(text)
            .ok()
            .filter(|_| known_units)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a duration, such as \"30s\", \"1h\" or \"90d\""))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime prints months and years of fractional days; days and below are exact.
        let days = self.0.as_secs() / 86_400;
        let rest = self.0 - Duration::from_secs(days * 86_400);
        match (days, rest.is_zero()) {
            (0, _) => write!(f, "{}", humantime::format_duration(rest)),
            (_, true) => write!(f, "{days}d"),
            _ => write!(f, "{days}d {}", humantime::format_duration(rest)),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration in quotes, such as \"30s\", \"1h\" or \"90d\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}
