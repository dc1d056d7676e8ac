//! The shapes of the REST API under `/api/v1/`, shared by the server and the command line.
//!
//! Responsible for: member names and types, both ways. Never: what they mean. Times are RFC 3339 strings named `…_at`.

mod api_keys;
mod apis;
mod audit;
mod bulk;
mod clients;
mod digest_keys;
mod directory;
mod explain;
mod given;
mod keys;
mod limits;
mod object;
mod quotas;
mod review;
#[cfg(feature = "server")]
mod schema;
mod secrets;
mod usage;

use serde::{Deserialize, Deserializer, Serialize};

pub use api_keys::{ApiKey, ApiKeyPatch, NewApiKey, RetiringKey, RotateApiKey};
pub use apis::{Api, ApiPatch, NewApi, ScopeDefinition};
pub use audit::{
    AuditActor, AuditChange, AuditEntry, AuditExport, AuditHead, AuditIssuance, AuditKeys, AuditKind, AuditProblem,
    AuditRefusal, AuditVerdict, VerifyAudit,
};
pub use bulk::{BulkClients, BulkItem, BulkResult, BulkResults, BulkStatus, ItemError};
pub use clients::{Client, ClientPatch, ClientStatus, EffectiveScope, NewClient};
pub use digest_keys::{DigestKey, NewDigestKey};
pub use directory::{
    Level, NewOrganization, NewProject, NewRole, Organization, OrganizationPatch, Project, ProjectPatch, Role,
    RolePatch, SecretPolicy, SecretPolicyPatch,
};
pub use explain::{ExplainToken, Refusal, WhoAmI};
pub use given::GivenSecret;
pub use keys::{Key, KeyState, RotateKeys, Rotation};
pub use limits::{Limits, LimitsPatch, RateChange, RatePatch, RouteLimits, RouteLimitsPatch};
pub use quotas::{
    Balance, BalanceChange, MAX_UNITS, PeriodQuotas, PeriodQuotasPatch, PeriodUses, QuotaUse, QuotaUses, Quotas,
    QuotasPatch,
};
pub use review::{Finding, FindingKind};
pub use secrets::{NewSecret, RetireSecrets, Secret, UNUSED_FOR};
pub use usage::{ScopeUsage, SecretCounts, SecretUsage, Usage, UsageBucket, UsageItem};

/// A member of a merge patch (RFC 7396) that is there: one of type `Option` tells null from left out, and any other takes
/// no null.
fn member<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// A page of a list.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to ask the next one with; null on the last.
    pub next_cursor: Option<String>,
}
