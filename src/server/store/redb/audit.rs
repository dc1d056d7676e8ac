//! The audit chain, and the ring of refusals: what is written.

use redb::{ReadableTable, WriteTransaction};
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::server::model::{
    AuditHead, AuditKey, AuditSigner, Change, ENDORSEMENTS, Gap, RecordFacts, RefusalRecord, Segment,
};
use crate::server::store::{AuditStore, Cutoffs, StoreError};

use super::prune::prune;
use super::tables::{
    AUDIT, AUDIT_HEAD, AUDIT_KEYS, CLEAN_STOP, ISSUANCES, LAST_SEGMENT, META, REFUSALS, decode, encode,
};
use super::{RedbStore, receipts, unavailable};

/// Puts a change behind the end of the audit chain.
pub(super) fn seal(transaction: &WriteTransaction, change: &Change) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(unavailable)?;
    let head = audit_head(&meta)?;
    let sealed = change.seal(&head).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let mut audit = transaction.open_table(AUDIT).map_err(unavailable)?;
    audit.insert(sealed.head.sequence, sealed.bytes.as_slice()).map_err(unavailable)?;
    meta.insert(AUDIT_HEAD, encode(&sealed.head)?.as_slice()).map_err(unavailable)?;
    receipts::note(transaction, change)
}

pub(super) fn audit_head(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<AuditHead, StoreError> {
    let bytes = meta
        .get(AUDIT_HEAD)
        .map_err(unavailable)?
        .ok_or_else(|| StoreError::Corrupt("the end of the audit chain is missing".to_owned()))?;
    decode("the audit chain", bytes.value())
}

/// The moment of the last record in the chain; none where there is none, or none that can be read.
fn last_moment(transaction: &WriteTransaction) -> Result<Option<UnixTime>, StoreError> {
    let audit = transaction.open_table(AUDIT).map_err(unavailable)?;
    let last = audit.last().map_err(unavailable)?;
    Ok(last.and_then(|(_, bytes)| RecordFacts::read(bytes.value())).map(|facts| facts.at))
}

#[async_trait::async_trait]
impl AuditStore for RedbStore {
    async fn note_refusals(&self, refusals: Vec<RefusalRecord>, keep: u64) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut ring = transaction.open_table(REFUSALS).map_err(unavailable)?;
                let mut next = ring.last().map_err(unavailable)?.map_or(0, |(number, _)| number.value() + 1);
                for refusal in &refusals {
                    ring.insert(next, encode(refusal)?.as_slice()).map_err(unavailable)?;
                    next += 1;
                }
                ring.retain_in(..next.saturating_sub(keep), |_, _| false).map_err(unavailable)
            })
            .await
    }

    async fn refusals(&self, limit: usize) -> Result<Vec<RefusalRecord>, StoreError> {
        self.read(move |transaction| {
            let ring = transaction.open_table(REFUSALS).map_err(unavailable)?;
            ring.iter()
                .map_err(unavailable)?
                .rev()
                .take(limit)
                .map(|entry| decode("a refusal", entry.map_err(unavailable)?.1.value()))
                .collect()
        })
        .await
    }

    async fn add_segment(&self, segment: Option<Segment>, gap: Gap, at: UnixTime) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                if let Some(segment) = &segment {
                    let number = next_segment(transaction)?;
                    let mut segments = transaction.open_table(ISSUANCES).map_err(unavailable)?;
                    segments.insert(number, segment.bytes.as_slice()).map_err(unavailable)?;
                    drop(segments);
                    seal(transaction, &segment.change(number, at))?;
                }
                if !gap.is_empty() {
                    seal(transaction, &gap.change(at))?;
                }
                Ok(())
            })
            .await
    }

    async fn prune_audit(
        &self,
        cutoffs: Cutoffs,
        limit: usize,
        at: UnixTime,
        signer: AuditSigner,
    ) -> Result<usize, StoreError> {
        self.writer.write(move |transaction| prune(transaction, cutoffs, limit, at, &signer)).await
    }

    async fn keep_audit_keys(&self, keys: Vec<AuditKey>) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut table = transaction.open_table(AUDIT_KEYS).map_err(unavailable)?;
                for key in &keys {
                    let kept: Option<Value> = match table.get(key.kid.as_str()).map_err(unavailable)? {
                        Some(bytes) => Some(decode("a public key", bytes.value())?),
                        None => None,
                    };
                    let kept = kept.as_ref().and_then(|kept| kept.get(ENDORSEMENTS)).and_then(Value::as_object);
                    let mut words = kept.cloned().unwrap_or_default();
                    words.extend(key.endorsed.clone().map(|(by, word)| (by, json!(word))));
                    let mut jwk = key.jwk.clone();
                    if let Some(members) = jwk.as_object_mut() {
                        members.insert(ENDORSEMENTS.to_owned(), Value::Object(words));
                    }
                    table.insert(key.kid.as_str(), encode(&jwk)?.as_slice()).map_err(unavailable)?;
                }
                Ok(())
            })
            .await
    }

    async fn begin_run(&self, at: UnixTime) -> Result<bool, StoreError> {
        self.writer
            .write(move |transaction| {
                let was_ended = {
                    let mut meta = transaction.open_table(META).map_err(unavailable)?;
                    meta.remove(CLEAN_STOP).map_err(unavailable)?.is_some()
                };
                if !was_ended {
                    let from = last_moment(transaction)?.unwrap_or(at);
                    seal(transaction, &Gap::of_a_crash(from, at))?;
                }
                Ok(!was_ended)
            })
            .await
    }

    async fn end_run(&self) -> Result<(), StoreError> {
        self.writer
            .write(|transaction| {
                let mut meta = transaction.open_table(META).map_err(unavailable)?;
                meta.insert(CLEAN_STOP, encode(&true)?.as_slice()).map_err(unavailable)?;
                Ok(())
            })
            .await
    }
}

/// The number of the next segment. A number is never given twice: not after all segments were pruned, either.
fn next_segment(transaction: &WriteTransaction) -> Result<u64, StoreError> {
    let mut meta = transaction.open_table(META).map_err(unavailable)?;
    let last: u64 = match meta.get(LAST_SEGMENT).map_err(unavailable)? {
        Some(bytes) => decode("the last segment", bytes.value())?,
        None => 0,
    };
    let next = last.saturating_add(1);
    meta.insert(LAST_SEGMENT, encode(&next)?.as_slice()).map_err(unavailable)?;
    Ok(next)
}
