//! Files that are replaced whole: who reads one sees what was there or what is there now, never half of it.
//!
//! Responsible for: the file that is made beside its place as `.NAME.RANDOM.new`, brought to disk and put there, and what
//! is left of writers that were killed. Never: what is in it, nor making folders. Unix only; everything here blocks.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::crypto::entropy::Entropy;
use crate::id::random_base62;

/// How much of a temporary name is random.
const RANDOM: usize = 12;
/// How a temporary name ends.
const SUFFIX: &str = ".new";
/// How often another name is tried.
const MAX_TRIES: usize = 16;

/// Puts `bytes` in the place of the file at `path`, whole or not at all, with this mode. Others may do the same at the
/// same time, each under a name of its own.
///
/// # Errors
/// What the system says. The file is what it was, unless it was the folder alone that could not be brought to disk.
pub fn replace(path: &Path, bytes: &[u8], mode: u32, entropy: &dyn Entropy) -> io::Result<()> {
    Unfinished::begin(path, mode, entropy)?.commit(bytes)
}

/// A file on its way to its place. Dropped before it is there, it is taken away.
///
/// It is locked (`flock`) for as long as its writer lives, so that [`remove_unfinished`] knows what is left of one that
/// does not.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    /// Where it is now; none where it is in its place.
    at: Option<PathBuf>,
    path: PathBuf,
    /// Opened before anything is made: one that cannot be is no folder to keep things in.
    folder: File,
}

impl Unfinished {
    /// Makes an empty file beside `path`, with this mode whatever the umask says: from here on little can go wrong.
    ///
    /// # Errors
    /// What the system says, as where the folder is missing; and where `path` names a folder, a device or the like.
    pub fn begin(path: &Path, mode: u32, entropy: &dyn Entropy) -> io::Result<Self> {
        let (folder, name) = place(path)?;
        // A link is replaced as any file is; what it points to stays.
        if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "what is there is not a file"));
        }
        let opened = File::open(folder)?;
        for _ in 0..MAX_TRIES {
            let random = random_base62(entropy, RANDOM).map_err(io::Error::other)?;
            let mut temporary = OsStr::new(".").to_owned();
            temporary.push(name);
            temporary.push(format!(".{random}{SUFFIX}"));
            let at = folder.join(temporary);
            let file = match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600 & mode).open(&at) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            let unfinished = Self { file, at: Some(at), path: path.to_owned(), folder: opened.try_clone()? };
            // Before it was locked it looked abandoned, and may be gone. Where there are no locks, none is ever gone.
            if matches!(unfinished.file.try_lock(), Err(TryLockError::WouldBlock))
                || unfinished.file.metadata()?.nlink() == 0
            {
                continue;
            }
            unfinished.file.set_permissions(Permissions::from_mode(mode))?;
            return Ok(unfinished);
        }
        Err(io::Error::other("no temporary name is to be had"))
    }

    /// Another hold on the file, to read and write it by; its lock goes with the last of them.
    ///
    /// # Errors
    /// What the system says.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Puts it in its place with `bytes` in it, and what was there is gone.
    ///
    /// # Errors
    /// What the system says, as for [`replace`].
    pub fn commit(mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes)?;
        if let Some(at) = &self.at {
            fs::rename(at, &self.path)?;
            self.at = None;
        }
        self.folder.sync_all()
    }

    /// The same where nothing may be lost: what is there by now stays.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], or what the system says.
    pub fn commit_new(mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes)?;
        if let Some(at) = &self.at {
            // Unlike a rename it never takes the place of anything.
            fs::hard_link(at, &self.path)?;
            drop(fs::remove_file(at));
            self.at = None;
        }
        self.folder.sync_all()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(at) = &self.at {
            drop(fs::remove_file(at));
        }
    }
}

/// Takes away what killed writers of exactly this file have left beside it; how much that was. It may be called at any
/// time, while others write it, too.
///
/// What tells them apart is the lock, which the system takes from a writer when it ends, however that comes about. An age
/// would be a guess: a writer may wait for an answer between its two steps, for minutes, or be stopped. A process id means
/// nothing in another container, and is given out again. Where a file system has no locks, nothing is taken away.
///
/// # Errors
/// What the system says of the folder; one that is not there has nothing to take away.
pub fn remove_unfinished(path: &Path) -> io::Result<usize> {
    let (folder, name) = place(path)?;
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if !is_temporary(&entry.file_name(), name) {
            continue;
        }
        // Held until it is gone: a writer that was about to lock it sees so, and takes another name.
        let Ok(file) = open(&entry.path()) else { continue };
        let abandoned = file.metadata().is_ok_and(|there| there.is_file()) && file.try_lock().is_ok();
        if abandoned && fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Opens a file to be read, and never through a link; without waiting, should it be a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// The folder that `path` is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The folder of a file and its name.
fn place(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let named = path.file_name().filter(|name| {
        // `Path` passes over what makes a folder of `name/` and `name/.`.
        path.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes())
    });
    let name = named.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it names a folder, not a file"))?;
    Ok((folder(path), name))
}

/// Whether it is the temporary name of a file that is called `name`.
fn is_temporary(temporary: &OsStr, name: &OsStr) -> bool {
    let bytes = temporary.as_encoded_bytes().strip_prefix(b".");
    let random = bytes
        .and_then(|rest| rest.strip_prefix(name.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
}
