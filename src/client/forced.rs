//! How often a token is fetched anew because a resource refused it.

use std::time::Duration;

use crate::clock::Stopwatch;

/// So many times in a row a token is fetched anew at once because a resource refused it. After that each time takes
/// longer: a resource that refuses whatever it is sent should not turn every request into two.
const FORCED_AT_ONCE: u32 = 3;
const FIRST_FORCED_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_FORCED_PAUSE: Duration = Duration::from_secs(60);
/// After so long without, a refused token is the first again.
const FORCED_FORGOTTEN: Duration = Duration::from_secs(300);

/// The times that it was.
#[derive(Debug, Default)]
pub(super) struct Forced {
    in_a_row: u32,
    last: Option<Stopwatch>,
}

impl Forced {
    /// Whether it is time for one more, which is then counted.
    pub(super) fn once_more(&mut self) -> bool {
        let since = self.last.map(Stopwatch::elapsed);
        if since.is_none_or(|since| since > FORCED_FORGOTTEN) {
            self.in_a_row = 0;
        }
        let doubled = self.in_a_row.checked_sub(FORCED_AT_ONCE).map(|more| 1_u32 << more.min(16));
        let pause = doubled.map_or(Duration::ZERO, |times| (FIRST_FORCED_PAUSE * times).min(LONGEST_FORCED_PAUSE));
        if since.is_some_and(|since| since < pause) {
            return false;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some(Stopwatch::start());
        true
    }
}
