//! Whether the audit log is as it was written, and the signed head to hold it against later.

use std::path::Path;

use serde_json::Value;

use crate::api;
use crate::clock::UnixTime;
use crate::jose::TokenSigner;
use crate::server::error::Error;
use crate::server::keys::{active_signer, public_keys};
use crate::server::model::{AuditHead, ChainWalk, ClaimedHead, HEAD_TYPE, HeadClaims, KeyRecord, Verdict};
use crate::server::service::{Caller, Service};
use crate::server::store::AuditReader;

/// Signs the end of a chain.
fn sign(signer: &TokenSigner, issuer: &str, head: &AuditHead, now: UnixTime) -> Result<String, Error> {
    let claims = HeadClaims { iss: issuer.to_owned(), iat: now, head: head.clone() };
    signer.sign_as(HEAD_TYPE, &claims).map_err(|_| Error::Unavailable("no randomness for a signature".to_owned()))
}

/// The public keys in a folder of keys: the word of somebody else than the store for who signs here.
#[must_use]
pub fn folder_keys(dir: &Path) -> Vec<Value> {
    public_keys(dir)
}

/// The keys of a JWK Set, or a single one.
fn keys_of(set: &Value) -> Vec<Value> {
    set.get("keys").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![set.clone()])
}

/// Walks along the whole log, and holds it against a signed head, if one is given. `keys` are the public keys that are
/// known from elsewhere than the store.
///
/// # Errors
/// [`Error::InvalidFields`] where `against` is no signed head, or what the store says.
pub async fn verify(reader: &dyn AuditReader, against: Option<&str>, keys: Vec<Value>) -> Result<Verdict, Error> {
    let against = against.map(ClaimedHead::parse).transpose().map_err(|error| Error::field("head", error))?;
    Ok(reader.walk_audit(ChainWalk::new(against, keys)).await?)
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

/// A verdict as it is shown; where the keys are from that are not the store's own.
#[must_use]
pub fn shown(verdict: Verdict, head: Option<String>, keys: api::AuditKeys) -> api::AuditVerdict {
    api::AuditVerdict {
        ok: verdict.is_ok(),
        keys: if verdict.keys_are_the_stores { api::AuditKeys::Store } else { keys },
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
    /// The end of the audit chain, signed, if it is whole.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is not, [`Error::Unavailable`] where there is no key to sign with, or what the store says.
    pub async fn audit_head(&self, caller: &Caller) -> Result<api::AuditHead, Error> {
        caller.check_organization("the end of the audit log, which is the whole instance's,")?;
        let verdict = self.walk_audit(None, self.own_keys()).await?;
        if !verdict.is_ok() {
            let detail = "the audit log is not as it was written, and its end is not signed: see mintage audit verify";
            return Err(Error::Conflict(detail.to_owned()));
        }
        let head = verdict.head;
        let signed = self.signed_head(&head).await?;
        Ok(api::AuditHead { head: signed, sequence: head.sequence, hash: head.hash })
    }

    /// The public keys that are published, which are read from files.
    pub(super) fn own_keys(&self) -> Vec<Value> {
        serde_json::from_slice(&self.keys.published().body).map(|set| keys_of(&set)).unwrap_or_default()
    }

    async fn walk_audit(&self, against: Option<&str>, keys: Vec<Value>) -> Result<Verdict, Error> {
        // First: what a key signs that has just taken over is to be verified with it.
        self.keep_signing_key().await?;
        verify(&*self.store, against, keys).await
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
        let (keys, source) = match &request.jwks {
            Some(set) => (keys_of(set), api::AuditKeys::Jwks),
            None => (self.own_keys(), api::AuditKeys::Server),
        };
        let verdict = self.walk_audit(request.head.as_deref(), keys).await?;
        // What is not whole is vouched for by nobody.
        let head = if verdict.is_ok() { Some(self.signed_head(&verdict.head).await?) } else { None };
        Ok(shown(verdict, head, source))
    }
}
