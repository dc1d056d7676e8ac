//! What can go wrong on the way to a token.

use std::time::Duration;

use crate::credentials::BadCredentials;
use crate::fetch::FetchError;

/// However long a server wants to be left alone: it may have been set right since.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// No token. Carries nothing secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Credentials that are not there, or not readable.
    #[error("{0}")]
    Credentials(String),
    /// Scopes or resources that cannot be asked for.
    #[error("{0}")]
    Request(String),
    /// The endpoint could not be found or reached.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The server refused (RFC 6749 §5.2).
    #[error("the token endpoint refused: {error} ({status}){}", said(description.as_deref(), request_id.as_deref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The RFC's code.
        error: String,
        /// The server's own words.
        description: Option<String>,
        /// The request's name in the server's log.
        request_id: Option<String>,
        /// For how long it wants to be left alone (`Retry-After`, RFC 9110 §10.2.3).
        retry_after: Option<Duration>,
    },
    /// An answer that is not one of a token endpoint.
    #[error("the answer of {url} is not a token response (RFC 6749 §5.1): {why}")]
    BadAnswer {
        /// The server.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no tokio runtime to renew tokens on.
    #[error("a token source needs a tokio runtime with time and I/O enabled: call it from within one")]
    NoRuntime,
}

fn said(description: Option<&str>, request_id: Option<&str>) -> String {
    let mut said = String::new();
    if let Some(description) = description {
        said.push_str(": ");
        said.push_str(description);
    }
    if let Some(id) = request_id {
        said.push_str(&format!(" [request_id {id}]"));
    }
    said
}

impl From<BadCredentials> for Error {
    fn from(error: BadCredentials) -> Self {
        Self::Credentials(error.to_string())
    }
}

impl Error {
    /// Whether the same request may well succeed later. What is no answer of a token endpoint counts as no: more often it
    /// is another address than one that passes. A source asks again all the same, with growing pauses.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch(error) => match error {
                FetchError::Unreachable { .. } => true,
                FetchError::Status { status, .. } => passes(*status),
                _ => false,
            },
            Self::Refused { status, .. } => passes(*status),
            Self::Credentials(_) | Self::Request(_) | Self::BadAnswer { .. } | Self::NoRuntime => false,
        }
    }

    /// Whether the server has said no: asking again would be answered the same, until somebody does something.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if !passes(*status))
    }

    /// For how long the server wants to be left alone (`Retry-After`); an hour at most.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Fetch(FetchError::Status { retry_after, .. }) => {
                retry_after.map(|span| span.min(LONGEST_RETRY_AFTER))
            }
            _ => None,
        }
    }
}

/// Whether a status speaks of the moment, not of the request: 408, 425, 429, and what is the server's own fault.
const fn passes(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || status >= 500
}
