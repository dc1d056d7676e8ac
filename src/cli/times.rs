//! Moments as people speak of them, and as filters count them. The exact ones are in `show` and in `--json`.

use std::time::Duration;

use crate::clock::{Clock, Rfc3339, SystemClock, UnixTime};
use crate::server::config::Span;

/// What moments are told by, and how many seconds each has.
const UNITS: [(&str, u64); 5] =
    [("year", 365 * 24 * 3600), ("day", 24 * 3600), ("hour", 3600), ("minute", 60), ("second", 1)];

/// How long something is to live, as it is typed: a duration, or `none`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life(Option<Span>);

impl Life {
    /// Reads one.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            _ => Span::whole_seconds(text).map(|span| Self(Some(span))).map_err(|error| format!("{error}, or none")),
        }
    }

    /// In seconds; none is for ever.
    pub(super) fn as_secs(self) -> Option<u64> {
        self.0.map(Span::as_secs)
    }
}

/// The time on this machine.
pub(super) fn now() -> UnixTime {
    SystemClock.now()
}

/// How long ago, in the largest unit of which it is at least one.
pub(super) fn ago(span: Duration) -> String {
    in_words(span).map_or_else(|| "just now".to_owned(), |words| format!("{words} ago"))
}

/// `3 days ago`, or `in 2 hours`.
pub(super) fn relative(at: UnixTime, now: UnixTime) -> String {
    // What was just made to end in a day ends in one, although a second of it is over.
    let ahead = at.since(now);
    let unit =
        UNITS.into_iter().map(|(_, length)| length).find(|length| ahead.as_secs() * 2 >= *length * 2 - length / 12);
    let rounded = unit.map_or(ahead, |unit| Duration::from_secs((ahead.as_secs() + unit / 2) / unit * unit));
    match in_words(rounded) {
        Some(words) => format!("in {words}"),
        None => ago(now.since(at)),
    }
}

/// The same, or `otherwise` where there is no such moment.
pub(super) fn relative_or(at: Option<Rfc3339>, now: UnixTime, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), |at| relative(at.0, now))
}

/// The exact moment, or `otherwise` where there is none.
pub(super) fn exact_or(at: Option<Rfc3339>, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), |at| at.0.to_string())
}

/// The moment so long before `now`.
pub(super) fn before(now: UnixTime, span: Duration) -> UnixTime {
    let span = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    UnixTime::from_seconds(now.seconds().saturating_sub(span).max(0))
}

fn in_words(span: Duration) -> Option<String> {
    let seconds = span.as_secs();
    let (unit, length) = UNITS.into_iter().find(|(_, length)| seconds >= *length)?;
    Some(match seconds / length {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_by_the_largest_unit() {
        let now = UnixTime::from_seconds(1_800_000_000);
        for (seconds, words) in [
            (0, "just now"),
            (1, "in 1 second"),
            (-1, "1 second ago"),
            (-59, "59 seconds ago"),
            (-60, "1 minute ago"),
            (2 * 3600 + 1, "in 2 hours"),
            (-3 * 24 * 3600 - 7200, "3 days ago"),
            (-364 * 24 * 3600, "364 days ago"),
            (400 * 24 * 3600, "in 1 year"),
            (90 * 24 * 3600 - 2, "in 90 days"),
            (24 * 3600 - 2, "in 1 day"),
            (20 * 3600, "in 20 hours"),
            (90, "in 2 minutes"),
        ] {
            assert_eq!(relative(UnixTime::from_seconds(now.seconds() + seconds), now), words, "{seconds}");
        }
        assert_eq!(relative_or(None, now, "never"), "never");
        assert_eq!(before(now, Duration::MAX).seconds(), 0);
    }
}
