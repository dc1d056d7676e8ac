//! The decisions, free of HTTP: authenticate, issue, register, rotate, revoke.
//!
//! Responsible for: what is granted, to whom, and what changes. Never: status codes, headers, files. One file a
//! subject; `http/` mirrors them by name.

mod accounts;
mod admit;
mod api_keys;
mod apis;
mod audiences;
mod audit;
mod authenticate;
mod authority;
mod backup;
mod balance;
mod catalog;
mod client_cache;
mod clients;
mod cursor;
mod digest;
mod entries;
mod exchange;
mod explain;
mod feed;
mod figures;
mod held;
mod introspect;
mod issue;
mod key_cache;
mod keys;
mod metrics;
mod notices;
mod organizations;
mod pace;
mod projects;
mod quickstart;
mod receipts;
mod refusals;
mod review;
mod revocations;
mod revoke;
mod roles;
mod slow;
mod tasks;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::crypto::entropy::Entropy;
use crate::id::{RequestId, random_128};
use crate::resource::Verifier;
use crate::secret::KeyPrefix;

use super::error::Error;
use super::keys::KeyRing;
use super::model::{Change, Place, Revocation};
use super::store::{Store, StoreError};

pub use super::model::Retention;
pub use admit::{Admitted, LimitSettings};
pub use audiences::UnknownScope;
pub use audit::{
    AuditFilter, ExportFilter, ExportFrom, Position, export as export_audit, folder_keys, offline_head,
    page as audit_page, shown as shown_verdict, verify as verify_audit,
};
pub use authenticate::{Authenticated, ClientRefusal, PresentedCredentials, SensitiveToken, TokenRequest};
pub use authority::{Authority, Caller, Grants, IfMatch};
pub use backup::Backup;
pub use catalog::{Catalog, CatalogSnapshot};
pub use clients::ClientFilter;
pub use cursor::PageRequest;
pub use entries::Tagged;
pub use exchange::ExchangeRequest;
pub use feed::FeedAnswer;
pub use figures::UsageRange;
pub use issue::{Grant, IssueRequest, IssuedToken, decide_grant};
pub use metrics::{Endpoint, Gauge, Metrics};
pub use notices::{Notice, ReviewRun};
pub use pace::refresh_in;
pub use quickstart::{QUICKSTART_ID, Quickstart};
pub use receipts::receipt_name;
pub use review::ReviewSettings;
pub use revocations::Revocations;

/// How far the clocks of verifiers may differ: as long after their end are tokens remembered.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// How often a change is tried again on what somebody else has changed meanwhile.
const MAX_TRIES: usize = 16;

/// How long a change may take to be written.
const WRITING: Duration = Duration::from_secs(60);

/// What the decisions are told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `iss` of every token, and the audience of the built-in API.
    pub issuer: Arc<str>,
    /// How long a token lives.
    pub token_ttl: Duration,
    /// When something of a client is worth a look.
    pub review: ReviewSettings,
    /// The most that wait for the revocation feed at once.
    pub most_waiting: usize,
    /// How long the audit log is kept.
    pub retention: Retention,
    /// How many requests there may be, where neither project nor client says otherwise.
    pub limits: LimitSettings,
    /// What API keys begin with.
    pub key_prefix: KeyPrefix,
    /// Whether the routes under `/api/v1/` take HTTP Digest as well.
    pub api_digest: bool,
}

/// Everything that decisions rest on.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    store: Arc<dyn Store>,
    keys: Arc<KeyRing>,
    clients: client_cache::ClientCache,
    keys_at_hand: key_cache::KeyCache,
    digests: digest::Digests,
    catalog: Catalog,
    revocations: Arc<Revocations>,
    verifier: Arc<Verifier>,
    waiting: feed::Waiting,
    stopping: watch::Sender<bool>,
    /// A change went wrong, so that the store may have more than what is at hand.
    doubt: AtomicBool,
    usage: Arc<usage::Usage>,
    metrics: Metrics,
    refusals: refusals::Refusals,
    audit: audit::Audit,
    cursors: cursor::CursorKey,
    slow: slow::SlowChecks,
    last_review: notices::LastReview,
    limiters: admit::Limiters,
    accounts: accounts::Accounts,
}

impl Service {
    /// Loads what decisions need at hand.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(
        settings: Settings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        store: Arc<dyn Store>,
        keys: Arc<KeyRing>,
    ) -> Result<Self, StoreError> {
        let catalog = Catalog::load(&*store).await?;
        let run = random_128(&*entropy).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let revocations = Arc::new(Revocations::load(&*store, clock.now(), run).await?);
        let issuer = &*settings.issuer;
        let verifier = Verifier::builder(issuer, issuer, Arc::clone(&keys) as _)
            .clock(Arc::clone(&clock))
            .revocations(Arc::clone(&revocations) as _)
            .leeway(LEEWAY)
            .build();
        let usage = Arc::new(usage::Usage::new(clock.now()));
        let cursors = cursor::CursorKey::new(&store.cursor_secret().await?)
            .map_err(|error| StoreError::Corrupt(format!("the secret of cursors: {error}")))?;
        let digests = digest::Digests::new(&*entropy).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        digest::warn_of_missing_seal(&*store, keys.digest_seal().get().is_some()).await?;
        let slow = slow::SlowChecks::new(Arc::clone(&entropy));
        Ok(Self {
            settings,
            clock,
            entropy,
            keys,
            clients: client_cache::ClientCache::new(Arc::clone(&store)),
            keys_at_hand: key_cache::KeyCache::new(),
            digests,
            store,
            catalog,
            revocations,
            verifier: Arc::new(verifier),
            waiting: feed::Waiting::default(),
            stopping: watch::Sender::new(false),
            doubt: AtomicBool::new(false),
            usage,
            metrics: Metrics::new(),
            refusals: refusals::Refusals::default(),
            audit: audit::Audit::default(),
            cursors,
            slow,
            last_review: notices::LastReview::default(),
            limiters: admit::Limiters::default(),
            accounts: accounts::Accounts::default(),
        })
    }

    /// What the decisions were told.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// What verifies our own tokens.
    #[must_use]
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// A name for a request.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        RequestId::generate(&*self.entropy)
    }

    /// Whether tokens can be issued: the store answers and there is a key.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ready(&self) -> Result<(), Error> {
        self.store.ping().await?;
        self.keys.signer().map(drop).ok_or_else(issue::no_key)
    }

    /// The longest that a token that is out there can matter to a verifier. The keys remember what the configuration
    /// allowed when they signed. A token can still be issued while the change that cuts it off is written.
    fn longest_token(&self) -> Duration {
        (self.settings.token_ttl + LEEWAY).max(self.keys.longest_token()) + WRITING
    }

    /// Takes in what a change revoked, now that the store has it. Where it is not known whether it has, the store is
    /// asked on the next tick.
    fn settle<T>(&self, done: &Result<T, StoreError>, revoked: impl IntoIterator<Item = Revocation>) {
        match done {
            Ok(_) => self.revocations.add(revoked),
            Err(StoreError::Conflict) => {}
            Err(_) => self.doubt.store(true, Ordering::Relaxed),
        }
    }

    /// Takes in what the store has and a change that went wrong has left out.
    async fn dispel_doubt(&self) {
        if !self.doubt.swap(false, Ordering::Relaxed) {
            return;
        }
        match (self.store.revocations(self.clock.now()).await, self.catalog.refresh(&*self.store).await) {
            (Ok(revoked), Ok(())) => self.revocations.catch_up(revoked),
            _ => self.doubt.store(true, Ordering::Relaxed),
        }
    }

    /// Takes in what is registered, now that the store has it. Where it cannot be read it is tried on the next tick.
    async fn refresh_catalog(&self) {
        if self.catalog.refresh(&*self.store).await.is_err() {
            self.doubt.store(true, Ordering::Relaxed);
        }
    }

    fn change(
        &self,
        caller: &Caller,
        action: &'static str,
        target: &str,
        place: Option<Place>,
        before: Value,
        after: Value,
    ) -> Change {
        Change {
            at: self.clock.now(),
            origin: caller.origin.clone(),
            action,
            target: target.to_owned(),
            place,
            before,
            after,
        }
    }
}
