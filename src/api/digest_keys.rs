//! Key pairs of clients for HTTP Digest.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;

use super::GivenSecret;

/// A Digest key, as it is shown; with the private key once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DigestKey {
    /// Its identifier.
    pub id: String,
    /// The user name of Digest.
    pub public_key: String,
    /// The password of Digest, in the answer that makes it alone; not where it was brought along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(format = "password", nullable = false))]
    pub private_key: Option<String>,
    /// Enough of the private key to tell it from others.
    pub prefix: String,
    /// When it was made.
    pub created_at: Rfc3339,
    /// When it ends; never if null.
    pub expires_at: Option<Rfc3339>,
    /// When a request last came with it.
    pub last_used_at: Option<Rfc3339>,
    /// From where.
    pub last_used_from: Option<String>,
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The private key may be in it.
        f.debug_struct("DigestKey").field("id", &self.id).field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

/// A Digest key that is to be made, or is there already elsewhere.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewDigestKey {
    /// The user name, where there is one already; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(pattern = "^[A-Za-z0-9._~-]{1,128}$"))]
    pub public_key: Option<String>,
    /// The password that goes with it, 16 to 1024 bytes; made if left out. Both are given, or neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, min_length = 16, max_length = 1024, format = "password"))]
    pub private_key: Option<GivenSecret>,
    /// How long it lives, in whole seconds; for ever if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 316224000))]
    pub ttl: Option<u64>,
}
