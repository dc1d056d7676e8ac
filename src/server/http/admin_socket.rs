//! The Unix socket of local administration. The file's mode is the guard, so it is 0600 from the moment it exists.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The user at the other end of the socket, as far as the system tells.
#[derive(Clone, Copy, Debug)]
pub struct PeerUser(pub Option<u32>);

/// The bound socket, whose file goes when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    /// What accepts.
    pub listener: UnixListener,
    _file: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

impl AdminSocket {
    /// Binds `path`. What an earlier run left there is replaced: the caller holds the lock of the store, so no other
    /// run is alive. Anything but a socket is left alone and refused.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something there that is no socket"));
            }
            // Of another store's server, that is: this store's lock is ours.
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Bound within a folder that is closed to others, closed itself, and only then moved to its place.
        let closed = folder.join(format!(".admin-{}", std::process::id()));
        drop(fs::remove_dir_all(&closed));
        fs::DirBuilder::new().mode(0o700).create(&closed)?;
        let unfinished = closed.join("s");
        let bound = UnixListener::bind(&unfinished).and_then(|listener| {
            fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
            fs::rename(&unfinished, path)?;
            Ok(listener)
        });
        drop(fs::remove_dir_all(&closed));
        Ok(Self { listener: bound?, _file: SocketFile(path.to_owned()) })
    }
}
