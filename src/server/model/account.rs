//! What is used of quotas and balances, and the arithmetic of it.
//!
//! An account counts. What it is counted against is said anew each time, since quotas may change.

use serde::{Deserialize, Serialize};

use crate::api::PeriodQuotas;
use crate::clock::UnixTime;
use crate::id::ClientId;
use crate::limit::{InsufficientBalance, Period, QuotaExceeded};

/// Whose account it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A client's.
    Client(ClientId),
    /// A project's: what its clients use together.
    Project {
        /// Its organization.
        organization: String,
        /// Its id.
        id: String,
    },
}

impl Owner {
    /// Its word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Project { .. } => "project",
        }
    }
}

/// An account: whoever has the same name later has another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId {
    /// Whose.
    pub owner: Owner,
    /// When its owner was made.
    pub since: UnixTime,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Issued tokens.
    Tokens,
    /// Units of guarded requests.
    Requests,
}

impl Measure {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Requests => "requests",
        }
    }
}

/// Units within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    /// When the period began.
    since: UnixTime,
    units: u64,
}

impl Default for Counted {
    fn default() -> Self {
        Self { since: UnixTime::from_seconds(0), units: 0 }
    }
}

impl Counted {
    /// Begins anew where another period has. A clock that is set back brings none of the old one back.
    fn roll(&mut self, period: Period, now: UnixTime) {
        let since = period.start(now);
        if since > self.since {
            *self = Self { since, units: 0 };
        }
    }

    fn put_back(&mut self, since: UnixTime, units: u64) {
        if self.since == since {
            self.units = self.units.saturating_sub(units);
        }
    }

    /// The later period, or the higher count.
    fn merge(&mut self, other: Self) {
        *self = if (other.since, other.units) > (self.since, self.units) { other } else { *self };
    }
}

/// What is used of one measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    day: Counted,
    month: Counted,
    total: u64,
}

impl Used {
    fn roll(&mut self, now: UnixTime) {
        self.day.roll(Period::Day, now);
        self.month.roll(Period::Month, now);
    }

    /// How much of a period is used, and when it begins anew.
    #[must_use]
    pub fn of(&self, period: Period) -> (u64, Option<UnixTime>) {
        match period {
            Period::Day => (self.day.units, period.end(self.day.since)),
            Period::Month => (self.month.units, period.end(self.month.since)),
            Period::Total => (self.total, None),
        }
    }
}

/// The quotas of each period; first the one that begins anew last, since waiting for it is enough for all.
fn each(quotas: &PeriodQuotas) -> impl Iterator<Item = (Period, u64)> {
    let all = [(Period::Total, quotas.total), (Period::Month, quotas.month), (Period::Day, quotas.day)];
    all.into_iter().filter_map(|(period, quota)| Some((period, quota?)))
}

/// What one taking took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    measure: Measure,
    units: u64,
    spent: u64,
    day: UnixTime,
    month: UnixTime,
}

/// What an owner has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// When its owner was made.
    pub since: UnixTime,
    /// Tokens.
    pub tokens: Used,
    /// Units of guarded requests.
    pub requests: Used,
    /// What was spent of the balance since there is the owner, in all. It never falls, so that what is paid in and what
    /// is spent are written apart and neither undoes the other.
    pub spent: u64,
}

impl Account {
    /// Nothing is used yet.
    #[must_use]
    pub fn of(id: &AccountId) -> Self {
        Self { since: id.since, tokens: Used::default(), requests: Used::default(), spent: 0 }
    }

    fn used(&mut self, measure: Measure) -> &mut Used {
        match measure {
            Measure::Tokens => &mut self.tokens,
            Measure::Requests => &mut self.requests,
        }
    }

    /// Begins periods anew that have.
    pub fn roll(&mut self, now: UnixTime) {
        self.tokens.roll(now);
        self.requests.roll(now);
    }

    /// Whether `quotas` have `units` more. What costs nothing needs nothing.
    ///
    /// # Errors
    /// [`QuotaExceeded`].
    pub fn check_quotas(
        &mut self,
        whose: &'static str,
        measure: Measure,
        quotas: &PeriodQuotas,
        units: u64,
    ) -> Result<(), QuotaExceeded> {
        let counted = *self.used(measure);
        for (period, quota) in each(quotas) {
            let (used, resets_at) = counted.of(period);
            if used.saturating_add(units) > quota {
                return Err(QuotaExceeded {
                    whose,
                    what: measure.as_str(),
                    period,
                    quota,
                    used,
                    cost: units,
                    resets_at,
                });
            }
        }
        Ok(())
    }

    /// What is left of what was paid in.
    #[must_use]
    pub fn balance(&self, paid_in: i64) -> i64 {
        let balance = i128::from(paid_in) - i128::from(self.spent);
        i64::try_from(balance).unwrap_or(i64::MIN)
    }

    /// Whether the balance covers `units`.
    ///
    /// # Errors
    /// [`InsufficientBalance`].
    pub fn check_balance(&self, whose: &'static str, paid_in: i64, units: u64) -> Result<(), InsufficientBalance> {
        let balance = self.balance(paid_in);
        if u64::try_from(balance).is_ok_and(|balance| balance >= units) {
            return Ok(());
        }
        Err(InsufficientBalance { whose, balance, cost: units })
    }

    /// Takes what was checked.
    pub fn take(&mut self, measure: Measure, units: u64, of_balance: bool) -> Taken {
        let spent = if of_balance { units } else { 0 };
        self.spent = self.spent.saturating_add(spent);
        let used = self.used(measure);
        for count in [&mut used.day.units, &mut used.month.units, &mut used.total] {
            *count = count.saturating_add(units);
        }
        Taken { measure, units, spent, day: used.day.since, month: used.month.since }
    }

    /// Puts back what was taken for a request that is refused after all.
    pub fn put_back(&mut self, taken: &Taken) {
        self.spent = self.spent.saturating_sub(taken.spent);
        let used = self.used(taken.measure);
        used.day.put_back(taken.day, taken.units);
        used.month.put_back(taken.month, taken.units);
        used.total = used.total.saturating_sub(taken.units);
    }

    /// Takes in what was written earlier or later: of each count the higher one, whichever of two is written first.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in [(&mut self.tokens, &other.tokens), (&mut self.requests, &other.requests)] {
            own.day.merge(other.day);
            own.month.merge(other.month);
            own.total = own.total.max(other.total);
        }
        self.spent = self.spent.max(other.spent);
    }
}

/// How many units may be used and not be written yet, of what is bounded by `quotas` and a balance of `left`: a hundredth
/// of the smallest of them, and never more than 1000. Of less than a hundred that is none.
#[must_use]
pub fn most_unwritten(quotas: &PeriodQuotas, left: Option<i64>) -> u64 {
    let left = left.map(|left| u64::try_from(left).unwrap_or(0));
    let smallest = each(quotas).map(|(_, quota)| quota).chain(left).min();
    smallest.map_or(1000, |smallest| (smallest / 100).min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        let owner = Owner::Client(ClientId::parse("c").unwrap());
        Account::of(&AccountId { owner, since: UnixTime::from_seconds(5) })
    }

    #[test]
    fn what_is_put_back_is_of_the_same_period() {
        let mut account = account();
        let day = |n: i64| UnixTime::from_seconds(n * 24 * 3600);
        account.roll(day(100));
        let taken = account.take(Measure::Requests, 3, true);
        account.roll(day(101));
        account.take(Measure::Requests, 2, true);
        account.put_back(&taken);
        assert_eq!((account.requests.of(Period::Day).0, account.requests.total, account.spent), (2, 2, 2));
        account.roll(day(99));
        assert_eq!(
            account.requests.of(Period::Day),
            (2, Some(day(102))),
            "a clock that is set back gives nothing back"
        );
    }

    #[test]
    fn whichever_is_written_first() {
        let (mut earlier, mut later) = (account(), account());
        earlier.roll(UnixTime::from_seconds(86_399));
        earlier.take(Measure::Tokens, 9, false);
        later.roll(UnixTime::from_seconds(86_400));
        later.take(Measure::Tokens, 1, true);
        let mut both = earlier.clone();
        both.merge(&later);
        later.merge(&earlier);
        assert_eq!(both, later);
        assert_eq!((both.tokens.of(Period::Day).0, both.tokens.of(Period::Month).0, both.spent), (1, 9, 1));
    }

    #[test]
    fn a_hundredth_and_no_more_than_a_thousand() {
        let quotas = |day, month| PeriodQuotas { day, month, total: None };
        assert_eq!(most_unwritten(&quotas(Some(99), Some(1_000_000)), None), 0);
        assert_eq!(most_unwritten(&quotas(Some(5000), None), None), 50);
        assert_eq!(most_unwritten(&quotas(Some(5000), None), Some(150)), 1);
        assert_eq!(most_unwritten(&quotas(None, None), Some(-1)), 0);
        assert_eq!(most_unwritten(&quotas(None, Some(u64::MAX)), None), 1000);
    }
}
