//! The record of a change, and the chain that such records form.
//!
//! Each record holds the hash of the one before it, and is itself hashed over its exact bytes: SHA-256 of the record's
//! JSON. So a record cannot be altered, taken out or moved without breaking all that follow.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::crypto::sha256;
use crate::id::RequestId;

use super::{Place, Receipt};

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Actor {
    /// Somebody at the admin socket.
    Admin {
        /// The peer's user id, where the system tells it.
        uid: Option<u32>,
    },
    /// A client, by its own credentials.
    Client {
        /// Its id.
        client_id: String,
    },
    /// The service itself: first start, automatic rotation.
    System,
}

/// Who asks for a change, from where and in which request.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// Who.
    pub actor: Actor,
    /// The request's name; none where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Where it came from; none for what happens on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The receipt of a request that is to be carried out once; written together with the change, and no part of its
    /// record.
    #[serde(skip)]
    pub receipt: Option<Receipt>,
}

impl Origin {
    /// The service itself.
    pub const SYSTEM: Self = Self { actor: Actor::System, request_id: None, source: None, receipt: None };
}

/// A change, as it is handed to the store together with what it changes.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// When.
    pub at: UnixTime,
    /// Who, from where and in which request.
    #[serde(flatten)]
    pub origin: Origin,
    /// What was done: `client.create`.
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// Where it belongs; nowhere if the instance as a whole is concerned.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// What was there, as it is shown: no secret is ever in it.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub before: Value,
    /// What is there now.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub after: Value,
}

/// The end of the chain: how many records there are, and the hash of the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// The number of the last record; 0 where there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
}

impl AuditHead {
    /// The hash of a record: SHA-256 of its exact bytes, in base64 without padding.
    #[must_use]
    pub fn hash_of(bytes: &[u8]) -> String {
        STANDARD_NO_PAD.encode(sha256(bytes))
    }
}

impl Default for AuditHead {
    fn default() -> Self {
        Self { sequence: 0, hash: "genesis".to_owned() }
    }
}

/// A change in its place in the chain.
#[derive(Debug)]
pub struct SealedChange {
    /// The exact bytes that are kept.
    pub bytes: Vec<u8>,
    /// The chain's new end.
    pub head: AuditHead,
}

#[derive(Serialize)]
struct Record<'a> {
    sequence: u64,
    previous: &'a str,
    #[serde(flatten)]
    change: &'a Change,
}

impl Change {
    /// Puts the change behind `previous`.
    ///
    /// # Errors
    /// serde_json's, where a value cannot be written, which none here is.
    pub fn seal(&self, previous: &AuditHead) -> Result<SealedChange, serde_json::Error> {
        let sequence = previous.sequence.saturating_add(1);
        let bytes = serde_json::to_vec(&Record { sequence, previous: &previous.hash, change: self })?;
        let hash = AuditHead::hash_of(&bytes);
        Ok(SealedChange { bytes, head: AuditHead { sequence, hash } })
    }
}
