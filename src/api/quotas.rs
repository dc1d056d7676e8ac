//! Quotas, what is used of them, and balances.

use serde::{Deserialize, Serialize};

use crate::clock::Rfc3339;

use super::member;
use super::object::{object, object_member};

/// The most units that a quota or a balance can speak of.
pub const MAX_UNITS: u64 = 1_000_000_000_000_000;

/// How much there is of something; as much as is asked for where nothing is said, and nothing where it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PeriodQuotas {
    /// In a calendar day, UTC.
    #[cfg_attr(feature = "server", schema(maximum = 1000000000000000u64))]
    pub day: Option<u64>,
    /// In a calendar month, UTC.
    #[cfg_attr(feature = "server", schema(maximum = 1000000000000000u64))]
    pub month: Option<u64>,
    /// Altogether.
    #[cfg_attr(feature = "server", schema(maximum = 1000000000000000u64))]
    pub total: Option<u64>,
}

/// How much a client may use, or all clients of a project together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Tokens that are issued.
    #[serde(deserialize_with = "object")]
    pub tokens: PeriodQuotas,
    /// Units of guarded requests: each costs 1, unless its rule says otherwise.
    #[serde(deserialize_with = "object")]
    pub requests: PeriodQuotas,
}

/// A change to the quotas of one measure (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PeriodQuotasPatch {
    /// In a calendar day, UTC; null takes the quota away.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 1000000000000000u64))]
    pub day: Option<Option<u64>>,
    /// In a calendar month, UTC; null takes the quota away.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 1000000000000000u64))]
    pub month: Option<Option<u64>>,
    /// Altogether; null takes the quota away.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 1000000000000000u64))]
    pub total: Option<Option<u64>>,
}

/// A change to quotas (RFC 7396 merge patch): what is left out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct QuotasPatch {
    /// Of tokens; null takes all of them away.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<PeriodQuotasPatch>))]
    pub tokens: Option<Option<PeriodQuotasPatch>>,
    /// Of guarded requests; null takes all of them away.
    #[serde(deserialize_with = "object_member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<PeriodQuotasPatch>))]
    pub requests: Option<Option<PeriodQuotasPatch>>,
}

impl Quotas {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they let more through than `other`, in one way at least.
    #[must_use]
    pub fn is_looser_than(&self, other: &Self) -> bool {
        let above = |own: Option<u64>, other: Option<u64>| own.unwrap_or(u64::MAX) > other.unwrap_or(u64::MAX);
        [(self.tokens, other.tokens), (self.requests, other.requests)].into_iter().any(|(own, other)| {
            above(own.day, other.day) || above(own.month, other.month) || above(own.total, other.total)
        })
    }

    /// As the merge patch makes them (RFC 7396).
    #[must_use]
    pub fn patched(&self, patch: &Option<QuotasPatch>) -> Self {
        let Some(patch) = patch else { return Self::default() };
        let of = |own: PeriodQuotas, patch: Option<Option<PeriodQuotasPatch>>| match patch {
            None => own,
            Some(None) => PeriodQuotas::default(),
            Some(Some(patch)) => PeriodQuotas {
                day: patch.day.unwrap_or(own.day),
                month: patch.month.unwrap_or(own.month),
                total: patch.total.unwrap_or(own.total),
            },
        };
        Self { tokens: of(self.tokens, patch.tokens), requests: of(self.requests, patch.requests) }
    }
}

/// A quota, and what is used of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct QuotaUse {
    /// How much there is; null where there is no quota.
    pub quota: Option<u64>,
    /// How much of it is used. What is used while its measure has no quota is not counted.
    pub used: u64,
    /// How much is left; null where there is no quota.
    pub remaining: Option<u64>,
    /// When it begins anew; null where it is for good.
    pub resets_at: Option<Rfc3339>,
}

/// What is used of the quotas of one measure.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PeriodUses {
    /// Of the calendar day's, UTC.
    pub day: QuotaUse,
    /// Of the calendar month's, UTC.
    pub month: QuotaUse,
    /// Of what there is altogether.
    pub total: QuotaUse,
}

/// What is used of the quotas of a client or a project, and its balance.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct QuotaUses {
    /// Of tokens.
    pub tokens: PeriodUses,
    /// Of guarded requests.
    pub requests: PeriodUses,
    /// What is left of what was paid in; null where no balance is kept.
    pub balance: Option<i64>,
}

/// A change to a balance: either `add` or `set`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BalanceChange {
    /// How much is paid in, or taken off where it is negative. Where none was kept, one is from now on.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = -1000000000000000i64, maximum = 1000000000000000i64, nullable = false))]
    pub add: Option<i64>,
    /// What it is from now on; null: none is kept any more.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<i64>, minimum = -1000000000000000i64, maximum = 1000000000000000i64))]
    pub set: Option<Option<i64>>,
    /// What for, for people; it is kept in the audit log.
    #[serde(deserialize_with = "member", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_length = 512, nullable = false))]
    pub note: Option<String>,
}

/// A balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Balance {
    /// What is left of what was paid in; null where none is kept.
    pub balance: Option<i64>,
}
