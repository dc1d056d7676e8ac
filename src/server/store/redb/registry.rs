//! Organizations, projects and roles, and the verbs of all that is registered. Each looks before it writes.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, WriteTransaction};
use serde::de::DeserializeOwned;

use crate::scope::Scope;
use crate::server::model::{Api, Change, Client, Organization, Place, Project, Role};
use crate::server::store::{CutOff, Entry, HoldersCut, Registry, RegistryStore, StoreError};

use super::audit::seal;
use super::clients::replace_client;
use super::revocations::revoke;
use super::tables::{APIS, CLIENTS, ORGANIZATIONS, PROJECTS, ROLES, decode, encode};
use super::{RedbStore, accounts, apis, index, unavailable};

fn all<K: redb::Key + 'static, T: DeserializeOwned>(
    table: &ReadOnlyTable<K, &'static [u8]>,
    what: &str,
) -> Result<Vec<T>, StoreError> {
    table.iter().map_err(unavailable)?.map(|entry| decode(what, entry.map_err(unavailable)?.1.value())).collect()
}

fn read(transaction: &ReadTransaction) -> Result<Registry, StoreError> {
    Ok(Registry {
        organizations: all(&transaction.open_table(ORGANIZATIONS).map_err(unavailable)?, "an organization")?,
        projects: all(&transaction.open_table(PROJECTS).map_err(unavailable)?, "a project")?,
        roles: all(&transaction.open_table(ROLES).map_err(unavailable)?, "a role")?,
        apis: all(&transaction.open_table(APIS).map_err(unavailable)?, "an API")?,
    })
}

fn found<T: DeserializeOwned>(
    what: &str,
    bytes: Option<redb::AccessGuard<'_, &[u8]>>,
) -> Result<Option<T>, StoreError> {
    bytes.map(|bytes| decode(what, bytes.value())).transpose()
}

pub(super) fn organization(transaction: &WriteTransaction, id: &str) -> Result<Option<Organization>, StoreError> {
    let table = transaction.open_table(ORGANIZATIONS).map_err(unavailable)?;
    found("an organization", table.get(id).map_err(unavailable)?)
}

pub(super) fn project(transaction: &WriteTransaction, place: &Place) -> Result<Option<Project>, StoreError> {
    let table = transaction.open_table(PROJECTS).map_err(unavailable)?;
    let key = (place.organization.as_str(), place.project.as_deref().unwrap_or_default());
    found("a project", table.get(key).map_err(unavailable)?)
}

pub(super) fn role(transaction: &WriteTransaction, organization: &str, name: &str) -> Result<Option<Role>, StoreError> {
    let table = transaction.open_table(ROLES).map_err(unavailable)?;
    found("a role", table.get((organization, name)).map_err(unavailable)?)
}

/// Whether some role of any organization grants `scope`.
pub(super) fn some_role_grants(transaction: &WriteTransaction, scope: &Scope) -> Result<bool, StoreError> {
    let table = transaction.open_table(ROLES).map_err(unavailable)?;
    for entry in table.iter().map_err(unavailable)? {
        let role: Role = decode("a role", entry.map_err(unavailable)?.1.value())?;
        if role.scopes.contains(scope.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The revision of what is there under the name of `entry`.
fn revision(transaction: &WriteTransaction, entry: &Entry) -> Result<Option<u64>, StoreError> {
    Ok(match entry {
        Entry::Organization(entry) => organization(transaction, &entry.id)?.map(|found| found.revision),
        Entry::Project(entry) => project(transaction, &entry.place())?.map(|found| found.revision),
        Entry::Role(entry) => {
            let organization = entry.organization.as_deref().ok_or(StoreError::Conflict)?;
            role(transaction, organization, &entry.name)?.map(|found| found.revision)
        }
    })
}

/// Whether the organization that `entry` belongs to is there, and every scope that it grants.
fn may_be_there(transaction: &WriteTransaction, entry: &Entry) -> Result<bool, StoreError> {
    Ok(match entry {
        Entry::Organization(_) => true,
        Entry::Project(project) => organization(transaction, &project.organization)?.is_some(),
        Entry::Role(role) => {
            let Some(own) = role.organization.as_deref() else { return Ok(false) };
            organization(transaction, own)?.is_some() && apis::define(transaction, role.scopes.iter())?
        }
    })
}

/// Cuts off the tokens of all clients that hold a role.
fn cut_off_holders(transaction: &WriteTransaction, role: &Role, cut: &CutOff) -> Result<HoldersCut, StoreError> {
    let mut done = HoldersCut::default();
    let organization = role.organization.as_deref().unwrap_or_default();
    for id in index::holders(transaction, organization, &role.name)? {
        let before: Client = {
            let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
            let bytes = clients.get(id.as_str()).map_err(unavailable)?;
            let bytes =
                bytes.ok_or_else(|| StoreError::Corrupt("the index names a client that is not there".to_owned()))?;
            decode("a client", bytes.value())?
        };
        let mut after = before.clone();
        let revoked = after.cut_off(cut.until, &*cut.entropy);
        let revoked = revoked.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        after.revision += 1;
        replace_client(transaction, Some(&before), Some(&after))?;
        revoke(transaction, &revoked)?;
        done.revoked.extend(revoked);
        done.clients.push(after.client_id);
    }
    Ok(done)
}

fn save(
    transaction: &WriteTransaction,
    entry: &Entry,
    expected: Option<u64>,
    cut: Option<&CutOff>,
    change: &Change,
) -> Result<HoldersCut, StoreError> {
    if revision(transaction, entry)? != expected || !may_be_there(transaction, entry)? {
        return Err(StoreError::Conflict);
    }
    match entry {
        Entry::Organization(entry) => {
            let mut table = transaction.open_table(ORGANIZATIONS).map_err(unavailable)?;
            table.insert(entry.id.as_str(), encode(entry)?.as_slice()).map_err(unavailable)?;
        }
        Entry::Project(entry) => {
            let mut table = transaction.open_table(PROJECTS).map_err(unavailable)?;
            let key = (entry.organization.as_str(), entry.id.as_str());
            table.insert(key, encode(entry)?.as_slice()).map_err(unavailable)?;
        }
        Entry::Role(entry) => {
            let mut table = transaction.open_table(ROLES).map_err(unavailable)?;
            let key = (entry.organization.as_deref().unwrap_or_default(), entry.name.as_str());
            table.insert(key, encode(entry)?.as_slice()).map_err(unavailable)?;
        }
    }
    let done = match (entry, cut) {
        (Entry::Role(role), Some(cut)) => cut_off_holders(transaction, role, cut)?,
        _ => HoldersCut::default(),
    };
    seal(transaction, change)?;
    Ok(done)
}

/// Whether nothing is left that belongs to it or holds it.
fn is_empty(transaction: &WriteTransaction, entry: &Entry) -> Result<bool, StoreError> {
    match entry {
        Entry::Organization(entry) => {
            let own = entry.id.as_str();
            let projects = transaction.open_table(PROJECTS).map_err(unavailable)?;
            let roles = transaction.open_table(ROLES).map_err(unavailable)?;
            for table in [&projects, &roles] {
                if let Some(first) = table.range((own, "")..).map_err(unavailable)?.next()
                    && first.map_err(unavailable)?.0.value().0 == own
                {
                    return Ok(false);
                }
            }
            apis::organization_has_none(transaction, own)
        }
        Entry::Project(entry) => index::is_held(transaction, Some(&entry.place()), index::PLACE, "").map(|held| !held),
        Entry::Role(entry) => {
            let own = Place::organization(entry.organization.as_deref().unwrap_or_default());
            index::is_held(transaction, Some(&own), index::ROLE, &entry.name).map(|held| !held)
        }
    }
}

fn delete(transaction: &WriteTransaction, entry: &Entry, change: &Change) -> Result<(), StoreError> {
    if revision(transaction, entry)? != Some(entry.revision()) || !is_empty(transaction, entry)? {
        return Err(StoreError::Conflict);
    }
    match entry {
        Entry::Organization(entry) => {
            let mut table = transaction.open_table(ORGANIZATIONS).map_err(unavailable)?;
            table.remove(entry.id.as_str()).map_err(unavailable)?;
        }
        Entry::Project(entry) => {
            let mut table = transaction.open_table(PROJECTS).map_err(unavailable)?;
            table.remove((entry.organization.as_str(), entry.id.as_str())).map_err(unavailable)?;
            accounts::forget(transaction, &entry.account())?;
        }
        Entry::Role(entry) => {
            let mut table = transaction.open_table(ROLES).map_err(unavailable)?;
            let key = (entry.organization.as_deref().unwrap_or_default(), entry.name.as_str());
            table.remove(key).map_err(unavailable)?;
        }
    }
    seal(transaction, change)
}

#[async_trait::async_trait]
impl RegistryStore for RedbStore {
    async fn registry(&self) -> Result<Registry, StoreError> {
        self.read(read).await
    }

    async fn add_api(&self, api: Api, change: Change) -> Result<(), StoreError> {
        self.writer.write(move |transaction| apis::add(transaction, &api, &change)).await
    }

    async fn replace_api(&self, before: Api, after: Api, change: Change) -> Result<(), StoreError> {
        self.writer.write(move |transaction| apis::replace(transaction, &before, &after, &change)).await
    }

    async fn delete_api(&self, api: Api, change: Change) -> Result<(), StoreError> {
        self.writer.write(move |transaction| apis::delete(transaction, &api, &change)).await
    }

    async fn save_entry(
        &self,
        entry: Entry,
        expected: Option<u64>,
        cut: Option<CutOff>,
        change: Change,
    ) -> Result<HoldersCut, StoreError> {
        self.writer.write(move |transaction| save(transaction, &entry, expected, cut.as_ref(), &change)).await
    }

    async fn delete_entry(&self, entry: Entry, change: Change) -> Result<(), StoreError> {
        self.writer.write(move |transaction| delete(transaction, &entry, &change)).await
    }
}
