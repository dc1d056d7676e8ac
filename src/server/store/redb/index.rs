//! What clients can be looked for by: an entry for each of a client's values that few others share, written together
//! with the client. So a search reads what it finds, and not every client there is.

use redb::{ReadableTable, WriteTransaction};

use crate::api::ClientStatus;
use crate::secret::Environment;
use crate::server::model::Client;
use crate::server::store::StoreError;

use super::tables::{CLIENT_INDEX, CLIENTS, decode};
use super::unavailable;

pub(super) const NAME: &str = "name";
pub(super) const PROJECT: &str = "project";
pub(super) const ROLE: &str = "role";
pub(super) const SCOPE: &str = "scope";
pub(super) const STATUS: &str = "status";
pub(super) const ENVIRONMENT: &str = "environment";
pub(super) const EXPIRES: &str = "expires";

/// What two parts of a value are joined with: neither can have it.
const JOINT: &str = "/";

/// The value of a project: its organization and its id.
pub(super) fn project(organization: &str, project: &str) -> String {
    [organization, project].join(JOINT)
}

/// The value of a role: roles of one name in two organizations are two.
pub(super) fn role(organization: &str, role: &str) -> String {
    [organization, role].join(JOINT)
}

/// A moment, in the order of moments.
pub(super) fn moment(seconds: i64) -> String {
    format!("{:020}", seconds.max(0))
}

/// All entries of a client.
fn entries(client: &Client) -> Vec<(&'static str, String)> {
    let mut entries = vec![(NAME, client.name.clone()), (PROJECT, project(&client.organization, &client.project))];
    entries.extend(client.roles.iter().map(|name| (ROLE, role(&client.organization, name))));
    entries.extend(client.scopes.iter().map(|scope| (SCOPE, scope.to_string())));
    // What most clients are needs no index: a search for it finds enough wherever it looks.
    if client.status == ClientStatus::Disabled {
        entries.push((STATUS, ClientStatus::Disabled.as_str().to_owned()));
    }
    if client.environment == Environment::Test {
        entries.push((ENVIRONMENT, Environment::Test.as_str().to_owned()));
    }
    let first_end = client.secrets.iter().filter_map(|secret| secret.expires_at).min();
    entries.extend(first_end.map(|end| (EXPIRES, moment(end.seconds()))));
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
    let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
    for entry in clients.iter().map_err(unavailable)? {
        let client: Client = decode("a client", entry.map_err(unavailable)?.1.value())?;
        replace(transaction, None, Some(&client))?;
    }
    Ok(())
}

/// Whether any client has an entry of this kind and value.
pub(super) fn is_held(transaction: &WriteTransaction, kind: &str, value: &str) -> Result<bool, StoreError> {
    let table = transaction.open_table(CLIENT_INDEX).map_err(unavailable)?;
    let first = table.range((kind, value, "")..).map_err(unavailable)?.next();
    let Some(entry) = first else { return Ok(false) };
    let (key, _) = entry.map_err(unavailable)?;
    Ok((key.value().0, key.value().1) == (kind, value))
}
