//! APIs: registering and listing them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use url::Url;

use crate::api;
use crate::scope::{BUILT_IN_PREFIX, Scope};
use crate::server::error::{Error, FieldError};
use crate::server::model::{Api, DEFAULT, DefinedScope};
use crate::server::store::StoreError;

use super::cursor::PageRequest;
use super::{Caller, Service};

/// The most scopes that one API defines.
const MAX_SCOPES: usize = 1000;
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
        if new.name.as_ref().is_some_and(|name| name.len() > MAX_TEXT || name.trim().is_empty()) {
            errors.push(FieldError::new("name", format!("1 to {MAX_TEXT} bytes")));
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
            introspectors: Vec::new(),
            created_at: self.clock.now(),
        };
        let change = self.change(caller, "api.create", &api.identifier, Value::Null, json!(api.shown()));
        self.store.add_api(api.clone(), change).await.map_err(|error| match error {
            StoreError::Conflict => Error::Conflict("its identifier or one of its scopes was just taken".to_owned()),
            other => other.into(),
        })?;
        self.catalog.add(&api);
        Ok(api.shown())
    }

    /// The API of this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn api(&self, identifier: &str) -> Result<api::Api, Error> {
        let catalog = self.catalog.now();
        let found = catalog.api(identifier);
        found.map(|api| api.shown()).ok_or_else(|| Error::NotFound { what: "API", name: identifier.to_owned() })
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
