//! What is granted for a day, a month or altogether, and what was paid for.

use jiff::civil::{Date, Time};
use jiff::tz::Offset;

use crate::clock::UnixTime;

/// What a quota is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A calendar day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
    /// For good.
    Total,
}

impl Period {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// When the one that `moment` is in began; the epoch where it is for good.
    #[must_use]
    pub fn start(self, moment: UnixTime) -> UnixTime {
        let seconds = moment.seconds();
        match self {
            // Unix time has no leap seconds, so that UTC's days are whole.
            Self::Day => UnixTime::from_seconds(seconds.saturating_sub(seconds.rem_euclid(SECONDS_OF_A_DAY))),
            Self::Month => date(moment).map_or(UnixTime::from_seconds(0), |date| midnight(date.first_of_month())),
            Self::Total => UnixTime::from_seconds(0),
        }
    }

    /// When the one that began at `start` is over; never where it is for good.
    #[must_use]
    pub fn end(self, start: UnixTime) -> Option<UnixTime> {
        match self {
            Self::Day => Some(UnixTime::from_seconds(start.seconds().saturating_add(SECONDS_OF_A_DAY))),
            Self::Month => date(start)?.last_of_month().tomorrow().ok().map(midnight),
            Self::Total => None,
        }
    }
}

const SECONDS_OF_A_DAY: i64 = 24 * 3600;

/// The date in UTC; none beyond the calendar.
fn date(moment: UnixTime) -> Option<Date> {
    let moment = jiff::Timestamp::from_second(moment.seconds()).ok()?;
    Some(Offset::UTC.to_datetime(moment).date())
}

/// When a date begins in UTC.
fn midnight(date: Date) -> UnixTime {
    let begins = Offset::UTC.to_timestamp(date.to_datetime(Time::midnight()));
    UnixTime::from_seconds(begins.map_or(i64::MAX, |begins| begins.as_second()))
}

/// A request that a quota refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// Whose: `client` or `project`.
    pub whose: &'static str,
    /// What is counted: `tokens` or `requests`.
    pub what: &'static str,
    /// For how long.
    pub period: Period,
    /// How much there is.
    pub quota: u64,
    /// How much of it is used.
    pub used: u64,
    /// How much the request needs.
    pub cost: u64,
    /// When it begins anew; never where it is for good.
    pub resets_at: Option<UnixTime>,
}

impl QuotaExceeded {
    /// What happened, and what to do.
    #[must_use]
    pub fn detail(&self) -> String {
        let Self { whose, what, period, quota, used, cost, resets_at } = self;
        let period = period.as_str();
        // The plural is the name of the measure.
        let what = if *quota == 1 { what.trim_end_matches('s') } else { what };
        let is = if *used == 1 { "is" } else { "are" };
        let until = match resets_at {
            Some(at) => format!("it begins anew at {at}"),
            None => "the operator can raise it".to_owned(),
        };
        format!(
            "the {whose}'s quota ({period}) is {quota} {what}, of which {used} {is} used, and this takes {cost}; {until}"
        )
    }
}

/// A request that the balance does not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsufficientBalance {
    /// Whose: `client` or `project`.
    pub whose: &'static str,
    /// What there is.
    pub balance: i64,
    /// What the request costs.
    pub cost: u64,
}

impl InsufficientBalance {
    /// What happened, and what to do.
    #[must_use]
    pub fn detail(&self) -> String {
        let Self { whose, balance, cost } = self;
        format!("this costs {cost} and the {whose}'s balance is {balance}; top it up")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixTime {
        UnixTime::from_seconds(text.parse::<jiff::Timestamp>().unwrap().as_second())
    }

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        let of = |period: Period, moment: &str| {
            let start = period.start(at(moment));
            (start.to_string(), period.end(start).map(|end| end.to_string()))
        };
        let span = |from: &str, until: &str| (format!("{from}T00:00:00Z"), Some(format!("{until}T00:00:00Z")));
        assert_eq!(of(Period::Day, "2026-11-21T23:59:59Z"), span("2026-11-21", "2026-11-22"));
        assert_eq!(of(Period::Day, "2026-11-22T00:00:00Z"), span("2026-11-22", "2026-11-23"));
        assert_eq!(of(Period::Month, "2026-12-31T23:59:59Z"), span("2026-12-01", "2027-01-01"));
        assert_eq!(of(Period::Month, "2027-01-01T00:00:00Z"), span("2027-01-01", "2027-02-01"));
        assert_eq!(of(Period::Month, "2028-02-29T12:00:00Z"), span("2028-02-01", "2028-03-01"));
        assert_eq!(of(Period::Total, "2028-02-29T12:00:00Z"), ("1970-01-01T00:00:00Z".to_owned(), None));
    }
}
