//! Forgetting what is old in the audit log, so that what is left still says what there was.

use redb::{ReadableTable, WriteTransaction};

use crate::clock::UnixTime;
use crate::server::model::{AuditHead, AuditSigner, PruneRecord, RecordFacts, Segment};
use crate::server::store::{Cutoffs, StoreError};

use super::audit::{audit_head, seal};
use super::tables::{AUDIT, AUDIT_CHECKPOINT, ISSUANCES, META, decode, encode};
use super::unavailable;

/// The last record that was pruned.
pub(super) fn checkpoint(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<AuditHead>, StoreError> {
    let bytes = meta.get(AUDIT_CHECKPOINT).map_err(unavailable)?;
    bytes.map(|bytes| decode("the audit checkpoint", bytes.value())).transpose()
}

/// Forgets at most `limit` records and as many segments, the oldest first.
pub(super) fn prune(
    transaction: &WriteTransaction,
    cutoffs: Cutoffs,
    limit: usize,
    at: UnixTime,
    signer: &AuditSigner,
) -> Result<usize, StoreError> {
    let mut pruned = PruneRecord::default();
    let mut gone = 0;
    let mut last = None;
    if let Some(cutoff) = cutoffs.changes {
        let (end, records, named) = old_records(transaction, cutoff, limit)?;
        if let Some(end) = &end {
            let mut audit = transaction.open_table(AUDIT).map_err(unavailable)?;
            audit.retain_in(..=end.sequence, |_, _| false).map_err(unavailable)?;
        }
        // A segment whose record is gone could not be vouched for any more.
        let mut segments = transaction.open_table(ISSUANCES).map_err(unavailable)?;
        for number in named {
            if segments.remove(number).map_err(unavailable)?.is_some() {
                pruned.segments.push(number);
            }
        }
        pruned.records = records as u64;
        gone += records;
        last = end;
    }
    if let Some(cutoff) = cutoffs.issuances {
        let old = old_segments(transaction, cutoff, limit)?;
        let mut segments = transaction.open_table(ISSUANCES).map_err(unavailable)?;
        for number in old {
            segments.remove(number).map_err(unavailable)?;
            pruned.segments.push(number);
            gone += 1;
        }
    }
    if gone > 0 {
        let follows = {
            let mut meta = transaction.open_table(META).map_err(unavailable)?;
            if let Some(last) = last {
                meta.insert(AUDIT_CHECKPOINT, encode(&last)?.as_slice()).map_err(unavailable)?;
            }
            pruned.checkpoint = checkpoint(&meta)?;
            audit_head(&meta)?
        };
        let change = pruned.change(at, &follows, signer);
        let unsigned = || StoreError::Unavailable("no randomness for a signature".to_owned());
        seal(transaction, &change.ok_or_else(unsigned)?)?;
    }
    Ok(gone)
}

type OldRecords = (Option<AuditHead>, usize, Vec<u64>);

/// The last of the oldest records from before `cutoff`, how many they are, and the segments that they name. One that
/// cannot be read is not forgotten: it is evidence.
fn old_records(transaction: &WriteTransaction, cutoff: UnixTime, limit: usize) -> Result<OldRecords, StoreError> {
    let audit = transaction.open_table(AUDIT).map_err(unavailable)?;
    let (mut end, mut count, mut named) = (None, 0, Vec::new());
    for entry in audit.iter().map_err(unavailable)?.take(limit) {
        let (number, bytes) = entry.map_err(unavailable)?;
        let Some(facts) = RecordFacts::read(bytes.value()).filter(|facts| facts.at < cutoff) else { break };
        end = Some(AuditHead { sequence: number.value(), hash: AuditHead::hash_of(bytes.value()) });
        count += 1;
        named.extend(facts.segment());
    }
    Ok((end, count, named))
}

/// The oldest segments from before `cutoff`.
fn old_segments(transaction: &WriteTransaction, cutoff: UnixTime, limit: usize) -> Result<Vec<u64>, StoreError> {
    let segments = transaction.open_table(ISSUANCES).map_err(unavailable)?;
    let mut old = Vec::new();
    for entry in segments.iter().map_err(unavailable)?.take(limit) {
        let (number, bytes) = entry.map_err(unavailable)?;
        if Segment::begins_at(bytes.value()).is_none_or(|begin| begin >= cutoff) {
            break;
        }
        old.push(number.value());
    }
    Ok(old)
}
