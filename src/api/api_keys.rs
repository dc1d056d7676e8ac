//! API keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;
use crate::secret::Environment;

use super::object::{object, object_member};
use super::{ClientStatus, Limits, LimitsPatch, Quotas, QuotasPatch, member};

/// An API key that is to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What people call it.
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512))]
    pub name: String,
    /// Its organization; the caller's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Its project; the caller's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `live` if left out.
    #[serde(default)]
    pub environment: Environment,
    /// The scopes it is granted.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::scope::Scope>))]
    pub scopes: Vec<String>,
    /// The addresses it may come from; any if empty.
    #[serde(default)]
    pub ip_allowlist: Vec<String>,
    /// How long it lives, in whole seconds; for ever if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 316224000))]
    pub ttl: Option<u64>,
    /// How many requests it may make, where that is to be other than its project has it.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// How much it may use; as much as it asks for if left out.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Quotas::is_empty")]
    pub quotas: Quotas,
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
}

/// An API key.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// Its identifier.
    pub id: String,
    /// The key itself, in the answer that made it and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// What people call it.
    pub name: String,
    /// Enough of it to tell it from others.
    pub prefix: String,
    /// The scopes it is granted.
    pub scopes: Vec<String>,
    /// `live` or `test`.
    pub environment: Environment,
    /// Whether it is taken.
    pub status: ClientStatus,
    /// The addresses it may come from; any if empty.
    pub ip_allowlist: Vec<String>,
    /// How many requests it may make, where that is other than its project has it.
    #[serde(default)]
    pub limits: Limits,
    /// How much it may use.
    #[serde(default)]
    pub quotas: Quotas,
    /// Its organization.
    pub organization: String,
    /// Its project.
    pub project: String,
    /// For people.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// For programs.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Rfc3339,
    /// When it was last changed.
    pub updated_at: Rfc3339,
    /// When it ends; never if null.
    pub expires_at: Option<Rfc3339>,
    /// When it was last used, be it the newest or one that it takes the place of.
    pub last_used_at: Option<Rfc3339>,
    /// From where.
    pub last_used_from: Option<String>,
    /// Those that it takes the place of and that are still taken, the oldest first.
    #[serde(default)]
    pub retiring: Vec<RetiringKey>,
}

/// An API key that another took the place of, and that goes on until the overlap is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RetiringKey {
    /// Enough of it to tell it from others.
    pub prefix: String,
    /// When it was made.
    pub created_at: Rfc3339,
    /// When it ends.
    pub expires_at: Rfc3339,
    /// When it was last used.
    pub last_used_at: Option<Rfc3339>,
    /// From where.
    pub last_used_from: Option<String>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key may be in it.
        f.debug_struct("ApiKey").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A change to an API key (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeyPatch {
    /// What people call it.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512, nullable = false))]
    pub name: Option<String>,
    /// Whether it is taken.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub status: Option<ClientStatus>,
    /// All scopes that it is granted.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<Vec<crate::scope::Scope>>, nullable = false))]
    pub scopes: Option<Vec<String>>,
    /// All addresses that it may come from; any if empty.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub ip_allowlist: Option<Vec<String>>,
    /// How many requests it may make; null is as its project has it.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<LimitsPatch>))]
    pub limits: Option<Option<LimitsPatch>>,
    /// How much it may use; null takes all quotas away.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<QuotasPatch>))]
    pub quotas: Option<Option<QuotasPatch>>,
    /// For people; null empties it.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, max_length = 2048))]
    pub description: Option<Option<String>>,
    /// Who answers for it; null empties it.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, max_length = 2048))]
    pub owner: Option<Option<String>>,
    /// For programs; null takes a label away, or all of them.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(schema_with = super::schema::labels_patch))]
    pub labels: Option<Option<BTreeMap<String, Option<String>>>>,
}

/// How an API key is replaced by a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RotateApiKey {
    /// How long the old one goes on, in whole seconds; left out, or 0, it ends at once.
    #[cfg_attr(feature = "server", schema(maximum = 316224000))]
    pub overlap: u64,
    /// How long the new one lives, in whole seconds. Left out, as long as the one that it takes the place of was made to
    /// live, whatever an overlap took from that; null, for ever. Either is cut to what the project lets live.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, minimum = 1, maximum = 316224000))]
    pub ttl: Option<Option<u64>>,
}
