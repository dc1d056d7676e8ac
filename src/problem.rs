//! Problem details (RFC 9457): the body of every refusal outside `/oauth/`.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::id::RequestId;
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

    /// Adds members.
    #[must_use]
    pub fn with_members<'a>(mut self, members: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        self.extensions.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}
