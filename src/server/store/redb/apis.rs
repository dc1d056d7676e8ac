//! Changes to APIs within a transaction. Each looks before it writes.

use std::collections::BTreeSet;

use redb::{ReadableTable, WriteTransaction};
use serde_json::json;

use crate::id::ClientId;
use crate::scope::Scope;
use crate::server::model::{Api, Change};
use crate::server::store::StoreError;

use super::audit::seal;
use super::tables::{APIS, CLIENTS, SCOPES, decode, encode};
use super::{index, registry, unavailable};

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

/// Whether each of `scopes` is defined. The built-in ones always are.
pub(super) fn define<'a>(
    transaction: &WriteTransaction,
    scopes: impl Iterator<Item = &'a Scope>,
) -> Result<bool, StoreError> {
    let table = transaction.open_table(SCOPES).map_err(unavailable)?;
    for scope in scopes.filter(|scope| !scope.is_built_in()) {
        if table.get(scope.as_str()).map_err(unavailable)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether no API belongs to the organization.
pub(super) fn organization_has_none(transaction: &WriteTransaction, organization: &str) -> Result<bool, StoreError> {
    let apis = transaction.open_table(APIS).map_err(unavailable)?;
    for entry in apis.iter().map_err(unavailable)? {
        let api: Api = decode("an API", entry.map_err(unavailable)?.1.value())?;
        if api.organization == organization {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether no client and no role has `scope`. Whoever had it would have that of the next API that defines one of its
/// name.
fn nobody_has(transaction: &WriteTransaction, scope: &Scope) -> Result<bool, StoreError> {
    Ok(!index::is_held(transaction, None, index::SCOPE, scope.as_str())?
        && !registry::some_role_grants(transaction, scope)?)
}

fn names(api: &Api) -> BTreeSet<&Scope> {
    api.scopes.iter().map(|scope| &scope.name).collect()
}

/// Whether the API can be what it is to be: nobody else's are the scopes that come in, and nobody has those that go.
fn scopes_can_change(transaction: &WriteTransaction, before: Option<&Api>, after: &Api) -> Result<bool, StoreError> {
    let (old, new) = (before.map(names).unwrap_or_default(), names(after));
    let scopes = transaction.open_table(SCOPES).map_err(unavailable)?;
    for scope in new.difference(&old) {
        if scopes.get(scope.as_str()).map_err(unavailable)?.is_some() {
            return Ok(false);
        }
    }
    for scope in old.difference(&new) {
        if !nobody_has(transaction, scope)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the API and whose its scopes are.
fn write(transaction: &WriteTransaction, before: Option<&Api>, after: &Api) -> Result<(), StoreError> {
    let mut apis = transaction.open_table(APIS).map_err(unavailable)?;
    let mut scopes = transaction.open_table(SCOPES).map_err(unavailable)?;
    for scope in before.iter().flat_map(|before| &before.scopes) {
        scopes.remove(scope.name.as_str()).map_err(unavailable)?;
    }
    apis.insert(after.identifier.as_str(), encode(after)?.as_slice()).map_err(unavailable)?;
    for scope in &after.scopes {
        scopes.insert(scope.name.as_str(), after.identifier.as_str()).map_err(unavailable)?;
    }
    Ok(())
}

fn existing(transaction: &WriteTransaction, identifier: &str) -> Result<Option<Api>, StoreError> {
    let apis = transaction.open_table(APIS).map_err(unavailable)?;
    let found = apis.get(identifier).map_err(unavailable)?;
    found.map(|bytes| decode("an API", bytes.value())).transpose()
}

pub(super) fn add(transaction: &WriteTransaction, api: &Api, change: &Change) -> Result<(), StoreError> {
    let can_be = existing(transaction, &api.identifier)?.is_none()
        && registry::organization(transaction, &api.organization)?.is_some()
        && scopes_can_change(transaction, None, api)?
        && introspectors_are_there(transaction, api)?;
    if !can_be {
        return Err(StoreError::Conflict);
    }
    write(transaction, None, api)?;
    seal(transaction, change)
}

pub(super) fn replace(
    transaction: &WriteTransaction,
    before: &Api,
    after: &Api,
    change: &Change,
) -> Result<(), StoreError> {
    let can_be = after.identifier == before.identifier
        && existing(transaction, &before.identifier)?.as_ref() == Some(before)
        && scopes_can_change(transaction, Some(before), after)?
        && introspectors_are_there(transaction, after)?;
    if !can_be {
        return Err(StoreError::Conflict);
    }
    write(transaction, Some(before), after)?;
    seal(transaction, change)
}

pub(super) fn delete(transaction: &WriteTransaction, api: &Api, change: &Change) -> Result<(), StoreError> {
    let mut can_go = existing(transaction, &api.identifier)?.as_ref() == Some(api);
    for scope in &api.scopes {
        can_go = can_go && nobody_has(transaction, &scope.name)?;
    }
    if !can_go {
        return Err(StoreError::Conflict);
    }
    let mut apis = transaction.open_table(APIS).map_err(unavailable)?;
    let mut scopes = transaction.open_table(SCOPES).map_err(unavailable)?;
    apis.remove(api.identifier.as_str()).map_err(unavailable)?;
    for scope in &api.scopes {
        scopes.remove(scope.name.as_str()).map_err(unavailable)?;
    }
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
            place: Some(after.place()),
            before: json!(before.shown()),
            after: json!(after.shown()),
            ..deletion.clone()
        };
        seal(transaction, &change)?;
    }
    Ok(changed.into_iter().map(|(_, after)| after).collect())
}
