//! The receipt of a request that named an `Idempotency-Key`: that it was carried out, and what it was answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::UnixTime;

use super::Place;

/// A request that is to be carried out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The hash of who asks, for what, and the key they named.
    pub name: String,
    /// The hash of what was sent: under one key nothing else can be.
    pub fingerprint: String,
    /// Until when it is remembered.
    pub until: UnixTime,
}

/// What is kept of it. It is written together with the change, so that there is never one without the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// The hash of what was sent.
    pub fingerprint: String,
    /// Until when it is remembered.
    pub until: UnixTime,
    /// Where what was changed belongs.
    pub place: Option<Place>,
    /// What was changed.
    pub target: String,
    /// What the request was answered; none where the service was killed between the change and the answer.
    pub answer: Option<ReplayedAnswer>,
}

/// An answer, without what is secret in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The `ETag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The `Location`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The body; null where there was none.
    pub body: Value,
}
