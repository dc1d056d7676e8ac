//! How long failures of authentication are held, so that none can be told from one that took a slow check.

use std::time::Duration;

use crate::clock::Stopwatch;

/// The longest that failures are held on account of slow checks.
const MAX_HELD: Duration = Duration::from_secs(10);
/// How long it takes until of the waiting that was found half is taken for granted.
const HALVED_AFTER: Duration = Duration::from_secs(30);
/// Failures are held for a multiple of this, so that one check more or less moves nothing.
const STEP: Duration = Duration::from_millis(25);

/// How long failures are held, by what checks were found to take.
#[derive(Debug)]
pub(super) struct Held {
    /// The checks of one request by themselves. It grows at once, and shrinks by a little with each check, never with time:
    /// a quiet hour must not make the next check stand out.
    alone: Duration,
    /// The same with their waiting for other checks, when that was found. It passes with the rush.
    in_line: (Duration, Stopwatch),
}

impl Held {
    /// Not at all, as long as there was no check.
    pub(super) fn new() -> Self {
        Self { alone: Duration::ZERO, in_line: (Duration::ZERO, Stopwatch::start()) }
    }

    /// The checks of one request took `alone` by themselves, and `all` with their waiting for others.
    pub(super) fn note(&mut self, alone: Duration, all: Duration) {
        self.alone = alone.max(self.alone - self.alone.saturating_sub(alone) / 64);
        if all >= self.waited() {
            self.in_line = (all, Stopwatch::start());
        }
    }

    fn waited(&self) -> Duration {
        let (found, since) = &self.in_line;
        found.mul_f32(0.5_f32.powf(since.elapsed().as_secs_f32() / HALVED_AFTER.as_secs_f32()))
    }

    /// How long failures are held now.
    pub(super) fn span(&self) -> Duration {
        let needed = self.alone.max(self.waited()).mul_f32(1.25).min(MAX_HELD);
        STEP * u32::try_from(needed.as_micros().div_ceil(STEP.as_micros())).unwrap_or(u32::MAX)
    }
}
