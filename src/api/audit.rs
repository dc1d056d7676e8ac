//! The audit log, as it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Rfc3339;

/// The parts of the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AuditKind {
    /// The chain: changes, and what the log says of itself.
    #[default]
    Changes,
    /// Tokens that were issued.
    Issuances,
    /// Requests that were refused.
    Refusals,
}

impl AuditKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Changes, Self::Issuances, Self::Refusals];

    /// Its word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Issuances => "issuances",
            Self::Refusals => "refusals",
        }
    }
}

/// Something that the audit log has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum AuditEntry {
    /// A record of the chain.
    Change(AuditChange),
    /// A token that was issued.
    Issuance(AuditIssuance),
    /// A request that was refused.
    Refusal(AuditRefusal),
}

/// Who made a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditActor {
    /// `admin` (at the admin socket), `client`, or `system` (the service itself).
    pub kind: String,
    /// The user at the admin socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

impl AuditActor {
    /// In one word: `admin:1000`, `client:c_…`, `system`.
    #[must_use]
    pub fn word(&self) -> String {
        match (self.uid, &self.client_id) {
            (Some(uid), _) => format!("{}:{uid}", self.kind),
            (None, Some(client_id)) => format!("{}:{client_id}", self.kind),
            (None, None) => self.kind.clone(),
        }
    }
}

/// A record of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditChange {
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
    /// When; none of a record that cannot be read any more.
    pub recorded_at: Option<Rfc3339>,
    /// Who.
    pub actor: AuditActor,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// The request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Where it came from; none for what happens on the service's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// The organization that is concerned; none if it is the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The project in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What was there.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub before: Value,
    /// What is there since.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
}

/// A token that was issued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditIssuance {
    /// The segment that it is in.
    pub segment: u64,
    /// Its line there, from 0.
    pub line: u64,
    /// When.
    pub recorded_at: Rfc3339,
    /// To whom.
    pub client_id: String,
    /// The client's organization.
    pub organization: String,
    /// The client's project.
    pub project: Option<String>,
    /// The secret that was used.
    pub secret_id: String,
    /// The token's `jti`.
    pub jti: String,
    /// Its scopes.
    pub scope: String,
    /// Its audiences.
    pub audience: Vec<String>,
    /// Where the request came from.
    pub source_address: String,
    /// How long it lives, in whole seconds.
    pub expires_in: u64,
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditRefusal {
    /// Its number.
    pub number: u64,
    /// When.
    pub recorded_at: Rfc3339,
    /// The request; none where this stands for those that were too many to record each.
    pub request_id: Option<String>,
    /// What the caller was told.
    pub reason: String,
    /// What really happened, where the caller was not told.
    pub cause: Option<String>,
    /// What the caller was told besides.
    pub detail: Option<String>,
    /// The client, where it is known.
    pub client_id: Option<String>,
    /// Which of its Digest keys, by the public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The organization that the client belonged to then, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The project in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Where the request came from.
    pub source_address: Option<String>,
    /// How many more were refused just before, and are not recorded.
    pub unrecorded: u64,
    /// The same by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unrecorded_by_reason: BTreeMap<String, u64>,
}

impl AuditEntry {
    /// When it was recorded; none of a record that cannot be read any more.
    #[must_use]
    pub const fn recorded_at(&self) -> Option<Rfc3339> {
        match self {
            Self::Change(change) => change.recorded_at,
            Self::Issuance(issuance) => Some(issuance.recorded_at),
            Self::Refusal(refusal) => Some(refusal.recorded_at),
        }
    }
}

/// A record or a segment exactly as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditExport {
    /// The number of the record, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// The number of the segment, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u64>,
    /// SHA-256 of the bytes, in base64 without padding.
    pub hash: String,
    /// The bytes.
    pub bytes: String,
}

/// The end of the audit chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditHead {
    /// It, signed: a compact JWS to be kept elsewhere, and to hold the chain against later.
    pub head: String,
    /// The number of the last record.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
}

/// What the audit log is to be held against.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// A signed head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// A JWK Set: keys that are known to sign here. The service's own if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
}

/// Where the keys are from that signatures were held against, and that vouch for those that are kept with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AuditKeys {
    /// The running service's.
    Server,
    /// The files in the folder of keys.
    Folder,
    /// A JWK Set that was given.
    Jwks,
    /// Nowhere else: who can write the store can have added one.
    Store,
}

/// Whether the audit log is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditVerdict {
    /// Whether it is.
    pub ok: bool,
    /// How many records the chain has.
    pub records: u64,
    /// How many segments of issuances there are.
    pub segments: u64,
    /// The end of the chain, signed; none where it is not whole, or where there is no key to sign it with.
    pub head: Option<String>,
    /// Where the keys are from.
    pub keys: AuditKeys,
    /// The last record that was pruned; the chain begins behind it.
    pub pruned_through: Option<u64>,
    /// What is not as it was written.
    pub problems: Vec<AuditProblem>,
}

/// Something in the audit log that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuditProblem {
    /// The number of the record, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// The number of the segment, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u64>,
    /// What is wrong.
    pub detail: String,
}
