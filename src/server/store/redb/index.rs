//! What clients can be looked for by: an entry for each of a client's values that few others share, written together
//! with the client. So a search reads what it finds, and not every client there is.
//!
//! Every value begins with the client's place. Who reaches one project walks along that project's entries and no others;
//! who reaches more walks from project to project, so that one entry of each value is enough.

use redb::{ReadableTable, WriteTransaction};

use crate::api::ClientStatus;
use crate::secret::Environment;
use crate::server::model::{Client, Kind, Place};
use crate::server::store::StoreError;

use super::tables::{CLIENT_INDEX, CLIENTS, PROJECTS, decode};
use super::unavailable;

/// All clients of a place; the value is empty.
pub(super) const PLACE: &str = "place";
/// All API keys of a place; the value is empty.
pub(super) const API_KEY: &str = "api_key";
pub(super) const NAME: &str = "name";
pub(super) const ROLE: &str = "role";
pub(super) const SCOPE: &str = "scope";
pub(super) const STATUS: &str = "status";
pub(super) const ENVIRONMENT: &str = "environment";
/// The end of each secret.
pub(super) const ENDS: &str = "ends";

/// What a place and a value are joined with: no place has it, since ids have neither it nor a slash.
pub(super) const JOINT: char = '\u{1f}';

/// A project: its organization and its id.
pub(super) fn place(organization: &str, project: &str) -> String {
    format!("{organization}/{project}")
}

/// A value of a client of this place.
pub(super) fn value(place: &str, value: &str) -> String {
    format!("{place}{JOINT}{value}")
}

/// A moment, in the order of moments.
pub(super) fn moment(seconds: i64) -> String {
    format!("{:020}", seconds.max(0))
}

/// All entries of a client.
fn entries(client: &Client) -> Vec<(&'static str, String)> {
    let place = place(&client.organization, &client.project);
    let mut entries = Vec::new();
    let mut push = |kind, own: &str| entries.push((kind, value(&place, own)));
    push(PLACE, "");
    if client.kind == Kind::ApiKey {
        push(API_KEY, "");
    }
    push(NAME, &client.name);
    client.roles.iter().for_each(|name| push(ROLE, name));
    client.scopes.iter().for_each(|scope| push(SCOPE, scope.as_str()));
    // What most clients are needs no index: a search for it finds enough wherever it looks.
    if client.status == ClientStatus::Disabled {
        push(STATUS, ClientStatus::Disabled.as_str());
    }
    if client.environment == Environment::Test {
        push(ENVIRONMENT, Environment::Test.as_str());
    }
    client.secrets.iter().filter_map(|s| s.expires_at).for_each(|end| push(ENDS, &moment(end.seconds())));
    entries
}

/// Puts the entries of `after` in the place of those of `before`.
pub(super) fn replace(
    transaction: &WriteTransaction,
    before: Option<&Client>,
    after: Option<&Client>,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(CLIENT_INDEX).map_err(unavailable)?;
    let old = before.map(entries).unwrap_or_default();
    let new = after.map(entries).unwrap_or_default();
    if let Some(before) = before {
        for entry in old.iter().filter(|entry| !new.contains(entry)) {
            table.remove((entry.0, entry.1.as_str(), before.client_id.as_str())).map_err(unavailable)?;
        }
    }
    if let Some(after) = after {
        for entry in new.iter().filter(|entry| !old.contains(entry)) {
            table.insert((entry.0, entry.1.as_str(), after.client_id.as_str()), ()).map_err(unavailable)?;
        }
    }
    Ok(())
}

/// Makes the entries of all clients, for a store from before there were any.
pub(super) fn build(transaction: &WriteTransaction) -> Result<(), StoreError> {
    // What may be there is of other entries than these.
    transaction.delete_table(CLIENT_INDEX).map_err(unavailable)?;
    transaction.open_table(CLIENT_INDEX).map_err(unavailable)?;
    let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
    for entry in clients.iter().map_err(unavailable)? {
        let client: Client = decode("a client", entry.map_err(unavailable)?.1.value())?;
        replace(transaction, None, Some(&client))?;
    }
    Ok(())
}

/// Gives all clients there with an entry of this kind and value to `each`; no place is all of them; until it says
/// that this is enough.
fn walk(
    transaction: &WriteTransaction,
    within: Option<&Place>,
    (kind, wanted): (&str, &str),
    mut each: impl FnMut(&str) -> bool,
) -> Result<(), StoreError> {
    let table = transaction.open_table(CLIENT_INDEX).map_err(unavailable)?;
    let projects = transaction.open_table(PROJECTS).map_err(unavailable)?;
    let organization_is = within.map(|within| within.organization.as_str());
    let project_is = within.and_then(|within| within.project.as_deref());
    let first = (organization_is.unwrap_or_default(), project_is.unwrap_or_default());
    for entry in projects.range(first..).map_err(unavailable)? {
        let (key, _) = entry.map_err(unavailable)?;
        let (organization, project) = key.value();
        if organization_is.is_some_and(|own| own != organization) || project_is.is_some_and(|own| own != project) {
            break;
        }
        let value = value(&place(organization, project), wanted);
        for entry in table.range((kind, value.as_str(), "")..).map_err(unavailable)? {
            let (key, _) = entry.map_err(unavailable)?;
            let (its_kind, its_value, id) = key.value();
            if (its_kind, its_value) != (kind, value.as_str()) {
                break;
            }
            if !each(id) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Whether any client there has an entry of this kind and value; no place is all of them.
pub(super) fn is_held(
    transaction: &WriteTransaction,
    within: Option<&Place>,
    kind: &str,
    value: &str,
) -> Result<bool, StoreError> {
    let mut held = false;
    walk(transaction, within, (kind, value), |_| {
        held = true;
        false
    })?;
    Ok(held)
}

/// Whether a project has `most` API keys, or more.
pub(super) fn has_keys(transaction: &WriteTransaction, project: &Place, most: u64) -> Result<bool, StoreError> {
    let mut found = 0;
    if most > 0 {
        walk(transaction, Some(project), (API_KEY, ""), |_| {
            found += 1;
            found < most
        })?;
    }
    Ok(found >= most)
}

/// The ids of all clients of an organization that hold a role.
pub(super) fn holders(
    transaction: &WriteTransaction,
    organization: &str,
    role: &str,
) -> Result<Vec<String>, StoreError> {
    let mut ids = Vec::new();
    walk(transaction, Some(&Place::organization(organization)), (ROLE, role), |id| {
        ids.push(id.to_owned());
        true
    })?;
    Ok(ids)
}
