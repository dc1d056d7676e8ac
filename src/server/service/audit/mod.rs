//! The audit log: what is issued goes in, what is old goes out, and it can be read, exported and verified.
//!
//! Reading and verifying need no more than a store's log, so that a file that nobody runs on can be looked into with
//! the same eyes.

mod export;
mod issuances;
mod list;
mod verify;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::jose::jwk;
use crate::server::error::Error;
use crate::server::store::Cutoffs;

use super::Service;

pub use export::{ExportFilter, ExportFrom, export};
pub use list::{AuditFilter, Position, page};
pub use verify::{offline_head, shown, verify};

pub(super) use issuances::{Issuances, Issued};

/// How many records and segments are forgotten at once.
const STEP: usize = 2000;
/// The longest that what is to be forgotten waits for more, so that there is one record for all of it.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// What is at hand of the audit log.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) issuances: Issuances,
    /// The key that signs heads, once its public half is kept for good.
    kept_key: Mutex<Option<String>>,
    /// When it is next looked for what is too old.
    prune_at: Mutex<Option<UnixTime>>,
}

impl Service {
    /// Begins a run: from now on a run that breaks off leaves a record of that.
    ///
    /// # Errors
    /// What the store says.
    pub async fn begin_run(&self) -> Result<(), Error> {
        if self.store.begin_run(self.clock.now()).await? {
            tracing::warn!("the last run broke off: tokens of its last second may be missing in the audit log");
        }
        self.keep_signing_key().await
    }

    /// Ends the run, if all that was issued is written.
    pub async fn end_run(&self) {
        if !self.flush_issuances().await {
            return;
        }
        if let Err(error) = self.store.end_run().await {
            tracing::error!(%error, "the end of this run could not be noted");
        }
    }

    /// Keeps the public half of the key that signs heads: they are verified with it when it is long gone.
    pub(super) async fn keep_signing_key(&self) -> Result<(), Error> {
        let Some(signer) = self.keys.signer() else { return Ok(()) };
        let kept = |kid: &Option<String>| kid.as_deref() == Some(signer.kid());
        if kept(&self.audit.kept_key.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let jwk = jwk::to_jwk(&signer.public_key(), signer.kid(), signer.algorithm());
        self.store.keep_audit_key(signer.kid().to_owned(), jwk).await?;
        *self.audit.kept_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(signer.kid().to_owned());
        Ok(())
    }

    /// Forgets some of what is older than it is to be kept. Goes on the next time where there is more, and else looks
    /// again when enough has come together to be worth a record.
    pub async fn prune_audit(&self) {
        let (retention, now) = (self.settings.retention, self.clock.now());
        let Some(shortest) = retention.changes.into_iter().chain(retention.issuances).min() else { return };
        let due = *self.audit.prune_at.lock().unwrap_or_else(PoisonError::into_inner);
        if due.is_some_and(|due| now < due) {
            return;
        }
        let cutoff = |kept: Option<Duration>| {
            kept.map(|kept| UnixTime::from_seconds(now.seconds().saturating_sub_unsigned(kept.as_secs())))
        };
        let cutoffs = Cutoffs { changes: cutoff(retention.changes), issuances: cutoff(retention.issuances) };
        let next = match self.store.prune_audit(cutoffs, STEP, now).await {
            Ok(gone) if gone >= STEP => None,
            Ok(_) => Some(now.plus((shortest / 10).min(LONGEST_PAUSE))),
            Err(error) => {
                tracing::error!(%error, "the audit log could not be pruned");
                None
            }
        };
        *self.audit.prune_at.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}
