//! Clients, on redb's tables. Each verb looks before it writes.

use redb::{ReadableTable, WriteTransaction};

use crate::id::ClientId;
use crate::server::model::{Api, Change, Client, KeptHash, Kind, Revocation, Role, SecretRecord};
use crate::server::store::{ABSENT, Added, ClientSearch, ClientStore, FoundClients, StoreError};

use super::audit::seal;
use super::revocations::revoke;
use super::tables::{API_KEYS, CLIENTS, decode, encode};
use super::usage::forget_uses;
use super::{RedbStore, apis, digest_keys, find, index, registry, unavailable};

/// The client that is there, if its revision is `expected`.
pub(super) fn of_revision(
    transaction: &WriteTransaction,
    id: &ClientId,
    expected: u64,
) -> Result<Option<Client>, StoreError> {
    let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
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

/// Whether what a client is given is there: its project, and each scope and role that it did not have before; and its user
/// names are nobody else's.
fn may_be(transaction: &WriteTransaction, before: Option<&Client>, client: &Client) -> Result<bool, StoreError> {
    if before.is_none() && registry::project(transaction, &client.place())?.is_none() {
        return Ok(false);
    }
    if !digest_keys::are_free(transaction, client)? {
        return Ok(false);
    }
    let new = client.scopes.iter().filter(|scope| !before.is_some_and(|before| before.scopes.contains(scope.as_str())));
    if !apis::define(transaction, new)? {
        return Ok(false);
    }
    for role in client.roles.iter().filter(|role| !before.is_some_and(|before| before.roles.contains(*role))) {
        let built_in = Role::built_in().iter().any(|known| known.name == *role);
        if !built_in && registry::role(transaction, &client.organization, role)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts `after` in the place of `before`, with all that is kept of a client besides its record.
pub(super) fn replace_client(
    transaction: &WriteTransaction,
    before: Option<&Client>,
    after: Option<&Client>,
) -> Result<(), StoreError> {
    let mut clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
    match (before, after) {
        (_, Some(after)) => {
            drop(clients.insert(after.client_id.as_str(), encode(after)?.as_slice()).map_err(unavailable)?)
        }
        (Some(before), None) => drop(clients.remove(before.client_id.as_str()).map_err(unavailable)?),
        (None, None) => {}
    }
    drop(clients);
    if let Some(before) = before {
        forget_uses(transaction, before, after)?;
    }
    replace_keys(transaction, before, after)?;
    digest_keys::replace(transaction, before, after)?;
    index::replace(transaction, before, after)
}

/// What an API key is found by, when it is presented. Never a client's secret.
fn key_hashes(client: Option<&Client>) -> Vec<String> {
    let key = client.filter(|client| client.kind == Kind::ApiKey);
    let secrets = key.into_iter().flat_map(|key| &key.secrets);
    let hash = |secret: &SecretRecord| match &secret.hash {
        KeptHash::Quick(hash) => Some(hash.to_text()),
        // No key is made with one.
        KeptHash::Slow(_) => None,
    };
    secrets.filter_map(hash).collect()
}

fn replace_keys(
    transaction: &WriteTransaction,
    before: Option<&Client>,
    after: Option<&Client>,
) -> Result<(), StoreError> {
    let (old, new) = (key_hashes(before), key_hashes(after));
    if old == new {
        return Ok(());
    }
    let mut keys = transaction.open_table(API_KEYS).map_err(unavailable)?;
    for hash in old.iter().filter(|hash| !new.contains(hash)) {
        keys.remove(hash.as_str()).map_err(unavailable)?;
    }
    if let Some(after) = after {
        for hash in new.iter().filter(|hash| !old.contains(hash)) {
            keys.insert(hash.as_str(), after.client_id.as_str()).map_err(unavailable)?;
        }
    }
    Ok(())
}

/// Adds a client, if it can be there.
fn add(transaction: &WriteTransaction, client: &Client, change: &Change) -> Result<Added, StoreError> {
    match of_revision(transaction, &client.client_id, ABSENT) {
        Ok(_) => {}
        Err(StoreError::Conflict) => return Ok(Added::Exists),
        Err(error) => return Err(error),
    }
    if !may_be(transaction, None, client)? {
        return Ok(Added::Unfounded);
    }
    replace_client(transaction, None, Some(client))?;
    seal(transaction, change)?;
    Ok(Added::Yes)
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

    async fn find_clients(&self, search: ClientSearch) -> Result<FoundClients, StoreError> {
        self.read(move |transaction| find::find(transaction, &search)).await
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
                let before = of_revision(transaction, &client.client_id, expected)?;
                if !may_be(transaction, before.as_ref(), &client)? {
                    return Err(StoreError::Conflict);
                }
                replace_client(transaction, before.as_ref(), Some(&client))?;
                revoke(transaction, &revoked)?;
                seal(transaction, &change)
            })
            .await
    }

    async fn replace_clients(&self, clients: Vec<(Client, u64, Change)>) -> Result<Vec<bool>, StoreError> {
        self.writer
            .write(move |transaction| {
                let mut done = Vec::with_capacity(clients.len());
                for (client, expected, change) in &clients {
                    let before = match of_revision(transaction, &client.client_id, *expected) {
                        Err(StoreError::Conflict) => None,
                        before => before?,
                    };
                    if before.is_some() {
                        replace_client(transaction, before.as_ref(), Some(client))?;
                        seal(transaction, change)?;
                    }
                    done.push(before.is_some());
                }
                Ok(done)
            })
            .await
    }

    async fn add_clients(&self, new: Vec<(Client, Change)>) -> Result<Vec<Added>, StoreError> {
        self.writer
            .write(move |transaction| new.iter().map(|(client, change)| add(transaction, client, change)).collect())
            .await
    }

    async fn add_key(&self, key: Client, most: u64, change: Change) -> Result<Added, StoreError> {
        self.writer
            .write(move |transaction| {
                if index::has_keys(transaction, &key.place(), most)? {
                    return Ok(Added::Full);
                }
                add(transaction, &key, &change)
            })
            .await
    }

    async fn key_holder(&self, hash: &str) -> Result<Option<ClientId>, StoreError> {
        let hash = hash.to_owned();
        self.read(move |transaction| {
            let keys = transaction.open_table(API_KEYS).map_err(unavailable)?;
            let found = keys.get(hash.as_str()).map_err(unavailable)?;
            let id = found.map(|id| ClientId::parse(id.value())).transpose();
            id.map_err(|_| StoreError::Corrupt("an API key of what is no client".to_owned()))
        })
        .await
    }

    async fn digest_holder(&self, username: &str) -> Result<Option<ClientId>, StoreError> {
        let username = username.to_owned();
        self.read(move |transaction| digest_keys::holder(transaction, &username)).await
    }

    async fn has_digest_keys(&self) -> Result<bool, StoreError> {
        self.read(digest_keys::is_any).await
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
                let Some(before) = of_revision(transaction, &id, expected)? else {
                    return Err(StoreError::Conflict);
                };
                replace_client(transaction, Some(&before), None)?;
                revoke(transaction, &revoked)?;
                let apis = apis::forget_introspector(transaction, &id, &change)?;
                seal(transaction, &change)?;
                Ok(apis)
            })
            .await
    }
}
