//! Requests within any 24 hours: counted by the half hour, and let go of when the whole of it is a day past.

use std::collections::VecDeque;
use std::time::Duration;

use super::DAY;

/// How finely the day is counted.
const SLOT: Duration = Duration::from_secs(30 * 60);
/// How many slots back still count: a day, and the slot that it begins in.
const SLOTS: u64 = DAY.as_secs() / SLOT.as_secs();

/// What was taken within the last day, by the slot. At most [`SLOTS`] and one.
#[derive(Debug, Default)]
pub(super) struct DayCount {
    slots: VecDeque<(u64, u32)>,
    total: u64,
}

/// The slot of this moment.
fn slot(elapsed: Duration) -> u64 {
    elapsed.as_secs() / SLOT.as_secs()
}

/// How long it takes until what was taken in `taken` does not count any more.
fn forgotten_after(taken: u64, elapsed: Duration) -> Duration {
    Duration::from_secs((taken + SLOTS + 1) * SLOT.as_secs()).saturating_sub(elapsed)
}

impl DayCount {
    /// How many count at `elapsed`.
    pub(super) fn total(&mut self, elapsed: Duration) -> u64 {
        let now = slot(elapsed);
        while let Some((oldest, count)) = self.slots.front().copied() {
            if oldest + SLOTS >= now {
                break;
            }
            self.total = self.total.saturating_sub(u64::from(count));
            self.slots.pop_front();
        }
        self.total
    }

    /// Counts one more.
    pub(super) fn add(&mut self, elapsed: Duration) {
        let now = slot(elapsed);
        match self.slots.back_mut() {
            Some((latest, count)) if *latest == now => *count = count.saturating_add(1),
            _ => self.slots.push_back((now, 1)),
        }
        self.total += 1;
    }

    /// How long it takes until fewer than `limit` count.
    pub(super) fn room_after(&self, limit: u64, elapsed: Duration) -> Duration {
        let mut left = self.total;
        for (taken, count) in &self.slots {
            if left < limit {
                break;
            }
            left = left.saturating_sub(u64::from(*count));
            if left < limit {
                return forgotten_after(*taken, elapsed);
            }
        }
        Duration::ZERO
    }

    /// How long it takes until none count.
    pub(super) fn empty_after(&self, elapsed: Duration) -> Duration {
        self.slots.back().map_or(Duration::ZERO, |(taken, _)| forgotten_after(*taken, elapsed))
    }
}
