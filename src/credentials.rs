//! A client's id and secret, and where they come from: what both sides outside the server prove themselves with.
//!
//! Responsible for: reading them, again where they may be replaced, and never printing them. Never: sending them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::crypto::{Sha256, sha256_parts};
use crate::secret::ClientSecret;

/// The environment variable of the id.
const ID_VARIABLE: &str = "MINTAGE_CLIENT_ID";
/// The environment variable of the secret.
const SECRET_VARIABLE: &str = "MINTAGE_CLIENT_SECRET";

/// A longer file is none with credentials in it; some, like `/dev/zero`, have no end.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// For how long a file is waited for; what was read before is good until it comes.
const LONGEST_READ: Duration = Duration::from_secs(3);

/// Credentials that are not there, or not readable. Never repeats what was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCredentials(pub(crate) String);

/// A client's id and secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The id.
    pub client_id: String,
    /// The secret.
    pub client_secret: ClientSecret,
}

#[derive(Deserialize)]
struct File {
    client_id: String,
    client_secret: Zeroizing<String>,
}

impl Credentials {
    /// These.
    #[must_use]
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), client_secret: client_secret.into().into() }
    }

    /// Those of `MINTAGE_CLIENT_ID` and `MINTAGE_CLIENT_SECRET`.
    ///
    /// # Errors
    /// [`BadCredentials`] where one is missing.
    pub fn from_env() -> Result<Self, BadCredentials> {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (read(ID_VARIABLE), read(SECRET_VARIABLE)) {
            (Some(client_id), Some(secret)) => Ok(Self { client_id, client_secret: secret.into() }),
            _ => Err(BadCredentials(format!(
                "no credentials: set {ID_VARIABLE} and {SECRET_VARIABLE}, or name a file that has them"
            ))),
        }
    }

    /// Those of a JSON file with `client_id` and `client_secret`, as `mintage client create --save` writes it.
    ///
    /// # Errors
    /// [`BadCredentials`] where it cannot be read; never repeats what is in it.
    pub fn from_file(path: &Path) -> Result<Self, BadCredentials> {
        let members = ["client_id", "client_secret"];
        let file = read(path, members, |file: &File| [&file.client_id, &file.client_secret])?;
        Ok(Self { client_id: file.client_id, client_secret: ClientSecret::from(file.client_secret.to_string()) })
    }

    /// Stands for both without telling either.
    pub(crate) fn fingerprint(&self) -> Sha256 {
        sha256_parts(&[self.client_id.as_bytes(), &[0], self.client_secret.reveal().as_bytes()])
    }

    fn is_same(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

/// A JSON file that has these two members, and both of them filled.
///
/// # Errors
/// [`BadCredentials`] where it cannot be read; never repeats what is in it.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    [id, secret]: [&str; 2],
    members: impl FnOnce(&T) -> [&str; 2],
) -> Result<T, BadCredentials> {
    let fail = |why: &str| BadCredentials(format!("the credentials file {}: {why}", path.display()));
    let mut text = Zeroizing::new(String::new());
    open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| fail(&error.to_string()))?;
    // Some editors put a byte order mark before it.
    let file: T = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|_| fail(&format!("it is not a JSON object with {id} and {secret}")))?;
    if members(&file).iter().any(|member| member.is_empty()) {
        return Err(fail(&format!("{id} or {secret} is empty")));
    }
    Ok(file)
}

/// Without waiting, should it be a pipe that nobody writes to.
#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::File::open(path)
}

/// Where they come from.
#[derive(Clone, Debug)]
pub(crate) enum CredentialSource {
    /// They do not change.
    Given(Credentials),
    /// A file that may be replaced while it is used.
    File(PathBuf),
}

/// The credentials in use, and whether there are newer ones.
#[derive(Debug)]
pub(crate) struct Current {
    source: CredentialSource,
    known: Option<Credentials>,
    /// Said once.
    complained: bool,
    /// A look at the file that has not come back: a file system may hang.
    reading: Option<JoinHandle<Result<Credentials, BadCredentials>>>,
}

impl Current {
    pub(crate) const fn of(source: CredentialSource) -> Self {
        Self { source, known: None, complained: false, reading: None }
    }

    /// Reads a file anew. One that is half written, or away for a moment, is no reason to forget what was good.
    pub(crate) async fn get(&mut self) -> Result<Credentials, BadCredentials> {
        let path = match &self.source {
            CredentialSource::Given(credentials) => return Ok(credentials.clone()),
            CredentialSource::File(path) => path.clone(),
        };
        let shown = path.display().to_string();
        // One that has come back since read what may be old by now.
        let under_way = self.reading.take().filter(|reading| !reading.is_finished());
        let mut reading =
            under_way.unwrap_or_else(|| tokio::task::spawn_blocking(move || Credentials::from_file(&path)));
        let fail = |why: &str| Err(BadCredentials(format!("the credentials file {shown}: {why}")));
        let read = match tokio::time::timeout(LONGEST_READ, &mut reading).await {
            Ok(read) => read.unwrap_or_else(|_| fail("it could not be read")),
            Err(_) => {
                self.reading = Some(reading);
                fail("it is still being read")
            }
        };
        match read {
            Ok(credentials) => {
                self.complained = false;
                Ok(self.known.insert(credentials).clone())
            }
            Err(error) => {
                let Some(known) = self.known.clone() else { return Err(error) };
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "going on with the credentials that were read before");
                }
                Ok(known)
            }
        }
    }

    /// Whether the file has others than those that were read last.
    pub(crate) async fn have_changed(&mut self) -> bool {
        if matches!(self.source, CredentialSource::Given(_)) {
            return false;
        }
        let before = self.known.clone();
        match (before, self.get().await) {
            (Some(before), Ok(now)) => !before.is_same(&now),
            (None, Ok(_)) => true,
            (_, Err(_)) => false,
        }
    }
}
