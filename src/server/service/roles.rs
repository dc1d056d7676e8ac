//! Roles: the built-in ones, and those that organizations define.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api;
use crate::server::error::{Error, FieldError};
use crate::server::model::{Place, Role};
use crate::server::store::{ClientSearch, CutOff, Entry, StoreError};

use super::clients::fields::{check_text, grantable};
use super::cursor::{JOINT, PageRequest};
use super::entries::{Tagged, check_id};
use super::{Caller, Grants, MAX_TRIES, Service};

impl Service {
    fn known_role(&self, organization: Option<&str>, name: &str, caller: &Caller) -> Result<Arc<Role>, Error> {
        let organization = organization.map_or_else(|| caller.home().organization, str::to_owned);
        let reached = caller.reaches(&Place::organization(&organization));
        let found = self.catalog.now().role(&organization, name).cloned();
        found.filter(|_| reached).ok_or_else(|| Error::NotFound { what: "role", name: name.to_owned() })
    }

    /// The role of this name, of the organization that is named or the caller's.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn role(&self, organization: Option<&str>, name: &str, caller: &Caller) -> Result<Tagged<api::Role>, Error> {
        self.known_role(organization, name, caller).map(|found| Tagged { tag: found.tag(), value: found.shown() })
    }

    /// A page of the roles within reach: the built-in ones, then those of the organizations.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor.
    pub fn roles(
        &self,
        organization: Option<&str>,
        page: &PageRequest,
        caller: &Caller,
    ) -> Result<api::Page<api::Role>, Error> {
        let catalog = self.catalog.now();
        let reached = catalog.roles().filter(|role| {
            role.organization.as_deref().is_none_or(|own| {
                organization.is_none_or(|organization| own == organization) && caller.reaches(&Place::organization(own))
            })
        });
        let key = |role: &Arc<Role>| [role.organization.as_deref().unwrap_or_default(), role.name.as_str()].join(JOINT);
        self.cursors
            .page(&format!("roles {}", organization.unwrap_or_default()), page, reached, key, |role| role.shown())
    }

    /// Defines a role. Nobody defines one that holds more than they do.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::BeyondCaller`], [`Error::Conflict`] where there is one, or what the store says.
    pub async fn create_role(&self, new: api::NewRole, caller: &Caller) -> Result<Tagged<api::Role>, Error> {
        let organization = self.organization_for(new.organization.as_deref(), caller)?;
        let mut errors = Vec::new();
        check_id("name", &new.name, &mut errors);
        check_text("description", &new.description, &mut errors);
        let scopes = {
            let catalog = self.catalog.now();
            if catalog.role(&organization, &new.name).is_some_and(|role| role.is_built_in()) {
                errors.push(FieldError::new("name", "a built-in role is called so; choose another name"));
            }
            grantable(&new.scopes, &organization, &catalog, &mut errors)
        };
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let role = Role {
            name: new.name,
            organization: Some(organization.clone()),
            level: new.level,
            scopes,
            description: new.description,
            created_at: Some(self.clock.now()),
            revision: 1,
        };
        caller.check_gives("defining this role", &Grants::of_role(&role))?;
        let (tag, shown) = (role.tag(), role.shown());
        let place = Some(Place::organization(&organization));
        let change = self.change(caller, "role.create", &shown.name, place, Value::Null, json!(shown));
        if !self.save_entry(Entry::Role(role), None, None, change).await? {
            return Err(Error::Conflict(format!(
                "there is a role {} already, or one of its scopes was just taken away",
                shown.name
            )));
        }
        Ok(Tagged { tag, value: shown })
    }

    /// Changes a role as the merge patch says (RFC 7396). Taking a scope away cuts off every token of every client that
    /// holds the role, unless they are to be kept. A patch that names nothing leaves no record.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], [`Error::BeyondCaller`], [`Error::Conflict`] for a built-in one,
    /// [`Error::Stale`], or what the store says.
    pub async fn update_role(
        &self,
        organization: Option<&str>,
        name: &str,
        patch: &api::RolePatch,
        keep_tokens: bool,
        caller: &Caller,
    ) -> Result<Tagged<api::Role>, Error> {
        for _ in 0..MAX_TRIES {
            let before = self.changeable_role(organization, name, caller).await?;
            let own = before.organization.clone().unwrap_or_default();
            let mut after = Role::clone(&before);
            let mut errors = Vec::new();
            if let Some(description) = &patch.description {
                after.description = description.clone().unwrap_or_default();
                check_text("description", &after.description, &mut errors);
            }
            if let Some(scopes) = &patch.scopes {
                after.scopes = grantable(scopes, &own, &self.catalog.now(), &mut errors);
            }
            if !errors.is_empty() {
                return Err(Error::InvalidFields(errors));
            }
            if after == *before {
                return Ok(Tagged { tag: before.tag(), value: before.shown() });
            }
            caller.check_gives("changing this role", &gained(&before, &after))?;
            after.revision += 1;
            let narrower = before.scopes.iter().any(|scope| !after.scopes.contains(scope.as_str()));
            let cut = (narrower && !keep_tokens).then(|| CutOff {
                entropy: Arc::clone(&self.entropy),
                until: self.clock.now().plus(self.longest_token()),
            });
            let place = Some(Place::organization(&own));
            let (was, is) = (json!(before.shown()), json!(after.shown()));
            let change = self.change(caller, "role.update", name, place, was, is);
            let answer = Tagged { tag: after.tag(), value: after.shown() };
            if self.save_entry(Entry::Role(after), Some(before.revision), cut, change).await? {
                return Ok(answer);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Deletes a role that no client holds any more.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BeyondCaller`], [`Error::Conflict`] for a built-in one or where a client holds it,
    /// [`Error::Stale`], or what the store says.
    pub async fn delete_role(&self, organization: Option<&str>, name: &str, caller: &Caller) -> Result<(), Error> {
        let before = self.changeable_role(organization, name, caller).await?;
        let place = before.organization.as_deref().map(Place::organization);
        let change = self.change(caller, "role.delete", name, place, json!(before.shown()), Value::Null);
        if self.delete_entry(Entry::Role(Role::clone(&before)), change).await? {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "clients hold the role {name}, or it was just changed; take it from them first (GET /api/v1/clients?role={name})"
        )))
    }

    /// A role that this caller may change: one that holds no more than they do, and that nobody out of reach holds.
    async fn changeable_role(
        &self,
        organization: Option<&str>,
        name: &str,
        caller: &Caller,
    ) -> Result<Arc<Role>, Error> {
        let role = self.known_role(organization, name, caller)?;
        let Some(own) = role.organization.as_deref() else {
            return Err(Error::Conflict(format!("the role {name} is built in, and cannot be changed")));
        };
        caller.check_tag(&role.tag())?;
        caller.check_holds("changing this role", &Grants::of_role(&role))?;
        if let Some(Place { project: Some(project), .. }) = caller.bounds()
            && self.is_held_outside(own, &project, name).await?
        {
            caller.check_organization("changing a role that clients of other projects hold")?;
        }
        Ok(role)
    }

    /// Whether a client of another project of the organization holds a role.
    async fn is_held_outside(&self, organization: &str, project: &str, role: &str) -> Result<bool, Error> {
        let mut after = None;
        loop {
            let search = ClientSearch {
                organization: Some(organization.to_owned()),
                outside: Some(project.to_owned()),
                role: Some(role.to_owned()),
                after,
                limit: 1,
                ..ClientSearch::default()
            };
            let found = self.store.find_clients(search).await?;
            if !found.clients.is_empty() || found.next.is_none() {
                return Ok(!found.clients.is_empty());
            }
            after = found.next;
        }
    }
}

/// What `after` grants and `before` does not.
fn gained(before: &Role, after: &Role) -> Grants {
    let new = after.scopes.iter().filter(|scope| !before.scopes.contains(scope.as_str())).cloned().collect();
    Grants::of_role(&Role { scopes: new, ..after.clone() })
}
