//! What was told of what a review found, and when.

use std::collections::HashMap;

use redb::{ReadableTable, WriteTransaction};

use crate::clock::UnixTime;
use crate::server::store::{NoticeStore, StoreError};

use super::tables::NOTICES;
use super::{RedbStore, unavailable};

/// Forgets what was told before `past`.
pub(super) fn purge(transaction: &WriteTransaction, past: UnixTime) -> Result<(), StoreError> {
    let mut notices = transaction.open_table(NOTICES).map_err(unavailable)?;
    let mut none_is_old = true;
    for entry in notices.iter().map_err(unavailable)? {
        none_is_old &= entry.map_err(unavailable)?.1.value() >= past.seconds();
    }
    if none_is_old {
        return Ok(());
    }
    notices.retain(|_, at| at >= past.seconds()).map_err(unavailable)
}

#[async_trait::async_trait]
impl NoticeStore for RedbStore {
    async fn told(&self, keys: Vec<String>) -> Result<HashMap<String, UnixTime>, StoreError> {
        self.read(move |transaction| {
            let notices = transaction.open_table(NOTICES).map_err(unavailable)?;
            let mut told = HashMap::new();
            for key in keys {
                if let Some(at) = notices.get(key.as_str()).map_err(unavailable)? {
                    let at = UnixTime::from_seconds(at.value());
                    told.insert(key, at);
                }
            }
            Ok(told)
        })
        .await
    }

    async fn note_told(&self, keys: Vec<String>, now: UnixTime, past: UnixTime) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                purge(transaction, past)?;
                let mut notices = transaction.open_table(NOTICES).map_err(unavailable)?;
                for key in &keys {
                    notices.insert(key.as_str(), now.seconds()).map_err(unavailable)?;
                }
                Ok(())
            })
            .await
    }
}
