//! What happens in the background: keys moved on, uses, refusals and issuances written, what no longer matters
//! forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::UnixTime;
use crate::resource::KEPT_LONGER;
use crate::server::store::StoreError;

use super::Service;

/// How often keys are looked at and uses written. A crash loses at most this much of what was used.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How many ticks pass between two purges.
const PURGE_EVERY: u64 = 60;

/// How often the store is asked to forget in one purge: it forgets a bounded part each time.
const MOST_PURGES: usize = 10;

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

impl Service {
    /// Runs until `stop` turns true. What is gathered then waits for [`Service::flush`].
    pub async fn run_background(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let issuances = tokio::spawn(Arc::clone(&self).record_issuances(stop.clone()));
        let mut ticks = ticks();
        let mut count: u64 = 0;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            self.look_after().await;
            count += 1;
            if count.is_multiple_of(PURGE_EVERY) {
                self.purge().await;
            }
        }
        drop(issuances.await);
    }

    /// Writes what was issued, beside everything else: however long that takes, a crash loses a second's worth.
    async fn record_issuances(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = ticks();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            self.flush_issuances().await;
        }
    }

    /// Does what is due now.
    pub async fn tick(&self) {
        self.flush_issuances().await;
        self.look_after().await;
    }

    /// The same, but for what is issued.
    async fn look_after(&self) {
        self.dispel_doubt().await;
        if let Err(error) = self.keys.tick().await {
            tracing::error!(%error, "the keys could not be moved on");
        }
        if let Err(error) = self.keep_signing_key().await {
            tracing::warn!(
                error = error.cause(),
                "the public half of the signing key could not be kept for the audit log"
            );
        }
        self.flush_all_but_issuances().await;
        self.metrics.upkeep();
    }

    /// Forgets what no longer matters.
    pub async fn purge(&self) {
        let now = self.clock.now();
        // Late, for clocks that run ahead for a while.
        let past = UnixTime::from_seconds(now.seconds().saturating_sub_unsigned(KEPT_LONGER.as_secs()));
        match self.forget_ended(past).await {
            Ok(()) => self.revocations.purge(now),
            Err(error) => tracing::error!(%error, "what no longer matters could not be purged"),
        }
        self.purge_usage(now).await;
        self.prune_audit().await;
        if !self.keys.has_next() {
            tracing::error!(
                "there is no next key to rotate to: put a new RSA key into the folder of keys \
                 (openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072)"
            );
        }
    }

    async fn forget_ended(&self, past: UnixTime) -> Result<(), StoreError> {
        for _ in 0..MOST_PURGES {
            if self.store.purge(past).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Writes what was gathered in memory.
    pub async fn flush(&self) {
        self.flush_issuances().await;
        self.flush_all_but_issuances().await;
    }

    async fn flush_all_but_issuances(&self) {
        if let Err(error) = self.flush_usage().await {
            self.metrics.flush_failed();
            tracing::warn!(%error, "what clients used could not be written; it is kept for the next try");
        }
        if let Err(error) = self.flush_accounts().await {
            self.metrics.flush_failed();
            tracing::warn!(%error, "what was used of quotas could not be written; it is kept for the next try");
        }
        self.flush_better_hashes().await;
        self.flush_refusals().await;
    }
}
