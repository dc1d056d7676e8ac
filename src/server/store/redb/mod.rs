//! The embedded store: one redb file, one writer thread.

mod accounts;
mod apis;
mod audit;
mod audit_file;
mod audit_reads;
mod backup;
mod check;
mod clients;
mod copy;
mod digest_keys;
mod find;
mod index;
mod inspect;
mod keys;
mod meta;
mod notices;
mod open;
mod prune;
mod receipts;
mod registry;
mod revocations;
mod schema;
mod shapes;
mod tables;
mod usage;
mod writer;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase};

use tokio::sync::Semaphore;

use super::StoreError;
use writer::Writer;

pub use audit_file::AuditFile;
pub use backup::{dump, examine, examine_file, lock};
pub use copy::build;
pub use inspect::Report;
pub use open::OpenError;

/// How much of the file redb keeps in memory. What is asked for often is in the cache of clients above it.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// How many reads are under way at once; more wait. A flood of unknown clients does not take all threads.
const MAX_READS: usize = 32;

/// A read that takes longer is given up: the disk hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The same of a read of everything.
const LONG_READ: Duration = Duration::from_secs(600);

/// The database, or none while it is being opened again after a failed write.
type Shared = Arc<RwLock<Option<Database>>>;

/// The embedded store.
#[derive(Debug)]
pub struct RedbStore {
    database: Shared,
    writer: Writer,
    reads: Arc<Semaphore>,
    backups: Arc<Semaphore>,
}

impl RedbStore {
    /// Opens the store at `path`, or makes one where there is none; the second value tells which. `seed` is 32 random
    /// bytes for a new one.
    ///
    /// # Errors
    /// [`OpenError`]: it is in use, damaged, of another version, or its folder cannot be written.
    pub fn open(path: &Path, seed: [u8; 32], now: crate::clock::UnixTime) -> Result<(Self, bool), OpenError> {
        let (database, fresh) = open::open_or_create(path, seed, now)?;
        let database: Shared = Arc::new(RwLock::new(Some(database)));
        let writer = Writer::start(Arc::clone(&database), path.to_owned()).map_err(OpenError::io(path))?;
        let permits = |count| Arc::new(Semaphore::new(count));
        Ok((Self { database, writer, reads: permits(MAX_READS), backups: permits(1) }, fresh))
    }

    /// Runs `read` on a consistent snapshot, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_within(READ_TIMEOUT, read).await
    }

    async fn read_within<T: Send + 'static>(
        &self,
        patience: Duration,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| reopening())?;
        let database = Arc::clone(&self.database);
        let work = move || {
            // Held by the read itself: a caller that goes away does not make room for another one.
            let _permit = permit;
            let database = database.read().map_err(|_| poisoned())?;
            let database = database.as_ref().ok_or_else(reopening)?;
            let transaction = database.begin_read().map_err(unavailable)?;
            answering_panics(|| read(&transaction))
                .unwrap_or_else(|| Err(StoreError::Corrupt("a page could not be read".to_owned())))
        };
        match tokio::time::timeout(patience, tokio::task::spawn_blocking(work)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(StoreError::Unavailable("the read was broken off".to_owned())),
            Err(_) => Err(StoreError::Unavailable("the disk does not answer".to_owned())),
        }
    }
}

thread_local! {
    static ANSWERING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread is caught and answered as an error. A panic hook need not report it.
#[must_use]
pub fn panics_are_answered() -> bool {
    ANSWERING.get()
}

/// redb trusts its pages, and a damaged one can make it panic. That is an answer here: none.
fn answering_panics<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = ANSWERING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    ANSWERING.set(before);
    result.ok()
}

/// How redb is opened, wherever it is.
fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn poisoned() -> StoreError {
    StoreError::Unavailable("a thread failed while it held the store".to_owned())
}

fn reopening() -> StoreError {
    StoreError::Unavailable("it is being opened again after a failed write".to_owned())
}

/// redb's errors, as far as a caller can tell them apart.
fn unavailable(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(why) => StoreError::Corrupt(why),
        other => StoreError::Unavailable(other.to_string()),
    }
}
