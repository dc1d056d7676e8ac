//! When the issuer is asked nothing, because it failed; and what is said of it in the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Deadline;

use super::question::Failure;

/// How often the log is told of what an operator has to mend.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// After how many failures in a row the metadata is asked where introspection is now.
const ASK_WHERE_EVERY: u64 = 16;

/// How it goes with the issuer. The locks are held for a look.
#[derive(Debug, Default)]
pub(super) struct Patience {
    rest: Mutex<Option<Deadline>>,
    said: Mutex<Option<Deadline>>,
    failures: AtomicU64,
}

fn has_come(deadline: &Mutex<Option<Deadline>>) -> bool {
    let deadline = deadline.lock().unwrap_or_else(PoisonError::into_inner);
    deadline.is_none_or(|deadline| deadline.remaining().is_zero())
}

fn set(deadline: &Mutex<Option<Deadline>>, to: Option<Deadline>) {
    *deadline.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

impl Patience {
    /// Whether the issuer is left alone for now.
    pub(super) fn is_resting(&self) -> bool {
        !has_come(&self.rest)
    }

    /// It answered.
    pub(super) fn answered(&self, issuer: &str) {
        if self.failures.swap(0, Ordering::Relaxed) > 0 {
            set(&self.rest, None);
            set(&self.said, None);
            tracing::info!(issuer, "the issuer says again what API keys stand for");
        }
    }

    /// It did not. Whether it may be elsewhere by now.
    pub(super) fn failed(&self, failure: &Failure, issuer: &str) -> bool {
        set(&self.rest, Some(Deadline::after(failure.pause())));
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if failure.passes() {
            if before == 0 {
                tracing::warn!(error = %failure, issuer, "the issuer does not say what API keys stand for; going on with what is known, and new ones are answered 503");
            }
            return (before + 1).is_multiple_of(ASK_WHERE_EVERY);
        }
        if has_come(&self.said) {
            set(&self.said, Some(Deadline::after(SAID_EVERY)));
            tracing::error!(error = %failure, issuer, "API keys cannot be introspected, and are answered 503 until somebody mends it");
        }
        true
    }
}
