//! Clients.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;
use crate::secret::Environment;

use super::object::{object, object_member};
use super::{DigestKey, GivenSecret, Level, Limits, LimitsPatch, Quotas, QuotasPatch, Secret, member};

/// Whether a client may authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    /// What people call it.
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512))]
    pub name: String,
    /// Its identifier; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::id::ClientId>))]
    pub client_id: Option<String>,
    /// Its organization; the caller's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Its project; the caller's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `live` if left out.
    #[serde(default)]
    pub environment: Environment,
    /// `active` if left out.
    #[serde(default)]
    pub status: ClientStatus,
    /// The scopes it is granted.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::scope::Scope>))]
    pub scopes: Vec<String>,
    /// The roles it is granted.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(max_items = 32))]
    pub roles: Vec<String>,
    /// The addresses it may come from; any if empty.
    #[serde(default)]
    pub ip_allowlist: Vec<String>,
    /// How long its tokens live at most, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1))]
    pub token_ttl: Option<u64>,
    /// How many requests it may make, where that is to be other than its project has it.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// How long its first secret lives, in whole seconds; for ever if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 316224000))]
    pub secret_ttl: Option<u64>,
    /// Its first secret, where it has one already; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<GivenSecret>,
    /// The hash of its first secret, where nobody has that in the clear: bcrypt, PBKDF2 or Argon2id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_hash: Option<GivenSecret>,
    /// For people.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(max_length = 2048))]
    pub description: String,
    /// Who answers for it.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(max_length = 2048))]
    pub owner: String,
    /// For programs.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(schema_with = super::schema::labels))]
    pub labels: BTreeMap<String, String>,
    /// How much it may use; as much as it asks for if left out.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Quotas::is_empty")]
    pub quotas: Quotas,
}

/// A client.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
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
    /// All scopes that it may ask for, each with where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_scopes: Option<Vec<EffectiveScope>>,
    /// The addresses it may come from; any if empty.
    pub ip_allowlist: Vec<String>,
    /// How long its tokens live at most, in whole seconds.
    pub token_ttl: Option<u64>,
    /// How many requests it may make, where that is other than its project has it.
    #[serde(default)]
    pub limits: Limits,
    /// Whether it may authenticate.
    pub status: ClientStatus,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// Its Digest keys, if it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digest_keys: Vec<DigestKey>,
    /// When it was last used, by whichever of its secrets and Digest keys; never if null.
    #[serde(default)]
    pub last_used_at: Option<Rfc3339>,
    /// For people.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// For programs.
    pub labels: BTreeMap<String, String>,
    /// How much it may use.
    #[serde(default)]
    pub quotas: Quotas,
    /// When it was registered.
    pub created_at: Rfc3339,
    /// When it was last changed.
    pub updated_at: Rfc3339,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its secret may be in it.
        f.debug_struct("Client").field("client_id", &self.client_id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A change to a client (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientPatch {
    /// What people call it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512, nullable = false))]
    pub name: Option<String>,
    /// Whether it may authenticate.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub status: Option<ClientStatus>,
    /// All scopes that it is granted.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<Vec<crate::scope::Scope>>, nullable = false))]
    pub scopes: Option<Vec<String>>,
    /// All roles that it is granted.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_items = 32, nullable = false))]
    pub roles: Option<Vec<String>>,
    /// All addresses that it may come from; any if empty.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub ip_allowlist: Option<Vec<String>>,
    /// How long its tokens live at most, in whole seconds; null takes the limit away.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, minimum = 1))]
    pub token_ttl: Option<Option<u64>>,
    /// How many requests it may make; null is as its project has it.
    #[serde(default, deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<LimitsPatch>))]
    pub limits: Option<Option<LimitsPatch>>,
    /// For people; null empties it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, max_length = 2048))]
    pub description: Option<Option<String>>,
    /// Who answers for it; null empties it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, max_length = 2048))]
    pub owner: Option<Option<String>>,
    /// For programs; null takes a label away, or all of them.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(schema_with = super::schema::labels_patch))]
    pub labels: Option<Option<BTreeMap<String, Option<String>>>>,
    /// How much it may use; null takes all quotas away.
    #[serde(default, deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<QuotasPatch>))]
    pub quotas: Option<Option<QuotasPatch>>,
}

/// A scope that a client may ask for, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct EffectiveScope {
    /// It.
    pub scope: String,
    /// Where it comes from: `granted`, or `role:` and the name of a role; every one of them.
    pub from: Vec<String>,
    /// How far it reaches on Mintage's own routes; null for a scope of another API.
    pub level: Option<Level>,
}
