//! What is known of an issuer, on disk: so that a service can start while the issuer is down, and forgets no revocation.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::MutexGuard;

use crate::clock::UnixTime;
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
/// How many files this program began to write.
static WRITES: AtomicU64 = AtomicU64::new(0);

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

/// The file, and what was written into it last.
#[derive(Clone, Debug)]
pub(super) struct SnapshotFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    made: AtomicU64,
    /// The number of what is in the file: a slow write never replaces a newer one.
    written: Mutex<u64>,
}

impl SnapshotFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner { path, made: AtomicU64::new(0), written: Mutex::new(0) }))
    }

    /// What an earlier run saved. A file that others could have written is refused: who writes it decides which keys
    /// are believed. One that cannot be read as ours is passed over, as the issuer has all of it.
    pub(super) fn load(&self, issuer: &str) -> Result<Option<Saved>, DiscoverError> {
        let path = &self.0.path;
        let refused = |why: String| DiscoverError::Snapshot { path: path.clone(), why };
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(error.to_string())),
        };
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(refused("it is not a snapshot: name a file that is".to_owned()));
        }
        if metadata.permissions().mode() & 0o022 != 0 {
            let mend = format!("others can write it, and so choose the keys: chmod 600 {}", path.display());
            return Err(refused(mend));
        }
        let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if owner != own && owner != 0 {
            return Err(refused(format!(
                "it is of another user (uid {owner}), who so chose the keys: name another file"
            )));
        }
        let bytes = fs::read(path).map_err(|error| refused(error.to_string()))?;
        let Some(saved) = serde_json::from_slice::<Saved>(&bytes).ok().filter(|saved| saved.version == VERSION) else {
            tracing::warn!(path = %path.display(), "the snapshot is damaged or of another version; it is passed over");
            return Ok(None);
        };
        if saved.issuer != issuer {
            return Err(refused(format!("it is of another issuer ({:?}): name another file", saved.issuer)));
        }
        Ok(Some(saved))
    }

    fn write(&self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written > number {
            return Ok(());
        }
        replace(&self.0.path, bytes)?;
        *written = number;
        Ok(())
    }
}

/// Puts `bytes` in the place of the file, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Of its own: another verifier of this program may write the same file at this moment.
    name.push(format!(".{}-{}.new", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    let unfinished = folder.join(name);
    drop(fs::remove_file(&unfinished));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let done = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, path))
        .and_then(|()| fs::File::open(folder)?.sync_all());
    if done.is_err() {
        drop(fs::remove_file(&unfinished));
    }
    done
}

impl State {
    /// Saves what is known.
    pub(super) async fn save(&self) {
        self.save_with(None, &self.saving.lock().await).await;
    }

    /// Saves what is known, and `news` besides, which its caller takes in before it lets go of `_saving`. Returns when
    /// it is on disk, or when that takes too long.
    pub(super) async fn save_with(&self, news: Option<&RevocationFeed>, _saving: &MutexGuard<'_, ()>) {
        let Some(file) = self.snapshot.clone() else { return };
        let number = file.0.made.fetch_add(1, Ordering::Relaxed) + 1;
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
        let path = file.0.path.clone();
        let write = tokio::task::spawn_blocking(move || {
            let bytes = serde_json::to_vec(&saved).map_err(io::Error::other)?;
            file.write(number, &bytes)
        });
        if let Ok(Ok(Err(error))) = tokio::time::timeout(PATIENCE, write).await {
            metrics::counter!("mintage_verifier_snapshot_failures_total").increment(1);
            tracing::error!(%error, path = %path.display(), "the snapshot could not be written");
        }
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
