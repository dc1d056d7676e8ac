//! What one credential has left of its limits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::UnixTime;

use super::bucket::{Bucket, Size};
use super::day::DayCount;
use super::{DAY, Exceeded, Limit, Moment, Rate, Shadow, Standing, Whose, seconds_up};

/// How long to wait for one of the requests that are under way. Nobody knows when one ends.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// How often it is said of a credential that a limit in shadow would have refused it.
const SHADOW_SAID_EVERY: Duration = Duration::from_secs(60);

/// What one credential has taken of what it may. It knows no limits: these are said anew each time, and may change.
#[derive(Debug, Default)]
pub struct Allowance {
    // Held for some arithmetic, never while anything waits.
    taken: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    bucket: Bucket,
    day: DayCount,
    under_way: u32,
    /// When a limit in shadow was last said to have refused something.
    shadow_said: Option<Duration>,
}

/// A request that is under way, and counts as such until this is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Allowance>);

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.under_way = counts.under_way.saturating_sub(1);
    }
}

/// A request that was let through.
#[derive(Debug)]
pub struct Taken {
    /// How the credential stands with the limit that binds; none where nothing is limited.
    pub standing: Option<Standing>,
    /// The limits in shadow that would have refused it.
    pub shadowed: Shadow,
    /// Whether that has not happened for a minute: a log that says so each time would be full of it.
    pub shadowed_anew: bool,
    /// Where requests at once are limited: this one.
    pub permit: Option<Permit>,
}

/// What one limit says.
struct Verdict {
    standing: Standing,
    /// How long it takes until it lets one through; none where it does.
    wait: Option<Duration>,
}

impl Allowance {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing in there can be left half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one request at `moment`, if `rate` has it. A request that is refused takes nothing.
    ///
    /// # Errors
    /// [`Exceeded`], of the limit that takes longest; waiting for that is enough for all of them.
    pub fn take(
        self: &Arc<Self>,
        rate: &Rate,
        shadow: Shadow,
        moment: Moment,
        whose: Whose,
    ) -> Result<Taken, Exceeded> {
        let mut counts = self.counts();
        let verdicts = counts.verdicts(rate, moment);
        let (mut binding, mut refusing, mut shadowed) =
            (None::<Standing>, None::<(Duration, Standing)>, Shadow::default());
        for verdict in verdicts.into_iter().flatten() {
            let Verdict { standing, wait } = verdict;
            if shadow.has(standing.limit) {
                if wait.is_some() {
                    shadowed.insert(standing.limit);
                }
                continue;
            }
            if let Some(wait) = wait
                && refusing.is_none_or(|(longest, _)| wait > longest)
            {
                refusing = Some((wait, standing));
            }
            if binding.is_none_or(|binding| standing.binds_before(&binding)) {
                binding = Some(standing);
            }
        }
        if let Some((wait, standing)) = refusing {
            return Err(Exceeded { standing, retry_after: seconds_up(wait).max(1), whose });
        }
        counts.add(rate, moment.elapsed);
        let shadowed_anew = !shadowed.is_empty() && counts.say_shadow(moment.elapsed);
        drop(counts);
        let permit = (rate.concurrent > 0).then(|| Permit(Arc::clone(self)));
        Ok(Taken { standing: binding, shadowed, shadowed_anew, permit })
    }

    /// Puts a request of this minute back, which was none after all.
    pub fn put_back(&self, rate: &Rate) {
        if let Some(size) = Size::new(rate.per_minute, rate.burst) {
            self.counts().bucket.put_back(size);
        }
    }
}

impl Counts {
    /// What each limit says of one more request.
    fn verdicts(&mut self, rate: &Rate, moment: Moment) -> [Option<Verdict>; 3] {
        let Moment { elapsed, now } = moment;
        let minute = Size::new(rate.per_minute, rate.burst).map(|size| {
            let taken = self.bucket.take(size, elapsed, true);
            let whole = self.bucket.full_after(elapsed);
            let next = if taken.is_ok() { size.whole() / size.burst.get() } else { Duration::ZERO };
            let quota = u64::from(size.burst.get());
            let left = taken.map_or(0, u64::from);
            Verdict::new(Limit::PerMinute, quota, left, Some(size.window()), whole + next, now, taken.err())
        });
        let day = (rate.per_day > 0).then(|| {
            let quota = u64::from(rate.per_day);
            let taken = self.day.total(elapsed);
            let wait = (taken >= quota).then(|| self.day.room_after(quota, elapsed));
            let left = quota.saturating_sub(taken + 1);
            let reset = if wait.is_some() { self.day.empty_after(elapsed) } else { DAY };
            Verdict::new(Limit::PerDay, quota, left, Some(DAY), reset, now, wait)
        });
        let at_once = (rate.concurrent > 0).then(|| {
            let (quota, taken) = (u64::from(rate.concurrent), u64::from(self.under_way));
            let wait = (taken >= quota).then_some(UNDER_WAY);
            let left = quota.saturating_sub(taken + 1);
            Verdict::new(Limit::Concurrent, quota, left, None, UNDER_WAY, now, wait)
        });
        [minute, day, at_once]
    }

    /// Counts one more, whatever limits there are to be refused by: those in shadow, too, would else refuse for ever.
    fn add(&mut self, rate: &Rate, elapsed: Duration) {
        if let Some(size) = Size::new(rate.per_minute, rate.burst) {
            // Refused only in shadow; then there is nothing to take.
            let _ = self.bucket.take(size, elapsed, false);
        }
        if rate.per_day > 0 {
            self.day.add(elapsed);
        }
        if rate.concurrent > 0 {
            self.under_way = self.under_way.saturating_add(1);
        }
    }
}

impl Counts {
    /// Whether it is time to say that a limit in shadow would have refused something.
    fn say_shadow(&mut self, elapsed: Duration) -> bool {
        let due = self.shadow_said.is_none_or(|said| elapsed.saturating_sub(said) >= SHADOW_SAID_EVERY);
        if due {
            self.shadow_said = Some(elapsed);
        }
        due
    }
}

impl Verdict {
    fn new(
        limit: Limit,
        quota: u64,
        remaining: u64,
        window: Option<Duration>,
        reset_after: Duration,
        now: UnixTime,
        wait: Option<Duration>,
    ) -> Self {
        let reset_after = seconds_up(reset_after).max(1);
        let standing = Standing {
            limit,
            quota,
            remaining,
            window: window.map(|window| seconds_up(window).max(1)),
            reset_after,
            reset_at: now.plus(Duration::from_secs(reset_after)),
        };
        Self { standing, wait }
    }
}

impl Standing {
    /// Whether this one is used up before `other`: it has less left, or takes longer to have more. Requests at once come
    /// back with each answer: who asks one after the other never meets that limit, and is told of it when none is left.
    fn binds_before(&self, other: &Self) -> bool {
        let rank = |standing: &Self| {
            let comes_back = standing.limit == Limit::Concurrent && standing.remaining > 0;
            (comes_back, standing.remaining, std::cmp::Reverse(standing.reset_after))
        };
        rank(self) < rank(other)
    }
}
