//! Projects.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api;
use crate::server::error::{Error, FieldError};
use crate::server::model::{Client, DEFAULT, Place, Project};
use crate::server::store::{Entry, StoreError};

use super::cursor::{JOINT, PageRequest};
use super::entries::{Tagged, apply, check_id, check_limits, check_policy, check_quotas, name_or, written};
use super::{Caller, MAX_TRIES, Service};

/// How long before its end a secret is listed as ending, unless a policy says so.
pub(super) const WARN_BEFORE: u64 = 14 * 24 * 3600;

/// What holds for the secrets of a project.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecretRules {
    /// How long one lives at most, in seconds.
    pub(super) max_ttl: Option<u64>,
    /// How long before its end it is listed as ending, in seconds.
    pub(super) warn_before: u64,
    /// Whether each has to end.
    require_expiry: bool,
    /// Whether clients and API keys have to say where they come from.
    require_allowlist: bool,
    /// How many API keys there are at most.
    pub(super) max_keys: Option<u64>,
}

/// The policies that something can violate, by the names that they are set by.
pub(super) const REQUIRE_EXPIRY: &str = "require_expiry";
pub(super) const REQUIRE_ALLOWLIST: &str = "require_allowlist";

impl SecretRules {
    /// Whether it has to be said of each how long it lives.
    pub(super) const fn needs_ttl(&self) -> bool {
        self.require_expiry && self.max_ttl.is_none()
    }

    /// How long a secret that is asked to live so long lives; a field error where it may not.
    pub(super) fn life(&self, asked: Option<u64>) -> Result<Option<u64>, FieldError> {
        match (asked, self.max_ttl) {
            (Some(asked), Some(most)) if asked > most => Err(FieldError::new(
                "secret_ttl",
                format!("at most {}: the secret_policy of the project or its organization says so", written(most)),
            )),
            (None, most) => Ok(most),
            (asked, _) => Ok(asked),
        }
    }

    /// The same of a secret that takes the place of one that was made to live so long. Where nothing is asked for it lives
    /// as long: what somebody once made to end does not become immortal by being replaced. Nobody has asked for that span,
    /// so that it is cut where it is too long by now.
    pub(super) fn life_after(
        &self,
        asked: Option<Option<u64>>,
        before: Option<u64>,
    ) -> Result<Option<u64>, FieldError> {
        match (asked, before, self.max_ttl) {
            (Some(asked), ..) => self.life(asked),
            (None, Some(before), Some(most)) => Ok(Some(before.min(most))),
            (None, before, most) => Ok(before.or(most)),
        }
    }

    /// Refuses what breaks a policy, in what is new about it: what was so before the policy came is for the review.
    ///
    /// # Errors
    /// [`Error::PolicyViolated`].
    pub(super) fn check(&self, before: Option<&Client>, after: &Client) -> Result<(), Error> {
        let violated = |policy, detail: &str| Err(Error::PolicyViolated { policy, detail: detail.to_owned() });
        let ends = |client: &Client| {
            let digest_keys = client.digest_keys.iter().map(|key| (key.id.clone(), key.expires_at));
            let secrets = client.secrets.iter().map(|secret| (secret.id.clone(), secret.expires_at));
            secrets.chain(digest_keys).collect::<Vec<_>>()
        };
        let known = before.map(ends).unwrap_or_default();
        let is_new = |id: &str| known.iter().all(|(own, _)| own != id);
        if self.require_expiry && ends(after).iter().any(|(id, end)| end.is_none() && is_new(id)) {
            return violated(REQUIRE_EXPIRY, "every secret and every key has to end; say how long this one lives");
        }
        let was_open = before.is_some_and(|before| before.ip_allowlist.is_open());
        if self.require_allowlist && after.ip_allowlist.is_open() && !was_open {
            let why = match after.ip_allowlist.is_empty() {
                true => "the addresses that it may come from have to be named (ip_allowlist)",
                false => "its ip_allowlist names all IPv4 or all IPv6 addresses there are; name those it may come from",
            };
            return violated(REQUIRE_ALLOWLIST, why);
        }
        Ok(())
    }
}

impl Service {
    fn known_project(&self, place: &Place, caller: &Caller) -> Result<Arc<Project>, Error> {
        let found = self.catalog.now().project_at(place).cloned();
        let name = place.project.clone().unwrap_or_default();
        found.filter(|_| caller.reaches(place)).ok_or(Error::NotFound { what: "project", name })
    }

    /// The project of this id, of the organization that is named or the caller's.
    pub(super) fn project_named(
        &self,
        organization: Option<&str>,
        id: &str,
        caller: &Caller,
    ) -> Result<Arc<Project>, Error> {
        let organization = organization.map_or_else(|| caller.home().organization, str::to_owned);
        self.known_project(&Place::project(&organization, id), caller)
    }

    /// The project that something is to belong to: the one that is named, if the caller reaches it, or theirs.
    pub(super) fn project_for(
        &self,
        organization: Option<&str>,
        project: Option<&str>,
        caller: &Caller,
    ) -> Result<Place, FieldError> {
        let home = caller.home();
        let place = Place {
            organization: organization.map_or(home.organization, str::to_owned),
            // Whoever names another organization alone means its project of that name, if it has one.
            project: project.map(str::to_owned).or(match organization {
                Some(_) => Some(DEFAULT.to_owned()),
                None => home.project,
            }),
        };
        let known = self.known_project(&place, caller);
        known.map(|found| found.place()).map_err(|error| {
            let hint = if project.is_none() { "; name one of this organization's" } else { "" };
            FieldError::new("project", format!("{}{hint}", error.detail()))
        })
    }

    /// What holds for the secrets of a project: of its own policy and its organization's the stricter.
    pub(super) fn secret_rules(&self, place: &Place) -> SecretRules {
        let catalog = self.catalog.now();
        let project = catalog.project_at(place).map(|found| found.secret_policy.clone());
        let organization = catalog.organization(&place.organization).map(|found| found.secret_policy.clone());
        let policies = [project, organization];
        let policies = policies.iter().flatten();
        SecretRules {
            max_ttl: policies.clone().filter_map(|policy| policy.max_ttl).min(),
            require_expiry: policies.clone().any(|policy| policy.require_expiry),
            require_allowlist: policies.clone().any(|policy| policy.require_allowlist),
            max_keys: policies.clone().filter_map(|policy| policy.max_keys).min(),
            warn_before: policies.filter_map(|policy| policy.warn_before).max().unwrap_or(WARN_BEFORE),
        }
    }

    /// The project of this id, of the organization that is named or the caller's.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn project(
        &self,
        organization: Option<&str>,
        id: &str,
        caller: &Caller,
    ) -> Result<Tagged<api::Project>, Error> {
        self.project_named(organization, id, caller).map(|found| Tagged { tag: found.tag(), value: found.shown() })
    }

    /// A page of the projects within reach, in order of their organizations and ids.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor.
    pub fn projects(
        &self,
        organization: Option<&str>,
        page: &PageRequest,
        caller: &Caller,
    ) -> Result<api::Page<api::Project>, Error> {
        let catalog = self.catalog.now();
        let reached = catalog
            .projects()
            .filter(|found| organization.is_none_or(|organization| found.organization == organization))
            .filter(|found| caller.reaches(&found.place()));
        let key = |found: &Arc<Project>| [found.organization.as_str(), found.id.as_str()].join(JOINT);
        let list = format!("projects {}", organization.unwrap_or_default());
        self.cursors.page(&list, page, reached, key, |found| found.shown())
    }

    /// Makes a project. It takes the reach of its organization.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::BeyondCaller`], [`Error::Conflict`] where there is one, or what the store says.
    pub async fn create_project(&self, new: api::NewProject, caller: &Caller) -> Result<Tagged<api::Project>, Error> {
        let mut errors = Vec::new();
        check_id("id", &new.id, &mut errors);
        let name = name_or(&new.id, new.name, &mut errors);
        check_policy(&new.secret_policy, &mut errors);
        check_limits(&new.limits, &mut errors);
        check_quotas(&new.quotas, &mut errors);
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let organization = self.organization_for(new.organization.as_deref(), caller)?;
        caller.check_organization("making a project")?;
        let project = Project {
            id: new.id,
            organization,
            name,
            secret_policy: new.secret_policy,
            limits: new.limits,
            quotas: new.quotas,
            paid_in: None,
            created_at: self.clock.now(),
            revision: 1,
        };
        let (place, tag, shown) = (Some(project.place()), project.tag(), project.shown());
        let change = self.change(caller, "project.create", &shown.id, place, Value::Null, json!(shown));
        if !self.save_entry(Entry::Project(project), None, None, change).await? {
            return Err(Error::Conflict(format!(
                "there is a project {} already, or its organization is gone",
                shown.id
            )));
        }
        Ok(Tagged { tag, value: shown })
    }

    /// Changes a project as the merge patch says (RFC 7396). A patch that names nothing leaves no record.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], [`Error::Stale`], or what the store says.
    pub async fn update_project(
        &self,
        organization: Option<&str>,
        id: &str,
        patch: &api::ProjectPatch,
        caller: &Caller,
    ) -> Result<Tagged<api::Project>, Error> {
        for _ in 0..MAX_TRIES {
            let before = self.project_named(organization, id, caller)?;
            caller.check_tag(&before.tag())?;
            let mut after = Project::clone(&before);
            let common = api::OrganizationPatch {
                name: patch.name.clone(),
                secret_policy: patch.secret_policy.clone(),
                limits: patch.limits,
            };
            apply(&common, &mut after.name, &mut after.secret_policy, &mut after.limits)?;
            if let Some(quotas) = &patch.quotas {
                let mut errors = Vec::new();
                after.quotas = before.quotas.patched(quotas);
                check_quotas(&after.quotas, &mut errors);
                if !errors.is_empty() {
                    return Err(Error::InvalidFields(errors));
                }
            }
            if after.quotas != before.quotas {
                caller.check_organization("changing the quotas of a project")?;
            }
            if after == *before {
                return Ok(Tagged { tag: before.tag(), value: before.shown() });
            }
            if after.secret_policy.is_looser_than(&before.secret_policy) {
                caller.check_organization("loosening the policy of a project")?;
            }
            if after.limits != before.limits {
                caller.check_organization("changing the limits of a project")?;
            }
            let _settled = match after.quotas == before.quotas {
                true => None,
                false => Some(self.settled(before.account()).await?),
            };
            after.revision += 1;
            let (was, is) = (json!(before.shown()), json!(after.shown()));
            let change = self.change(caller, "project.update", id, Some(after.place()), was, is);
            let answer = Tagged { tag: after.tag(), value: after.shown() };
            if self.save_entry(Entry::Project(after), Some(before.revision), None, change).await? {
                return Ok(answer);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Deletes a project that has no clients left. It takes the reach of its organization.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BeyondCaller`], [`Error::Conflict`] where it has clients, [`Error::Stale`], or what
    /// the store says.
    pub async fn delete_project(&self, organization: Option<&str>, id: &str, caller: &Caller) -> Result<(), Error> {
        let before = self.project_named(organization, id, caller)?;
        caller.check_organization("deleting a project")?;
        caller.check_tag(&before.tag())?;
        if (before.organization.as_str(), id) == (DEFAULT, DEFAULT) {
            return Err(Error::Conflict(format!("the project {DEFAULT} is there from the start, and stays")));
        }
        let change =
            self.change(caller, "project.delete", id, Some(before.place()), json!(before.shown()), Value::Null);
        let done = self.delete_entry(Entry::Project(Project::clone(&before)), change).await?;
        if done {
            self.accounts.forget(&before.account());
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "the project {id} has clients or API keys, or was just changed; delete those first"
        )))
    }
}
