//! Last uses of secrets.

use std::collections::HashMap;

use redb::WriteTransaction;

use crate::server::model::{Client, SecretUse};
use crate::server::store::{StoreError, UsageStore};

use super::tables::{SECRET_USES, decode, encode};
use super::{RedbStore, unavailable};

/// Forgets the uses of the secrets that `before` has and `after` has not.
pub(super) fn forget_uses(
    transaction: &WriteTransaction,
    before: &Client,
    after: Option<&Client>,
) -> Result<(), StoreError> {
    let mut uses = transaction.open_table(SECRET_USES).map_err(unavailable)?;
    for secret in &before.secrets {
        if !after.is_some_and(|after| after.secrets.iter().any(|kept| kept.id == secret.id)) {
            uses.remove(secret.id.as_str()).map_err(unavailable)?;
        }
    }
    Ok(())
}

#[async_trait::async_trait]
impl UsageStore for RedbStore {
    async fn secret_uses(&self, secrets: Vec<String>) -> Result<HashMap<String, SecretUse>, StoreError> {
        self.read(move |transaction| {
            let table = transaction.open_table(SECRET_USES).map_err(unavailable)?;
            let mut uses = HashMap::new();
            for secret in secrets {
                if let Some(bytes) = table.get(secret.as_str()).map_err(unavailable)? {
                    uses.insert(secret, decode("the use of a secret", bytes.value())?);
                }
            }
            Ok(uses)
        })
        .await
    }

    async fn note_secret_uses(&self, uses: Vec<(String, SecretUse)>) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut table = transaction.open_table(SECRET_USES).map_err(unavailable)?;
                for (secret, used) in &uses {
                    table.insert(secret.as_str(), encode(used)?.as_slice()).map_err(unavailable)?;
                }
                Ok(())
            })
            .await
    }
}
