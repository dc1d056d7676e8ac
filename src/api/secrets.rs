//! Secrets of clients.

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;

use super::{GivenSecret, member};

/// How long an older secret has to have been unused to be retired, in seconds, unless something else is asked for.
pub const UNUSED_FOR: u64 = 4 * 3600;

const fn unused_for() -> u64 {
    UNUSED_FOR
}

/// A secret, as it is shown: never itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Secret {
    /// Its identifier.
    pub id: String,
    /// Enough of it to tell it from others.
    pub prefix: String,
    /// When it was made.
    pub created_at: Rfc3339,
    /// When it ends; never if null.
    pub expires_at: Option<Rfc3339>,
    /// When a token was last issued, introspected or revoked with it.
    pub last_used_at: Option<Rfc3339>,
    /// From where.
    pub last_used_from: Option<String>,
}

/// A secret that is to be added to a client.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// How long the client's other secrets go on, in whole seconds; left out, they are not touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 316224000))]
    pub overlap: Option<u64>,
    /// How long the new one lives, in whole seconds; null, for ever. Left out, for ever as well; or with an overlap as
    /// long as the newest was made to live, whatever an earlier overlap took from that. It is cut to what the project lets
    /// live, unless it is a number.
    #[serde(default, deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, minimum = 1, maximum = 316224000))]
    pub secret_ttl: Option<Option<u64>>,
    /// The secret, where there is one already; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<GivenSecret>,
    /// The hash of the secret, where nobody has it in the clear: bcrypt, PBKDF2 or Argon2id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_hash: Option<GivenSecret>,
}

/// How every secret but the newest is to be retired.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RetireSecrets {
    /// How long they have to have been unused, in whole seconds; [`UNUSED_FOR`] if left out.
    #[serde(default = "unused_for")]
    pub unused_for: u64,
    /// Retire them although they are in use, or the newest never was.
    #[serde(default)]
    pub force: bool,
}

impl Default for RetireSecrets {
    fn default() -> Self {
        Self { unused_for: UNUSED_FOR, force: false }
    }
}
