//! Following an issuer: its keys and its revocations, kept at hand in the background, and on disk for the next start.
//!
//! Responsible for: that verifying never waits for the issuer, and goes on while it is away. Two tasks, one for the keys
//! and one for the revocation feed, live as long as the [`Issuer`]. Never: what a token means.

mod feed;
mod health;
mod keys;
mod settings;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;

use crate::clock::UnixTime;
use crate::crypto::entropy::SystemEntropy;
use crate::fetch::{self, FetchError};
use crate::jose::KeySet;

use super::revoked::RevokedSet;
use super::source::{KeySource, RevocationSource};

use feed::Heard;
use keys::{FetchedKeys, UnknownKeys};
use snapshot::SnapshotFile;

pub use health::{Health, KeysHealth, RevocationsHealth};
pub(super) use settings::Settings;
pub use settings::{DiscoverError, StaleRevocations};

/// Where the issuer publishes what is followed, and where it is asked about API keys.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Endpoints {
    jwks_uri: String,
    introspection_endpoint: Option<String>,
    revocation_feed: Option<String>,
}

/// An issuer that is followed, until this is dropped.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) state: Arc<State>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What is known of the issuer. Read for every token; written by the two tasks.
#[derive(Debug)]
pub(super) struct State {
    settings: Settings,
    http: reqwest::Client,
    entropy: SystemEntropy,
    endpoints: ArcSwap<Endpoints>,
    keys: ArcSwap<FetchedKeys>,
    keys_error: ArcSwapOption<String>,
    unknown: UnknownKeys,
    /// The feed says that the keys are others than ours.
    keys_changed: Notify,
    revoked: RevokedSet,
    heard: Heard,
    snapshot: Option<SnapshotFile>,
    /// Held from where a snapshot is made to where what is in it is known, so that a later one has no less.
    saving: Mutex<()>,
    saved_at: AtomicI64,
}

impl Issuer {
    /// Reaches the issuer, or falls back on the snapshot of an earlier run, and begins to follow.
    pub(super) async fn follow(settings: Settings) -> Result<Self, DiscoverError> {
        let snapshot = settings.snapshot.clone().map(SnapshotFile::new);
        let saved = match &snapshot {
            Some(file) => file.load(&settings.issuer, settings.clock.now())?,
            None => None,
        };
        let http = match settings.http.clone() {
            Some(http) => http,
            None => fetch::http_client()?,
        };
        let state = match reach(&http, &settings).await {
            Ok((endpoints, keys)) => State::new(settings, http, endpoints, keys, snapshot),
            Err(error) => match &saved {
                Some(saved) => {
                    tracing::warn!(%error, issuer = settings.issuer, "the issuer was not reached; starting from the snapshot");
                    let keys = saved.keys(&settings.algorithms).map_err(|why| DiscoverError::Snapshot {
                        path: settings.snapshot.clone().unwrap_or_default(),
                        why,
                    })?;
                    let state = State::new(settings, http, saved.endpoints.clone(), keys, snapshot);
                    state.keys_error.store(Some(Arc::new(error.to_string())));
                    state
                }
                None => return Err(error.into()),
            },
        };
        if let Some(saved) = &saved {
            state.recall(saved);
        }
        if state.follows_revocations() {
            // Before the first token: what was revoked while nobody looked.
            if let Err(error) = state.ask_feed(Duration::ZERO).await {
                state.feed_failed(&error);
            }
        }
        state.show_keys();
        state.show_feed();
        state.save().await;
        let state = Arc::new(state);
        let mut tasks = vec![tokio::spawn(keys::follow(Arc::clone(&state))).abort_handle()];
        if state.settings.revocations != StaleRevocations::NotFollowed {
            tasks.push(tokio::spawn(feed::follow(Arc::clone(&state))).abort_handle());
        }
        Ok(Self { state, tasks })
    }

    pub(super) fn health(&self, now: UnixTime) -> Health {
        let running = !self.tasks.iter().any(AbortHandle::is_finished);
        Health { running, ..self.state.health(now) }
    }
}

/// The metadata and the keys of the issuer.
async fn reach(http: &reqwest::Client, settings: &Settings) -> Result<(Endpoints, FetchedKeys), FetchError> {
    let endpoints = endpoints(http, &settings.issuer).await?;
    let keys = keys::fetch(http, &endpoints.jwks_uri, None, settings).await?;
    Ok((endpoints, keys))
}

async fn endpoints(http: &reqwest::Client, issuer: &str) -> Result<Endpoints, FetchError> {
    let metadata = fetch::discover(http, issuer).await?;
    let jwks_uri = metadata
        .jwks_uri
        .ok_or_else(|| FetchError::Discovery { url: issuer.to_owned(), why: "names no jwks_uri".to_owned() })?;
    Ok(Endpoints {
        jwks_uri,
        introspection_endpoint: metadata.introspection_endpoint,
        revocation_feed: metadata.revocation_feed,
    })
}

impl State {
    fn new(
        settings: Settings,
        http: reqwest::Client,
        endpoints: Endpoints,
        keys: FetchedKeys,
        snapshot: Option<SnapshotFile>,
    ) -> Self {
        Self {
            settings,
            http,
            entropy: SystemEntropy::new(),
            endpoints: ArcSwap::from_pointee(endpoints),
            keys: ArcSwap::from_pointee(keys),
            keys_error: ArcSwapOption::empty(),
            unknown: UnknownKeys::default(),
            keys_changed: Notify::new(),
            revoked: RevokedSet::default(),
            heard: Heard::default(),
            snapshot,
            saving: Mutex::new(()),
            saved_at: AtomicI64::new(0),
        }
    }

    fn now(&self) -> UnixTime {
        self.settings.clock.now()
    }

    /// Asks the metadata anew where to ask: what is published may have moved.
    pub(super) async fn rediscover(&self) -> Result<(), FetchError> {
        let found = endpoints(&self.http, &self.settings.issuer).await?;
        if **self.endpoints.load() != found {
            self.endpoints.store(Arc::new(found));
        }
        Ok(())
    }

    /// Where the issuer is asked about API keys, as far as it is known.
    pub(super) fn introspection_endpoint(&self) -> Option<String> {
        self.endpoints.load().introspection_endpoint.clone()
    }

    /// How the issuer is reached.
    pub(super) const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Whether what is known of the issuer is its own word of now, and not that of a snapshot.
    pub(super) fn is_reached(&self) -> bool {
        self.keys_error.load().is_none()
    }

    fn follows_revocations(&self) -> bool {
        self.settings.revocations != StaleRevocations::NotFollowed && self.endpoints.load().revocation_feed.is_some()
    }
}

impl KeySource for State {
    fn keys(&self) -> KeySet {
        self.keys.load().set.clone()
    }

    fn key_is_unknown(&self, kid: &str) {
        self.unknown.ask_for(kid);
    }

    fn is_fresh(&self, now: UnixTime) -> bool {
        let fresh = now.since(self.keys.load().fetched_at) <= self.settings.max_stale_keys;
        // The clock may have gone on while the machine slept, and the timer of the next fetch has not.
        if !fresh && self.keys_error.load().is_none() {
            self.keys_changed.notify_one();
        }
        fresh
    }
}

impl RevocationSource for State {
    fn key_is_revoked(&self, kid: &str) -> bool {
        self.revoked.key_is_revoked(kid)
    }

    fn token_is_revoked(&self, token_id: &str, generation: Option<&str>) -> bool {
        self.revoked.token_is_revoked(token_id, generation)
    }

    fn is_fresh(&self, now: UnixTime) -> bool {
        match self.settings.revocations {
            StaleRevocations::RefuseAfter(bound) => {
                self.heard.at().is_some_and(|heard_at| now.since(heard_at) <= bound)
            }
            StaleRevocations::GoOn | StaleRevocations::NotFollowed => true,
        }
    }
}
