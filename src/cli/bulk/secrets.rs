//! The file of the secrets that an import makes: JSON Lines, its owner's alone, and on disk before a secret is used.

use std::collections::HashMap;
use std::collections::hash_map::Entry as HashEntry;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::Failure;
use crate::files;
use crate::secret::ClientSecret;

/// Its owner alone reads it.
const MODE: u32 = 0o600;

/// The file, open to be added to.
pub(in super::super) struct SecretsFile {
    file: File,
    path: PathBuf,
    /// What an import that was stopped has made.
    known: HashMap<String, ClientSecret>,
}

#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    client_id: &'a str,
    client_secret: &'a str,
}

impl SecretsFile {
    /// Opens the file, or makes it. One that is there is added to, and has to be such a file and nobody else's to read.
    pub(in super::super) fn open(path: &Path) -> Result<Self, Failure> {
        let refused = |why: &dyn std::fmt::Display| {
            Failure::new(format!("{} cannot keep the secrets, so none was made: {why}", path.display()))
        };
        let mut known = HashMap::new();
        let mut whole = true;
        if std::fs::symlink_metadata(path).is_ok() {
            let there = files::open(path).map_err(|error| refused(&error))?;
            let metadata = there.metadata().map_err(|error| refused(&error))?;
            if !metadata.is_file() {
                return Err(refused(&"what is there is not a file"));
            }
            if metadata.permissions().mode() & 0o077 != 0 {
                return Err(refused(&format!("others may read it; chmod 600 {}", path.display())));
            }
            let mut reader = BufReader::new(there);
            let mut line = Zeroizing::new(String::new());
            while reader.read_line(&mut line).map_err(|error| refused(&error))? > 0 {
                whole = line.ends_with('\n');
                match serde_json::from_str::<Entry<'_>>(&line) {
                    Ok(entry) => {
                        let secret = ClientSecret::from(entry.client_secret.to_owned());
                        known.entry(entry.client_id.to_owned()).or_insert(secret);
                    }
                    // The last line of an import that was killed may be cut off: its secret was never sent.
                    Err(_) if !whole => {}
                    Err(_) => return Err(refused(&"it is another kind of file; name a new one")),
                }
                line.clear();
            }
        }
        let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let opened = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path);
        let mut file = opened.map_err(|error| refused(&error))?;
        if !whole {
            file.write_all(b"\n").map_err(|error| refused(&error))?;
        }
        // Its name, too, has to be there after a crash.
        let folder = File::open(files::folder(path)).and_then(|folder| folder.sync_all());
        folder.map_err(|error| refused(&error))?;
        Ok(Self { file, path: path.to_owned(), known })
    }

    /// The secret that was made for this client before.
    pub(super) fn secret_of(&self, id: &str) -> Option<&ClientSecret> {
        self.known.get(id)
    }

    /// Adds secrets, but for those that are in it, and brings them to disk.
    pub(super) fn append(&mut self, made: Vec<(String, ClientSecret)>) -> Result<(), Failure> {
        let mut text = Zeroizing::new(Vec::new());
        for (client_id, secret) in made {
            let HashEntry::Vacant(vacant) = self.known.entry(client_id) else { continue };
            let entry = Entry { client_id: vacant.key(), client_secret: secret.reveal() };
            serde_json::to_writer(&mut *text, &entry).map_err(Failure::new)?;
            text.push(b'\n');
            vacant.insert(secret);
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|error| Failure::new(format!("{} could not be written: {error}", self.path.display())))?;
        Ok(())
    }
}
