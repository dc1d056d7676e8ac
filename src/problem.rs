//! Problem details (RFC 9457): the body of every refusal outside `/oauth/`.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::id::RequestId;
#[cfg(feature = "resource")]
use crate::limit::{Exceeded, InsufficientBalance, QuotaExceeded, Whose};
use crate::reason::Reason;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem, ready to be written.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// A URI for the kind of problem, below the issuer.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the kind means.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// The stable word.
    pub reason: Reason,
    /// The request's name in the logs.
    pub request_id: RequestId,
    /// What the reason carries besides.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

impl Problem {
    /// A problem of this reason. `errors_base` is the URI below which the kinds of problem are described.
    #[must_use]
    pub fn new(reason: Reason, detail: String, request_id: RequestId, errors_base: &str) -> Self {
        Self {
            kind: format!("{}/{}", errors_base.trim_end_matches('/'), reason.as_str()),
            title: reason.title(),
            status: reason.status().as_u16(),
            detail,
            reason,
            request_id,
            extensions: Map::new(),
        }
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The same, with what there is to know of a limit that was reached.
    #[cfg(feature = "resource")]
    #[must_use]
    pub fn with_exceeded(self, exceeded: &Exceeded) -> Self {
        let Exceeded { standing, retry_after, whose } = exceeded;
        let problem = self.with("limit", standing.limit.as_str()).with("retry_after", *retry_after);
        match whose {
            Whose::Credential(class) => problem.with("class", class.as_str()),
            Whose::Client | Whose::Address => problem,
        }
    }

    /// The same, with what there is to know of a quota that is used up.
    #[cfg(feature = "resource")]
    #[must_use]
    pub fn with_quota(self, exceeded: &QuotaExceeded) -> Self {
        self.with("quota", exceeded.quota)
            .with("used", exceeded.used)
            .with("cost", exceeded.cost)
            .with("period", exceeded.period.as_str())
            .with("counts", exceeded.what)
            .with("whose", exceeded.whose)
            .with("resets_at", exceeded.resets_at.map(|at| at.to_string()))
    }

    /// The same, with what there is to know of a balance.
    #[cfg(feature = "resource")]
    #[must_use]
    pub fn with_balance(self, short: &InsufficientBalance) -> Self {
        self.with("balance", short.balance).with("cost", short.cost).with("whose", short.whose)
    }
}
