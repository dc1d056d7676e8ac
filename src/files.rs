//! Files that are replaced whole.
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::crypto::entropy::Entropy;
use crate::id::random_base62;

/// Stub until the real one is merged.
///
/// # Errors
/// The system's.
pub fn replace(path: &Path, bytes: &[u8], entropy: &dyn Entropy) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", random_base62(entropy, 12).map_err(io::Error::other)?));
    let unfinished = folder.join(name);
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
