//! How an issuer is followed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::fetch::FetchError;
use crate::jose::Algorithm;

/// What is done about the revocation feed, and about not hearing from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaleRevocations {
    /// Follow it; go on with what is known, however old, and say so in health and metrics.
    #[default]
    GoOn,
    /// Follow it; when it was not heard from for this long (at least 5 seconds), refuse all tokens with 503. Where the
    /// issuer publishes no feed, that is always.
    RefuseAfter(Duration),
    /// Do not follow it: a token is good until it expires.
    NotFollowed,
}

/// Why an issuer cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// It was not reached, or its metadata or its keys cannot be used; and there is no snapshot to go by.
    #[error("the issuer cannot be followed: {0}")]
    Fetch(#[from] FetchError),
    /// The snapshot cannot be used.
    #[error("the snapshot {}: {why}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// Nobody said whom the tokens have to be for.
    #[error("name the audience that tokens have to be for: .audience(\"https://orders.example\")")]
    NoAudience,
}

/// What following is told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) issuer: String,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) http: Option<reqwest::Client>,
    pub(crate) snapshot: Option<PathBuf>,
    pub(crate) max_stale_keys: Duration,
    pub(crate) unknown_key_cooldown: Duration,
    pub(crate) revocations: StaleRevocations,
}
