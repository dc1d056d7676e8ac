//! APIs (resource servers) and the scopes they define.

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;

use super::member;
use super::object::{objects, objects_member};

/// A scope that an API defines.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ScopeDefinition {
    /// Its name, unique in the whole service.
    #[cfg_attr(feature = "server", schema(value_type = crate::scope::Scope))]
    pub name: String,
    /// What it allows, for people.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(max_length = 2048))]
    pub description: String,
}

/// An API (a resource server) that is to be registered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewApi {
    /// A URI: the `aud` of its tokens.
    #[cfg_attr(feature = "server", schema(format = "uri", min_length = 1, max_length = 512))]
    pub identifier: String,
    /// What people call it; its identifier if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512))]
    pub name: Option<String>,
    /// Its organization; the caller's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The scopes it defines.
    #[serde(default, deserialize_with = "objects")]
    #[cfg_attr(feature = "server", schema(max_items = 1000))]
    pub scopes: Vec<ScopeDefinition>,
    /// How long its tokens live at most, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1))]
    pub token_ttl: Option<u64>,
    /// The clients that may introspect tokens for it.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::id::ClientId>))]
    pub introspectors: Vec<String>,
}

/// A change to an API (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiPatch {
    /// What people call it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = r"\S", min_length = 1, max_length = 512, nullable = false))]
    pub name: Option<String>,
    /// How long its tokens live at most, in whole seconds; null takes the limit away.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, minimum = 1))]
    pub token_ttl: Option<Option<u64>>,
    /// All scopes that it defines. One that a client or a role still has cannot be left out.
    #[serde(default, deserialize_with = "objects_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_items = 1000, nullable = false))]
    pub scopes: Option<Vec<ScopeDefinition>>,
    /// All clients that may introspect tokens for it.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<Vec<crate::id::ClientId>>, nullable = false))]
    pub introspectors: Option<Vec<String>>,
}

/// An API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
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
