//! What was told of what a review found, and when.

use std::collections::HashMap;
use std::ops::Bound;

use redb::ReadableTable;

use crate::clock::UnixTime;
use crate::server::store::{NoticeStore, StoreError};

use super::tables::NOTICES;
use super::{RedbStore, unavailable};

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

    async fn note_told(&self, keys: Vec<String>, now: UnixTime) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut notices = transaction.open_table(NOTICES).map_err(unavailable)?;
                for key in &keys {
                    notices.insert(key.as_str(), now.seconds()).map_err(unavailable)?;
                }
                Ok(())
            })
            .await
    }

    async fn forget_told(
        &self,
        past: UnixTime,
        after: Option<String>,
        most: usize,
    ) -> Result<Option<String>, StoreError> {
        self.writer
            .write(move |transaction| {
                let mut notices = transaction.open_table(NOTICES).map_err(unavailable)?;
                let behind = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let (mut last, mut looked_at, mut old) = (None, 0, Vec::new());
                for entry in notices.range::<&str>((behind, Bound::Unbounded)).map_err(unavailable)?.take(most) {
                    let (key, at) = entry.map_err(unavailable)?;
                    looked_at += 1;
                    last = Some(key.value().to_owned());
                    old.extend((at.value() < past.seconds()).then(|| key.value().to_owned()));
                }
                for key in &old {
                    notices.remove(key.as_str()).map_err(unavailable)?;
                }
                Ok(last.filter(|_| looked_at == most))
            })
            .await
    }
}
