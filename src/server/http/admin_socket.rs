//! The Unix socket of local administration. The file's mode is the guard, so it is 0600 from the moment it exists.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;

/// The user at the other end of the socket, as far as the system tells.
#[derive(Clone, Copy, Debug)]
pub struct PeerUser(pub Option<u32>);

/// The longest path that can be connected to (`sun_path`, unix(7)).
const MAX_PATH: usize = 107;

/// The bound socket, whose file goes when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    /// What accepts.
    pub listener: UnixListener,
    _file: SocketFile,
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: by now somebody else's may be there.
    is: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.is) {
            drop(fs::remove_file(&self.path));
        }
    }
}

impl AdminSocket {
    /// Binds `path`. What an earlier run left there is replaced; a socket that somebody answers on, and anything but a
    /// socket, is left alone and refused.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        if path.as_os_str().len() > MAX_PATH {
            let why = format!("the path of a Unix socket has at most {MAX_PATH} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let _turn = one_at_a_time(folder);
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something there that is no socket"));
            }
            Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
                // Nobody listens: it was left by one that was killed.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // Bound within a folder that is closed to others, closed itself, and only then moved to its place.
        let closed = folder.join(format!(".admin-{}", std::process::id()));
        drop(fs::remove_dir_all(&closed));
        fs::DirBuilder::new().mode(0o700).create(&closed)?;
        let unfinished = closed.join("s");
        let bound = UnixListener::bind(&unfinished).and_then(|listener| {
            fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
            let made = fs::symlink_metadata(&unfinished)?;
            fs::rename(&unfinished, path)?;
            Ok(Self { listener, _file: SocketFile { path: path.to_owned(), is: (made.dev(), made.ino()) } })
        });
        drop(fs::remove_dir_all(&closed));
        bound
    }
}

/// Of several that are started at once one looks and binds, and then the next looks. Where somebody else holds the lock
/// of the folder, which anybody who may read it can, it is done without: it closes a gap of microseconds.
fn one_at_a_time(folder: &Path) -> Option<fs::File> {
    let folder = fs::File::open(folder).ok()?;
    for _ in 0..100 {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(folder),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return None,
        }
    }
    None
}
