//! Organizations.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api;
use crate::server::error::Error;
use crate::server::model::{DEFAULT, Organization, Place};
use crate::server::store::{Entry, StoreError};

use super::cursor::PageRequest;
use super::entries::{Tagged, apply, check_id, check_limits, check_policy, name_or};
use super::{Caller, MAX_TRIES, Service};

impl Service {
    fn known_organization(&self, id: &str, caller: &Caller) -> Result<Arc<Organization>, Error> {
        let found = self.catalog.now().organization(id).cloned();
        found
            .filter(|_| caller.reaches(&Place::organization(id)))
            .ok_or_else(|| Error::NotFound { what: "organization", name: id.to_owned() })
    }

    /// The organization that something is to belong to: the one that is named, if the caller reaches it, or theirs.
    pub(super) fn organization_for(&self, named: Option<&str>, caller: &Caller) -> Result<String, Error> {
        let Some(id) = named else { return Ok(caller.home().organization) };
        match self.known_organization(id, caller) {
            Ok(organization) => Ok(organization.id.clone()),
            Err(error) => Err(Error::field("organization", error.detail())),
        }
    }

    /// The organization of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn organization(&self, id: &str, caller: &Caller) -> Result<Tagged<api::Organization>, Error> {
        self.known_organization(id, caller).map(|found| Tagged { tag: found.tag(), value: found.shown() })
    }

    /// A page of the organizations within reach, in order of their ids.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor.
    pub fn organizations(&self, page: &PageRequest, caller: &Caller) -> Result<api::Page<api::Organization>, Error> {
        let catalog = self.catalog.now();
        let reached = catalog.organizations().filter(|found| caller.reaches(&Place::organization(&found.id)));
        self.cursors.page("organizations", page, reached, |found| found.id.clone(), |found| found.shown())
    }

    /// Makes an organization.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::Conflict`] where there is one, or what the store says.
    pub async fn create_organization(
        &self,
        new: api::NewOrganization,
        caller: &Caller,
    ) -> Result<Tagged<api::Organization>, Error> {
        let mut errors = Vec::new();
        check_id("id", &new.id, &mut errors);
        let name = name_or(&new.id, new.name, &mut errors);
        check_policy(&new.secret_policy, &mut errors);
        check_limits(&new.limits, &mut errors);
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let organization = Organization {
            id: new.id,
            name,
            secret_policy: new.secret_policy,
            limits: new.limits,
            created_at: self.clock.now(),
            revision: 1,
        };
        let place = Some(Place::organization(&organization.id));
        let shown = organization.shown();
        let change = self.change(caller, "organization.create", &shown.id, place, Value::Null, json!(shown));
        let tag = organization.tag();
        if !self.save_entry(Entry::Organization(organization), None, None, change).await? {
            return Err(Error::Conflict(format!("there is an organization {} already", shown.id)));
        }
        Ok(Tagged { tag, value: shown })
    }

    /// Changes an organization as the merge patch says (RFC 7396). A patch that names nothing leaves no record.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], [`Error::Stale`], or what the store says.
    pub async fn update_organization(
        &self,
        id: &str,
        patch: &api::OrganizationPatch,
        caller: &Caller,
    ) -> Result<Tagged<api::Organization>, Error> {
        for _ in 0..MAX_TRIES {
            let before = self.known_organization(id, caller)?;
            caller.check_tag(&before.tag())?;
            let mut after = Organization::clone(&before);
            apply(patch, &mut after.name, &mut after.secret_policy, &mut after.limits)?;
            if after == *before {
                return Ok(Tagged { tag: before.tag(), value: before.shown() });
            }
            after.revision += 1;
            let place = Some(Place::organization(id));
            let (was, is) = (json!(before.shown()), json!(after.shown()));
            let change = self.change(caller, "organization.update", id, place, was, is);
            let answer = Tagged { tag: after.tag(), value: after.shown() };
            let expected = Some(before.revision);
            if self.save_entry(Entry::Organization(after), expected, None, change).await? {
                return Ok(answer);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Deletes an organization that has nothing left in it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] where it has something, [`Error::Stale`], or what the store says.
    pub async fn delete_organization(&self, id: &str, caller: &Caller) -> Result<(), Error> {
        let before = self.known_organization(id, caller)?;
        caller.check_tag(&before.tag())?;
        if id == DEFAULT {
            return Err(Error::Conflict(format!("the organization {DEFAULT} is there from the start, and stays")));
        }
        let place = Some(Place::organization(id));
        let change = self.change(caller, "organization.delete", id, place, json!(before.shown()), Value::Null);
        if self.delete_entry(Entry::Organization(Organization::clone(&before)), change).await? {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "the organization {id} has projects, roles or APIs, or was just changed; delete what is in it first"
        )))
    }
}
