//! How following an issuer goes.

use serde::Serialize;

use crate::clock::{Rfc3339, UnixTime};
use crate::resource::source::{KeySource, RevocationSource};

use super::State;

/// How following an issuer goes. The same is in the metrics `mintage_verifier_…` (timestamps in Unix seconds).
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Whether the tasks in the background run. They end with the Tokio runtime that the verifier was built on.
    pub running: bool,
    /// Its keys.
    pub keys: KeysHealth,
    /// Its revocations; `None` where it publishes no feed and nothing is refused for that, or they are not followed.
    pub revocations: Option<RevocationsHealth>,
}

/// How fresh the keys are.
#[derive(Clone, Debug, Serialize)]
pub struct KeysHealth {
    /// How many there are.
    pub count: usize,
    /// When they were last fetched.
    pub fetched_at: Rfc3339,
    /// How long ago that is, in seconds.
    pub age: u64,
    /// Whether tokens are still verified with them.
    pub usable: bool,
    /// What went wrong the last time, if it did.
    pub last_error: Option<String>,
}

/// How fresh what is known to be revoked is.
#[derive(Clone, Debug, Serialize)]
pub struct RevocationsHealth {
    /// How many entries are known.
    pub count: usize,
    /// When the feed was last heard; `None` is never.
    pub heard_at: Option<Rfc3339>,
    /// How long ago that is, in seconds.
    pub age: Option<u64>,
    /// Whether tokens are still let through by it.
    pub usable: bool,
    /// What went wrong the last time, if it did.
    pub last_error: Option<String>,
}

impl Health {
    /// Whether tokens are verified, nothing went wrong the last time, and the tasks in the background run.
    #[must_use]
    pub fn is_good(&self) -> bool {
        if !self.running {
            return false;
        }
        let keys = self.keys.usable && self.keys.last_error.is_none();
        keys && self.revocations.as_ref().is_none_or(|feed| feed.usable && feed.last_error.is_none())
    }
}

impl State {
    /// Metrics of the keys. A timestamp, so that a scrape sees the age also where nothing happens any more.
    pub(super) fn show_keys(&self) {
        let issuer = self.settings.issuer.clone();
        metrics::gauge!("mintage_verifier_keys_fetched_timestamp_seconds", "issuer" => issuer)
            .set(self.keys.load().fetched_at.seconds() as f64);
    }

    /// Metrics of the feed.
    pub(super) fn show_feed(&self) {
        let issuer = &self.settings.issuer;
        metrics::gauge!("mintage_verifier_feed_heard_timestamp_seconds", "issuer" => issuer.clone())
            .set(self.heard.at().map_or(0, UnixTime::seconds) as f64);
        metrics::gauge!("mintage_verifier_revoked_entries", "issuer" => issuer.clone()).set(self.revoked.len() as f64);
    }

    pub(super) fn health(&self, now: UnixTime) -> Health {
        let keys = self.keys.load();
        let heard_at = self.heard.at();
        // Also where there is no feed, and tokens are refused for the want of it.
        let shown = self.follows_revocations() || !RevocationSource::is_fresh(self, now);
        Health {
            running: true,
            keys: KeysHealth {
                count: keys.set.len(),
                fetched_at: Rfc3339(keys.fetched_at),
                age: now.since(keys.fetched_at).as_secs(),
                usable: KeySource::is_fresh(self, now),
                last_error: self.keys_error.load().as_ref().map(|error| String::clone(error)),
            },
            revocations: shown.then(|| RevocationsHealth {
                count: self.revoked.len(),
                heard_at: heard_at.map(Rfc3339),
                age: heard_at.map(|at| now.since(at).as_secs()),
                usable: RevocationSource::is_fresh(self, now),
                last_error: self.heard.error(),
            }),
        }
    }
}
