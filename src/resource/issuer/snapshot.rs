//! What is known of an issuer, on disk: so that a service can start while the issuer is down, and forgets no revocation.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::clock::UnixTime;
use crate::crypto::entropy::SystemEntropy;
use crate::files;
use crate::jose::Algorithm;
use crate::oauth::feed::RevocationFeed;

use super::keys::FetchedKeys;
use super::{DiscoverError, Endpoints, State};

/// A longer file is none of ours.
const MAX_FILE: u64 = 256 * 1024 * 1024;
/// How long a write may hold back what it writes.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often what does not change is saved, in seconds.
const SAVE_EVERY: i64 = 60;
const VERSION: u32 = 1;

/// Held while a snapshot is made and what is in it becomes known.
type Saving<'g> = tokio::sync::MutexGuard<'g, ()>;

/// What is saved.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u32,
    issuer: String,
    pub(super) endpoints: Endpoints,
    jwks: Value,
    jwks_fetched_at: UnixTime,
    heard_at: Option<UnixTime>,
    revoked: RevocationFeed,
}

impl Saved {
    /// Its keys, as far as they can be used.
    pub(super) fn keys(&self, algorithms: &[Algorithm]) -> Result<FetchedKeys, String> {
        FetchedKeys::read(self.jwks.clone(), algorithms, self.jwks_fetched_at)
    }
}

/// The file. One write is under way at a time, and the newest snapshot waits for its end: a slow disk costs one thread
/// and two snapshots, however much is going on.
#[derive(Clone, Debug)]
pub(super) struct SnapshotFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    slot: Mutex<Slot>,
    /// The number of the last snapshot that was written, or could not be.
    done: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Slot {
    made: u64,
    waiting: Option<Box<Saved>>,
    writing: bool,
}

impl SnapshotFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner { path, slot: Mutex::default(), done: watch::Sender::new(0) }))
    }

    /// What an earlier run saved. A file that others could have written is refused: who writes it decides which keys
    /// are believed. One that cannot be read as ours is passed over, as the issuer has all of it.
    pub(super) fn load(&self, issuer: &str, now: UnixTime) -> Result<Option<Saved>, DiscoverError> {
        let path = &self.0.path;
        let refused = |why: String| DiscoverError::Snapshot { path: path.clone(), why };
        // Looked at and read through one descriptor, and never through a link, so that it is one and the same file.
        let mut file = match files::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(error.to_string())),
        };
        let metadata = file.metadata().map_err(|error| refused(error.to_string()))?;
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(refused("it is not a snapshot: name a file that is".to_owned()));
        }
        if metadata.permissions().mode() & 0o022 != 0 {
            let mend = format!("others can write it, and so choose the keys: chmod 600 {}", path.display());
            return Err(refused(mend));
        }
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us && metadata.uid() != 0 {
            let whose = format!("it belongs to the user {}, who so chooses the keys; this is {us}", metadata.uid());
            return Err(refused(format!("{whose}: take it away, or chown it")));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
        let Some(mut saved) = serde_json::from_slice::<Saved>(&bytes).ok().filter(|saved| saved.version == VERSION)
        else {
            tracing::warn!(path = %path.display(), "the snapshot is damaged or of another version; it is passed over");
            return Ok(None);
        };
        // A clock that ran ahead when it was written would make it fresh for longer than it is.
        saved.jwks_fetched_at = saved.jwks_fetched_at.min(now);
        saved.heard_at = saved.heard_at.map(|at| at.min(now));
        if saved.issuer != issuer {
            return Err(refused(format!("it is of another issuer ({:?}): name another file", saved.issuer)));
        }
        Ok(Some(saved))
    }

    /// Has `saved` written, now or when the write under way is done. Gives its number.
    fn hand_over(&self, saved: Saved, entropy: SystemEntropy) -> u64 {
        let mut slot = self.slot();
        slot.made += 1;
        slot.waiting = Some(Box::new(saved));
        let number = slot.made;
        if !std::mem::replace(&mut slot.writing, true) {
            let file = self.clone();
            drop(tokio::task::spawn_blocking(move || file.write_all(&entropy)));
        }
        number
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // What is in it is put in whole.
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing waits.
    fn write_all(&self, entropy: &SystemEntropy) {
        loop {
            let (saved, number) = {
                let mut slot = self.slot();
                let Some(saved) = slot.waiting.take() else {
                    slot.writing = false;
                    return;
                };
                (saved, slot.made)
            };
            let path = &self.0.path;
            let written = serde_json::to_vec(&saved)
                .map_err(io::Error::other)
                .and_then(|bytes| fs::create_dir_all(files::folder(path)).map(|()| bytes))
                .and_then(|bytes| files::replace(path, &bytes, 0o600, entropy));
            if let Err(error) = written {
                metrics::counter!("mintage_verifier_snapshot_failures_total", "issuer" => saved.issuer.clone())
                    .increment(1);
                tracing::error!(%error, path = %path.display(), "the snapshot could not be written");
            }
            self.0.done.send_replace(number);
        }
    }
}

impl State {
    /// Saves what is known.
    pub(super) async fn save(&self) {
        self.save_with(None, &self.saving.lock().await).await;
    }

    /// Saves what is known, and `news` besides, which its caller takes in before it lets go of `_saving`. Returns when
    /// it is on disk, or when that takes too long.
    pub(super) async fn save_with(&self, news: Option<&RevocationFeed>, _saving: &Saving<'_>) {
        let Some(file) = &self.snapshot else { return };
        self.saved_at.store(self.now().seconds(), Ordering::Relaxed);
        let keys = self.keys.load_full();
        let mut revoked = self.revoked.list(self.heard.cursor().unwrap_or_default());
        let mut heard_at = self.heard.at();
        if let Some(news) = news {
            revoked.jtis.extend_from_slice(&news.jtis);
            revoked.generations.extend_from_slice(&news.generations);
            revoked.kids.extend_from_slice(&news.kids);
            revoked.cursor.clone_from(&news.cursor);
            heard_at = Some(self.now());
        }
        let saved = Saved {
            version: VERSION,
            issuer: self.settings.issuer.clone(),
            endpoints: Endpoints::clone(&self.endpoints.load()),
            jwks: keys.document.clone(),
            jwks_fetched_at: keys.fetched_at,
            heard_at,
            revoked,
        };
        let mut done = file.0.done.subscribe();
        let number = file.hand_over(saved, self.entropy.clone());
        drop(tokio::time::timeout(PATIENCE, done.wait_for(|done| *done >= number)).await);
    }

    /// Saves what is known if that was last done a minute ago: what was heard when matters after a restart, too.
    pub(super) async fn save_now_and_then(&self) {
        if self.now().seconds() - self.saved_at.load(Ordering::Relaxed) >= SAVE_EVERY {
            self.save().await;
        }
    }

    /// Takes in what an earlier run saved.
    pub(super) fn recall(&self, saved: &Saved) {
        self.revoked.add(&saved.revoked);
        let cursor = Some(saved.revoked.cursor.clone()).filter(|cursor| !cursor.is_empty());
        self.heard.recall(saved.heard_at, cursor);
    }
}
