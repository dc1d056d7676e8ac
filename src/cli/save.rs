//! `--save FILE`: a secret that is made goes into a credentials file, not onto the screen.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::cli::{Failure, Global, output};
use crate::credentials::BadCredentials;
use crate::crypto::entropy::SystemEntropy;
use crate::files::Unfinished;

/// Its owner alone reads it.
const MODE: u32 = 0o600;

/// What may have a secret that was just made: a client, an API key.
pub(super) trait Made: Sized {
    /// The member that it is known by, in the file as in what is shown.
    const ID: &'static str;
    /// The member that the secret is in.
    const SECRET: &'static str;
    /// What people call what is made with it.
    const NEW: &'static str;
    /// The same of somebody else.
    const ANOTHER: &'static str;

    /// What it is known by.
    fn id(&self) -> &str;
    /// The secret, if it was just made.
    fn secret(&self) -> Option<&str>;
    /// All but the secret.
    fn without_secret(self) -> Self;
    /// Whose file this is. The reason why it is nobody's repeats nothing of what is in it.
    fn whose(path: &Path) -> Result<String, BadCredentials>;
    /// Shows all there is of it.
    fn show(&self, global: &Global) -> Result<(), Failure>;
}

/// A credentials file that waits for its secret. It is begun before the secret is made, so that there is somewhere to
/// put it; dropped, it leaves nothing.
#[derive(Debug)]
pub(super) struct Saving<T> {
    unfinished: Unfinished,
    path: PathBuf,
    /// Whose file it takes the place of.
    replaces: Option<String>,
    of: PhantomData<T>,
}

impl<T: Made> Saving<T> {
    /// The file of what is new. It takes the place of nothing: what is there may be all that somebody has of another
    /// secret.
    pub(super) fn of_new(path: PathBuf) -> Result<Self, Failure> {
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_dir()) {
            return Err(Failure::new(format!(
                "{} is there already, and may have {}: name a new file",
                path.display(),
                T::ANOTHER
            )));
        }
        Self::begin(path, None)
    }

    /// The file of the one that is known by `id`, which may be there already, but not anybody else's.
    pub(super) fn of(path: PathBuf, id: &str) -> Result<Self, Failure> {
        let replaces = is_of::<T>(&path, id)?.then(|| id.to_owned());
        Self::begin(path, replaces)
    }

    fn begin(path: PathBuf, replaces: Option<String>) -> Result<Self, Failure> {
        let unfinished = Unfinished::begin(&path, MODE, &SystemEntropy::new()).map_err(|error| {
            let why = match error.kind() {
                _ if path.is_dir() => "it is a folder; name a file in it".to_owned(),
                io::ErrorKind::NotFound => "its folder is not there; make it first".to_owned(),
                _ => error.to_string(),
            };
            Failure::new(format!("{} cannot be written, so no {} was made: {why}", path.display(), T::NEW))
        })?;
        Ok(Self { unfinished, path, replaces, of: PhantomData })
    }

    /// Puts the file in its place, with the secret in it.
    pub(super) fn finish(self, made: &T) -> Result<(), Failure> {
        let secret = made.secret().ok_or_else(|| Failure::new(format!("the server sent no {}", T::NEW)))?;
        let file = BTreeMap::from([(T::ID, made.id()), (T::SECRET, secret)]);
        let mut bytes = Zeroizing::new(serde_json::to_vec(&file).map_err(Failure::new)?);
        bytes.push(b'\n');
        let done = match &self.replaces {
            // Somebody may have put another one there meanwhile.
            Some(id) if is_of::<T>(&self.path, id)? => self.unfinished.commit(&bytes),
            _ => self.unfinished.commit_new(&bytes),
        };
        Ok(done?)
    }
}

/// Whether there is a credentials file of this one at `path`, rather than nothing. Refuses anything else.
fn is_of<T: Made>(path: &Path, id: &str) -> Result<bool, Failure> {
    let refused = |why: &str| Failure::new(format!("{} is not replaced: {why}; name another file", path.display()));
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there.map_err(|error| refused(&error.to_string()))?,
    };
    if !there.is_file() {
        return Err(refused(if there.is_dir() { "it is a folder" } else { "it is a link, or no file at all" }));
    }
    match T::whose(path) {
        Ok(own) if own == id => Ok(true),
        // Whose it is, is not repeated: anything may stand there.
        Ok(_) => Err(refused(&format!("it has {} than {id}", T::ANOTHER))),
        Err(error) => Err(refused(&error.to_string())),
    }
}

/// Shows what was just made, with its secret; or saves the secret, and shows the rest.
pub(super) fn keep<T: Made>(global: &Global, made: T, saving: Option<Saving<T>>) -> Result<(), Failure> {
    let Some(saving) = saving else { return made.show(global) };
    let path = saving.path.display().to_string();
    match saving.finish(&made) {
        Ok(()) => {
            made.without_secret().show(global)?;
            output::note(&format!("\nThe {} is in {path}, which only you can read, and is not shown.", T::SECRET));
            Ok(())
        }
        Err(error) => {
            // It is made and cannot be had again: better on the screen than nowhere.
            made.show(global)?;
            Err(Failure::new(format!(
                "{path} could not be written, so the {} stands in the output: {error}",
                T::SECRET
            )))
        }
    }
}
