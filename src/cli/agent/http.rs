//! What an agent answers: `GET /token` and `GET /status`, to programs on the same machine, and to no web page.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use http::header::{CACHE_CONTROL, HOST, HeaderName, ORIGIN, RETRY_AFTER};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde::Serialize;

use crate::client::{Error, Token, TokenRequest};
use crate::clock::UnixTime;
use crate::scope::{Scope, ScopeSet};

use super::tokens::{Statuses, Tokens};

/// Has to be sent, as `1`: a page in a browser cannot, without being asked about it first.
pub(super) const GUARD_HEADER: HeaderName = HeaderName::from_static("x-mintage-agent");
/// A token that a resource refused (401 `invalid_token`): another is fetched, if it is still the one at hand.
const REFUSED_HEADER: HeaderName = HeaderName::from_static("x-mintage-refused-token");
/// What browsers send and programs do not, and what proxies add.
const NOT_FROM_HERE: [HeaderName; 4] = [
    ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("forwarded"),
];

/// A refusal, in the form of RFC 6749 §5.2.
#[derive(Debug, Serialize)]
struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    retry_in: Option<u64>,
    error: String,
    error_description: String,
}

#[derive(Serialize)]
struct Answer {
    access_token: String,
    token_type: &'static str,
    expires_at: UnixTime,
    scope: String,
}

/// What is served on the socket.
pub(super) fn routes(tokens: Arc<Tokens>) -> Router {
    Router::new()
        .route("/token", get(token))
        .route("/status", get(status))
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "not_found", "there are /token and /status") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "GET alone")
        })
        .layer(middleware::from_fn(guard))
        .with_state(tokens)
}

/// The same on a loopback address, which a name of somebody else's may lead to (DNS rebinding).
pub(super) fn loopback_routes(tokens: Arc<Tokens>) -> Router {
    routes(tokens).layer(middleware::from_fn(by_its_own_name))
}

async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut sent = headers.get_all(GUARD_HEADER).iter();
    if sent.next().is_none_or(|value| value != "1") || sent.next().is_some() {
        let why = "send the header X-Mintage-Agent: 1; no web page can";
        return Refusal::new(StatusCode::FORBIDDEN, "access_denied", why).into_response();
    }
    if let Some(name) = NOT_FROM_HERE.iter().find(|name| headers.contains_key(*name)) {
        let why = format!("the agent serves programs on this machine, and no browser or proxy: {name} was sent");
        return Refusal::new(StatusCode::FORBIDDEN, "access_denied", why).into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn by_its_own_name(request: Request, next: Next) -> Response {
    if is_loopback(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let why = "the agent is called 127.0.0.1, [::1] or localhost, and was asked by another name";
    Refusal::new(StatusCode::FORBIDDEN, "access_denied", why).into_response()
}

fn is_loopback(headers: &HeaderMap, uri: &Uri) -> bool {
    let is_own = |host: &str| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    };
    let mut hosts = headers.get_all(HOST).iter();
    let named = hosts.next().and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    hosts.next().is_none()
        && named.is_some_and(|authority| is_own(authority.host()))
        && uri.authority().is_none_or(|authority| is_own(authority.host()))
}

/// Whether a resource did not take this token, by what the caller sends along with it; not in the query, which is logged.
fn is_refused(headers: &HeaderMap, token: &Token) -> bool {
    headers.get(REFUSED_HEADER).is_some_and(|refused| refused.as_bytes() == token.reveal().as_bytes())
}

/// What a query asks for.
#[derive(Debug, Default)]
struct Asked {
    name: Option<String>,
    /// What was asked for in place of what the configuration has.
    request: Option<TokenRequest>,
}

impl Asked {
    /// Unknown parameters are refused: one that is misspelt would give a token for more than was meant.
    fn read(query: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        let mut scopes: Vec<Scope> = Vec::new();
        let mut resources = Vec::new();
        for (parameter, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match (parameter.as_ref(), value.is_empty()) {
                ("name" | "scope" | "resource", true) => {}
                ("name", _) if asked.name.is_some() => return Err("name is there twice".to_owned()),
                ("name", _) => asked.name = Some(value.into_owned()),
                ("scope", _) => {
                    let set = ScopeSet::parse(&value).map_err(|error| error.to_string())?;
                    scopes.extend(set.iter().cloned());
                }
                ("resource", _) => resources.push(value.into_owned()),
                _ => return Err("the parameters are name, scope and resource".to_owned()),
            }
        }
        if !scopes.is_empty() || !resources.is_empty() {
            asked.request = Some(TokenRequest { scopes: scopes.into_iter().collect(), resources });
        }
        Ok(asked)
    }
}

async fn token(State(tokens): State<Arc<Tokens>>, headers: HeaderMap, uri: Uri) -> Result<Json<Answer>, Refusal> {
    let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", why);
    let asked = Asked::read(uri.query().unwrap_or_default()).map_err(bad)?;
    let Some(named) = tokens.find(asked.name.as_deref()) else {
        let names = tokens.names();
        return Err(match asked.name {
            Some(_) => Refusal::new(
                StatusCode::NOT_FOUND,
                "not_found",
                format!("no token is kept under that name; there is: {names}"),
            ),
            None => bad(format!("say which with ?name=…: {names}")),
        });
    };
    let Some(mut request) = asked.request else {
        let mut fetched = named.source.token().await;
        if let Some(token) = fetched.as_ref().ok().filter(|token| is_refused(&headers, token)) {
            fetched = named.source.replace(token).await;
        }
        return fetched.map(|token| Json(Answer::from(&token))).map_err(|error| {
            let refusal = Refusal::of(&error, named.source.health().retry_in);
            // It is the configuration that asks for what is not granted.
            Refusal { status: if refusal.status == 400 { StatusCode::BAD_GATEWAY } else { refusal.status }, ..refusal }
        });
    };
    // What is not asked for otherwise is what the configuration has.
    if request.resources.is_empty() {
        request.resources = named.resources().to_vec();
    }
    if request.scopes.is_empty() {
        request.scopes = ScopeSet::parse(&named.scopes().join(" ")).map_err(|error| bad(error.to_string()))?;
    }
    let mut fetched = named.source.token_for(&request).await;
    if let Some(token) = fetched.as_ref().ok().filter(|token| is_refused(&headers, token)) {
        fetched = named.source.replace_for(&request, token).await;
    }
    fetched.map(|token| Json(Answer::from(&token))).map_err(|error| {
        let retry_in = named.source.health_for(&request).retry_in;
        Refusal::of(&error, retry_in)
    })
}

async fn status(State(tokens): State<Arc<Tokens>>) -> Json<Statuses> {
    Json(tokens.statuses())
}

impl From<&Token> for Answer {
    fn from(token: &Token) -> Self {
        Self {
            access_token: token.reveal().to_owned(),
            token_type: "Bearer",
            expires_at: token.expires_at(),
            scope: token.scope().to_owned(),
        }
    }
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>, description: impl Into<String>) -> Self {
        Self { status, retry_in: None, error: error.into(), error_description: description.into() }
    }

    /// Why there is no token, and how much of the pause after that is left: what the caller asked for (400), what the operator has to see to (502), or neither (503).
    fn of(error: &Error, retry_in: Option<u64>) -> Self {
        let description = error.to_string();
        match error {
            error if error.is_retryable() => Self {
                retry_in: retry_in
                    .or(error.retry_after().map(|span| span.as_secs()))
                    .or(Some(1))
                    .map(|seconds| seconds.max(1)),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", description)
            },
            Error::Refused { error, .. } if matches!(error.as_str(), "invalid_scope" | "invalid_target") => {
                Self::new(StatusCode::BAD_REQUEST, error.as_str(), description)
            }
            Error::Refused { error, .. } => Self::new(StatusCode::BAD_GATEWAY, error.as_str(), description),
            _ => Self::new(StatusCode::BAD_GATEWAY, "server_error", description),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        if let Some(seconds) = self.retry_in {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
