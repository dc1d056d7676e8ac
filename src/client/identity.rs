//! Whose tokens are kept together.

use std::fmt;
use std::path::PathBuf;

use crate::credentials::CredentialSource;
use crate::crypto::Sha256;

/// Which client a token is kept for. Two sources that know the same `client_id` with another secret share nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    Given(Sha256),
    File(PathBuf),
}

/// Without the fingerprint, by which guesses at a secret could be tried.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(redacted)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Identity {
    pub(super) fn of(source: &CredentialSource) -> Self {
        match source {
            CredentialSource::Given(credentials) => Self::Given(credentials.fingerprint()),
            CredentialSource::File(path) => Self::File(path.clone()),
        }
    }
}
