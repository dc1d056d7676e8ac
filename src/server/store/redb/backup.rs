//! Backups: of a store that is in use, and of a file that nobody uses.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::server::store::{BackupStream, StoreError};

use super::inspect::{Report, inspect};
use super::open::OpenError;
use super::{READ_TIMEOUT, RedbStore, answering_panics, check, copy, poisoned, reopening};

/// The pieces that wait to be taken. What is not taken holds nothing up but the backup itself.
const WAITING: usize = 4;
/// Who takes no piece for so long takes none any more: what a snapshot sees keeps its room in the file.
const PATIENCE: Duration = Duration::from_secs(60);

impl RedbStore {
    /// Begins a backup of what is there now. One is under way at a time, which is [`StoreError::Conflict`] otherwise.
    pub(super) async fn begin_backup(&self) -> Result<BackupStream, StoreError> {
        let permit = Arc::clone(&self.backups).try_acquire_owned().map_err(|_| StoreError::Conflict)?;
        let database = Arc::clone(&self.database);
        let begin = tokio::task::spawn_blocking(move || {
            // Not held any longer: a store that has to be opened again must not wait for a backup.
            let database = database.read().map_err(|_| poisoned())?;
            copy::snapshot(database.as_ref().ok_or_else(reopening)?)
        });
        let snapshot = match tokio::time::timeout(READ_TIMEOUT, begin).await {
            Ok(Ok(snapshot)) => snapshot?,
            _ => return Err(StoreError::Unavailable("the disk does not answer".to_owned())),
        };
        let (pieces, stream) = mpsc::channel(WAITING);
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let hand_on = |piece| {
                let sent = runtime.block_on(tokio::time::timeout(PATIENCE, pieces.send(piece)));
                match sent {
                    Ok(Ok(())) => Ok(()),
                    _ => Err(StoreError::Unavailable("nobody takes the backup in".to_owned())),
                }
            };
            let written = answering_panics(|| copy::write(&snapshot, &mut |piece| hand_on(Ok(piece))))
                .unwrap_or_else(|| Err(StoreError::Corrupt("a page could not be read".to_owned())));
            if let Err(error) = written {
                tracing::error!(%error, "a backup was broken off");
                drop(hand_on(Err(error)));
            }
        });
        Ok(stream)
    }
}

/// The file at `path`, which must not be in use, to be read and never written.
fn unused(path: &Path) -> Result<File, OpenError> {
    let file = File::open(path).map_err(OpenError::io(path))?;
    let metadata = file.metadata().map_err(OpenError::io(path))?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Err(OpenError::damaged(path, "it is empty, or no file"));
    }
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path)(error)),
    }
}

/// Takes out of `file` what `read` does, once all its pages are found whole. The file is not touched.
fn look<T>(path: &Path, file: File, read: impl FnOnce(&redb::Database) -> T) -> Result<T, OpenError> {
    let incoherent = || OpenError::damaged(path, "its pages do not hang together");
    answering_panics(|| check::look_over(file, read))
        .ok_or_else(incoherent)?
        .map_err(|error| OpenError::of(path, error))?
        .ok_or_else(|| OpenError::damaged(path, "its pages do not match their checksums"))
}

/// Writes all of the store at `path`, which nobody may have open, into `sink`.
///
/// # Errors
/// [`OpenError`]: it is in use, damaged, or cannot be read; or what `sink` says, as damage.
pub fn dump(path: &Path, sink: &mut dyn FnMut(Vec<u8>) -> Result<(), StoreError>) -> Result<(), OpenError> {
    let written = look(path, unused(path)?, |database| copy::write(&copy::snapshot(database)?, sink))?;
    written.map_err(|error| OpenError::damaged(path, error))
}

/// Looks through the whole of the store or backup at `path`, which nobody may have open: every page against its checksum,
/// every record, every link of the audit chain. Nothing is touched.
///
/// # Errors
/// [`OpenError`]: it is in use, cannot be read, or its pages are damaged. What else is wrong is in the report.
pub fn examine(path: &Path) -> Result<Report, OpenError> {
    examine_file(path, unused(path)?)
}

/// The same of a file that is open already; `path` is what it is called.
///
/// # Errors
/// As [`examine`].
pub fn examine_file(path: &Path, file: File) -> Result<Report, OpenError> {
    look(path, file, inspect)?.map_err(|error| OpenError::damaged(path, error))
}

/// Whether another process has the store at `path`; the file, if none has it, locked against those to come.
///
/// # Errors
/// [`OpenError::InUse`], or what the system says.
pub fn lock(path: &Path) -> Result<File, OpenError> {
    let file = fs::OpenOptions::new().read(true).open(path).map_err(OpenError::io(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path)(error)),
    }
}
