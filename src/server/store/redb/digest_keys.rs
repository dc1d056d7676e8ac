//! Whose the user names of Digest are: each is one client's.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, WriteTransaction};

use crate::id::ClientId;
use crate::server::model::Client;
use crate::server::store::StoreError;

use super::tables::DIGEST_KEYS;
use super::unavailable;

fn names(client: Option<&Client>) -> impl Iterator<Item = &str> {
    client.into_iter().flat_map(|client| client.digest_keys.iter().map(|key| key.public_key.as_str()))
}

/// Whether no user name of this client is somebody else's.
pub(super) fn are_free(transaction: &WriteTransaction, client: &Client) -> Result<bool, StoreError> {
    if client.digest_keys.is_empty() {
        return Ok(true);
    }
    let table = transaction.open_table(DIGEST_KEYS).map_err(unavailable)?;
    for name in names(Some(client)) {
        if table.get(name).map_err(unavailable)?.is_some_and(|id| id.value() != client.client_id.as_str()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Keeps the user names of `after` in the place of those of `before`.
pub(super) fn replace(
    transaction: &WriteTransaction,
    before: Option<&Client>,
    after: Option<&Client>,
) -> Result<(), StoreError> {
    if names(before).eq(names(after)) {
        return Ok(());
    }
    let mut table = transaction.open_table(DIGEST_KEYS).map_err(unavailable)?;
    for gone in names(before).filter(|name| names(after).all(|kept| kept != *name)) {
        table.remove(gone).map_err(unavailable)?;
    }
    if let Some(after) = after {
        for name in names(Some(after)) {
            table.insert(name, after.client_id.as_str()).map_err(unavailable)?;
        }
    }
    Ok(())
}

/// Whose this user name is.
pub(super) fn holder(transaction: &ReadTransaction, name: &str) -> Result<Option<ClientId>, StoreError> {
    let table = transaction.open_table(DIGEST_KEYS).map_err(unavailable)?;
    let found = table.get(name).map_err(unavailable)?;
    let id = found.map(|id| ClientId::parse(id.value())).transpose();
    id.map_err(|_| StoreError::Corrupt("a Digest key of what is no client".to_owned()))
}

/// Whether anybody has one.
pub(super) fn is_any(transaction: &ReadTransaction) -> Result<bool, StoreError> {
    let table = transaction.open_table(DIGEST_KEYS).map_err(unavailable)?;
    Ok(!table.is_empty().map_err(unavailable)?)
}
