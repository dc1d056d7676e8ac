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
use crate::server::error::Error;
use crate::server::model::{AuditKey, AuditSigner};
use crate::server::store::Cutoffs;

use super::Service;

pub use export::{ExportFilter, ExportFrom, export};
pub use list::{AuditFilter, Position, page};
pub use verify::{folder_keys, offline_head, shown, verify};

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
    kept_key: Mutex<Option<AuditKey>>,
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

    /// Keeps the public half of the key that signs heads: they are verified with it when it is long gone. It vouches for
    /// those before it that this service itself knows, so that whoever knows it knows them.
    pub(super) async fn keep_signing_key(&self) -> Result<(), Error> {
        let Some(signer) = self.keys.signer().map(AuditSigner::new) else { return Ok(()) };
        let own = signer.key();
        let kept = self.audit.kept_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.as_ref().is_some_and(|kept| kept.kid == own.kid) {
            return Ok(());
        }
        let (records, _) = self.keys.records();
        let has_signed = |key: &AuditKey| records.iter().any(|r| r.kid == key.kid && r.activated_at.is_some());
        let published = self.own_keys().into_iter().filter_map(|jwk| {
            let kid = jwk.get("kid")?.as_str()?.to_owned();
            Some(AuditKey { kid, jwk, endorsed: None })
        });
        let earlier = published.filter(has_signed).chain(kept).filter(|key| key.kid != own.kid);
        let keys = earlier.map(|key| signer.vouch_for(&key)).chain([own.clone()]).collect();
        self.store.keep_audit_keys(keys).await?;
        *self.audit.kept_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
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
        // First, so that what it signs can be verified.
        if let Err(error) = self.keep_signing_key().await {
            tracing::error!(
                error = error.cause(),
                "the audit log is not pruned: the key to sign that with cannot be kept"
            );
            return;
        }
        let Some(signer) = self.keys.signer().map(AuditSigner::new) else { return };
        let next = match self.store.prune_audit(cutoffs, STEP, now, signer).await {
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
