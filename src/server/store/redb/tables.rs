//! The tables of the file, and how records are written into them.

use redb::TableDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::server::store::StoreError;

/// `schema`, `revisions` and the like.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// What clients can be looked for by: kind, value and `client_id`.
pub(super) const CLIENT_INDEX: TableDefinition<'_, (&str, &str, &str), ()> = TableDefinition::new("client_index");
/// By identifier.
pub(super) const ORGANIZATIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("organizations");
/// By organization and name.
pub(super) const ROLES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("roles");
/// By what was found: when it was told.
pub(super) const NOTICES: TableDefinition<'_, &str, i64> = TableDefinition::new("notices");
/// By the name of the request that was carried out.
pub(super) const RECEIPTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("receipts");
/// By the moment until which a receipt is kept, and its name.
pub(super) const RECEIPT_ENDS: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("receipt_ends");
/// By `client_id`.
pub(super) const CLIENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("clients");
/// By the hash of the key, its `client_id`: API keys are presented without it.
pub(super) const API_KEYS: TableDefinition<'_, &str, &str> = TableDefinition::new("api_keys");
/// By the user name of a Digest key, its `client_id`.
pub(super) const DIGEST_KEYS: TableDefinition<'_, &str, &str> = TableDefinition::new("digest_keys");
/// By the id of the secret, or of the Digest key.
pub(super) const SECRET_USES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secret_uses");
/// By `client_id`, hours or days ([`super::usage`]), and the moment when the hour or day begins.
pub(super) const USAGE: TableDefinition<'_, (&str, u8, i64), &[u8]> = TableDefinition::new("usage");
/// By `client_id`: when it and its scopes were last used.
pub(super) const CLIENT_USES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("client_uses");
/// By kind and name of the owner: what is used of its quotas and its balance ([`super::accounts`]).
pub(super) const ACCOUNTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("accounts");
/// By identifier.
pub(super) const APIS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("apis");
/// The API that defines a scope, by the scope.
pub(super) const SCOPES: TableDefinition<'_, &str, &str> = TableDefinition::new("scopes");
/// By organization and id.
pub(super) const PROJECTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("projects");
/// By `kid`.
pub(super) const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// By kind and name; the value is the moment until which it matters.
pub(super) const REVOCATIONS: TableDefinition<'_, (&str, &str), i64> = TableDefinition::new("revocations");
/// By the moment until which a revocation matters, its kind and name ([`super::revocations`]).
pub(super) const REVOCATION_ENDS: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("revocation_ends");
/// By sequence number, from 1; the exact bytes that were sealed.
pub(super) const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

/// The segments of issuances, by number, from 1; the exact bytes whose hash is in the chain.
pub(super) const ISSUANCES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("issuances");
/// The public keys that have signed heads, by `kid`. They stay when the keys are long gone.
pub(super) const AUDIT_KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("audit_keys");

/// By number, from 0; a ring of the newest.
pub(super) const REFUSALS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("refusals");

/// In [`META`]: the version of the records.
pub(super) const SCHEMA: &str = "schema";
/// In [`META`]: the end of the audit chain.
pub(super) const AUDIT_HEAD: &str = "audit_head";
/// In [`META`]: the last record that was pruned.
pub(super) const AUDIT_CHECKPOINT: &str = "audit_checkpoint";
/// In [`META`]: the number of the last segment of issuances.
pub(super) const LAST_SEGMENT: &str = "last_segment";
/// In [`META`]: there while nobody runs on the store, unless the last run broke off.
pub(super) const CLEAN_STOP: &str = "clean_stop";
/// In [`META`]: the revision of the key records.
pub(super) const KEYS_REVISION: &str = "keys_revision";
/// In [`META`]: what cursors are sealed with.
pub(super) const CURSOR_SECRET: &str = "cursor_secret";

/// In [`META`]: there once the first start is over.
pub(super) const STARTED: &str = "started";

/// A record's bytes.
pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| StoreError::Corrupt(format!("a record cannot be written: {error}")))
}

/// A record of its bytes.
pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    // serde_json's words for an error can repeat a value; where it is will do.
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError::Corrupt(format!("a record of {what} is not readable (column {})", error.column())))
}
