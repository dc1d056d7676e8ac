//! The audit log as it is read: by the service, and of a file that nobody runs on.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableError};
use serde_json::Value;

use crate::server::model::{AuditHead, ChainWalk, RefusalRecord, Verdict};
use crate::server::store::{AuditReader, StoreError};

use super::audit::audit_head;
use super::prune::checkpoint;
use super::tables::{AUDIT, AUDIT_KEYS, ISSUANCES, META, REFUSALS, decode};
use super::{LONG_READ, RedbStore, answering_panics, unavailable};

/// As much of the segments is read at once.
const HANDFUL: usize = 4 * 1024 * 1024;
/// How far beyond a record that cannot be read one is looked for that can.
const PROBED: u64 = 1000;

type Numbered = TableDefinition<'static, u64, &'static [u8]>;
type Table = redb::ReadOnlyTable<u64, &'static [u8]>;

/// A table; none where the store is from before there was one.
fn table(transaction: &ReadTransaction, definition: Numbered) -> Result<Option<Table>, StoreError> {
    match transaction.open_table(definition) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

type Entries = Vec<(u64, Vec<u8>)>;

/// Entries of a table: those from `range` on or back, at most `limit`, and a handful for memory.
fn entries(
    transaction: &ReadTransaction,
    definition: Numbered,
    range: impl std::ops::RangeBounds<u64>,
    back: bool,
    limit: usize,
) -> Result<Entries, StoreError> {
    let Some(table) = table(transaction, definition)? else { return Ok(Vec::new()) };
    let mut range = table.range(range).map_err(unavailable)?;
    let (mut read, mut found) = (0, Vec::new());
    while found.len() < limit && read < HANDFUL {
        let Some(entry) = (if back { range.next_back() } else { range.next() }) else { break };
        let (number, bytes) = entry.map_err(unavailable)?;
        read += bytes.value().len();
        found.push((number.value(), bytes.value().to_vec()));
    }
    Ok(found)
}

pub(super) fn audit(
    transaction: &ReadTransaction,
    from: u64,
    limit: usize,
) -> Result<(AuditHead, Vec<Vec<u8>>), StoreError> {
    let head = audit_head(&transaction.open_table(META).map_err(unavailable)?)?;
    let audit = transaction.open_table(AUDIT).map_err(unavailable)?;
    let records = audit
        .range(from..)
        .map_err(unavailable)?
        .take(limit)
        .map(|entry| Ok(entry.map_err(unavailable)?.1.value().to_vec()))
        .collect::<Result<_, _>>()?;
    Ok((head, records))
}

pub(super) fn records(transaction: &ReadTransaction, from: u64, limit: usize) -> Result<Entries, StoreError> {
    entries(transaction, AUDIT, from.., false, limit)
}

pub(super) fn audit_back(transaction: &ReadTransaction, before: u64, limit: usize) -> Result<Entries, StoreError> {
    entries(transaction, AUDIT, ..before, true, limit)
}

pub(super) fn segments(transaction: &ReadTransaction, from: u64) -> Result<Entries, StoreError> {
    entries(transaction, ISSUANCES, from.., false, usize::MAX)
}

pub(super) fn segments_back(transaction: &ReadTransaction, before: u64) -> Result<Entries, StoreError> {
    entries(transaction, ISSUANCES, ..before, true, usize::MAX)
}

pub(super) fn refusals_back(
    transaction: &ReadTransaction,
    before: u64,
    limit: usize,
) -> Result<Vec<(u64, RefusalRecord)>, StoreError> {
    let found = entries(transaction, REFUSALS, ..before, true, limit)?;
    found.into_iter().map(|(number, bytes)| Ok((number, decode("a refusal", &bytes)?))).collect()
}

/// Shows `walk` the whole log. What cannot be read is named, and the walk goes on behind it.
pub(super) fn walk(transaction: &ReadTransaction, mut walk: ChainWalk) -> Result<Verdict, StoreError> {
    let meta = transaction.open_table(META).map_err(unavailable)?;
    match (checkpoint(&meta), audit_head(&meta)) {
        (Ok(checkpoint), Ok(head)) => walk.begin(checkpoint, head),
        (Err(error), _) | (_, Err(error)) => walk.problem(None, None, error.to_string()),
    }
    let audit = transaction.open_table(AUDIT).map_err(unavailable)?;
    let segments = table(transaction, ISSUANCES)?;
    let mut next = 0;
    while let Some(unreadable) = show_from(next, &audit, segments.as_ref(), &mut walk) {
        walk.unreadable(unreadable);
        let readable = |number: &u64| {
            answering_panics(|| audit.get(*number).is_ok_and(|record| record.is_some())).unwrap_or(false)
        };
        let from = unreadable.saturating_add(1);
        let Some(behind) = (from..from.saturating_add(PROBED)).find(readable) else { break };
        next = behind;
    }
    let kept = segments.map_or(Ok(0), |segments| segments.len()).map_err(unavailable)?;
    let keys = answering_panics(|| keys(transaction)).unwrap_or_else(|| Ok(Vec::new())).unwrap_or_default();
    Ok(walk.finish(kept, &keys))
}

/// Shows the records from `from` on. Where one cannot be read: its number, or the one where it has to be.
fn show_from(from: u64, audit: &Table, segments: Option<&Table>, walk: &mut ChainWalk) -> Option<u64> {
    let mut at = from;
    let mut show = || -> Result<(), StoreError> {
        for entry in audit.range(from..).map_err(unavailable)? {
            let (number, bytes) = entry.map_err(unavailable)?;
            at = number.value().saturating_add(1);
            if let Some(segment) = walk.record(number.value(), bytes.value()) {
                let read = || segments.map_or(Ok(None), |segments| segments.get(segment));
                match answering_panics(read) {
                    Some(Ok(bytes)) => walk.segment(segment, bytes.as_ref().map(redb::AccessGuard::value)),
                    _ => walk.segment(segment, Some(b"")),
                }
            }
        }
        Ok(())
    };
    let shown = answering_panics(&mut show);
    (!matches!(shown, Some(Ok(())))).then_some(at)
}

/// The public keys that have ever signed here.
fn keys(transaction: &ReadTransaction) -> Result<Vec<Value>, StoreError> {
    let table = match transaction.open_table(AUDIT_KEYS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(unavailable(error)),
    };
    let mut keys = BTreeMap::new();
    for entry in table.iter().map_err(unavailable)? {
        let (kid, jwk) = entry.map_err(unavailable)?;
        keys.insert(kid.value().to_owned(), decode("a public key", jwk.value())?);
    }
    Ok(keys.into_values().collect())
}

#[async_trait::async_trait]
impl AuditReader for RedbStore {
    async fn audit(&self, from: u64, limit: usize) -> Result<(AuditHead, Vec<Vec<u8>>), StoreError> {
        self.read(move |transaction| audit(transaction, from, limit)).await
    }

    async fn records(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(move |transaction| records(transaction, from, limit)).await
    }

    async fn audit_back(&self, before: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(move |transaction| audit_back(transaction, before, limit)).await
    }

    async fn segments(&self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(move |transaction| segments(transaction, from)).await
    }

    async fn segments_back(&self, before: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(move |transaction| segments_back(transaction, before)).await
    }

    async fn refusals_back(&self, before: u64, limit: usize) -> Result<Vec<(u64, RefusalRecord)>, StoreError> {
        self.read(move |transaction| refusals_back(transaction, before, limit)).await
    }

    async fn walk_audit(&self, begun: ChainWalk) -> Result<Verdict, StoreError> {
        self.read_within(LONG_READ, move |transaction| walk(transaction, begun)).await
    }
}
