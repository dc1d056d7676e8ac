//! The shapes of the REST API under `/api/v1/`, shared by the server and the command line.
//!
//! Responsible for: member names and types, both ways. Never: what they mean. Times are RFC 3339 strings named `…_at`.

mod audit;
mod secrets;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::Rfc3339;
use crate::secret::Environment;

pub use audit::{
    AuditActor, AuditChange, AuditEntry, AuditExport, AuditHead, AuditIssuance, AuditKind, AuditProblem, AuditRefusal,
    AuditVerdict, VerifyAudit,
};
pub use secrets::{NewSecret, RetireSecrets, Secret, UNUSED_FOR};

/// A member of a merge patch (RFC 7396) that is there: one of type `Option` tells null from left out, and any other takes
/// no null.
fn member<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// A page of a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to ask the next one with; null on the last.
    pub next_cursor: Option<String>,
}

/// A scope that an API defines.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ScopeDefinition {
    /// Its name, unique in the whole service.
    pub name: String,
    /// What it allows, for people.
    #[serde(default)]
    pub description: String,
}

/// An API (a resource server) that is to be registered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewApi {
    /// A URI: the `aud` of its tokens.
    pub identifier: String,
    /// What people call it; its identifier if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The scopes it defines.
    #[serde(default)]
    pub scopes: Vec<ScopeDefinition>,
    /// How long its tokens live at most, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ttl: Option<u64>,
    /// The clients that may introspect tokens for it.
    #[serde(default)]
    pub introspectors: Vec<String>,
}

/// A change to an API (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiPatch {
    /// What people call it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long its tokens live at most, in whole seconds; null takes the limit away.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub token_ttl: Option<Option<u64>>,
    /// All clients that may introspect tokens for it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub introspectors: Option<Vec<String>>,
}

/// An API.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Api {
    /// The `aud` of its tokens.
    pub identifier: String,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub organization: String,
    /// The scopes it defines.
    pub scopes: Vec<ScopeDefinition>,
    /// How long its tokens live at most, in whole seconds.
    pub token_ttl: Option<u64>,
    /// The clients that may introspect tokens for it.
    pub introspectors: Vec<String>,
    /// When it was registered.
    pub created_at: Rfc3339,
}

/// A project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Project {
    /// Its identifier, unique within its organization.
    pub id: String,
    /// Its organization.
    pub organization: String,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: Rfc3339,
}

/// Whether a client may authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientStatus {
    /// It may.
    #[default]
    Active,
    /// It may not.
    Disabled,
}

impl ClientStatus {
    /// Its word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// A client that is to be registered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    /// What people call it.
    pub name: String,
    /// Its identifier; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// `live` if left out.
    #[serde(default)]
    pub environment: Environment,
    /// The scopes it is granted.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The addresses it may come from; any if empty.
    #[serde(default)]
    pub ip_allowlist: Vec<String>,
    /// How long its tokens live at most, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ttl: Option<u64>,
    /// How long its first secret lives, in whole seconds; for ever if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ttl: Option<u64>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Who answers for it.
    #[serde(default)]
    pub owner: String,
    /// For programs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Its identifier.
    pub client_id: String,
    /// Its new secret, in the answer that made it and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What people call it.
    pub name: String,
    /// Its organization.
    pub organization: String,
    /// Its project.
    pub project: String,
    /// `live` or `test`.
    pub environment: Environment,
    /// The scopes it is granted.
    pub scopes: Vec<String>,
    /// The roles it is granted.
    pub roles: Vec<String>,
    /// The addresses it may come from; any if empty.
    pub ip_allowlist: Vec<String>,
    /// How long its tokens live at most, in whole seconds.
    pub token_ttl: Option<u64>,
    /// Whether it may authenticate.
    pub status: ClientStatus,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// For people.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// For programs.
    pub labels: BTreeMap<String, String>,
    /// When it was registered.
    pub created_at: Rfc3339,
    /// When it was last changed.
    pub updated_at: Rfc3339,
}

/// A change to a client (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPatch {
    /// What people call it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it may authenticate.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub status: Option<ClientStatus>,
    /// All scopes that it is granted.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// All addresses that it may come from; any if empty.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub ip_allowlist: Option<Vec<String>>,
    /// How long its tokens live at most, in whole seconds; null takes the limit away.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub token_ttl: Option<Option<u64>>,
    /// For people; null empties it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub description: Option<Option<String>>,
    /// Who answers for it; null empties it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub owner: Option<Option<String>>,
    /// For programs; null takes a label away, or all of them.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    pub labels: Option<Option<BTreeMap<String, Option<String>>>>,
}

/// Where a signing key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, not yet used.
    Next,
    /// Signs.
    Active,
    /// Published until the last token signed with it has expired.
    Retiring,
    /// Out of use: every token signed with it is refused.
    Revoked,
    /// Out of use: no token signed with it is left.
    Retired,
}

impl KeyState {
    /// Its word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

/// A signing key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made or taken in.
    pub created_at: Rfc3339,
    /// For the next key: when it becomes, or can become, the active one.
    pub activates_at: Option<Rfc3339>,
    /// For a retiring key: when it is no longer published.
    pub retires_at: Option<Rfc3339>,
}

/// How keys are to be rotated.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateKeys {
    /// Do not wait until every verifier has seen the next key.
    #[serde(default)]
    pub now: bool,
}

/// What a rotation did, or will do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rotation {
    /// Whether it has happened.
    pub rotated: bool,
    /// When it has happened, or will.
    pub activates_at: Rfc3339,
    /// All keys.
    pub keys: Vec<Key>,
}

/// What a token says of its bearer.
#[derive(Debug, Serialize, Deserialize)]
pub struct WhoAmI {
    /// All claims of the token.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Where the request came from, as it was decided.
    pub source_address: String,
    /// How it was decided: `peer`, `forwarded` or `x-forwarded-for`.
    pub source_address_from: String,
    /// In how many seconds the token expires.
    pub expires_in: u64,
}

/// A token about which a guarded route would have to decide.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainToken {
    /// The token.
    pub token: String,
    /// The scopes that the route needs.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The audience that it takes; that of the scopes' API if left out, any if there are no scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The environment that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The address that the request comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When; now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Rfc3339>,
}

impl std::fmt::Debug for ExplainToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExplainToken")
            .field("scopes", &self.scopes)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// A refused request, as it was recorded.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Its name, as the caller was told it.
    pub request_id: String,
    /// When.
    pub refused_at: Rfc3339,
    /// What the caller was told.
    pub reason: String,
    /// What that means.
    pub meaning: String,
    /// What the caller is to do.
    pub action: String,
    /// What really happened, where the caller was not told.
    pub cause: Option<String>,
    /// What the caller was told besides.
    pub detail: Option<String>,
    /// The client, where it is known.
    pub client_id: Option<String>,
    /// Where the request came from.
    pub source_address: Option<String>,
}
