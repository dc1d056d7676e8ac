//! Who calls an operators' route: a token's client on the public listener, a user of this machine on the admin socket.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_MATCH, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::id::ClientId;
use crate::resource::AccessToken;
use crate::scope::Scope;
use crate::server::error::Error;
use crate::server::model::{Actor, Origin};
use crate::server::service::{Authority, Caller, IfMatch, Tagged};
use crate::source_ip::SourceAddress;

use super::App;
use super::admin_socket::PeerUser;
use super::render::Fault;

/// The scope that a route takes; the guard before it has seen it in the token.
#[derive(Clone, Debug)]
pub(super) struct Needed(pub(super) Scope);

/// Who calls, and what they may do.
#[derive(Clone, Debug)]
pub(super) struct Operator(pub(super) Caller);

impl FromRequestParts<App> for Operator {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        // One request is one caller, whoever asks first.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let request_id = app.service.request_id();
        let token = parts.extensions.get::<AccessToken>();
        let source = parts.extensions.get::<SourceAddress>().map(|source| source.ip);
        // What is attempted with a token is noted with whose it is.
        let client = token.and_then(|token| ClientId::parse(token.client_id()).ok());
        let fault = |error| Fault::named(app, error, request_id.clone()).of(client.clone(), source);
        let if_match = if_match(&parts.headers).map_err(fault)?;
        let (actor, source, authority) = match parts.extensions.get::<PeerUser>() {
            Some(peer) => (Actor::Admin { uid: peer.0 }, None, Authority::Everything),
            None => {
                let missing = |what: &str| fault(Error::Internal(format!("an operators' route without {what}")));
                let token = token.ok_or_else(|| missing("a guard"))?;
                let needed = parts.extensions.get::<Needed>().ok_or_else(|| missing("a scope"))?;
                let authority = app.service.authority(token, &needed.0).await.map_err(fault)?;
                (Actor::Client { client_id: token.client_id().to_owned() }, source, authority)
            }
        };
        let origin = Origin { actor, request_id: Some(request_id), source, receipt: None };
        let operator = Self(Caller { origin, authority, if_match });
        parts.extensions.insert(operator.clone());
        Ok(operator)
    }
}

impl Operator {
    /// A fault in this caller's request.
    pub(super) fn fault(&self, app: &App) -> impl FnOnce(Error) -> Fault + use<> {
        let (app, origin) = (app.clone(), self.0.origin.clone());
        move |error| {
            let client = match &origin.actor {
                Actor::Client { client_id } => ClientId::parse(client_id).ok(),
                Actor::Admin { .. } | Actor::System => None,
            };
            let request_id = origin.request_id.unwrap_or_else(|| app.service.request_id());
            Fault::named(&app, error, request_id).of(client, origin.source)
        }
    }
}

/// What the change has to be made from (RFC 9110 §13.1.1). A weak tag never matches here, so that it is kept out.
fn if_match(headers: &HeaderMap) -> Result<IfMatch, Error> {
    let mut lines = headers.get_all(IF_MATCH).iter().peekable();
    if lines.peek().is_none() {
        return Ok(IfMatch::Any);
    }
    let malformed =
        || Error::Malformed("If-Match has to be *, or ETags in double quotes, separated by commas".to_owned());
    let mut tags = Vec::new();
    for line in lines {
        let mut rest = line.to_str().map_err(|_| malformed())?.trim();
        if rest == "*" {
            return Ok(IfMatch::Any);
        }
        while !rest.is_empty() {
            // An element of a list may be empty (§5.6.1).
            if let Some(next) = rest.strip_prefix(',') {
                rest = next.trim_start();
                continue;
            }
            let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
            // A tag can have commas in it, and cannot have a quote (§8.8.3).
            let (tag, next) = quoted.strip_prefix('"').and_then(|tag| tag.split_once('"')).ok_or_else(malformed)?;
            rest = next.trim_start();
            if !(rest.is_empty() || rest.starts_with(',')) {
                return Err(malformed());
            }
            if !weak {
                tags.push(tag.to_owned());
            }
        }
    }
    Ok(IfMatch::Tags(tags))
}

/// What is answered is for the caller alone.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer of an operators' route.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        ([(CACHE_CONTROL, NO_STORE)], axum::Json(self.0)).into_response()
    }
}

/// Something with its entity tag.
#[derive(Debug)]
pub(super) struct Entity<T>(pub(super) Tagged<T>);

impl<T: Serialize> IntoResponse for Entity<T> {
    fn into_response(self) -> Response {
        let mut response = Answer(self.0.value).into_response();
        if let Ok(tag) = HeaderValue::try_from(self.0.tag.to_string()) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

/// Something that was made, and where it is from now on.
#[derive(Debug)]
pub(super) struct Created<T>(pub(super) String, pub(super) Tagged<T>);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Entity(self.1)).into_response();
        if let Ok(location) = HeaderValue::try_from(self.0) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}
