//! What is granted for a day, a month or altogether, and what was paid for.

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
        let until = match resets_at {
            Some(at) => format!("it begins anew at {at}"),
            None => "the operator can raise it".to_owned(),
        };
        format!(
            "the {whose}'s quota ({period}) is {quota} {what}, of which {used} are used, and this takes {cost}; {until}"
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
