//! Opening a store, or making a new one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, DatabaseError, ReadableDatabase, WriteTransaction};

use crate::clock::UnixTime;
use crate::server::model::{AuditHead, SCHEMA_VERSION};
use crate::server::store::StoreError;

use super::tables::{AUDIT_HEAD, CURSOR_SECRET, META, SCHEMA, decode, encode};
use super::{answering_panics, builder, check, schema, unavailable};

/// How often a store that seems to be in use is tried again, and how long apart.
pub(super) const MAX_TRIES: u32 = 10;
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// Why a store cannot be opened. A store that is there is never replaced.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the store {} is in use by another process: is mintage running already? \
         Stop that one, or give this one a store of its own (store.url)", .0.display()
    )]
    InUse(PathBuf),
    /// It is not a store, or not whole.
    #[error(
        "the store {} is damaged ({why}). It was left as it is, and no new one was made. \
         Put a backup in its place; or move it away to begin with an empty store", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Its records are of another version.
    #[error("the store {} has records of schema {found}; this program reads schema {SCHEMA_VERSION}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// The system does not let us.
    #[error("the store {} cannot be used: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(super) fn damaged(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.to_string() }
    }

    pub(super) fn of(path: &Path, error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse(path.to_owned()),
            DatabaseError::Storage(redb::StorageError::Io(source))
                if !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Io { path: path.to_owned(), source }
            }
            other => Self::damaged(path, other),
        }
    }
}

/// Opens what is at `path`; where nothing is, makes a new store. The second value tells whether it is new.
pub(super) fn open_or_create(path: &Path, seed: [u8; 32], now: UnixTime) -> Result<(Database, bool), OpenError> {
    match fs::symlink_metadata(path) {
        Ok(_) => open(path).map(|database| (database, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path, seed, now).map(|database| (database, true))
        }
        Err(error) => Err(OpenError::io(path)(error)),
    }
}

fn open(path: &Path) -> Result<Database, OpenError> {
    let file = File::open(path).map_err(OpenError::io(path))?;
    if file.metadata().map_err(OpenError::io(path))?.len() == 0 {
        return Err(OpenError::damaged(path, "it is empty"));
    }
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => return Err(OpenError::io(path)(error)),
    }
    let incoherent = || OpenError::damaged(path, "its pages do not hang together");
    let looked_over = answering_panics(|| check::look_over(file, schema_of))
        .ok_or_else(incoherent)?
        .map_err(|error| OpenError::of(path, error))?;
    let found = match looked_over {
        None => return Err(OpenError::damaged(path, "its pages do not match their checksums")),
        Some(Err(error)) => return Err(OpenError::damaged(path, error)),
        Some(Ok(None)) => return Err(OpenError::damaged(path, "it is a redb file, but not a store of mintage")),
        Some(Ok(Some(found @ schema::OLDEST..=SCHEMA_VERSION))) => found,
        Some(Ok(Some(found))) => return Err(OpenError::Schema { path: path.to_owned(), found }),
    };
    let mut tries = 0;
    let database = loop {
        match answering_panics(|| builder().open(path)).ok_or_else(incoherent)? {
            Ok(database) => break database,
            // A child that was forked while we looked holds our own lock until it has become another program.
            Err(DatabaseError::DatabaseAlreadyOpen) if tries < MAX_TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(OpenError::of(path, error)),
        }
    };
    make_missing_tables(&database).map_err(|error| OpenError::damaged(path, error))?;
    sweep(path, path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new(".")))?;
    if found < SCHEMA_VERSION {
        upgrade(&database, found).map_err(|error| OpenError::damaged(path, error))?;
        tracing::info!(from = found, to = SCHEMA_VERSION, "the store was brought to a newer schema");
    }
    Ok(database)
}

fn upgrade(database: &Database, found: u32) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().map_err(unavailable)?;
    transaction.set_quick_repair(true);
    schema::upgrade(&transaction, found)?;
    transaction.commit().map_err(unavailable)
}

fn schema_of(database: &Database) -> Result<Option<u32>, StoreError> {
    let transaction = database.begin_read().map_err(unavailable)?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(unavailable(error)),
    };
    meta.get(SCHEMA).map_err(unavailable)?.map(|version| decode("the schema", version.value())).transpose()
}

/// Makes a store beside its place and moves it there when it is complete, so that a store that is there is whole.
fn create(path: &Path, seed: [u8; 32], now: UnixTime) -> Result<Database, OpenError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(OpenError::io(folder))?;
    sweep(path, folder)?;
    let mut name = unfinished_prefix(path);
    name.push(format!("{}", std::process::id()));
    let unfinished = path.with_file_name(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(OpenError::io(&unfinished))?;
    let database = builder().create_file(file).map_err(|error| OpenError::of(path, error))?;
    initialize(&database, seed, now).map_err(|error| OpenError::damaged(&unfinished, error))?;
    // Linking fails where somebody else was faster; renaming would replace their store.
    fs::hard_link(&unfinished, path).map_err(|error| match error.kind() {
        // Or took ours for abandoned, before we had locked it.
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => OpenError::InUse(path.to_owned()),
        _ => OpenError::io(path)(error),
    })?;
    fs::remove_file(&unfinished).map_err(OpenError::io(&unfinished))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(OpenError::io(folder))?;
    Ok(database)
}

/// What the name of an unfinished store begins with.
fn unfinished_prefix(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new-");
    name
}

/// Takes away what earlier starts left unfinished. It may be a second name of a finished store, so that it is unlinked
/// and never written to; and it may be somebody else's who starts right now, whose lock keeps it.
fn sweep(path: &Path, folder: &Path) -> Result<(), OpenError> {
    let prefix = unfinished_prefix(path);
    for entry in fs::read_dir(folder).map_err(OpenError::io(folder))? {
        let entry = entry.map_err(OpenError::io(folder))?;
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            continue;
        }
        let leftover = entry.path();
        let abandoned = File::open(&leftover).is_ok_and(|file| {
            let same = |a: &fs::Metadata, b: &fs::Metadata| a.dev() == b.dev() && a.ino() == b.ino();
            let second_name = matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if same(&a, &b));
            second_name || file.try_lock().is_ok()
        });
        if abandoned {
            fs::remove_file(&leftover).map_err(OpenError::io(&leftover))?;
        }
    }
    Ok(())
}

fn initialize(database: &Database, seed: [u8; 32], now: UnixTime) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().map_err(unavailable)?;
    transaction.set_quick_repair(true);
    {
        let mut meta = transaction.open_table(META).map_err(unavailable)?;
        meta.insert(SCHEMA, encode(&SCHEMA_VERSION)?.as_slice()).map_err(unavailable)?;
        meta.insert(AUDIT_HEAD, encode(&AuditHead::default())?.as_slice()).map_err(unavailable)?;
        meta.insert(CURSOR_SECRET, seed.as_slice()).map_err(unavailable)?;
    }
    schema::make_tables(&transaction)?;
    schema::make_defaults(&transaction, now)?;
    schema::begin_issuances(&transaction)?;
    transaction.commit().map_err(unavailable)
}

/// Makes the tables that a store of an earlier version does not have. One that has them all is not written to.
fn make_missing_tables(database: &Database) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().map_err(unavailable)?;
    transaction.set_quick_repair(true);
    let count = |transaction: &WriteTransaction| Ok(transaction.list_tables().map_err(unavailable)?.count());
    let before = count(&transaction)?;
    schema::make_tables(&transaction)?;
    match count(&transaction)? == before {
        true => transaction.abort().map_err(unavailable),
        false => transaction.commit().map_err(unavailable),
    }
}
