//! What is used of quotas and balances.

use redb::{ReadableTable, WriteTransaction};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::clock::UnixTime;
use crate::server::model::{Account, AccountId, Owner};
use crate::server::store::{AccountStore, StoreError};

use super::tables::{ACCOUNTS, CLIENTS, PROJECTS, decode, encode};
use super::{RedbStore, unavailable};

/// In the key of [`ACCOUNTS`]: the kind of its owner, and its name. No id has a slash.
fn name(id: &AccountId) -> (&'static str, String) {
    let name = match &id.owner {
        Owner::Client(client) => client.as_str().to_owned(),
        Owner::Project { organization, id } => format!("{organization}/{id}"),
    };
    (id.owner.as_str(), name)
}

/// Forgets what an owner that is taken out has used.
pub(super) fn forget(transaction: &WriteTransaction, id: &AccountId) -> Result<(), StoreError> {
    let (kind, name) = name(id);
    let mut accounts = transaction.open_table(ACCOUNTS).map_err(unavailable)?;
    accounts.remove((kind, name.as_str())).map_err(unavailable)?;
    Ok(())
}

/// As much of an owner's record as tells it from another one of its name.
#[derive(Deserialize)]
struct Made {
    created_at: UnixTime,
}

/// A record, or none where it cannot be read: what is used is written beside changes, which must not fail on its account.
fn readable<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Option<T> {
    decode(what, bytes).inspect_err(|error| tracing::error!(%error, "what was used goes by what is in memory")).ok()
}

fn is_there(transaction: &WriteTransaction, id: &AccountId) -> Result<bool, StoreError> {
    let made: Option<Made> = match &id.owner {
        Owner::Client(client) => {
            let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
            let found = clients.get(client.as_str()).map_err(unavailable)?;
            found.and_then(|bytes| readable("a client", bytes.value()))
        }
        Owner::Project { organization, id } => {
            let projects = transaction.open_table(PROJECTS).map_err(unavailable)?;
            let found = projects.get((organization.as_str(), id.as_str())).map_err(unavailable)?;
            found.and_then(|bytes| readable("a project", bytes.value()))
        }
    };
    Ok(made.is_some_and(|made| made.created_at == id.since))
}

fn note(transaction: &WriteTransaction, id: &AccountId, used: &Account) -> Result<(), StoreError> {
    if !is_there(transaction, id)? {
        return Ok(());
    }
    let (kind, name) = name(id);
    let mut accounts = transaction.open_table(ACCOUNTS).map_err(unavailable)?;
    let mut sum = used.clone();
    let written = accounts.get((kind, name.as_str())).map_err(unavailable)?;
    let written: Option<Account> = written.and_then(|bytes| readable("an account", bytes.value()));
    if let Some(written) = written.filter(|written| written.since == id.since) {
        sum.merge(&written);
    }
    accounts.insert((kind, name.as_str()), encode(&sum)?.as_slice()).map_err(unavailable)?;
    Ok(())
}

#[async_trait::async_trait]
impl AccountStore for RedbStore {
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let id = id.clone();
        self.read(move |transaction| {
            let (kind, name) = name(&id);
            let accounts = transaction.open_table(ACCOUNTS).map_err(unavailable)?;
            let found = accounts.get((kind, name.as_str())).map_err(unavailable)?;
            let found: Option<Account> = found.map(|bytes| decode("an account", bytes.value())).transpose()?;
            Ok(found.filter(|account| account.since == id.since))
        })
        .await
    }

    async fn note_accounts(&self, accounts: Vec<(AccountId, Account)>) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| accounts.iter().try_for_each(|(id, used)| note(transaction, id, used)))
            .await
    }
}
