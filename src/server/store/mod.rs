//! The store: a dozen atomic verbs in the domain's words.
//!
//! Responsible for: durability, and that a change and its audit record are one. Never: deciding whether a change may be
//! made. Every verb that changes something answers after the change is durable; `now` is an argument; what is not there
//! is `None`; a change names the revision it was made from.

mod audit;
pub mod redb;

use std::collections::HashMap;

use crate::clock::UnixTime;
use crate::id::ClientId;

use super::model::{Api, Change, Client, KeyRecord, Project, Revocation, SecretUse};

pub use audit::{AuditReader, AuditStore, Cutoffs};

/// What a store can fail with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, read or written now. Nothing was changed.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What the change was made from is no longer there, or what it makes is there already. Nothing was changed.
    #[error("the change conflicts with another one")]
    Conflict,
    /// What was read is not what was written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
}

/// What a client is before its first change.
pub const ABSENT: u64 = 0;

/// Clients.
#[async_trait::async_trait]
pub trait ClientStore: std::fmt::Debug + Send + Sync {
    /// The client of this id.
    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError>;

    /// Up to `limit` clients in order of their ids, behind `after`.
    async fn clients(&self, after: Option<&ClientId>, limit: usize) -> Result<Vec<Client>, StoreError>;

    /// Puts `client` in the place of its revision `expected` ([`ABSENT`]: there must be none), and remembers what the
    /// change revokes.
    async fn save_client(
        &self,
        client: Client,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<(), StoreError>;

    /// Takes the client of this id and revision out, and remembers what that revokes. Where an API names it as an
    /// introspector it is taken out there, which has a record of its own; gives those APIs.
    async fn delete_client(
        &self,
        id: &ClientId,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<Vec<Api>, StoreError>;
}

/// APIs and projects.
#[async_trait::async_trait]
pub trait RegistryStore: std::fmt::Debug + Send + Sync {
    /// All APIs, in order of their identifiers.
    async fn apis(&self) -> Result<Vec<Api>, StoreError>;

    /// Adds an API. [`StoreError::Conflict`] where its identifier or one of its scopes is there, or one of its
    /// introspectors is not.
    async fn add_api(&self, api: Api, change: Change) -> Result<(), StoreError>;

    /// Puts `after` in the place of `before`; identifier and scopes stay. [`StoreError::Conflict`] where something else
    /// than `before` is there, or an introspector is not.
    async fn replace_api(&self, before: Api, after: Api, change: Change) -> Result<(), StoreError>;

    /// All projects of an organization, in order of their ids.
    async fn projects(&self, organization: &str) -> Result<Vec<Project>, StoreError>;
}

/// The records of signing keys.
#[async_trait::async_trait]
pub trait KeyStore: std::fmt::Debug + Send + Sync {
    /// All key records and their revision.
    async fn keys(&self) -> Result<(Vec<KeyRecord>, u64), StoreError>;

    /// Puts `keys` in the place of those of revision `expected`, and remembers what the change revokes.
    async fn save_keys(
        &self,
        keys: Vec<KeyRecord>,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<(), StoreError>;
}

/// What is revoked.
#[async_trait::async_trait]
pub trait RevocationStore: std::fmt::Debug + Send + Sync {
    /// Remembers a token as revoked, unless `most` live ones of its client are at `now`; then it is false.
    async fn revoke_token(
        &self,
        revocation: Revocation,
        most: usize,
        now: UnixTime,
        change: Change,
    ) -> Result<bool, StoreError>;

    /// What is revoked and still matters at `now`.
    async fn revocations(&self, now: UnixTime) -> Result<Vec<Revocation>, StoreError>;

    /// Forgets what no longer matters at `now`; how much that was.
    async fn purge(&self, now: UnixTime) -> Result<usize, StoreError>;
}

/// What was used, when and from where.
#[async_trait::async_trait]
pub trait UsageStore: std::fmt::Debug + Send + Sync {
    /// The last uses of these secrets, as far as there are any.
    async fn secret_uses(&self, secrets: Vec<String>) -> Result<HashMap<String, SecretUse>, StoreError>;

    /// Notes the last uses of secrets.
    async fn note_secret_uses(&self, uses: Vec<(String, SecretUse)>) -> Result<(), StoreError>;
}

/// The store: all of them, and what it keeps of itself.
#[async_trait::async_trait]
pub trait Store: ClientStore + RegistryStore + KeyStore + RevocationStore + UsageStore + AuditStore {
    /// A secret of this store's own, made with it: what cursors are signed with.
    async fn cursor_secret(&self) -> Result<Vec<u8>, StoreError>;

    /// Whether a start with this store has come to its end before.
    async fn first_start_is_over(&self) -> Result<bool, StoreError>;

    /// Remembers that the first start has come to its end: what it shows once has been shown.
    async fn end_first_start(&self) -> Result<(), StoreError>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
