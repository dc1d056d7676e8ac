//! What keys can fail with.

use crate::server::store::StoreError;

use super::files::KeyFileError;
use super::seal::SealError;

/// Why the keys could not be brought where they should be.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// What Digest keys are sealed with.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no key of this `kid` that could be revoked.
    #[error("there is no key {0} in use")]
    Unknown(String),
    /// There is no next key to take over.
    #[error(
        "there is no next key to take over: put a new RSA key into the folder of keys first \
         (openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072)"
    )]
    NoNext,
}
