//! How many requests there may be, where that is to be other than the configuration has it.

use serde::{Deserialize, Serialize};

use super::member;
use super::object::{object, object_member};

/// What of a rate is to be otherwise; what is left out is as the project, its organization, and the configuration have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RateChange {
    /// Requests a minute; 0 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 100000000))]
    pub per_minute: Option<u32>,
    /// Requests at a stretch; as many as `per_minute` if that is said and this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 100000000))]
    pub burst: Option<u32>,
    /// Requests within any 24 hours; 0 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 100000000))]
    pub per_day: Option<u32>,
    /// Requests at once; 0 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 100000000))]
    pub concurrent: Option<u32>,
}

/// How many requests a client may make: at the token endpoint, and on guarded routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// At the token endpoint.
    #[serde(deserialize_with = "object", skip_serializing_if = "RateChange::is_empty")]
    pub token: RateChange,
    /// On Mintage's own routes, and on those that `/forward-auth` guards.
    #[serde(deserialize_with = "object", skip_serializing_if = "RouteLimits::is_empty")]
    pub routes: RouteLimits,
}

/// How many requests a client may make on guarded routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimits {
    /// On those that read.
    #[serde(deserialize_with = "object", skip_serializing_if = "RateChange::is_empty")]
    pub read: RateChange,
    /// On those that write.
    #[serde(deserialize_with = "object", skip_serializing_if = "RateChange::is_empty")]
    pub write: RateChange,
}

/// A change to a [`RateChange`] (RFC 7396 merge patch): what is left out stays, null is as if it was never said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RatePatch {
    /// Requests a minute; 0 is unlimited.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u32>, maximum = 100000000))]
    pub per_minute: Option<Option<u32>>,
    /// Requests at a stretch.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u32>, minimum = 1, maximum = 100000000))]
    pub burst: Option<Option<u32>>,
    /// Requests within any 24 hours; 0 is unlimited.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u32>, maximum = 100000000))]
    pub per_day: Option<Option<u32>>,
    /// Requests at once; 0 is unlimited.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u32>, maximum = 100000000))]
    pub concurrent: Option<Option<u32>>,
}

/// A change to [`Limits`] (RFC 7396 merge patch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LimitsPatch {
    /// At the token endpoint.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<RatePatch>))]
    pub token: Option<Option<RatePatch>>,
    /// On guarded routes.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<RouteLimitsPatch>))]
    pub routes: Option<Option<RouteLimitsPatch>>,
}

/// A change to [`RouteLimits`] (RFC 7396 merge patch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimitsPatch {
    /// On those that read.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<RatePatch>))]
    pub read: Option<Option<RatePatch>>,
    /// On those that write.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<RatePatch>))]
    pub write: Option<Option<RatePatch>>,
}

impl RateChange {
    /// Whether nothing is to be otherwise.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn patched(self, patch: Option<&Option<RatePatch>>) -> Self {
        let Some(patch) = patch else { return self };
        let Some(patch) = patch else { return Self::default() };
        Self {
            per_minute: patch.per_minute.unwrap_or(self.per_minute),
            burst: patch.burst.unwrap_or(self.burst),
            per_day: patch.per_day.unwrap_or(self.per_day),
            concurrent: patch.concurrent.unwrap_or(self.concurrent),
        }
    }
}

impl RouteLimits {
    /// Whether nothing is to be otherwise.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Limits {
    /// Whether nothing is to be otherwise.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, as the merge patch makes them; null makes them say nothing.
    #[must_use]
    pub fn patched(&self, patch: &Option<LimitsPatch>) -> Self {
        let Some(patch) = patch else { return Self::default() };
        let RouteLimits { read, write } = self.routes;
        Self {
            token: self.token.patched(patch.token.as_ref()),
            routes: match &patch.routes {
                None => self.routes,
                Some(None) => RouteLimits::default(),
                Some(Some(routes)) => RouteLimits {
                    read: read.patched(routes.read.as_ref()),
                    write: write.patched(routes.write.as_ref()),
                },
            },
        }
    }

    /// Its rates, by the members that they are.
    #[must_use]
    pub fn rates(&self) -> [(&'static str, RateChange); 3] {
        [("token", self.token), ("routes.read", self.routes.read), ("routes.write", self.routes.write)]
    }
}
