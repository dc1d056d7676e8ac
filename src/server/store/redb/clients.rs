//! Clients, on redb's tables. Each verb looks before it writes.

use std::ops::Bound;

use redb::ReadableTable;

use crate::id::ClientId;
use crate::server::model::{Api, Change, Client, Revocation};
use crate::server::store::{ABSENT, ClientStore, StoreError};

use super::audit::seal;
use super::revocations::revoke;
use super::tables::{CLIENTS, decode, encode};
use super::usage::forget_uses;
use super::{RedbStore, apis, unavailable};

/// The client that is there, if its revision is `expected`.
fn client_of_revision(
    clients: &impl ReadableTable<&'static str, &'static [u8]>,
    id: &ClientId,
    expected: u64,
) -> Result<Option<Client>, StoreError> {
    let found: Option<Client> = match clients.get(id.as_str()).map_err(unavailable)? {
        Some(bytes) => Some(decode("a client", bytes.value())?),
        None => None,
    };
    if found.as_ref().map_or(ABSENT, |client| client.revision) == expected {
        Ok(found)
    } else {
        Err(StoreError::Conflict)
    }
}

#[async_trait::async_trait]
impl ClientStore for RedbStore {
    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let id = id.clone();
        self.read(move |transaction| {
            let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
            let found = clients.get(id.as_str()).map_err(unavailable)?;
            found.map(|bytes| decode("a client", bytes.value())).transpose()
        })
        .await
    }

    async fn clients(&self, after: Option<&ClientId>, limit: usize) -> Result<Vec<Client>, StoreError> {
        let after = after.cloned();
        self.read(move |transaction| {
            let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
            let start = after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str()));
            let range = clients.range::<&str>((start, Bound::Unbounded)).map_err(unavailable)?;
            range.take(limit).map(|entry| decode("a client", entry.map_err(unavailable)?.1.value())).collect()
        })
        .await
    }

    async fn save_client(
        &self,
        client: Client,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
                let before = client_of_revision(&clients, &client.client_id, expected)?;
                let bytes = encode(&client)?;
                clients.insert(client.client_id.as_str(), bytes.as_slice()).map_err(unavailable)?;
                if let Some(before) = before {
                    forget_uses(transaction, &before, Some(&client))?;
                }
                revoke(transaction, &revoked)?;
                seal(transaction, &change)
            })
            .await
    }

    async fn add_clients(&self, new: Vec<(Client, Change)>) -> Result<Vec<bool>, StoreError> {
        self.writer
            .write(move |transaction| {
                let mut clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
                let mut added = Vec::with_capacity(new.len());
                for (client, change) in &new {
                    let id = client.client_id.as_str();
                    let is_new = clients.get(id).map_err(unavailable)?.is_none();
                    if is_new {
                        clients.insert(id, encode(client)?.as_slice()).map_err(unavailable)?;
                        seal(transaction, change)?;
                    }
                    added.push(is_new);
                }
                Ok(added)
            })
            .await
    }

    async fn delete_client(
        &self,
        id: &ClientId,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<Vec<Api>, StoreError> {
        let id = id.clone();
        self.writer
            .write(move |transaction| {
                let mut clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
                let Some(before) = client_of_revision(&clients, &id, expected)? else {
                    return Err(StoreError::Conflict);
                };
                clients.remove(id.as_str()).map_err(unavailable)?;
                forget_uses(transaction, &before, None)?;
                revoke(transaction, &revoked)?;
                let apis = apis::forget_introspector(transaction, &id, &change)?;
                seal(transaction, &change)?;
                Ok(apis)
            })
            .await
    }
}
