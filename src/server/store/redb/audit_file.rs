//! The audit log of a file that nobody runs on: read only, and of a damaged file, too.
//!
//! A start refuses a file that is not whole. To find out what became of it, it has to be read all the same: as it is,
//! without the repair that would go back to an older state, and with every write kept in memory.

use std::fs::{File, TryLockError};
use std::path::Path;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use crate::server::model::{AuditHead, ChainWalk, KeyRecord, RefusalRecord, Verdict};
use crate::server::store::{AuditReader, StoreError};

use super::open::{MAX_TRIES, PAUSE};
use super::tables::{KEYS, decode};
use super::{OpenError, answering_panics, audit_reads, check, unavailable};

/// The audit log of a file.
#[derive(Debug)]
pub struct AuditFile {
    database: Database,
    /// Held as long as it is read: no server starts on it meanwhile.
    _lock: File,
}

impl AuditFile {
    /// Opens the store at `path` to read its audit log.
    ///
    /// # Errors
    /// [`OpenError`]: it is in use, or so damaged that nothing can be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(OpenError::io(path))?;
        let mut tries = 0;
        loop {
            match file.try_lock_shared() {
                Ok(()) => break,
                // It may be a child that was forked by whoever had it, until it has become another program.
                Err(TryLockError::WouldBlock) if tries < MAX_TRIES => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
                Err(TryLockError::Error(error)) => return Err(OpenError::io(path)(error)),
            }
        }
        let lock = file.try_clone().map_err(OpenError::io(path))?;
        let damaged = |why: String| OpenError::Damaged { path: path.to_owned(), why };
        let database = answering_panics(|| check::open_as_it_is(file))
            .ok_or_else(|| damaged("its pages do not hang together".to_owned()))?
            .map_err(|error| damaged(error.to_string()))?;
        Ok(Self { database, _lock: lock })
    }

    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        answering_panics(|| read(&self.database.begin_read().map_err(unavailable)?))
            .unwrap_or_else(|| Err(StoreError::Corrupt("a page could not be read".to_owned())))
    }

    /// The records of the signing keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(|transaction| {
            let keys = transaction.open_table(KEYS).map_err(unavailable)?;
            keys.iter()
                .map_err(unavailable)?
                .map(|entry| decode("a key", entry.map_err(unavailable)?.1.value()))
                .collect()
        })
    }
}

#[async_trait::async_trait]
impl AuditReader for AuditFile {
    async fn audit(&self, from: u64, limit: usize) -> Result<(AuditHead, Vec<Vec<u8>>), StoreError> {
        self.read(|transaction| audit_reads::audit(transaction, from, limit))
    }

    async fn records(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(|transaction| audit_reads::records(transaction, from, limit))
    }

    async fn audit_back(&self, before: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(|transaction| audit_reads::audit_back(transaction, before, limit))
    }

    async fn segments(&self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(|transaction| audit_reads::segments(transaction, from))
    }

    async fn segments_back(&self, before: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(|transaction| audit_reads::segments_back(transaction, before))
    }

    async fn refusals_back(&self, before: u64, limit: usize) -> Result<Vec<(u64, RefusalRecord)>, StoreError> {
        self.read(|transaction| audit_reads::refusals_back(transaction, before, limit))
    }

    async fn walk_audit(&self, walk: ChainWalk) -> Result<Verdict, StoreError> {
        self.read(|transaction| audit_reads::walk(transaction, walk))
    }
}
