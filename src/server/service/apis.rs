//! APIs: registering, listing and changing them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use url::Url;

use crate::api;
use crate::id::ClientId;
use crate::scope::{BUILT_IN_PREFIX, Scope};
use crate::server::error::{Error, FieldError};
use crate::server::model::{Api, DEFAULT, DefinedScope};
use crate::server::store::StoreError;

use super::clients::NO_SUCH_ID;
use super::clients::fields::check_name;
use super::cursor::PageRequest;
use super::{Caller, MAX_TRIES, Service};

/// The most scopes that one API defines.
const MAX_SCOPES: usize = 1000;
/// The most clients that may introspect for one API.
const MAX_INTROSPECTORS: usize = 100;
/// The longest identifier or name.
pub(super) const MAX_TEXT: usize = 512;

impl Service {
    /// Registers an API.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::Conflict`] where its identifier or a scope is taken, or what the store says.
    pub async fn create_api(&self, new: api::NewApi, caller: &Caller) -> Result<api::Api, Error> {
        let catalog = self.catalog.now();
        let mut errors = Vec::new();
        if let Err(detail) = check_identifier(&new.identifier, &self.settings.issuer) {
            errors.push(FieldError::new("identifier", detail));
        }
        if let Some(name) = &new.name {
            check_name(name, &mut errors);
        }
        if new.scopes.len() > MAX_SCOPES {
            errors.push(FieldError::new("scopes", format!("at most {MAX_SCOPES}")));
        }
        let mut seen = BTreeSet::new();
        let mut scopes = Vec::new();
        for (index, definition) in new.scopes.iter().enumerate() {
            match check_scope(&definition.name, &mut seen) {
                Ok(name) => scopes.push(DefinedScope { name, description: definition.description.clone() }),
                Err(detail) => errors.push(FieldError::new(format!("scopes[{index}].name"), detail)),
            }
        }
        self.check_ttl(new.token_ttl, "token_ttl", &mut errors);
        let introspectors = self.introspectors(&new.introspectors, &mut errors).await?;
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        if catalog.api(&new.identifier).is_some() {
            return Err(Error::Conflict(format!("there is an API {} already", new.identifier)));
        }
        if let Some((scope, owner)) = scopes.iter().find_map(|s| Some((&s.name, catalog.owner(&s.name)?))) {
            return Err(Error::Conflict(format!(
                "the scope {scope} is defined by the API {}; a scope belongs to one API",
                owner.identifier
            )));
        }
        let api = Api {
            name: new.name.unwrap_or_else(|| new.identifier.clone()),
            identifier: new.identifier,
            organization: DEFAULT.to_owned(),
            scopes,
            token_ttl: new.token_ttl,
            introspectors,
            created_at: self.clock.now(),
            revision: 1,
        };
        let change =
            self.change(caller, "api.create", &api.identifier, Some(api.place()), Value::Null, json!(api.shown()));
        self.store.add_api(api.clone(), change).await.map_err(|error| match error {
            StoreError::Conflict => Error::Conflict(
                "its identifier or one of its scopes was just taken, or one of its introspectors deleted".to_owned(),
            ),
            other => other.into(),
        })?;
        self.catalog.add(vec![api.clone()]);
        Ok(api.shown())
    }

    /// Changes an API as the merge patch says (RFC 7396). A patch that names nothing leaves no record.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], or what the store says.
    pub async fn update_api(
        &self,
        identifier: &str,
        patch: &api::ApiPatch,
        caller: &Caller,
    ) -> Result<api::Api, Error> {
        if *patch == api::ApiPatch::default() {
            return self.api(identifier);
        }
        for _ in 0..MAX_TRIES {
            let before = self.known_api(identifier)?;
            let mut after = Api::clone(&before);
            let mut errors = Vec::new();
            if let Some(name) = &patch.name {
                check_name(name, &mut errors);
                after.name.clone_from(name);
            }
            if let Some(ttl) = patch.token_ttl {
                self.check_ttl(ttl, "token_ttl", &mut errors);
                after.token_ttl = ttl;
            }
            if let Some(introspectors) = &patch.introspectors {
                after.introspectors = self.introspectors(introspectors, &mut errors).await?;
            }
            if !errors.is_empty() {
                return Err(Error::InvalidFields(errors));
            }
            after.revision += 1;
            let change = self.change(
                caller,
                "api.update",
                identifier,
                Some(after.place()),
                json!(before.shown()),
                json!(after.shown()),
            );
            match self.store.replace_api(Api::clone(&before), after.clone(), change).await {
                Ok(()) => {
                    self.catalog.add(vec![after.clone()]);
                    return Ok(after.shown());
                }
                // What is at hand may be behind the store.
                Err(StoreError::Conflict) => self.catalog.add(self.store.apis().await?),
                Err(other) => return Err(other.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// The clients that `ids` name, each once.
    async fn introspectors(&self, ids: &[String], errors: &mut Vec<FieldError>) -> Result<Vec<String>, Error> {
        let mut seen = BTreeSet::new();
        let distinct: Vec<_> = ids.iter().enumerate().filter(|(_, id)| seen.insert(id.as_str())).collect();
        if distinct.len() > MAX_INTROSPECTORS {
            errors.push(FieldError::new("introspectors", format!("at most {MAX_INTROSPECTORS}")));
            return Ok(Vec::new());
        }
        let mut introspectors = Vec::new();
        for (index, id) in distinct {
            let field = format!("introspectors[{index}]");
            match ClientId::parse(id) {
                Err(error) => errors.push(FieldError::new(field, error)),
                Ok(parsed) if self.store.client(&parsed).await?.is_some() => introspectors.push(id.clone()),
                // What was sent is not repeated: people paste secrets there.
                Ok(_) => errors.push(FieldError::new(field, format!("there is no client {NO_SUCH_ID}"))),
            }
        }
        Ok(introspectors)
    }

    fn known_api(&self, identifier: &str) -> Result<Arc<Api>, Error> {
        let found = self.catalog.now().api(identifier).cloned();
        found.ok_or_else(|| Error::NotFound { what: "API", name: identifier.to_owned() })
    }

    /// The API of this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn api(&self, identifier: &str) -> Result<api::Api, Error> {
        self.known_api(identifier).map(|api| api.shown())
    }

    /// A page of the APIs, in order of their identifiers.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor.
    pub fn apis(&self, page: &PageRequest) -> Result<api::Page<api::Api>, Error> {
        let (after, limit) = self.cursors.start("apis", page)?;
        let catalog = self.catalog.now();
        let mut behind =
            catalog.apis().filter(|api| after.as_deref().is_none_or(|after| api.identifier.as_str() > after));
        let items: Vec<_> = behind.by_ref().take(limit).map(|api| api.shown()).collect();
        let next_cursor = behind.next().and_then(|_| Some(self.cursors.seal("apis", &items.last()?.identifier)));
        Ok(api::Page { items, next_cursor })
    }

    /// A life that is set for one client or API can only be shorter than what holds for all.
    pub(super) fn check_ttl(&self, ttl: Option<u64>, field: &str, errors: &mut Vec<FieldError>) {
        let most = self.settings.token_ttl.as_secs();
        if ttl.is_some_and(|ttl| ttl == 0 || ttl > most) {
            errors.push(FieldError::new(
                field,
                format!("1 to {most} seconds: it can shorten token.ttl of the configuration, not lengthen it"),
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
