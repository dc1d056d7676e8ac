//! The tables of a store, and how one of an older schema becomes one of this.

use redb::{ReadableTable, WriteTransaction};

use crate::clock::UnixTime;
use crate::server::model::{DEFAULT, Organization, Project, SCHEMA_VERSION};
use crate::server::store::StoreError;

use super::tables::{
    ACCOUNTS, API_KEYS, APIS, AUDIT, AUDIT_KEYS, CLEAN_STOP, CLIENT_INDEX, CLIENT_USES, CLIENTS, DIGEST_KEYS,
    ISSUANCES, KEYS, META, NOTICES, ORGANIZATIONS, PROJECTS, RECEIPT_ENDS, RECEIPTS, REFUSALS, REVOCATION_ENDS,
    REVOCATIONS, ROLES, SCHEMA, SCOPES, SECRET_USES, USAGE, decode, encode,
};
use super::{index, revocations, unavailable, usage};

/// The oldest schema that can be brought to this one.
pub(super) const OLDEST: u32 = 1;

/// Makes all tables that are not there, so that no reader finds one missing.
pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(CLIENTS).map_err(unavailable)?;
    transaction.open_table(CLIENT_INDEX).map_err(unavailable)?;
    transaction.open_table(API_KEYS).map_err(unavailable)?;
    transaction.open_table(DIGEST_KEYS).map_err(unavailable)?;
    transaction.open_table(SECRET_USES).map_err(unavailable)?;
    transaction.open_table(USAGE).map_err(unavailable)?;
    transaction.open_table(CLIENT_USES).map_err(unavailable)?;
    transaction.open_table(ACCOUNTS).map_err(unavailable)?;
    transaction.open_table(ORGANIZATIONS).map_err(unavailable)?;
    transaction.open_table(PROJECTS).map_err(unavailable)?;
    transaction.open_table(ROLES).map_err(unavailable)?;
    transaction.open_table(APIS).map_err(unavailable)?;
    transaction.open_table(SCOPES).map_err(unavailable)?;
    transaction.open_table(KEYS).map_err(unavailable)?;
    transaction.open_table(REVOCATIONS).map_err(unavailable)?;
    transaction.open_table(REVOCATION_ENDS).map_err(unavailable)?;
    transaction.open_table(NOTICES).map_err(unavailable)?;
    transaction.open_table(RECEIPTS).map_err(unavailable)?;
    transaction.open_table(RECEIPT_ENDS).map_err(unavailable)?;
    transaction.open_table(AUDIT).map_err(unavailable)?;
    transaction.open_table(AUDIT_KEYS).map_err(unavailable)?;
    transaction.open_table(ISSUANCES).map_err(unavailable)?;
    transaction.open_table(REFUSALS).map_err(unavailable)?;
    Ok(())
}

/// Makes the organization and the project that exist from the start.
pub(super) fn make_defaults(transaction: &WriteTransaction, now: UnixTime) -> Result<(), StoreError> {
    let mut organizations = transaction.open_table(ORGANIZATIONS).map_err(unavailable)?;
    let organization = Organization {
        id: DEFAULT.to_owned(),
        name: "Default".to_owned(),
        secret_policy: Default::default(),
        limits: Default::default(),
        created_at: now,
        revision: 1,
    };
    organizations.insert(DEFAULT, encode(&organization)?.as_slice()).map_err(unavailable)?;
    let mut projects = transaction.open_table(PROJECTS).map_err(unavailable)?;
    let project = Project {
        id: DEFAULT.to_owned(),
        organization: DEFAULT.to_owned(),
        name: "Default".to_owned(),
        secret_policy: Default::default(),
        limits: Default::default(),
        quotas: Default::default(),
        paid_in: None,
        created_at: now,
        revision: 1,
    };
    projects.insert((DEFAULT, DEFAULT), encode(&project)?.as_slice()).map_err(unavailable)?;
    Ok(())
}

/// A store that had no issuances has lost none, so that its last run counts as ended.
pub(super) fn begin_issuances(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(unavailable)?;
    meta.insert(CLEAN_STOP, encode(&true)?.as_slice()).map_err(unavailable)?;
    Ok(())
}

/// Brings a store of schema `found` to this one.
pub(super) fn upgrade(transaction: &WriteTransaction, found: u32) -> Result<(), StoreError> {
    make_tables(transaction)?;
    if found < 2 {
        // The only project was the one that exists from the start, and when that was made is kept.
        let made = {
            let projects = transaction.open_table(PROJECTS).map_err(unavailable)?;
            let first = projects.get((DEFAULT, DEFAULT)).map_err(unavailable)?;
            first.map(|bytes| decode::<Project>("a project", bytes.value())).transpose()?
        };
        make_defaults(transaction, made.map_or(UnixTime::from_seconds(0), |project| project.created_at))?;
        index::build(transaction)?;
        usage::sum_up(transaction)?;
        revocations::sort(transaction)?;
        begin_issuances(transaction)?;
    }
    let mut meta = transaction.open_table(META).map_err(unavailable)?;
    meta.insert(SCHEMA, encode(&SCHEMA_VERSION)?.as_slice()).map_err(unavailable)?;
    Ok(())
}
