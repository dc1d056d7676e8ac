//! Organizations, projects and roles.

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;

use super::object::{object, object_member};
use super::{Limits, LimitsPatch, Quotas, QuotasPatch, member};

/// What holds for the secrets of clients, and for API keys: how long they may live, when their end is announced, and what
/// each has to have. Where an organization and its project both say something, the stricter holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SecretPolicy {
    /// How long a secret lives at most, in whole seconds; for ever if null. One that is made without a life of its own
    /// gets this one.
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 316224000))]
    pub max_ttl: Option<u64>,
    /// How long before its end a secret is listed as ending, in whole seconds; 14 days if null.
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 316224000))]
    pub warn_before: Option<u64>,
    /// Whether every secret, every API key and every Digest key has to end.
    pub require_expiry: bool,
    /// Whether every client and every API key has to name the addresses that it may come from.
    pub require_allowlist: bool,
    /// How many API keys a project has at most; any number if null.
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 1000000))]
    pub max_keys: Option<u64>,
}

impl SecretPolicy {
    /// Whether it lets something through that `other` does not.
    #[must_use]
    pub fn is_looser_than(&self, other: &Self) -> bool {
        let above = |own: Option<u64>, other: Option<u64>| own.unwrap_or(u64::MAX) > other.unwrap_or(u64::MAX);
        above(self.max_ttl, other.max_ttl)
            || above(self.max_keys, other.max_keys)
            || (other.require_expiry && !self.require_expiry)
            || (other.require_allowlist && !self.require_allowlist)
    }
}

/// A change to a policy (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SecretPolicyPatch {
    /// How long a secret lives at most, in whole seconds; null takes the limit away.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, minimum = 1, maximum = 316224000))]
    pub max_ttl: Option<Option<u64>>,
    /// How long before its end a secret is listed as ending, in whole seconds; null is 14 days.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, minimum = 1, maximum = 316224000))]
    pub warn_before: Option<Option<u64>>,
    /// Whether every secret, every API key and every Digest key has to end.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub require_expiry: Option<bool>,
    /// Whether every client and every API key has to name the addresses that it may come from.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub require_allowlist: Option<bool>,
    /// How many API keys a project has at most; null takes the limit away.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, minimum = 1, maximum = 1000000))]
    pub max_keys: Option<Option<u64>>,
}

/// An organization that is to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    /// Its identifier: 1 to 64 of the characters A-Z a-z 0-9 . _ -
    #[cfg_attr(feature = "server", schema(pattern = "^[A-Za-z0-9._-]+$", min_length = 1, max_length = 64))]
    pub id: String,
    /// What people call it; its identifier if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512))]
    pub name: Option<String>,
    /// How long the secrets of its clients may live.
    #[serde(default, deserialize_with = "object")]
    pub secret_policy: SecretPolicy,
    /// How many requests each of its clients may make, where that is to be other than the configuration has it.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// A change to an organization (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OrganizationPatch {
    /// What people call it.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512, nullable = false))]
    pub name: Option<String>,
    /// How long the secrets of its clients may live; null takes both limits away.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<SecretPolicyPatch>))]
    pub secret_policy: Option<Option<SecretPolicyPatch>>,
    /// How many requests each of its clients may make; null is as what is above it has it.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<LimitsPatch>))]
    pub limits: Option<Option<LimitsPatch>>,
}

/// An organization, which holds projects.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Organization {
    /// Its identifier.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How long the secrets of its clients may live.
    pub secret_policy: SecretPolicy,
    /// How many requests each of its clients may make, where that is other than the configuration has it.
    #[serde(default)]
    pub limits: Limits,
    /// When it was made.
    pub created_at: Rfc3339,
}

/// A project that is to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// Its identifier, unique within its organization: 1 to 64 of the characters A-Z a-z 0-9 . _ -
    #[cfg_attr(feature = "server", schema(pattern = "^[A-Za-z0-9._-]+$", min_length = 1, max_length = 64))]
    pub id: String,
    /// Its organization; the caller's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// What people call it; its identifier if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512))]
    pub name: Option<String>,
    /// How long the secrets of its clients may live.
    #[serde(default, deserialize_with = "object")]
    pub secret_policy: SecretPolicy,
    /// How many requests each of its clients may make, where that is to be other than the configuration has it.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// How much its clients may use together; as much as they ask for if left out.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Quotas::is_empty")]
    pub quotas: Quotas,
}

/// A change to a project (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ProjectPatch {
    /// What people call it.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512, nullable = false))]
    pub name: Option<String>,
    /// How long the secrets of its clients may live; null takes both limits away.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<SecretPolicyPatch>))]
    pub secret_policy: Option<Option<SecretPolicyPatch>>,
    /// How many requests each of its clients may make; null is as what is above it has it.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<LimitsPatch>))]
    pub limits: Option<Option<LimitsPatch>>,
    /// How much its clients may use together; null takes all quotas away.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<QuotasPatch>))]
    pub quotas: Option<Option<QuotasPatch>>,
}

/// A project, which holds clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Project {
    /// Its identifier, unique within its organization.
    pub id: String,
    /// Its organization.
    pub organization: String,
    /// What people call it.
    pub name: String,
    /// How long the secrets of its clients may live.
    pub secret_policy: SecretPolicy,
    /// How many requests each of its clients may make, where that is other than the configuration has it.
    #[serde(default)]
    pub limits: Limits,
    /// How much its clients may use together.
    #[serde(default)]
    pub quotas: Quotas,
    /// When it was made.
    pub created_at: Rfc3339,
}

/// How far what a role grants reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The project of the client that holds it.
    #[default]
    Project,
    /// All projects of that client's organization.
    Organization,
}

impl Level {
    /// Its word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Organization => "organization",
        }
    }
}

/// A role that is to be defined.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Its name, unique within its organization: 1 to 64 of the characters A-Z a-z 0-9 . _ -
    #[cfg_attr(feature = "server", schema(pattern = "^[A-Za-z0-9._-]+$", min_length = 1, max_length = 64))]
    pub name: String,
    /// Its organization; the caller's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// How far it reaches.
    #[serde(default)]
    pub level: Level,
    /// The scopes it grants.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::scope::Scope>))]
    pub scopes: Vec<String>,
    /// For people.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(max_length = 2048))]
    pub description: String,
}

/// A change to a role (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RolePatch {
    /// All scopes that it grants.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<Vec<crate::scope::Scope>>, nullable = false))]
    pub scopes: Option<Vec<String>>,
    /// For people; null empties it.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, max_length = 2048))]
    pub description: Option<Option<String>>,
}

/// A role: a named set of scopes, expanded when a token is issued.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its organization; null for a built-in one, which all have.
    pub organization: Option<String>,
    /// How far it reaches.
    pub level: Level,
    /// The scopes it grants.
    pub scopes: Vec<String>,
    /// For people.
    pub description: String,
    /// Whether it exists from the start, and cannot be changed.
    pub built_in: bool,
    /// When it was defined; null for a built-in one.
    pub created_at: Option<Rfc3339>,
}
