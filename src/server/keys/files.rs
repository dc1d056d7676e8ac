//! Key files: one PEM (`PRIVATE KEY`, PKCS#8) a key, readable by its owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::crypto::{KeyError, SigningKey, SigningKeyKind};
use crate::jose::{TokenSigner, jwk};
use crate::server::config::SigningAlgorithm;

/// Why the keys cannot be used. Nothing of a key is in it, and no new key is ever made in the place of a bad one.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others can read it.
    #[error("the key file {} can be read by others (mode {mode:o}). Mend it with: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not a PEM private key.
    #[error("the key file {} is damaged, or no PEM private key (PKCS#8, -----BEGIN PRIVATE KEY-----): {why}", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is not what Digest keys are sealed with.
    #[error("the file {} is damaged: it does not hold what Digest keys are sealed with. Put the right one back from a backup", path.display())]
    NoSealingKey {
        /// The file.
        path: PathBuf,
    },
    /// It holds another key than it should.
    #[error("the key file {} does not hold the key {expected} that it should: it was replaced or mixed up. Put the right file back", path.display())]
    Mismatched {
        /// The file.
        path: PathBuf,
        /// The thumbprint that was expected.
        expected: String,
    },
    /// A key that the store knows has no file.
    #[error("the key {kid} is {state}, but its file {} is not there. Put it back from a backup: without it no token can be signed", path.display())]
    Missing {
        /// The key.
        kid: String,
        /// Its state.
        state: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// It could not be generated.
    #[error(transparent)]
    Generate(KeyError),
    /// The system does not let us.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The end of the name of a file that is being written.
const UNFINISHED: &str = ".pem.new";

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io { path, source }
}

/// A key file that was found, read, and not yet given a role.
#[derive(Debug)]
pub(super) struct KeyFile {
    /// Its name within the folder.
    pub(super) name: String,
    pub(super) kid: String,
    pub(super) kind: SigningKeyKind,
    modified: std::time::SystemTime,
    path: PathBuf,
    der: Zeroizing<Vec<u8>>,
}

impl KeyFile {
    /// The key, ready to sign with `algorithm`.
    pub(super) fn signer(&self, algorithm: SigningAlgorithm) -> Result<TokenSigner, KeyFileError> {
        SigningKey::from_der(&self.der, algorithm.into())
            .map(TokenSigner::new)
            .map_err(|error| KeyFileError::NotAKey { path: self.path.clone(), why: error.to_string() })
    }

    /// Whether it can serve `algorithm`.
    pub(super) fn serves(&self, algorithm: SigningAlgorithm) -> bool {
        match self.kind {
            SigningKeyKind::P256 => algorithm == SigningAlgorithm::ES256,
            SigningKeyKind::Ed25519 => algorithm == SigningAlgorithm::EdDSA,
            SigningKeyKind::Rsa => matches!(algorithm, SigningAlgorithm::RS256 | SigningAlgorithm::PS256),
        }
    }
}

/// Whether the folder has a file of this name.
pub(super) fn exists(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}

/// The name of the file of a generated key.
fn generated_name(kid: &str) -> String {
    format!("{kid}.pem")
}

/// Makes the folder where it is not there, and closes to others one that is (a checkout leaves it open).
pub(super) fn prepare_folder(folder: &Path) -> Result<(), KeyFileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error(folder))?;
    let mode = fs::metadata(folder).map_err(io_error(folder))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        // A folder that holds other things as well is not ours to close; each key file is looked at for itself.
        let ours = holds_keys_alone(folder).map_err(io_error(folder))?;
        if !ours || fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).is_err() {
            let folder = folder.display();
            tracing::warn!("the folder of keys {folder} is open to others; close it with: chmod 700 {folder}");
        }
    }
    sweep(folder).map_err(io_error(folder))
}

fn holds_keys_alone(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !(name.ends_with(".pem")
            || name.ends_with(UNFINISHED)
            || matches!(&*name, SEALING | "README.md" | ".gitignore"))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes away what an earlier run left unfinished.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn refuse_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

/// All key files of the folder, the newest first. Every `.pem` has to be a good one.
pub(super) fn read_all(folder: &Path) -> Result<Vec<KeyFile>, KeyFileError> {
    read_some(folder, Err)
}

/// The good key files of the folder, the newest first: while the service runs, a bad one must not stop a rotation.
pub(super) fn read_good(folder: &Path) -> Result<Vec<KeyFile>, KeyFileError> {
    read_some(folder, |error| {
        tracing::warn!(%error, "a key file is passed over");
        Ok(())
    })
}

fn read_some(
    folder: &Path,
    on_bad: impl Fn(KeyFileError) -> Result<(), KeyFileError>,
) -> Result<Vec<KeyFile>, KeyFileError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = entry.map_err(io_error(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            match read(&path) {
                Ok(file) => files.push(file),
                Err(error) => on_bad(error)?,
            }
        }
    }
    files.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.name.cmp(&b.name)));
    Ok(files)
}

fn read(path: &Path) -> Result<KeyFile, KeyFileError> {
    let metadata = fs::metadata(path).map_err(io_error(path))?;
    refuse_exposed(path, &metadata)?;
    let not_a_key = |why: &str| KeyFileError::NotAKey { path: path.to_owned(), why: why.to_owned() };
    let text = Zeroizing::new(fs::read(path).map_err(io_error(path))?);
    let pem = pem::parse(&*text).map_err(|_| not_a_key("it is not PEM"))?;
    let tag = pem.tag().to_owned();
    let der = Zeroizing::new(pem.into_contents());
    match tag.as_str() {
        "PRIVATE KEY" | "RSA PRIVATE KEY" => {}
        "EC PRIVATE KEY" => {
            return Err(not_a_key(
                "it is SEC1; convert it with: openssl pkcs8 -topk8 -nocrypt -in OLD.pem -out NEW.pem",
            ));
        }
        "ENCRYPTED PRIVATE KEY" => {
            return Err(not_a_key("it is encrypted; decrypt it with: openssl pkcs8 -in OLD.pem -out NEW.pem"));
        }
        _ => return Err(not_a_key("it is PEM of something else")),
    }
    let kind = SigningKey::kind_of(&der)
        .ok_or_else(|| not_a_key("neither P-256, nor Ed25519, nor RSA of 2048 to 4096 bits"))?;
    let algorithm = match kind {
        SigningKeyKind::P256 => SigningAlgorithm::ES256,
        SigningKeyKind::Ed25519 => SigningAlgorithm::EdDSA,
        SigningKeyKind::Rsa => SigningAlgorithm::RS256,
    };
    let key = SigningKey::from_der(&der, algorithm.into()).map_err(|error| not_a_key(&error.to_string()))?;
    let kid = jwk::thumbprint(&key.public_key());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // A file that is named like a thumbprint is ours, and has to hold that key.
    let stem = name.trim_end_matches(".pem");
    let named_by_thumbprint =
        stem.len() == 43 && stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if named_by_thumbprint && stem != kid {
        return Err(KeyFileError::Mismatched { path: path.to_owned(), expected: stem.to_owned() });
    }
    let modified = metadata.modified().map_err(io_error(path))?;
    Ok(KeyFile { name, kid, kind, modified, path: path.to_owned(), der })
}

/// Generates a key and writes its file: whole, durable and 0600, or not at all.
pub(super) fn generate(folder: &Path, algorithm: SigningAlgorithm) -> Result<KeyFile, KeyFileError> {
    let der = SigningKey::generate_pkcs8(algorithm.into()).map_err(KeyFileError::Generate)?;
    let key = SigningKey::from_der(&der, algorithm.into()).map_err(KeyFileError::Generate)?;
    let kid = jwk::thumbprint(&key.public_key());
    let path = folder.join(generated_name(&kid));
    let text = Zeroizing::new(pem::encode(&pem::Pem::new("PRIVATE KEY", der.to_vec())));
    write(folder, &path, &format!("{kid}{UNFINISHED}"), &text)?;
    read(&path)
}

/// Writes a file: whole, durable and 0600, or not at all.
fn write(folder: &Path, path: &Path, unfinished: &str, text: &str) -> Result<(), KeyFileError> {
    let unfinished = folder.join(unfinished);
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    write().inspect_err(|_| drop(fs::remove_file(&unfinished))).map_err(io_error(path))
}

/// The file of the key that Digest keys are sealed with. It is no signing key, and not named like one.
const SEALING: &str = "digest.key";
const SEALING_UNFINISHED: &str = "digest.pem.new";
const SEALING_TAG: &str = "MINTAGE DIGEST SEALING KEY";
/// How long that key is.
pub(super) const SEALING_LENGTH: usize = 32;

/// The secret of the sealing key; none where there is no file of it.
pub(super) fn read_sealing(folder: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeyFileError> {
    let path = folder.join(SEALING);
    let metadata = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(io_error(&path))?,
    };
    refuse_exposed(&path, &metadata)?;
    let text = Zeroizing::new(fs::read(&path).map_err(io_error(&path))?);
    let found = pem::parse(&*text).ok().filter(|pem| pem.tag() == SEALING_TAG);
    let secret = found.map(|pem| Zeroizing::new(pem.into_contents())).filter(|secret| secret.len() == SEALING_LENGTH);
    secret.map(Some).ok_or(KeyFileError::NoSealingKey { path })
}

/// Writes the file of the sealing key, which is not there yet.
pub(super) fn write_sealing(folder: &Path, secret: &[u8]) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(pem::encode(&pem::Pem::new(SEALING_TAG, secret)));
    write(folder, &folder.join(SEALING), SEALING_UNFINISHED, &text)
}

/// Takes the file of a key away that was generated here and is out of use.
pub(super) fn remove(folder: &Path, name: &str) {
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Ok(()) => tracing::info!(file = %path.display(), "the file of a key out of use was removed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "the file of a key out of use could not be removed")
        }
    }
}
