//! Where things belong: what the reach of a caller is measured by.

use serde::{Deserialize, Serialize};

/// An organization, or one of its projects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The organization.
    pub organization: String,
    /// The project in it; none for what belongs to the organization as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl Place {
    /// An organization as a whole.
    #[must_use]
    pub fn organization(organization: &str) -> Self {
        Self { organization: organization.to_owned(), project: None }
    }

    /// What stands for all projects of an organization together: no project is called so.
    const ALL: &'static str = "*";

    /// What both are within, as far as that is one organization: whoever is to reach it has to reach all its projects.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        if self == *other { self } else { Self { project: Some(Self::ALL.to_owned()), ..self } }
    }

    /// A project.
    #[must_use]
    pub fn project(organization: &str, project: &str) -> Self {
        Self { organization: organization.to_owned(), project: Some(project.to_owned()) }
    }
}
