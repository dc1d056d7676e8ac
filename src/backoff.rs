//! How long to wait before the next try.

use std::time::Duration;

use crate::crypto::entropy::Entropy;

/// Growing pauses with full jitter: each is anywhere between a tenth of a bound and the bound, which doubles, so that
/// a fleet that failed together does not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses of at most `first`, doubling up to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The same after so many failures.
    #[must_use]
    pub fn after(self, failures: u64) -> Self {
        Self { failures: u32::try_from(failures).unwrap_or(u32::MAX), ..self }
    }

    /// The pause after one more failure.
    pub fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        let bound = self.first.saturating_mul(1 << self.failures.min(20)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        // Never none at all: a server that refuses at once would be asked in a loop.
        (bound / 10).saturating_add(fraction(bound - bound / 10, entropy))
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Anywhere between nothing and `span`.
#[must_use]
pub fn fraction(span: Duration, entropy: &dyn Entropy) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness there is no spreading, and nothing else is lost.
    if entropy.fill(&mut bytes).is_err() {
        return span;
    }
    span.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}
