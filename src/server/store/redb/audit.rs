//! The audit chain, and the ring of refusals.

use redb::{ReadableTable, WriteTransaction};

use crate::server::model::{AuditHead, Change, RefusalRecord};
use crate::server::store::{AuditStore, StoreError};

use super::tables::{AUDIT, AUDIT_HEAD, META, REFUSALS, decode, encode};
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

fn audit_head(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<AuditHead, StoreError> {
    let bytes = meta
        .get(AUDIT_HEAD)
        .map_err(unavailable)?
        .ok_or_else(|| StoreError::Corrupt("the end of the audit chain is missing".to_owned()))?;
    decode("the audit chain", bytes.value())
}

#[async_trait::async_trait]
impl AuditStore for RedbStore {
    async fn audit(&self, from: u64, limit: usize) -> Result<(AuditHead, Vec<Vec<u8>>), StoreError> {
        self.read(move |transaction| {
            let head = audit_head(&transaction.open_table(META).map_err(unavailable)?)?;
            let audit = transaction.open_table(AUDIT).map_err(unavailable)?;
            let records = audit
                .range(from..)
                .map_err(unavailable)?
                .take(limit)
                .map(|entry| Ok(entry.map_err(unavailable)?.1.value().to_vec()))
                .collect::<Result<_, _>>()?;
            Ok((head, records))
        })
        .await
    }

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
}
