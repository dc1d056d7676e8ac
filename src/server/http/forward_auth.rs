//! `/forward-auth`: what a proxy asks about a request that somebody else's service is to answer.
//!
//! The request is never read beyond its head: a proxy may announce a body that it does not send.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::limit::Class;
use crate::limit::headers::insert_standing;
use crate::oauth::form;
use crate::resource::{AccessToken, Asked, Guard, Refusal, Refused, TokenError};
use crate::scope::ScopeSet;
use crate::server::error::Error;
use crate::server::guards::Policy;
use crate::server::service::UnknownScope;
use crate::source_ip::Peer;

use super::openapi::{AtAGuard, Forwarded, OfAForwardedRequest};
use super::render::Fault;
use super::{App, well_known};

/// The path below which the guards of the configuration are.
const GUARDS: &str = "/forward-auth/g/";

/// What is kept of a query that names nothing that anybody has registered.
const UNKNOWN_SCOPE: &str = "no API defines a scope that the query names; its sender was told which";

/// Whether a request may pass, by the policy of the query
///
/// What a proxy asks before it lets a request through, with the headers of that request; in the query stands what the
/// request needs.
#[utoipa::path(
    method(get, put, post, delete, options, head, patch, trace), path = "/forward-auth",
    params(Forwarded),
    security((), ("bearer" = [])),
    responses((status = 200, description = "The request may pass; who it is stands in X-Auth-… headers"), OfAForwardedRequest),
)]
pub(super) async fn by_query(State(app): State<App>, request: Request) -> Response {
    // A mistake of whoever wrote the proxy's configuration: never folded, so that it is seen.
    let asked = match Wanted::read(request.uri().query()) {
        Ok(asked) => asked,
        Err(error) => return Fault::new(&app, error).into_response(),
    };
    let audiences = match audiences(&app, &asked.policy) {
        Ok(audiences) => audiences,
        Err(unknown) => {
            let is_a_slip = unknown.near.is_some();
            let fault = Fault::new(&app, unknown.into());
            // Anybody can write such a query, with a secret in it.
            return if is_a_slip { fault } else { fault.repeating(UNKNOWN_SCOPE) }.into_response();
        }
    };
    let class = class(&app, &request, asked.for_nginx);
    let question = Question { headers: request.headers(), peer: peer(&request), class, asked: None };
    let answer = decide(&app, &asked.policy, audiences, question, Ok).await;
    if asked.for_nginx { folded(answer) } else { answer }
}

/// Whether a request may pass, by the policy of a guard of the configuration
///
/// The query is not read; method and path come from the headers that the guard names, from a trusted proxy.
#[utoipa::path(
    method(get, put, post, delete, options, head, patch, trace), path = "/forward-auth/g/{guard}/{rest}",
    params(
        ("guard" = String, Path, description = "The guard"),
        ("rest" = String, Path, description = "The path of the request, where the guard takes it from here"),
    ),
    security((), ("bearer" = [])),
    responses((status = 200, description = "The request may pass; who it is stands in X-Auth-… headers"), AtAGuard),
)]
pub(super) async fn by_guard(State(app): State<App>, request: Request) -> Response {
    let fault = |error| Fault::new(&app, error).into_response();
    let whole = request.uri().path_and_query().map_or("", |whole| whole.as_str());
    let behind = whole.strip_prefix(GUARDS).unwrap_or_default();
    let (name, target) = behind.split_at(behind.find(['/', '?']).unwrap_or(behind.len()));
    let Some(guard) = app.guards.get(name) else {
        return fault(Error::NotFound { what: "guard", name: name.chars().take(64).collect() });
    };
    let peer = peer(&request);
    if !peer.is_some_and(|peer| app.sources.trusted_proxies.contains(peer)) {
        let who = peer.map_or_else(|| "it".to_owned(), |peer| peer.to_canonical().to_string());
        return fault(Error::Malformed(format!(
            "a guard takes method and path from a trusted proxy alone, and {who} is not in network.trusted_proxies"
        )));
    }
    let guarded = match guard.request(request.method(), target, request.headers()) {
        Ok(guarded) => guarded,
        Err(detail) => return fault(Error::Malformed(detail)),
    };
    let asked = guard.digest.then(|| Asked { method: guarded.method.clone(), target: guarded.target.clone() });
    let (policy, covered) = match guard.policy(&guarded) {
        Some(policy) => (policy, true),
        None => (guard.uncovered(), false),
    };
    let audiences = match audiences(&app, policy) {
        Ok(audiences) => audiences,
        Err(error) => return fault(error.into()),
    };
    let rule = |token| match covered {
        true => Ok(token),
        false => Err(Refusal::NoRule { method: guarded.method.to_string(), path: guarded.path.clone() }),
    };
    let question = Question { headers: request.headers(), peer, class: Class::of(&guarded.method), asked };
    decide(&app, policy, audiences, question, rule).await
}

fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.0)
}

/// Whether the request that may pass reads or writes. Proxies ask with GET, and a header says what it was; nginx asks
/// with the method itself, if it is told to, and passes on whatever the caller wrote into that header.
fn class(app: &App, request: &Request, for_nginx: bool) -> Class {
    let proxied = !for_nginx && peer(request).is_some_and(|peer| app.sources.trusted_proxies.contains(peer));
    let said = request.headers().get(METHOD).filter(|_| proxied);
    let said = said.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    Class::of(said.as_ref().unwrap_or(request.method()))
}

/// The audiences of a policy: its own, or what follows from its scopes.
fn audiences(app: &App, policy: &Policy) -> Result<Vec<Arc<str>>, UnknownScope> {
    let of_scopes = app.service.audiences_of(&policy.scopes)?;
    Ok(policy.audience.clone().map_or(of_scopes, |audience| vec![audience]))
}

/// The same guard, which points a request without credentials to the metadata of the API that it is for.
fn pointing_to_metadata(app: &App, guard: Guard, audiences: &[Arc<str>]) -> Guard {
    match audiences.iter().find(|audience| app.service.protected_resource(audience).is_some()) {
        Some(api) => guard.resource_metadata(well_known::protected_resource_of(app, api)),
        None => guard,
    }
}

/// What a proxy asks about.
struct Question<'r> {
    headers: &'r HeaderMap,
    peer: Option<IpAddr>,
    class: Class,
    /// What Digest credentials have to be made for, where they are taken.
    asked: Option<Asked>,
}

async fn decide(
    app: &App,
    policy: &Policy,
    audiences: Vec<Arc<str>>,
    question: Question<'_>,
    rule: impl FnOnce(AccessToken) -> Result<AccessToken, Refusal>,
) -> Response {
    let Question { headers, peer, class, asked } = question;
    let mut guard = policy.guard(&app.guard, &audiences);
    if asked.is_some() {
        guard = guard.digest(Arc::clone(&app.service) as _);
    }
    // The query is the proxy's, and has been read.
    let uri = Uri::from_static("/");
    let decided = guard.decide_on_any(&uri, headers, peer, asked).await.and_then(|(token, source)| {
        let client_id = token.client_id().to_owned();
        let refused = |refusal| Refused::of_client(refusal, &client_id).from_source(source);
        rule(token).map(|token| (token, source)).map_err(refused)
    });
    let mut standing = None;
    let admitted = match decided {
        Ok((token, source)) => {
            let admitted = match app.service.admit(&token, class).await {
                Ok(admitted) => {
                    standing = admitted.standing;
                    app.service.charge(&token, policy.cost()).await
                }
                Err(refusal) => Err(refusal),
            };
            match admitted {
                Ok(()) => Ok(token),
                Err(refusal) => Err(Refused::of_client(refusal, token.client_id()).from_source(source)),
            }
        }
        Err(refused) => Err(refused),
    };
    let mut response = match admitted {
        Ok(token) => identity(&token),
        Err(refused) => {
            let refused = without_strangers_text(app, policy, refused);
            let (reason, request_id) = (refused.reason(), app.service.request_id());
            let id = HeaderValue::try_from(request_id.as_str());
            let guard = match refused.refusal {
                Refusal::NoCredentials => pointing_to_metadata(app, guard, &audiences),
                _ => guard,
            };
            let mut response: Response = guard.answer(refused, request_id);
            let headers = response.headers_mut();
            headers.insert(REASON, HeaderValue::from_static(reason.as_str()));
            if let Ok(id) = id {
                headers.insert(REQUEST_ID, id);
            }
            response
        }
    };
    if let Some(standing) = &standing {
        insert_standing(response.headers_mut(), standing);
    }
    response
}

/// An audience that nobody registered is somebody's text, a secret perhaps: a refusal that names it is recorded.
fn without_strangers_text(app: &App, policy: &Policy, refused: Refused) -> Refused {
    match (&policy.audience, &refused.refusal) {
        (Some(audience), Refusal::Token(TokenError::Invalid(why)))
            if !app.service.knows_audience(audience) && why.contains(&**audience) =>
        {
            let why = "it is not for the audience that is asked for, which no API has".to_owned();
            Refused { refusal: Refusal::Token(TokenError::Invalid(why)), ..refused }
        }
        _ => refused,
    }
}

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const REASON: HeaderName = HeaderName::from_static("x-auth-reason");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-auth-request-id");
const STATUS: HeaderName = HeaderName::from_static("x-auth-status");

/// Who it is. All of these are always there: a proxy that copies what is there would else let a stranger's own through.
fn identity(token: &AccessToken) -> Response {
    let claims = token.claims();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let identity = [
        ("x-auth-client-id", claims.client_id.clone()),
        ("x-auth-scope", claims.scopes.to_string()),
        ("x-auth-org", text(&claims.organization)),
        ("x-auth-project", text(&claims.project)),
        ("x-auth-env", text(&claims.environment)),
    ];
    let mut response = StatusCode::OK.into_response();
    for (name, value) in identity {
        let value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// nginx lets 401 and 403 through, and makes 500 of all else. What brings a challenge becomes 401, which keeps it.
fn folded(mut response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() {
        return response;
    }
    let challenged = response.headers().contains_key(WWW_AUTHENTICATE);
    *response.status_mut() = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => status,
        _ if challenged => StatusCode::UNAUTHORIZED,
        _ => StatusCode::FORBIDDEN,
    };
    response.headers_mut().insert(STATUS, HeaderValue::from(status.as_u16()));
    response
}

/// What a query asks for.
struct Wanted {
    policy: Policy,
    for_nginx: bool,
}

impl Wanted {
    fn read(query: Option<&str>) -> Result<Self, Error> {
        let malformed = |detail: String| Error::Malformed(detail);
        let pairs = form::decode_pairs(query.unwrap_or_default().as_bytes())
            .ok_or_else(|| malformed("the query is not form-encoded UTF-8".to_owned()))?;
        let (mut scope, mut audience, mut status) = (None, None, None);
        for (name, value) in pairs {
            let place = match name.as_str() {
                "scope" => &mut scope,
                "audience" => &mut audience,
                "status" => &mut status,
                _ => {
                    let known = "the parameters here are scope, audience and status, and another one was sent";
                    return Err(malformed(known.to_owned()));
                }
            };
            if place.replace(value).is_some() {
                return Err(malformed(format!("the parameter {name} was sent more than once")));
            }
        }
        let for_nginx = match status.as_deref() {
            None => false,
            Some("nginx") => true,
            Some(_) => return Err(malformed("status can be nginx, and nothing else".to_owned())),
        };
        let scopes = match scope.as_deref() {
            None => ScopeSet::default(),
            Some(text) => ScopeSet::parse(text).map_err(|error| malformed(format!("scope: {error}")))?,
        };
        if scope.is_some() && scopes.is_empty() {
            // A variable of the proxy that was not set, for instance: what was meant is not to be let go of.
            return Err(malformed("the scope is empty; leave the parameter out where none is needed".to_owned()));
        }
        let audience = audience.filter(|audience| !audience.is_empty());
        if scopes.is_empty() && audience.is_none() {
            return Err(malformed("name a scope, or an audience, or both: what the request needs".to_owned()));
        }
        let policy = Policy { scopes, audience: audience.map(Arc::from), ..Policy::default() };
        Ok(Self { policy, for_nginx })
    }
}
