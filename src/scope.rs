//! Scopes (RFC 6749 §3.3).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Scopes that begin so belong to the built-in API, whose identifier is the issuer.
pub const BUILT_IN_PREFIX: &str = "mintage:";

/// The scopes of the built-in API.
pub const BUILT_IN: [&str; 19] = [
    "mintage:api-keys:read",
    "mintage:api-keys:write",
    "mintage:apis:read",
    "mintage:apis:write",
    "mintage:audit:read",
    "mintage:clients:read",
    "mintage:clients:write",
    "mintage:keys:read",
    "mintage:keys:write",
    "mintage:metrics:read",
    "mintage:organizations:read",
    "mintage:organizations:write",
    "mintage:projects:read",
    "mintage:projects:write",
    "mintage:roles:read",
    "mintage:roles:write",
    "mintage:tokens:introspect",
    "mintage:tokens:revoke",
    "mintage:usage:read",
];

/// The longest scope name that can be defined.
pub const MAX_SCOPE_LENGTH: usize = 128;

/// One scope: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(transparent)]
#[cfg_attr(feature = "server", schema(value_type = String, pattern = r"^[!#-\[\]-~]+$", min_length = 1, max_length = 128))]
pub struct Scope(Arc<str>);

/// It is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScope {
    /// A character that a scope cannot have, or none at all.
    #[error(
        "a scope is made of printable ASCII characters, without spaces, double quotes and backslashes (RFC 6749, 3.3)"
    )]
    Character,
    /// None at all, where there have to be some.
    #[error("name at least one scope: a list of none would let everybody through")]
    None,
    /// Too long.
    #[error("a scope has at most {MAX_SCOPE_LENGTH} characters")]
    Length,
}

impl Scope {
    /// Reads one scope.
    ///
    /// # Errors
    /// [`BadScope`].
    pub fn parse(text: &str) -> Result<Self, BadScope> {
        if text.len() > MAX_SCOPE_LENGTH {
            return Err(BadScope::Length);
        }
        if text.is_empty() || !text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
            return Err(BadScope::Character);
        }
        Ok(Self(text.into()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it belongs to the built-in API.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.0.starts_with(BUILT_IN_PREFIX)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A set of scopes, in order of their names. In JSON an array; on the wire (`Display`, [`ScopeSet::parse`]) separated
/// by single spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeSet(BTreeSet<Scope>);

impl ScopeSet {
    /// Reads a `scope` parameter or claim. More than one space between two is borne; nothing else is.
    ///
    /// # Errors
    /// [`BadScope`].
    pub fn parse(text: &str) -> Result<Self, BadScope> {
        text.split(' ').filter(|one| !one.is_empty()).map(Scope::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it holds `scope`.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in the scopes of another set.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// The scopes, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}
