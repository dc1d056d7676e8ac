//! Changes to APIs within a transaction. Each looks before it writes.

use redb::{ReadableTable, WriteTransaction};
use serde_json::json;

use crate::id::ClientId;
use crate::server::model::{Api, Change, Project};
use crate::server::store::{RegistryStore, StoreError};

use super::audit::seal;
use super::tables::{APIS, CLIENTS, PROJECTS, SCOPES, decode, encode};
use super::{RedbStore, unavailable};

/// A client that is deleted while it is named as an introspector must not be one by its id alone: another may get that.
fn introspectors_are_there(transaction: &WriteTransaction, api: &Api) -> Result<bool, StoreError> {
    let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
    for id in &api.introspectors {
        if clients.get(id.as_str()).map_err(unavailable)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn add(transaction: &WriteTransaction, api: &Api, change: &Change) -> Result<(), StoreError> {
    let mut apis = transaction.open_table(APIS).map_err(unavailable)?;
    let mut scopes = transaction.open_table(SCOPES).map_err(unavailable)?;
    let mut taken = apis.get(api.identifier.as_str()).map_err(unavailable)?.is_some();
    for scope in &api.scopes {
        taken |= scopes.get(scope.name.as_str()).map_err(unavailable)?.is_some();
    }
    if taken || !introspectors_are_there(transaction, api)? {
        return Err(StoreError::Conflict);
    }
    apis.insert(api.identifier.as_str(), encode(api)?.as_slice()).map_err(unavailable)?;
    for scope in &api.scopes {
        scopes.insert(scope.name.as_str(), api.identifier.as_str()).map_err(unavailable)?;
    }
    seal(transaction, change)
}

pub(super) fn replace(
    transaction: &WriteTransaction,
    before: &Api,
    after: &Api,
    change: &Change,
) -> Result<(), StoreError> {
    let mut apis = transaction.open_table(APIS).map_err(unavailable)?;
    let found: Option<Api> = match apis.get(before.identifier.as_str()).map_err(unavailable)? {
        Some(bytes) => Some(decode("an API", bytes.value())?),
        None => None,
    };
    // The table of scopes is not touched here.
    let same = (&after.identifier, &after.scopes) == (&before.identifier, &before.scopes);
    if found.as_ref() != Some(before) || !same || !introspectors_are_there(transaction, after)? {
        return Err(StoreError::Conflict);
    }
    apis.insert(after.identifier.as_str(), encode(after)?.as_slice()).map_err(unavailable)?;
    seal(transaction, change)
}

/// Takes a client that is being deleted out of every API's introspectors. Gives the APIs that had it; `deletion` says
/// who deletes it, when and in which request.
pub(super) fn forget_introspector(
    transaction: &WriteTransaction,
    id: &ClientId,
    deletion: &Change,
) -> Result<Vec<Api>, StoreError> {
    let mut apis = transaction.open_table(APIS).map_err(unavailable)?;
    let mut changed = Vec::new();
    for entry in apis.iter().map_err(unavailable)? {
        let before: Api = decode("an API", entry.map_err(unavailable)?.1.value())?;
        changed.extend(before.without_introspector(id.as_str()).map(|after| (before, after)));
    }
    for (before, after) in &changed {
        apis.insert(after.identifier.as_str(), encode(after)?.as_slice()).map_err(unavailable)?;
        let change = Change {
            action: "api.update",
            target: after.identifier.clone(),
            before: json!(before.shown()),
            after: json!(after.shown()),
            ..deletion.clone()
        };
        seal(transaction, &change)?;
    }
    Ok(changed.into_iter().map(|(_, after)| after).collect())
}

#[async_trait::async_trait]
impl RegistryStore for RedbStore {
    async fn apis(&self) -> Result<Vec<Api>, StoreError> {
        self.read(|transaction| {
            let apis = transaction.open_table(APIS).map_err(unavailable)?;
            apis.iter()
                .map_err(unavailable)?
                .map(|entry| decode("an API", entry.map_err(unavailable)?.1.value()))
                .collect()
        })
        .await
    }

    async fn add_api(&self, api: Api, change: Change) -> Result<(), StoreError> {
        self.writer.write(move |transaction| add(transaction, &api, &change)).await
    }

    async fn replace_api(&self, before: Api, after: Api, change: Change) -> Result<(), StoreError> {
        self.writer.write(move |transaction| replace(transaction, &before, &after, &change)).await
    }

    async fn projects(&self, organization: &str) -> Result<Vec<Project>, StoreError> {
        let organization = organization.to_owned();
        self.read(move |transaction| {
            let projects = transaction.open_table(PROJECTS).map_err(unavailable)?;
            let range = projects.range((organization.as_str(), "")..).map_err(unavailable)?;
            let mut found = Vec::new();
            for entry in range {
                let (key, bytes) = entry.map_err(unavailable)?;
                if key.value().0 != organization {
                    break;
                }
                found.push(decode("a project", bytes.value())?);
            }
            Ok(found)
        })
        .await
    }
}
