//! What the store keeps of itself.

use crate::server::store::{BackupStream, Store, StoreError};

use super::tables::{CURSOR_SECRET, META, STARTED, encode};
use super::{RedbStore, unavailable};

#[async_trait::async_trait]
impl Store for RedbStore {
    async fn cursor_secret(&self) -> Result<Vec<u8>, StoreError> {
        self.read(|transaction| {
            let meta = transaction.open_table(META).map_err(unavailable)?;
            let secret = meta.get(CURSOR_SECRET).map_err(unavailable)?;
            secret
                .map(|bytes| bytes.value().to_vec())
                .ok_or_else(|| StoreError::Corrupt("the cursor secret is missing".to_owned()))
        })
        .await
    }

    async fn first_start_is_over(&self) -> Result<bool, StoreError> {
        self.read(|transaction| {
            let meta = transaction.open_table(META).map_err(unavailable)?;
            Ok(meta.get(STARTED).map_err(unavailable)?.is_some())
        })
        .await
    }

    async fn end_first_start(&self) -> Result<(), StoreError> {
        self.writer
            .write(|transaction| {
                let mut meta = transaction.open_table(META).map_err(unavailable)?;
                meta.insert(STARTED, encode(&true)?.as_slice()).map_err(unavailable)?;
                Ok(())
            })
            .await
    }

    async fn backup(&self) -> Result<BackupStream, StoreError> {
        self.begin_backup().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|transaction| transaction.open_table(META).map(drop).map_err(unavailable)).await
    }
}
