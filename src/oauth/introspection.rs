//! The answer of introspection (RFC 7662 §2.2).

use serde::Serialize;

use crate::clock::UnixTime;
use crate::source_ip::Allowlist;

/// What is said of a token: all of it, or that it is not active, and then nothing else.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Introspection {
    /// A good token.
    Active(Box<ActiveToken>),
    /// Anything else, and anything that the caller is not to know.
    Inactive {
        /// `false`.
        #[cfg_attr(feature = "server", schema(schema_with = only_false))]
        active: False,
    },
}

impl Introspection {
    /// `{"active":false}`
    pub const INACTIVE: Self = Self::Inactive { active: False };
}

/// `false`, always.
#[derive(Clone, Copy, Debug)]
pub struct False;

impl Serialize for False {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(false)
    }
}

#[cfg(feature = "server")]
fn only(value: bool) -> utoipa::openapi::Object {
    use utoipa::openapi::{ObjectBuilder, schema::Type};
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([value])).build()
}

#[cfg(feature = "server")]
fn only_true() -> utoipa::openapi::Object {
    only(true)
}

#[cfg(feature = "server")]
fn only_false() -> utoipa::openapi::Object {
    only(false)
}

/// A good token, as far as the caller may know it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ActiveToken {
    /// `true`.
    #[cfg_attr(feature = "server", schema(schema_with = only_true))]
    pub active: bool,
    /// Its scopes, separated by spaces; left out where there are none, which RFC 6749 §3.3 has no way to write.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The client it was issued to.
    pub client_id: String,
    /// `Bearer`.
    #[cfg_attr(feature = "server", schema(value_type = String, pattern = "^Bearer$"))]
    pub token_type: &'static str,
    /// Unix seconds; left out for an API key without an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<UnixTime>,
    /// Unix seconds.
    pub iat: UnixTime,
    /// Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<UnixTime>,
    /// The client.
    pub sub: String,
    /// The APIs it is for, as far as the caller may know them.
    pub aud: OneOrMany,
    /// The issuer.
    pub iss: String,
    /// The token's name.
    pub jti: String,
    /// The client's organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The client's project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `live` or `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The addresses it may be used from; left out where there is no limit.
    #[serde(skip_serializing_if = "Allowlist::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub ip_allowlist: Allowlist,
}

/// A string for one, an array for several (RFC 7519 §4.1.3).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl From<Vec<String>> for OneOrMany {
    fn from(mut names: Vec<String>) -> Self {
        match (names.len(), names.pop()) {
            (1, Some(one)) => Self::One(one),
            (_, last) => Self::Many(names.into_iter().chain(last).collect()),
        }
    }
}
