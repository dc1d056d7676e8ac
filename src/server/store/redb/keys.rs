//! The records of signing keys.

use redb::ReadableTable;

use crate::server::model::{Change, KeyRecord, Revocation};
use crate::server::store::{KeyStore, StoreError};

use super::audit::seal;
use super::revocations::revoke;
use super::tables::{KEYS, KEYS_REVISION, META, decode, encode};
use super::{RedbStore, unavailable};

fn keys_revision(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u64, StoreError> {
    meta.get(KEYS_REVISION).map_err(unavailable)?.map_or(Ok(0), |bytes| decode("the key revision", bytes.value()))
}

#[async_trait::async_trait]
impl KeyStore for RedbStore {
    async fn keys(&self) -> Result<(Vec<KeyRecord>, u64), StoreError> {
        self.read(|transaction| {
            let revision = keys_revision(&transaction.open_table(META).map_err(unavailable)?)?;
            let keys = transaction.open_table(KEYS).map_err(unavailable)?;
            let records = keys
                .iter()
                .map_err(unavailable)?
                .map(|entry| decode("a key", entry.map_err(unavailable)?.1.value()))
                .collect::<Result<_, _>>()?;
            Ok((records, revision))
        })
        .await
    }

    async fn save_keys(
        &self,
        keys: Vec<KeyRecord>,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                {
                    let mut meta = transaction.open_table(META).map_err(unavailable)?;
                    if keys_revision(&meta)? != expected {
                        return Err(StoreError::Conflict);
                    }
                    meta.insert(KEYS_REVISION, encode(&(expected + 1))?.as_slice()).map_err(unavailable)?;
                    let mut table = transaction.open_table(KEYS).map_err(unavailable)?;
                    table.retain(|kid, _| keys.iter().any(|k| k.kid == kid)).map_err(unavailable)?;
                    for key in &keys {
                        table.insert(key.kid.as_str(), encode(key)?.as_slice()).map_err(unavailable)?;
                    }
                }
                revoke(transaction, &revoked)?;
                seal(transaction, &change)
            })
            .await
    }
}
