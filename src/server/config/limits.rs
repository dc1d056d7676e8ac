//! `limits.*`
//!
//! Rate limits are not kept by this version. Their keys take 0 alone, which is to have none, so that nobody believes in
//! a limit that is not there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::source_ip::Allowlist;

use super::{Span, load};

/// `limits.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Per client, at the token endpoint.
    pub token: Rate,
    /// Per credential, on guarded routes.
    pub routes: Routes,
    /// Failed client authentications, per source address.
    pub failed_auth: FailedAuth,
    /// The addresses that may read `/metrics` without a token; nobody if empty.
    #[serde(deserialize_with = "load::cidrs")]
    pub metrics_allow: Allowlist,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token: Rate::default(),
            routes: Routes::default(),
            failed_auth: FailedAuth::default(),
            // The machine itself. Neither is ever refused as a CIDR.
            metrics_allow: Allowlist::parse(["127.0.0.0/8", "::1"]).unwrap_or_default(),
        }
    }
}

/// `limits.routes.*`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Routes {
    /// Routes that read.
    pub read: Rate,
    /// Routes that write.
    pub write: Rate,
}

/// How much of something there may be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rate {
    /// In a minute.
    pub per_minute: Unlimited,
    /// At a stretch.
    pub burst: Unlimited,
    /// In a day.
    pub per_day: Unlimited,
    /// At once.
    pub concurrent: Unlimited,
}

/// `limits.failed_auth.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailedAuth {
    /// In a minute.
    pub per_minute: Unlimited,
    /// A failed authentication is answered no sooner than this after it arrived.
    pub delay: Span,
}

impl Default for FailedAuth {
    fn default() -> Self {
        Self { per_minute: Unlimited, delay: Span::from_millis(50) }
    }
}

/// 0: no limit. There is no other value yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlimited;

impl Serialize for Unlimited {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(0)
    }
}

impl<'de> Deserialize<'de> for Unlimited {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Zero;
        impl serde::de::Visitor<'_> for Zero {
            type Value = Unlimited;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0 (unlimited): this version keeps no rate limits")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Unlimited, E> {
                if value == 0 {
                    Ok(Unlimited)
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Signed(value), &self))
                }
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Unlimited, E> {
                if value == 0 {
                    Ok(Unlimited)
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
                }
            }
        }
        deserializer.deserialize_u64(Zero)
    }
}
