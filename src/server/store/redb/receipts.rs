//! Receipts of requests that are carried out once.

use redb::{ReadableTable, WriteTransaction};

use crate::clock::UnixTime;
use crate::server::model::{Change, Receipt, ReceiptRecord, ReplayedAnswer};
use crate::server::store::{ReceiptStore, StoreError};

use super::tables::{RECEIPT_ENDS, RECEIPTS, decode, encode};
use super::{RedbStore, unavailable};

/// The most receipts that one purge forgets: the rest waits for the next.
const MAX_PURGED: usize = 10_000;

fn write(transaction: &WriteTransaction, name: &str, record: &ReceiptRecord) -> Result<(), StoreError> {
    let mut receipts = transaction.open_table(RECEIPTS).map_err(unavailable)?;
    let mut ends = transaction.open_table(RECEIPT_ENDS).map_err(unavailable)?;
    let before = receipts.insert(name, encode(record)?.as_slice()).map_err(unavailable)?;
    let before: Option<ReceiptRecord> = before.map(|bytes| decode("a receipt", bytes.value())).transpose()?;
    if let Some(before) = before.filter(|before| before.until != record.until) {
        ends.remove((before.until.seconds(), name)).map_err(unavailable)?;
    }
    ends.insert((record.until.seconds(), name), ()).map_err(unavailable)?;
    Ok(())
}

/// Writes the receipt of the request that asked for a change, together with it.
pub(super) fn note(transaction: &WriteTransaction, change: &Change) -> Result<(), StoreError> {
    let Some(receipt) = &change.origin.receipt else { return Ok(()) };
    let earlier: Option<ReceiptRecord> = {
        let receipts = transaction.open_table(RECEIPTS).map_err(unavailable)?;
        let found = receipts.get(receipt.name.as_str()).map_err(unavailable)?;
        found.map(|bytes| decode("a receipt", bytes.value())).transpose()?
    };
    // One request can make several changes, which are written together.
    let place = match (earlier.filter(|earlier| earlier.until == receipt.until), &change.place) {
        (Some(ReceiptRecord { place: Some(earlier), .. }), Some(place)) => Some(earlier.and(place)),
        (_, place) => place.clone(),
    };
    let record = ReceiptRecord {
        fingerprint: receipt.fingerprint.clone(),
        until: receipt.until,
        place,
        target: change.target.clone(),
        answer: None,
    };
    write(transaction, &receipt.name, &record)
}

/// Forgets the receipts that no longer matter at `now`.
pub(super) fn purge(transaction: &WriteTransaction, now: UnixTime) -> Result<usize, StoreError> {
    let mut receipts = transaction.open_table(RECEIPTS).map_err(unavailable)?;
    let mut ends = transaction.open_table(RECEIPT_ENDS).map_err(unavailable)?;
    let mut over = Vec::new();
    for entry in ends.range(..(now.seconds(), "")).map_err(unavailable)?.take(MAX_PURGED) {
        let (key, _) = entry.map_err(unavailable)?;
        let (end, name) = key.value();
        over.push((end, name.to_owned()));
    }
    for (end, name) in &over {
        ends.remove((*end, name.as_str())).map_err(unavailable)?;
        receipts.remove(name.as_str()).map_err(unavailable)?;
    }
    Ok(over.len())
}

#[async_trait::async_trait]
impl ReceiptStore for RedbStore {
    async fn receipt(&self, name: &str, now: UnixTime) -> Result<Option<ReceiptRecord>, StoreError> {
        let name = name.to_owned();
        self.read(move |transaction| {
            let receipts = transaction.open_table(RECEIPTS).map_err(unavailable)?;
            let found = receipts.get(name.as_str()).map_err(unavailable)?;
            let found: Option<ReceiptRecord> = found.map(|bytes| decode("a receipt", bytes.value())).transpose()?;
            Ok(found.filter(|receipt| now < receipt.until))
        })
        .await
    }

    async fn note_answer(&self, receipt: Receipt, answer: ReplayedAnswer) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let kept: Option<ReceiptRecord> = {
                    let receipts = transaction.open_table(RECEIPTS).map_err(unavailable)?;
                    let found = receipts.get(receipt.name.as_str()).map_err(unavailable)?;
                    found.map(|bytes| decode("a receipt", bytes.value())).transpose()?
                };
                let (place, target) = kept.map(|kept| (kept.place, kept.target)).unwrap_or_default();
                let Receipt { name, fingerprint, until } = receipt;
                write(transaction, &name, &ReceiptRecord { fingerprint, until, place, target, answer: Some(answer) })
            })
            .await
    }
}
