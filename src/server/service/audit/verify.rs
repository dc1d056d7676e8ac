//! Whether the audit log is as it was written, and the signed head to hold it against later.

use std::path::Path;

use crate::api;
use crate::clock::UnixTime;
use crate::jose::TokenSigner;
use crate::server::error::Error;
use crate::server::keys::active_signer;
use crate::server::model::{AuditHead, ChainWalk, ClaimedHead, HEAD_TYPE, HeadClaims, KeyRecord, Verdict};
use crate::server::service::Service;
use crate::server::store::AuditReader;

/// Signs the end of a chain.
fn sign(signer: &TokenSigner, issuer: &str, head: &AuditHead, now: UnixTime) -> Result<String, Error> {
    let claims = HeadClaims { iss: issuer.to_owned(), iat: now, head: head.clone() };
    signer.sign_as(HEAD_TYPE, &claims).map_err(|_| Error::Unavailable("no randomness for a signature".to_owned()))
}

/// Walks along the whole log, and holds it against a signed head, if one is given.
///
/// # Errors
/// [`Error::InvalidFields`] where `against` is no signed head, or what the store says.
pub async fn verify(reader: &dyn AuditReader, against: Option<&str>) -> Result<Verdict, Error> {
    let against = against.map(ClaimedHead::parse).transpose().map_err(|error| Error::field("head", error))?;
    Ok(reader.walk_audit(ChainWalk::new(against)).await?)
}

/// The signed head of a store that nobody runs on, if the folder of keys has the key that signed there last.
#[must_use]
pub fn offline_head(
    dir: &Path,
    records: &[KeyRecord],
    issuer: &str,
    head: &AuditHead,
    now: UnixTime,
) -> Option<String> {
    sign(&*active_signer(dir, records)?, issuer, head, now).ok()
}

/// A verdict as it is shown.
#[must_use]
pub fn shown(verdict: Verdict, head: Option<String>) -> api::AuditVerdict {
    api::AuditVerdict {
        ok: verdict.is_ok(),
        records: verdict.records,
        segments: verdict.segments,
        head,
        pruned_through: verdict.checkpoint.map(|checkpoint| checkpoint.sequence),
        problems: verdict
            .problems
            .into_iter()
            .map(|problem| api::AuditProblem {
                record: problem.record,
                segment: problem.segment,
                detail: problem.detail,
            })
            .collect(),
    }
}

impl Service {
    /// The end of the audit chain, signed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where there is no key to sign with, or what the store says.
    pub async fn audit_head(&self) -> Result<api::AuditHead, Error> {
        let (head, _) = self.store.audit(u64::MAX, 0).await?;
        let signed = self.signed_head(&head).await?;
        Ok(api::AuditHead { head: signed, sequence: head.sequence, hash: head.hash })
    }

    async fn signed_head(&self, head: &AuditHead) -> Result<String, Error> {
        // First, so that no head is out there that cannot be verified.
        self.keep_signing_key().await?;
        let signer = self.keys.signer().ok_or_else(crate::server::service::issue::no_key)?;
        sign(&signer, &self.settings.issuer, head, self.clock.now())
    }

    /// Whether the audit log is as it was written, by itself and against a head that was signed earlier.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for what is no signed head, or what the store says.
    pub async fn verify_audit(&self, request: &api::VerifyAudit) -> Result<api::AuditVerdict, Error> {
        let verdict = verify(&*self.store, request.head.as_deref()).await?;
        let head = self.signed_head(&verdict.head).await?;
        Ok(shown(verdict, Some(head)))
    }
}
