//! Organizations, projects and roles.

use serde::{Deserialize, Serialize};

use crate::api;
use crate::api::{Level, Limits, SecretPolicy};
use crate::clock::{Rfc3339, UnixTime};
use crate::scope::{Scope, ScopeSet};

use super::{AccountId, Owner, Place};

/// An organization, which holds projects, APIs and roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its identifier.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How long the secrets of its clients may live.
    #[serde(default)]
    pub secret_policy: SecretPolicy,
    /// How many requests each of its clients may make, where that is other than above.
    #[serde(default)]
    pub limits: Limits,
    /// When it was made.
    pub created_at: UnixTime,
    /// Counts its changes. A record from before they were counted has none.
    #[serde(default)]
    pub revision: u64,
}

/// A project, which holds clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its identifier within its organization.
    pub id: String,
    /// Its organization.
    pub organization: String,
    /// What people call it.
    pub name: String,
    /// How long the secrets of its clients may live.
    #[serde(default)]
    pub secret_policy: SecretPolicy,
    /// How many requests each of its clients may make, where that is other than above.
    #[serde(default)]
    pub limits: Limits,
    /// How much its clients may use together.
    #[serde(default)]
    pub quotas: api::Quotas,
    /// All that was paid in for it, less what was taken off by hand; none where no balance is kept. What it has spent is
    /// in its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_in: Option<i64>,
    /// When it was made.
    pub created_at: UnixTime,
    /// Counts its changes. A record from before they were counted has none.
    #[serde(default)]
    pub revision: u64,
}

/// A role that an organization has defined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name within its organization.
    pub name: String,
    /// Its organization; none for a built-in one.
    pub organization: Option<String>,
    /// How far it reaches.
    pub level: Level,
    /// The scopes it grants.
    pub scopes: ScopeSet,
    /// For people.
    pub description: String,
    /// When it was defined; none for a built-in one.
    pub created_at: Option<UnixTime>,
    /// Counts its changes.
    pub revision: u64,
}

impl Organization {
    /// As it is shown.
    #[must_use]
    pub fn shown(&self) -> api::Organization {
        api::Organization {
            id: self.id.clone(),
            name: self.name.clone(),
            secret_policy: self.secret_policy.clone(),
            limits: self.limits,
            created_at: Rfc3339(self.created_at),
        }
    }
}

impl Project {
    /// Where its clients belong.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::project(&self.organization, &self.id)
    }

    /// What is kept of what its clients use.
    #[must_use]
    pub fn account(&self) -> AccountId {
        let owner = Owner::Project { organization: self.organization.clone(), id: self.id.clone() };
        AccountId { owner, since: self.created_at }
    }

    /// As it is shown.
    #[must_use]
    pub fn shown(&self) -> api::Project {
        api::Project {
            id: self.id.clone(),
            organization: self.organization.clone(),
            name: self.name.clone(),
            secret_policy: self.secret_policy.clone(),
            limits: self.limits,
            quotas: self.quotas,
            created_at: Rfc3339(self.created_at),
        }
    }
}

impl Role {
    /// Whether it exists from the start.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.organization.is_none()
    }

    /// As it is shown.
    #[must_use]
    pub fn shown(&self) -> api::Role {
        api::Role {
            name: self.name.clone(),
            organization: self.organization.clone(),
            level: self.level,
            scopes: self.scopes.iter().map(ToString::to_string).collect(),
            description: self.description.clone(),
            built_in: self.is_built_in(),
            created_at: self.created_at.map(Rfc3339),
        }
    }

    /// The roles that every organization has from the start.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        BUILT_IN_ROLES
            .iter()
            .map(|(name, level, scopes, description)| Self {
                name: (*name).to_owned(),
                organization: None,
                level: *level,
                scopes: scopes.iter().filter_map(|scope| Scope::parse(scope).ok()).collect(),
                description: (*description).to_owned(),
                created_at: None,
                revision: 0,
            })
            .collect()
    }
}

const READ: &[&str] = &[
    "mintage:organizations:read",
    "mintage:projects:read",
    "mintage:apis:read",
    "mintage:clients:read",
    "mintage:api-keys:read",
    "mintage:roles:read",
    "mintage:audit:read",
    "mintage:usage:read",
];

const OWN: &[&str] = &[
    "mintage:organizations:read",
    "mintage:projects:read",
    "mintage:projects:write",
    "mintage:apis:read",
    "mintage:apis:write",
    "mintage:clients:read",
    "mintage:clients:write",
    "mintage:api-keys:read",
    "mintage:api-keys:write",
    "mintage:roles:read",
    "mintage:roles:write",
    "mintage:audit:read",
    "mintage:usage:read",
    "mintage:tokens:introspect",
    "mintage:tokens:revoke",
];

const BUILT_IN_ROLES: [(&str, Level, &[&str], &str); 6] = [
    ("ORG_OWNER", Level::Organization, OWN, "Everything within the organization"),
    (
        "ORG_MEMBER",
        Level::Organization,
        &["mintage:organizations:read", "mintage:projects:read", "mintage:apis:read", "mintage:roles:read"],
        "Sees the organization, its projects, APIs and roles, but no clients",
    ),
    ("ORG_READ_ONLY", Level::Organization, READ, "Sees everything within the organization"),
    (
        "PROJECT_OWNER",
        Level::Project,
        &[
            "mintage:organizations:read",
            "mintage:projects:read",
            "mintage:projects:write",
            "mintage:apis:read",
            "mintage:clients:read",
            "mintage:clients:write",
            "mintage:api-keys:read",
            "mintage:api-keys:write",
            "mintage:roles:read",
            "mintage:audit:read",
            "mintage:usage:read",
            "mintage:tokens:introspect",
            "mintage:tokens:revoke",
        ],
        "Everything within the project",
    ),
    ("PROJECT_READ_ONLY", Level::Project, READ, "Sees everything within the project"),
    (
        "PROJECT_CLIENT_MANAGER",
        Level::Project,
        &[
            "mintage:projects:read",
            "mintage:apis:read",
            "mintage:clients:read",
            "mintage:clients:write",
            "mintage:api-keys:read",
            "mintage:api-keys:write",
            "mintage:usage:read",
        ],
        "Registers and changes the project's clients and API keys",
    ),
];
