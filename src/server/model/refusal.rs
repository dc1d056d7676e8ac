//! The record of a refused request: what really happened, for the operator who is told its `request_id`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;

use super::Place;

/// A refused request. Never holds anything that was sent, but what is known to be a client's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// When.
    pub at: UnixTime,
    /// The request's name, as the caller was told it; none in the record of those that went unrecorded.
    pub request_id: Option<String>,
    /// The reason that the caller was told.
    pub reason: String,
    /// What really happened, where the caller was not told.
    pub cause: Option<String>,
    /// What the caller was told, where that is in our own words alone.
    #[serde(default)]
    pub detail: Option<String>,
    /// The client, where it is known.
    pub client_id: Option<String>,
    /// Which of its Digest keys, by the public key; a user name that was sent and is none is kept nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Where the client belonged when it was refused; another one may have its id later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Where the request came from.
    pub source: Option<IpAddr>,
    /// How many further refusals went unrecorded before this one, because there were too many at once.
    pub unrecorded: u64,
    /// The same by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unrecorded_by_reason: BTreeMap<String, u64>,
}
