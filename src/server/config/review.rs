//! `review.*` and `webhook.*`: what of clients is worth a look, and whom to tell.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Span;

/// `review.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Review {
    /// How often all clients are looked at.
    pub every: Span,
    /// How long a client or scope is not used before that is worth a look.
    pub unused_after: Span,
    /// How long a client is there before its never having been used is.
    pub never_used_after: Span,
}

impl Default for Review {
    fn default() -> Self {
        Self { every: Span::from_secs(3600), unused_after: Span::from_days(90), never_used_after: Span::from_days(7) }
    }
}

/// `webhook.*`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Where findings are posted; nowhere if left out. Whoever knows some of these URLs may post there, so that it is
    /// shown as `redacted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Sensitive>,
    /// What they are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Sensitive>,
}

/// A secret of the configuration. It is shown as `redacted`, wherever the configuration is.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Sensitive(Zeroizing<String>);

impl From<String> for Sensitive {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Sensitive {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

impl Serialize for Sensitive {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("redacted")
    }
}
