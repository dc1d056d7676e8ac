//! Errors as answers: one renderer a surface, each exhaustive. The statuses are [`Reason`](crate::reason::Reason)'s.

mod oauth;
mod problem;

pub(super) use oauth::oauth_error;
pub(super) use problem::Fault;

/// How long to wait before the next try when the service cannot answer, in seconds.
const RETRY_AFTER: &str = "1";
