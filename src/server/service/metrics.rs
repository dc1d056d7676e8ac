//! What the service counts, as Prometheus text.
//!
//! The recorder is the service's own: several services in one program, as in a test, count each for itself. What the
//! library's guards and verifiers count goes to the program's recorder, which `mintage serve` makes this one. No label
//! names a client, an address or anything else that a stranger chooses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::api::{FindingKind, KeyState};
use crate::limit::Limit;
use crate::reason::Reason;
use crate::server::error::Error;

use super::Service;

const TOKENS_ISSUED: &str = "mintage_tokens_issued_total";
const OAUTH_REFUSED: &str = "mintage_oauth_requests_refused_total";
const AUTHENTICATION_FAILURES: &str = "mintage_client_authentication_failures_total";
const TOKEN_DURATION: &str = "mintage_token_request_duration_seconds";
const GUARD_REFUSED: &str = "mintage_guarded_requests_refused_total";
/// The library's guards count under this name, too.
const SHADOW_REFUSALS: &str = "mintage_shadow_refusals_total";
const FLUSH_FAILURES: &str = "mintage_flush_failures_total";
const COMMIT_FAILURES: &str = "mintage_store_commit_failures_total";
const USAGE_UNNOTED: &str = "mintage_usage_not_noted_total";
const AUDIT_OVERFLOW: &str = "mintage_audit_records_overflowed_total";
const KEYS: &str = "mintage_keys";
const NEXT_ROTATION: &str = "mintage_key_next_rotation_seconds";
const REVOCATIONS: &str = "mintage_revocations_held";
const BUILD_INFO: &str = "mintage_build_info";

/// How long token requests take, in seconds: from what a client at hand takes to what a failed authentication is kept
/// waiting.
const DURATIONS: [f64; 10] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.1, 0.5, 2.5];

/// One of the endpoints at which clients authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/oauth/token`
    Token,
    /// `/oauth/introspect`
    Introspection,
    /// `/oauth/revoke`
    Revocation,
}

impl Endpoint {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Introspection => "introspect",
            Self::Revocation => "revoke",
        }
    }
}

/// A figure that is looked up when somebody asks.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// Its name, in Prometheus' words.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// It.
    pub value: f64,
}

/// The counters of one service.
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    // At hand, since each token request counts in both.
    issued: Counter,
    took: Histogram,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let builder = match builder.set_buckets_for_metric(Matcher::Full(TOKEN_DURATION.to_owned()), &DURATIONS) {
            Ok(builder) => builder,
            // It refuses an empty list alone.
            Err(_) => PrometheusBuilder::new(),
        };
        let recorder = Arc::new(builder.build_recorder());
        let handle = recorder.handle();
        let (issued, took) = metrics::with_local_recorder(&recorder, || {
            describe();
            // What is at zero is there from the start: a rate needs a first value.
            for name in [AUDIT_OVERFLOW, COMMIT_FAILURES, FLUSH_FAILURES, USAGE_UNNOTED] {
                counter!(name).absolute(0);
            }
            gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            (counter!(TOKENS_ISSUED), histogram!(TOKEN_DURATION))
        });
        issued.absolute(0);
        Self { recorder, handle, issued, took }
    }

    /// The recorder: for a program that is this service alone, and wants what its libraries count beside it.
    #[must_use]
    pub fn recorder(&self) -> Arc<PrometheusRecorder> {
        Arc::clone(&self.recorder)
    }

    fn count(&self, count: impl FnOnce()) {
        metrics::with_local_recorder(&self.recorder, count);
    }

    pub(super) fn token_issued(&self) {
        self.issued.increment(1);
    }

    /// A token request was answered, one way or the other.
    pub fn token_request_took(&self, took: Duration) {
        self.took.record(took);
    }

    /// A client's request was refused.
    pub fn oauth_request_refused(&self, endpoint: Endpoint, error: &Error) {
        let (endpoint, reason) = (endpoint.as_str(), error.reason().as_str());
        self.count(|| counter!(OAUTH_REFUSED, "endpoint" => endpoint, "reason" => reason).increment(1));
        if let Error::Unauthenticated(failure) = error {
            let cause = failure.cause.as_str();
            self.count(|| counter!(AUTHENTICATION_FAILURES, "cause" => cause).increment(1));
        }
    }

    pub(super) fn guarded_request_refused(&self, reason: Reason) {
        self.count(|| counter!(GUARD_REFUSED, "reason" => reason.as_str()).increment(1));
    }

    pub(super) fn limit_would_refuse(&self, limit: Limit) {
        self.count(|| counter!(SHADOW_REFUSALS, "control" => limit.as_str()).increment(1));
    }

    pub(super) fn flush_failed(&self) {
        self.count(|| counter!(FLUSH_FAILURES).increment(1));
    }

    /// Records of the audit log had no room and are counted alone.
    pub fn audit_overflowed(&self, records: u64) {
        self.count(|| counter!(AUDIT_OVERFLOW).increment(records));
    }

    /// Puts together what was recorded since: else it waits in memory until somebody asks.
    pub(super) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn describe() {
    describe_counter!(TOKENS_ISSUED, "Tokens issued");
    describe_counter!(OAUTH_REFUSED, "Clients' requests refused, by endpoint and reason");
    describe_counter!(AUTHENTICATION_FAILURES, "Clients that could not be authenticated, by what really happened");
    describe_histogram!(TOKEN_DURATION, "How long token requests took, refused ones included");
    describe_counter!(GUARD_REFUSED, "Requests to guarded routes refused, by reason");
    describe_counter!(SHADOW_REFUSALS, "Requests that controls in shadow would have refused, by control");
    describe_counter!(FLUSH_FAILURES, "Times that what was gathered in memory could not be written");
    describe_counter!(COMMIT_FAILURES, "Transactions of the store that failed");
    describe_counter!(USAGE_UNNOTED, "Uses of clients that were not noted, because too many were used at once");
    describe_counter!(AUDIT_OVERFLOW, "Audit records that had no room and were counted alone");
    describe_gauge!(KEYS, "Signing keys, by state");
    describe_gauge!(NEXT_ROTATION, "Seconds until the next key takes over; negative where it is late");
    describe_gauge!(REVOCATIONS, "Tokens, generations and keys that are held as revoked");
    describe_gauge!(BUILD_INFO, "1, with the version");
}

impl Service {
    /// What this service counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// All that is counted, as Prometheus text.
    pub fn render_metrics(&self) -> String {
        let (keys, activates_at) = self.keys.records();
        let now = self.clock.now();
        self.metrics.count(|| {
            for state in [KeyState::Next, KeyState::Active, KeyState::Retiring, KeyState::Revoked, KeyState::Retired] {
                let count = keys.iter().filter(|key| key.state == state).count();
                gauge!(KEYS, "state" => state.as_str()).set(count as f64);
            }
            // Where there is no next key there is no rotation; and an alarm has to see that.
            let left = activates_at.map_or(f64::INFINITY, |at| at.seconds().saturating_sub(now.seconds()) as f64);
            gauge!(NEXT_ROTATION).set(left);
            gauge!(REVOCATIONS).set(self.revocations.held() as f64);
            counter!(USAGE_UNNOTED).absolute(self.usage.unnoted());
            for found in self.review_gauges() {
                describe_gauge!(found.name, found.help);
                gauge!(found.name).set(found.value);
            }
        });
        self.metrics.handle.render()
    }

    /// What a review of all clients found when it was last made: secrets that have expired or are about to, clients that
    /// are not used. Looked up here, never counted: a review walks all clients.
    fn review_gauges(&self) -> Vec<Gauge> {
        let gauge = |(kind, count): (FindingKind, u64)| {
            let (name, help) = match kind {
                FindingKind::SecretExpiring => {
                    ("mintage_secrets_expiring", "Secrets, API keys and Digest keys that are about to end")
                }
                FindingKind::SecretsExpired => {
                    ("mintage_clients_without_live_secret", "Clients all of whose secrets or Digest keys have ended")
                }
                FindingKind::SecretBeyondPolicy => (
                    "mintage_secrets_beyond_policy",
                    "Secrets and keys that live longer than new ones of their project may",
                ),
                FindingKind::ClientNeverUsed => ("mintage_clients_never_used", "Clients that were never used"),
                FindingKind::ClientUnused => ("mintage_clients_unused", "Clients that were not used for long"),
                FindingKind::ScopeUnused => {
                    ("mintage_scopes_unused", "Scopes of clients that were not used by them for long")
                }
            };
            Gauge { name, help, value: count as f64 }
        };
        self.last_review.counts().into_iter().flatten().map(gauge).collect()
    }
}
