//! What a query says. What it decides is not to be missed for a slip of the pen, so that everything in it has to be known
//! to the route, and is said once.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::server::error::{Error, FieldError};
use crate::server::service::{ClientFilter, PageRequest};

use super::App;
use super::render::Fault;

/// The parameters of a query, of which a handler takes those that it knows.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl FromRequestParts<App> for Query {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Fault::new(app, Error::field(&name, "it is sent more than once")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }
}

impl Query {
    /// The value of `name`; an empty one counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1).filter(|value| !value.is_empty())
    }

    /// `true`, or `false` as when it is left out.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Error> {
        let value = self.0.iter().position(|(known, _)| known == name).map(|index| self.0.swap_remove(index).1);
        match value.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::field(name, "it has to be true or false")),
        }
    }

    /// `limit` and `cursor`.
    pub(super) fn page(&mut self) -> Result<PageRequest, Error> {
        let limit = self.take("limit").map(|limit| limit.parse());
        let limit = limit.transpose().map_err(|_| Error::field("limit", "it has to be a number"))?;
        Ok(PageRequest { limit, cursor: self.take("cursor") })
    }

    /// What clients, or API keys, are asked for, as far as these names say it.
    pub(super) fn client_filter(&mut self, names: &[&str]) -> Result<ClientFilter, Error> {
        let mut filter = ClientFilter::default();
        let mut errors = Vec::new();
        for name in names {
            if let Some(value) = self.take(name) {
                errors.extend(filter.read(name, &value).err());
            }
        }
        if errors.is_empty() { Ok(filter) } else { Err(Error::InvalidFields(errors)) }
    }

    /// Nothing is left; `known` is what the route takes.
    pub(super) fn done(self, known: &[&str]) -> Result<(), Error> {
        let left = self.0.into_iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let takes = if known.is_empty() { "no parameters".to_owned() } else { known.join(", ") };
        let errors: Vec<_> = left.map(|(name, _)| FieldError::new(name, format!("this route takes {takes}"))).collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::InvalidFields(errors)) }
    }
}
