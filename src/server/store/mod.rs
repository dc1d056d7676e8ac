//! The store: a dozen atomic verbs in the domain's words.
//!
//! Responsible for: durability, and that a change and its audit record are one. Never: deciding whether a change may be
//! made. Every verb that changes something answers after the change is durable; `now` is an argument; what is not there
//! is `None`; a change names the revision it was made from.

mod accounts;
mod audit;
pub mod redb;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::api::ClientStatus;
use crate::clock::UnixTime;
use crate::crypto::entropy::Entropy;
use crate::id::ClientId;
use crate::secret::Environment;

use super::model::{
    Api, Change, Client, ClientUsage, ClientUses, Figures, KeyRecord, Kind, Organization, Per, Project, Receipt,
    ReceiptRecord, ReplayedAnswer, Revocation, Role, SecretUse,
};

pub use accounts::AccountStore;
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

/// A backup on its way, piece by piece. Only one that comes to its end without an error is whole.
pub type BackupStream = mpsc::Receiver<Result<Vec<u8>, StoreError>>;

/// What a client is before its first change.
pub const ABSENT: u64 = 0;

/// Which clients are looked for. What is none is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSearch {
    /// Clients, or API keys; both if none.
    pub kind: Option<Kind>,
    /// Of this organization.
    pub organization: Option<String>,
    /// Of this project of it.
    pub project: Option<String>,
    /// Of another project than this.
    pub outside: Option<String>,
    /// Of this name.
    pub name: Option<NameIs>,
    /// Of this status.
    pub status: Option<ClientStatus>,
    /// Of this environment.
    pub environment: Option<Environment>,
    /// Granted this scope itself.
    pub scope: Option<String>,
    /// Granted this role; `organization` says whose.
    pub role: Option<String>,
    /// With a secret that ends within this.
    pub ends: Option<EndsWithin>,
    /// Not used since, and there already. What is not written yet does not count.
    pub unused_since: Option<UnixTime>,
    /// Behind this place, which an earlier answer gave.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// When a secret has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndsWithin {
    /// After this: what has ended ends no more.
    pub after: UnixTime,
    /// Before this.
    pub before: UnixTime,
}

impl EndsWithin {
    /// Whether `end` is within it.
    #[must_use]
    pub fn has(&self, end: UnixTime) -> bool {
        self.after < end && end < self.before
    }
}

/// What a name has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameIs {
    /// This.
    Exactly(String),
    /// One that begins so.
    Beginning(String),
}

/// Clients that were found.
#[derive(Debug, Default)]
pub struct FoundClients {
    /// They.
    pub clients: Vec<Client>,
    /// Where to go on; none at the end. A page may be short, even empty, and yet not the last: how much is read for
    /// one is bounded.
    pub next: Option<String>,
}

/// What became of a client that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is there now.
    Yes,
    /// One of its id was there, or before it among those to be added; it is left out.
    Exists,
    /// Its project, or one of its scopes or roles, is not there; it is left out.
    Unfounded,
    /// Its project has as many API keys as it may; it is left out.
    Full,
}

/// Clients.
#[async_trait::async_trait]
pub trait ClientStore: std::fmt::Debug + Send + Sync {
    /// The client of this id.
    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError>;

    /// Clients that `search` asks for, and where the next come from.
    async fn find_clients(&self, search: ClientSearch) -> Result<FoundClients, StoreError>;

    /// Puts `client` in the place of its revision `expected` ([`ABSENT`]: there must be none), and remembers what the
    /// change revokes. [`StoreError::Conflict`] also where its project is not there, or a scope or role that it did not
    /// have before, or where a user name of its Digest keys is another client's.
    async fn save_client(
        &self,
        client: Client,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<(), StoreError>;

    /// Puts each client in the place of its revision, with its own record, in one transaction. Of each whether it was:
    /// where another revision is there it is left out. What they hold is what they held.
    async fn replace_clients(&self, clients: Vec<(Client, u64, Change)>) -> Result<Vec<bool>, StoreError>;

    /// Adds clients, each with its own record, in one transaction, and says of each what became of it.
    async fn add_clients(&self, clients: Vec<(Client, Change)>) -> Result<Vec<Added>, StoreError>;

    /// Adds an API key, if its project has fewer than `most` by then.
    async fn add_key(&self, key: Client, most: u64, change: Change) -> Result<Added, StoreError>;

    /// Whose API key has this hash, as [`SecretHash::to_text`](crate::secret::SecretHash::to_text) writes it.
    async fn key_holder(&self, hash: &str) -> Result<Option<ClientId>, StoreError>;

    /// Whose Digest key has this user name.
    async fn digest_holder(&self, username: &str) -> Result<Option<ClientId>, StoreError>;

    /// Whether anybody has a Digest key.
    async fn has_digest_keys(&self) -> Result<bool, StoreError>;

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

/// Organizations, projects, roles and APIs: all that is registered besides clients.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// In order of their ids.
    pub organizations: Vec<Organization>,
    /// In order of their organizations and ids.
    pub projects: Vec<Project>,
    /// In order of their organizations and names; not the built-in ones.
    pub roles: Vec<Role>,
    /// In order of their identifiers.
    pub apis: Vec<Api>,
}

/// One of what is registered and counts its changes.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An organization.
    Organization(Organization),
    /// A project.
    Project(Project),
    /// A role, not a built-in one.
    Role(Role),
}

impl Entry {
    /// The number of its changes.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match self {
            Self::Organization(entry) => entry.revision,
            Self::Project(entry) => entry.revision,
            Self::Role(entry) => entry.revision,
        }
    }
}

/// How the tokens of those who hold a role are cut off.
#[derive(Clone, Debug)]
pub struct CutOff {
    /// What their next generations are made of.
    pub entropy: Arc<dyn Entropy>,
    /// When the last of their tokens has expired.
    pub until: UnixTime,
}

/// Whose tokens were cut off.
#[derive(Debug, Default)]
pub struct HoldersCut {
    /// The clients that were changed.
    pub clients: Vec<ClientId>,
    /// What that revokes.
    pub revoked: Vec<Revocation>,
}

/// Organizations, projects, roles and APIs.
#[async_trait::async_trait]
pub trait RegistryStore: std::fmt::Debug + Send + Sync {
    /// All of them.
    async fn registry(&self) -> Result<Registry, StoreError>;

    /// Adds an API. [`StoreError::Conflict`] where its identifier or one of its scopes is there, or its organization or
    /// one of its introspectors is not.
    async fn add_api(&self, api: Api, change: Change) -> Result<(), StoreError>;

    /// Puts `after` in the place of `before`; the identifier stays. [`StoreError::Conflict`] where something else than
    /// `before` is there, an introspector is not, a new scope is another API's, or a client or role has one that goes.
    async fn replace_api(&self, before: Api, after: Api, change: Change) -> Result<(), StoreError>;

    /// Takes an API out. [`StoreError::Conflict`] where something else is there, or a client or role has one of its
    /// scopes.
    async fn delete_api(&self, api: Api, change: Change) -> Result<(), StoreError>;

    /// Puts `entry` in the place of its revision `expected` (none: there must be none). Where it is a role and `cut` is
    /// given, the tokens of all clients that hold it then are cut off. [`StoreError::Conflict`] where something else is
    /// there, or where what `entry` belongs to or grants is not.
    async fn save_entry(
        &self,
        entry: Entry,
        expected: Option<u64>,
        cut: Option<CutOff>,
        change: Change,
    ) -> Result<HoldersCut, StoreError>;

    /// Takes `entry` out, as it is. [`StoreError::Conflict`] where something else is there, or something still belongs to
    /// it or holds it.
    async fn delete_entry(&self, entry: Entry, change: Change) -> Result<(), StoreError>;
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

    /// Forgets what no longer matters at `now`, or a part of it; how much that was, none once all is forgotten.
    async fn purge(&self, now: UnixTime) -> Result<usize, StoreError>;
}

/// What was used, when and from where.
#[async_trait::async_trait]
pub trait UsageStore: std::fmt::Debug + Send + Sync {
    /// The last uses of these secrets, as far as there are any.
    async fn secret_uses(&self, secrets: Vec<String>) -> Result<HashMap<String, SecretUse>, StoreError>;

    /// Adds to what clients have used. Of a client, or a secret, that is gone by now nothing is kept.
    async fn note_usage(&self, usage: Vec<ClientUsage>) -> Result<(), StoreError>;

    /// What a client has used in the hours or days that begin from `since` to before `until`, in their order.
    async fn usage(
        &self,
        client: &ClientId,
        per: Per,
        since: UnixTime,
        until: UnixTime,
    ) -> Result<Vec<(UnixTime, Figures)>, StoreError>;

    /// When these clients and their scopes were last used, as far as they were.
    async fn client_uses(&self, clients: Vec<ClientId>) -> Result<HashMap<ClientId, ClientUses>, StoreError>;

    /// Forgets the hours and the days that began before these moments, of up to `most` clients behind `after` in order of
    /// their ids; the last of them, or none where there are no more.
    async fn purge_usage(
        &self,
        after: Option<ClientId>,
        most: usize,
        hours: UnixTime,
        days: UnixTime,
    ) -> Result<Option<ClientId>, StoreError>;
}

/// Receipts of requests that are carried out once. The receipt itself comes with the change.
#[async_trait::async_trait]
pub trait ReceiptStore: std::fmt::Debug + Send + Sync {
    /// The receipt of this name, if it matters at `now`.
    async fn receipt(&self, name: &str, now: UnixTime) -> Result<Option<ReceiptRecord>, StoreError>;

    /// Notes what the request was answered. Where it changed nothing the receipt is not there yet.
    async fn note_answer(&self, receipt: Receipt, answer: ReplayedAnswer) -> Result<(), StoreError>;
}

/// What was told of what a review found.
#[async_trait::async_trait]
pub trait NoticeStore: std::fmt::Debug + Send + Sync {
    /// When these were last told, as far as they were.
    async fn told(&self, keys: Vec<String>) -> Result<HashMap<String, UnixTime>, StoreError>;

    /// Notes that these were told at `now`.
    async fn note_told(&self, keys: Vec<String>, now: UnixTime) -> Result<(), StoreError>;

    /// Forgets what was told before `past`, of up to `most` behind `after` in order of their keys; the last of them, or
    /// none where there are no more.
    async fn forget_told(
        &self,
        past: UnixTime,
        after: Option<String>,
        most: usize,
    ) -> Result<Option<String>, StoreError>;
}

/// The store: all of them, and what it keeps of itself.
#[async_trait::async_trait]
pub trait Store:
    ClientStore
    + RegistryStore
    + KeyStore
    + RevocationStore
    + UsageStore
    + AccountStore
    + AuditStore
    + ReceiptStore
    + NoticeStore
{
    /// A secret of this store's own, made with it: what cursors are sealed with.
    async fn cursor_secret(&self) -> Result<Vec<u8>, StoreError>;

    /// Whether a start with this store has come to its end before.
    async fn first_start_is_over(&self) -> Result<bool, StoreError>;

    /// Remembers that the first start has come to its end: what it shows once has been shown.
    async fn end_first_start(&self) -> Result<(), StoreError>;

    /// Begins a backup of all that is there now. [`StoreError::Conflict`] where one is under way.
    async fn backup(&self) -> Result<BackupStream, StoreError>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
