//! `--save FILE`: a secret that is made goes into a credentials file, not onto the screen.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::api::Client;
use crate::cli::{Failure, Global, output};
use crate::client::Credentials;
use crate::crypto::entropy::SystemEntropy;
use crate::files::Unfinished;

/// Its owner alone reads it.
const MODE: u32 = 0o600;

/// A credentials file that waits for its secret. It is begun before the secret is made, so that there is somewhere to
/// put it; dropped, it leaves nothing.
#[derive(Debug)]
pub(in crate::cli) struct Saving {
    unfinished: Unfinished,
    path: PathBuf,
    /// Whose file it takes the place of.
    replaces: Option<String>,
}

/// What `mintage token get --credentials` reads.
#[derive(Serialize)]
struct File<'a> {
    client_id: &'a str,
    client_secret: &'a str,
}

impl Saving {
    /// The file of a new client. It takes the place of nothing: what is there may be all that somebody has of another
    /// client's secret.
    pub(in crate::cli) fn of_new_client(path: PathBuf) -> Result<Self, Failure> {
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_dir()) {
            return Err(Failure::new(format!(
                "{} is there already, and may have the secret of another client: name a new file",
                path.display()
            )));
        }
        Self::begin(path, None)
    }

    /// The file of the client `id`, which may be there already, but not anybody else's.
    pub(super) fn of_client(path: PathBuf, id: &str) -> Result<Self, Failure> {
        let replaces = is_of(&path, id)?.then(|| id.to_owned());
        Self::begin(path, replaces)
    }

    fn begin(path: PathBuf, replaces: Option<String>) -> Result<Self, Failure> {
        let unfinished = Unfinished::begin(&path, MODE, &SystemEntropy::new()).map_err(|error| {
            let why = match error.kind() {
                _ if path.is_dir() => "it is a folder; name a file in it".to_owned(),
                io::ErrorKind::NotFound => "its folder is not there; make it first".to_owned(),
                _ => error.to_string(),
            };
            Failure::new(format!("{} cannot be written, so no secret was made: {why}", path.display()))
        })?;
        Ok(Self { unfinished, path, replaces })
    }

    /// Puts the file in its place, with the client's secret in it.
    pub(in crate::cli) fn finish(self, client: &Client) -> Result<(), Failure> {
        let secret = client.client_secret.as_deref().ok_or_else(|| Failure::new("the server sent no secret"))?;
        let file = File { client_id: &client.client_id, client_secret: secret };
        let mut bytes = Zeroizing::new(serde_json::to_vec(&file).map_err(Failure::new)?);
        bytes.push(b'\n');
        let done = match &self.replaces {
            // Somebody may have put another one there meanwhile.
            Some(id) if is_of(&self.path, id)? => self.unfinished.commit(&bytes),
            _ => self.unfinished.commit_new(&bytes),
        };
        Ok(done?)
    }
}

/// Whether there is a credentials file of this client at `path`, rather than nothing. Refuses anything else.
fn is_of(path: &Path, id: &str) -> Result<bool, Failure> {
    let refused = |why: &str| Failure::new(format!("{} is not replaced: {why}; name another file", path.display()));
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there.map_err(|error| refused(&error.to_string()))?,
    };
    if !there.is_file() {
        return Err(refused(if there.is_dir() { "it is a folder" } else { "it is a link, or no file at all" }));
    }
    match Credentials::from_file(path) {
        Ok(credentials) if credentials.client_id == id => Ok(true),
        // Whose it is, is not repeated: anything may stand there.
        Ok(_) => Err(refused(&format!("it has the secret of another client than {id}"))),
        Err(error) => Err(refused(&error.to_string())),
    }
}

/// Shows a client whose secret was just made; or saves the secret, and shows the rest.
pub(super) fn keep(global: &Global, mut client: Client, saving: Option<Saving>) -> Result<(), Failure> {
    let Some(saving) = saving else { return super::show(global, &client) };
    let path = saving.path.display().to_string();
    match saving.finish(&client) {
        Ok(()) => {
            client.client_secret = None;
            super::show(global, &client)?;
            output::note(&format!("\nThe client_secret is in {path}, which only you can read, and is not shown."));
            Ok(())
        }
        Err(error) => {
            // It is made and cannot be had again: better on the screen than nowhere.
            super::show(global, &client)?;
            Err(Failure::new(format!(
                "{path} could not be written, so the client_secret stands in the output: {error}"
            )))
        }
    }
}
