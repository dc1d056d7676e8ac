//! Changes to APIs within a transaction. Each looks before it writes.

use redb::{ReadableTable, WriteTransaction};
use serde_json::json;

use crate::id::ClientId;
use crate::server::model::{Api, Change};
use crate::server::store::StoreError;

use super::tables::{APIS, CLIENTS, SCOPES, decode, encode};
use super::unavailable;
use super::verbs::seal;

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
