//! The shapes of the REST API under `/api/v1/`, shared by the server and the command line.
//!
//! Responsible for: member names and types, both ways. Never: what they mean. Times are RFC 3339 strings named `…_at`.

mod apis;
mod audit;
mod bulk;
mod clients;
mod directory;
mod explain;
mod given;
mod keys;
mod review;
#[cfg(feature = "server")]
mod schema;
mod secrets;
mod usage;

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use apis::{Api, ApiPatch, NewApi, ScopeDefinition};
pub use audit::{
    AuditActor, AuditChange, AuditEntry, AuditExport, AuditHead, AuditIssuance, AuditKind, AuditProblem, AuditRefusal,
    AuditVerdict, VerifyAudit,
};
pub use bulk::{BulkClients, BulkItem, BulkResult, BulkResults, BulkStatus, ItemError};
pub use clients::{Client, ClientPatch, ClientStatus, EffectiveScope, NewClient};
pub use directory::{
    Level, NewOrganization, NewProject, NewRole, Organization, OrganizationPatch, Project, ProjectPatch, Role,
    RolePatch, SecretPolicy, SecretPolicyPatch,
};
pub use explain::{ExplainToken, Refusal, WhoAmI};
pub use given::GivenSecret;
pub use keys::{Key, KeyState, RotateKeys, Rotation};
pub use review::{Finding, FindingKind};
pub use secrets::{NewSecret, RetireSecrets, Secret, UNUSED_FOR};
pub use usage::{ScopeUsage, SecretCounts, SecretUsage, Usage, UsageBucket, UsageItem};

/// A member of a merge patch (RFC 7396) that is there: one of type `Option` tells null from left out, and any other takes
/// no null.
fn member<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// An object as JSON has it. serde takes an array for a struct, member by member: nobody means that.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        value.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// A member that is an object.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Object::deserialize(value).map(|object| object.0)
}

/// A member that is a list of objects.
fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    Vec::<Object<T>>::deserialize(value).map(|objects| objects.into_iter().map(|object| object.0).collect())
}

/// A member of a merge patch that is an object, or null.
fn object_member<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<Object<T>>::deserialize(value).map(|object| Some(object.map(|object| object.0)))
}

/// A member of a merge patch that is a list of objects.
fn objects_member<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<Vec<T>>, D::Error> {
    objects(value).map(Some)
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
