//! What can go wrong on the way to a token.

use crate::fetch::FetchError;

/// No token. Carries nothing secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Credentials that are not there, or not readable.
    #[error("{0}")]
    Credentials(String),
    /// The endpoint could not be found or reached.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The server refused (RFC 6749 §5.2).
    #[error("the token endpoint refused: {error} ({status}){}", description.as_deref().map(|d| format!(": {d}")).unwrap_or_default() + &request_id.as_deref().map(|id| format!(" [request_id {id}]")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The RFC's code.
        error: String,
        /// The server's own words.
        description: Option<String>,
        /// The request's name in the server's log.
        request_id: Option<String>,
    },
    /// An answer that is not one of a token endpoint.
    #[error("the answer of {url} is not a token response (RFC 6749 §5.1): {why}")]
    BadAnswer {
        /// The server.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Whether the same request may well succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch(error) => matches!(error, FetchError::Unreachable { .. }),
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Credentials(_) | Self::BadAnswer { .. } => false,
        }
    }
}
