//! Requests a minute with a burst: governor's GCRA, which is told the time.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

/// The size of a bucket: how many there can be at a stretch, and how many come back in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) per_minute: NonZeroU32,
    pub(super) burst: NonZeroU32,
}

impl Size {
    /// None where one of them is 0.
    pub(super) fn new(per_minute: u32, burst: u32) -> Option<Self> {
        Some(Self { per_minute: NonZeroU32::new(per_minute)?, burst: NonZeroU32::new(burst)? })
    }

    /// How long it takes until one has come back. Rounded up: there is never more than the limit.
    fn each(self) -> Duration {
        Duration::from_nanos(60_000_000_000_u64.div_ceil(u64::from(self.per_minute.get())))
    }

    /// How long it takes until all have come back.
    pub(super) fn whole(self) -> Duration {
        self.each().saturating_mul(self.burst.get())
    }

    /// The same in whole seconds: the window of the limit.
    pub(super) fn window(self) -> Duration {
        let (burst, per_minute) = (u64::from(self.burst.get()), u64::from(self.per_minute.get()));
        Duration::from_secs((burst * 60).div_ceil(per_minute))
    }

    fn quota(self) -> Quota {
        Quota::with_period(self.each()).unwrap_or(Quota::per_minute(self.per_minute)).allow_burst(self.burst)
    }
}

/// What was taken from a bucket: when it is full again (GCRA's theoretical arrival time), at the size that it had.
/// Whoever holds it has it alone.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at: Cell<Option<Nanos>>,
    size: Cell<Option<Size>>,
}

/// The moment that a bucket is asked about.
#[derive(Debug, Default)]
struct Told(Cell<Duration>);

impl Clock for Told {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// A bucket as governor sees it; a dry one only says what would be.
struct Kept<'a> {
    bucket: &'a Bucket,
    dry: bool,
}

impl StateStore for Kept<'_> {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = decide(self.bucket.full_at.get())?;
        if !self.dry {
            self.bucket.full_at.set(Some(next));
        }
        Ok(outcome)
    }
}

impl Bucket {
    /// Takes a request at `elapsed`, unless `dry`: how many are left then, or how long it takes until there is one.
    pub(super) fn take(&self, size: Size, elapsed: Duration, dry: bool) -> Result<u32, Duration> {
        self.resize(size, elapsed);
        // Arrivals count from where the limiter begins, which is the beginning of all time here.
        let limiter: RateLimiter<_, _, _, StateInformationMiddleware> =
            RateLimiter::new(size.quota(), Kept { bucket: self, dry }, Told::default());
        limiter.clock().0.set(elapsed);
        match limiter.check() {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(not_until) => Err(not_until.wait_time_from(elapsed)),
        }
    }

    /// When limits are changed, as many requests stay taken as were, and no more than there can be now: who is given more
    /// has more at once, and who is given less does not wait for longer than a bucket takes to fill.
    fn resize(&self, size: Size, elapsed: Duration) {
        let Some(before) = self.size.replace(Some(size)).filter(|before| *before != size) else { return };
        let Some(full_at) = self.full_at.get().map(Duration::from) else { return };
        let owed = full_at.saturating_sub(elapsed).as_nanos();
        let (was, is) = (before.each().as_nanos().max(1), size.each().as_nanos());
        let owes = u64::try_from(owed.saturating_mul(is).div_ceil(was)).unwrap_or(u64::MAX);
        let owes = Duration::from_nanos(owes).min(size.whole());
        if owed > 0 {
            self.full_at.set(Some(elapsed.saturating_add(owes).into()));
        }
    }

    /// Puts a request back.
    pub(super) fn put_back(&self, size: Size) {
        let back = self.full_at.get().map(|at| at.saturating_sub(size.each().into()));
        self.full_at.set(back);
    }

    /// How long it takes until it is full.
    pub(super) fn full_after(&self, elapsed: Duration) -> Duration {
        let at: Duration = self.full_at.get().map_or(Duration::ZERO, Into::into);
        Reference::duration_since(&at, elapsed).into()
    }
}
