//! APIs: registering, listing and changing them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use url::Url;

use crate::api;
use crate::id::ClientId;
use crate::scope::{BUILT_IN_PREFIX, Scope};
use crate::server::error::{Error, FieldError};
use crate::server::model::{Api, DefinedScope};
use crate::server::store::{ClientSearch, StoreError};

use super::clients::NO_SUCH_ID;
use super::clients::fields::check_text;
use super::cursor::PageRequest;
use super::entries::{Tagged, check_name, name_or, written};
use super::{Caller, MAX_TRIES, Service};

/// The most scopes that one API defines.
const MAX_SCOPES: usize = 1000;
/// The most clients that may introspect for one API.
const MAX_INTROSPECTORS: usize = 100;
/// The longest identifier or name.
pub(super) const MAX_TEXT: usize = 512;

/// What takes the reach of the organization: they get to see the tokens of all its projects.
const NAMING_INTROSPECTORS: &str = "naming introspectors of an API";

impl Service {
    /// Registers an API.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::Conflict`] where its identifier or a scope is taken, or what the store says.
    pub async fn create_api(&self, new: api::NewApi, caller: &Caller) -> Result<Tagged<api::Api>, Error> {
        let organization = self.organization_for(new.organization.as_deref(), caller)?;
        if !new.introspectors.is_empty() {
            caller.check_organization(NAMING_INTROSPECTORS)?;
        }
        let mut errors = Vec::new();
        if let Err(detail) = check_identifier(&new.identifier, &self.settings.issuer) {
            errors.push(FieldError::new("identifier", detail));
        }
        let name = name_or(&new.identifier, new.name, &mut errors);
        let scopes = scopes(&new.scopes, &mut errors);
        self.check_ttl(new.token_ttl, "token_ttl", &mut errors);
        let introspectors = self.introspectors(&new.introspectors, &organization, &mut errors).await?;
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let api = Api {
            name,
            identifier: new.identifier,
            organization,
            scopes,
            token_ttl: new.token_ttl,
            introspectors,
            created_at: self.clock.now(),
            revision: 1,
        };
        if self.catalog.now().api(&api.identifier).is_some() {
            return Err(Error::Conflict(format!("there is an API {} already", api.identifier)));
        }
        self.check_scopes_are_free(None, &api, caller)?;
        let (place, shown) = (Some(api.place()), json!(api.shown()));
        let change = self.change(caller, "api.create", &api.identifier, place, Value::Null, shown);
        let done = self.store.add_api(api.clone(), change).await;
        self.settle(&done, []);
        self.refresh_catalog().await;
        done.map_err(|error| match error {
            StoreError::Conflict => Error::Conflict(
                "its identifier or one of its scopes was just taken, or one of its introspectors deleted".to_owned(),
            ),
            other => other.into(),
        })?;
        Ok(Tagged { tag: api.tag(), value: api.shown() })
    }

    /// Changes an API as the merge patch says (RFC 7396). A patch that names nothing leaves no record.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], [`Error::Conflict`] where a scope is taken, or one that goes is
    /// still granted, [`Error::Stale`], or what the store says.
    pub async fn update_api(
        &self,
        identifier: &str,
        patch: &api::ApiPatch,
        caller: &Caller,
    ) -> Result<Tagged<api::Api>, Error> {
        for _ in 0..MAX_TRIES {
            let before = self.known_api(identifier, caller)?;
            caller.check_tag(&before.tag())?;
            let mut after = Api::clone(&before);
            let mut errors = Vec::new();
            if let Some(name) = &patch.name {
                check_name(name, &mut errors);
                after.name.clone_from(name);
            }
            if let Some(definitions) = &patch.scopes {
                after.scopes = scopes(definitions, &mut errors);
            }
            if let Some(ttl) = patch.token_ttl {
                // The tokens of all projects are as long.
                caller.check_organization("changing how long an API's tokens live")?;
                self.check_ttl(ttl, "token_ttl", &mut errors);
                after.token_ttl = ttl;
            }
            if let Some(introspectors) = &patch.introspectors {
                caller.check_organization(NAMING_INTROSPECTORS)?;
                after.introspectors = self.introspectors(introspectors, &before.organization, &mut errors).await?;
            }
            if !errors.is_empty() {
                return Err(Error::InvalidFields(errors));
            }
            if after == *before {
                return Ok(Tagged { tag: before.tag(), value: before.shown() });
            }
            self.check_scopes_are_free(Some(&before), &after, caller)?;
            self.check_scopes_can_go(&before, &after, caller).await?;
            after.revision += 1;
            let (place, was, is) = (Some(after.place()), json!(before.shown()), json!(after.shown()));
            let change = self.change(caller, "api.update", identifier, place, was, is);
            let done = self.store.replace_api(Api::clone(&before), after.clone(), change).await;
            self.settle(&done, []);
            // Also where somebody was faster: what is at hand may be behind the store.
            self.refresh_catalog().await;
            match done {
                Ok(()) => return Ok(Tagged { tag: after.tag(), value: after.shown() }),
                Err(StoreError::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Deletes an API none of whose scopes any client or role has.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`], [`Error::Stale`], or what the store says.
    pub async fn delete_api(&self, identifier: &str, caller: &Caller) -> Result<(), Error> {
        let before = self.known_api(identifier, caller)?;
        caller.check_tag(&before.tag())?;
        self.check_scopes_can_go(&before, &Api { scopes: Vec::new(), ..Api::clone(&before) }, caller).await?;
        let (place, was) = (Some(before.place()), json!(before.shown()));
        let change = self.change(caller, "api.delete", identifier, place, was, Value::Null);
        let done = self.store.delete_api(Api::clone(&before), change).await;
        self.settle(&done, []);
        self.refresh_catalog().await;
        Ok(done?)
    }

    /// A scope belongs to one API.
    fn check_scopes_are_free(&self, before: Option<&Api>, after: &Api, caller: &Caller) -> Result<(), Error> {
        let catalog = self.catalog.now();
        let taken = after.scopes.iter().find_map(|scope| {
            let owner = catalog.owner(&scope.name)?;
            before.is_none_or(|before| before.identifier != owner.identifier).then_some((&scope.name, owner))
        });
        let Some((scope, owner)) = taken else { return Ok(()) };
        // Of another organization's API it is told that there is one, and not which.
        let owner = if caller.reaches(&owner.place()) {
            format!("the API {}", owner.identifier)
        } else {
            "another API".to_owned()
        };
        Err(Error::Conflict(format!("the scope {scope} is defined by {owner}; a scope belongs to one API")))
    }

    /// Whoever had a scope that goes would have that of the next API that defines one of its name.
    async fn check_scopes_can_go(&self, before: &Api, after: &Api, caller: &Caller) -> Result<(), Error> {
        let stays = |scope: &Scope| after.scopes.iter().any(|own| own.name == *scope);
        for scope in before.scopes.iter().map(|scope| &scope.name).filter(|scope| !stays(scope)) {
            let search = ClientSearch { scope: Some(scope.to_string()), limit: 1, ..ClientSearch::default() };
            let client = self.store.find_clients(search).await?.clients.pop();
            let catalog = self.catalog.now();
            let role = catalog.roles().find(|role| role.scopes.contains(scope.as_str()));
            let holder = match (client, role) {
                (Some(client), _) if caller.reaches(&client.place()) => {
                    format!("the {} {} has", client.kind.as_str(), client.client_id)
                }
                (Some(_), _) => "a client or an API key of another project has".to_owned(),
                (None, Some(role)) => format!("the role {} grants", role.name),
                (None, None) => continue,
            };
            return Err(Error::Conflict(format!(
                "{holder} the scope {scope}, which can go when nobody has it; \
                 GET /api/v1/clients?scope={scope} lists the clients, /api/v1/api-keys?scope={scope} the API keys"
            )));
        }
        Ok(())
    }

    /// The clients that `ids` name, each once.
    async fn introspectors(
        &self,
        ids: &[String],
        organization: &str,
        errors: &mut Vec<FieldError>,
    ) -> Result<Vec<String>, Error> {
        let mut seen = BTreeSet::new();
        let distinct: Vec<_> = ids.iter().enumerate().filter(|(_, id)| seen.insert(id.as_str())).collect();
        if distinct.len() > MAX_INTROSPECTORS {
            errors.push(FieldError::new("introspectors", format!("at most {MAX_INTROSPECTORS}")));
            return Ok(Vec::new());
        }
        let mut introspectors = Vec::new();
        for (index, id) in distinct {
            let field = format!("introspectors[{index}]");
            let parsed = match ClientId::parse(id) {
                Ok(parsed) => parsed,
                Err(error) => {
                    errors.push(FieldError::new(field, error));
                    continue;
                }
            };
            // Another organization's client is none here. What was sent is not repeated: people paste secrets there.
            match self.store.client(&parsed).await? {
                Some(client) if client.organization == organization => introspectors.push(id.clone()),
                _ => errors.push(FieldError::new(field, format!("there is no client {NO_SUCH_ID}"))),
            }
        }
        Ok(introspectors)
    }

    fn known_api(&self, identifier: &str, caller: &Caller) -> Result<Arc<Api>, Error> {
        let found = self.catalog.now().api(identifier).cloned();
        found
            .filter(|api| caller.reaches(&api.place()))
            .ok_or_else(|| Error::NotFound { what: "API", name: identifier.to_owned() })
    }

    /// The API of this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn api(&self, identifier: &str, caller: &Caller) -> Result<Tagged<api::Api>, Error> {
        self.known_api(identifier, caller).map(|api| Tagged { tag: api.tag(), value: api.shown() })
    }

    /// A page of the APIs within reach, in order of their identifiers.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor.
    pub fn apis(&self, page: &PageRequest, caller: &Caller) -> Result<api::Page<api::Api>, Error> {
        let catalog = self.catalog.now();
        let reached = catalog.apis().filter(|api| caller.reaches(&api.place()));
        self.cursors.page("apis", page, reached, |api| api.identifier.clone(), |api| api.shown())
    }

    /// A life that is set for one client or API can only be shorter than what holds for all.
    pub(super) fn check_ttl(&self, ttl: Option<u64>, field: &str, errors: &mut Vec<FieldError>) {
        let most = self.settings.token_ttl.as_secs();
        if ttl.is_some_and(|ttl| ttl == 0 || ttl > most) {
            errors.push(FieldError::new(
                field,
                format!("1s to {}: it can shorten token.ttl of the configuration, not lengthen it", written(most)),
            ));
        }
    }
}

fn check_identifier(identifier: &str, issuer: &str) -> Result<(), String> {
    if identifier == issuer {
        return Err("it is the issuer, which is the built-in API".to_owned());
    }
    // RFC 8707 §2: an absolute URI without a fragment.
    let absolute = Url::parse(identifier).is_ok_and(|url| url.fragment().is_none());
    let plain = identifier.len() <= MAX_TEXT && identifier.bytes().all(|b| b.is_ascii_graphic());
    if absolute && plain && !identifier.contains('#') {
        return Ok(());
    }
    Err(format!(
        "it has to be an absolute URI without a fragment, such as https://orders.example, of at most {MAX_TEXT} \
         printable ASCII characters (RFC 8707, 2)"
    ))
}

/// The scopes that an API is to define.
fn scopes(definitions: &[api::ScopeDefinition], errors: &mut Vec<FieldError>) -> Vec<DefinedScope> {
    if definitions.len() > MAX_SCOPES {
        errors.push(FieldError::new("scopes", format!("at most {MAX_SCOPES}")));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut scopes = Vec::new();
    for (index, definition) in definitions.iter().enumerate() {
        check_text(&format!("scopes[{index}].description"), &definition.description, errors);
        match check_scope(&definition.name, &mut seen) {
            Ok(name) => scopes.push(DefinedScope { name, description: definition.description.clone() }),
            Err(detail) => errors.push(FieldError::new(format!("scopes[{index}].name"), detail)),
        }
    }
    scopes
}

fn check_scope(name: &str, seen: &mut BTreeSet<String>) -> Result<Scope, String> {
    let scope = Scope::parse(name).map_err(|error| error.to_string())?;
    if scope.is_built_in() {
        return Err(format!("scopes that begin with {BUILT_IN_PREFIX} belong to the built-in API"));
    }
    if !seen.insert(name.to_owned()) {
        return Err("it is named twice".to_owned());
    }
    Ok(scope)
}
