//! The documents under `/.well-known/`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use crate::oauth::form;
use crate::oauth::metadata::{AuthorizationServerMetadata, ProtectedResourceMetadata};
use crate::server::error::Error;

use super::App;
use super::openapi::{JwkSet, NoSuchApi};
use super::render::Fault;

/// The documents that do not change while the service runs.
#[derive(Debug)]
pub struct Documents {
    authorization_server: Bytes,
    protected_resource: Bytes,
}

impl Documents {
    /// The documents of `issuer`, whose tokens are signed with `algorithms`.
    #[must_use]
    pub fn new(issuer: &str, algorithms: Vec<String>) -> Self {
        let write = |document: serde_json::Result<Vec<u8>>| Bytes::from(document.unwrap_or_default());
        Self {
            authorization_server: write(serde_json::to_vec(&AuthorizationServerMetadata::new(issuer, algorithms))),
            protected_resource: write(serde_json::to_vec(&ProtectedResourceMetadata::of_issuer(issuer))),
        }
    }
}

fn json(body: Bytes) -> Response {
    let cache = "public, max-age=300";
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, cache)], body).into_response()
}

/// The metadata of the authorization server (RFC 8414), under both well-known names
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "well_known",
    responses((status = 200, description = "The metadata", body = AuthorizationServerMetadata)),
)]
pub(super) async fn authorization_server(State(app): State<App>) -> Response {
    json(app.documents.authorization_server.clone())
}

/// The metadata of a protected resource (RFC 9728)
///
/// Of the service's own routes, or with `resource` of an API that is registered here.
#[utoipa::path(
    get, path = "/.well-known/oauth-protected-resource",
    params(("resource" = Option<String>, Query, description = "The identifier of an API")),
    responses((status = 200, description = "The metadata", body = ProtectedResourceMetadata), NoSuchApi),
)]
pub(super) async fn protected_resource(State(app): State<App>, uri: Uri) -> Response {
    let pairs = form::decode_pairs(uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let Some((_, resource)) = pairs.into_iter().find(|(name, _)| name == "resource") else {
        return json(app.documents.protected_resource.clone());
    };
    match app.service.protected_resource(&resource) {
        Some(metadata) => json(serde_json::to_vec(&metadata).unwrap_or_default().into()),
        None => Fault::new(&app, Error::NotFound { what: "API", name: resource }).into_response(),
    }
}

/// The URL of the metadata of an API.
pub(super) fn protected_resource_of(app: &App, identifier: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("resource", identifier).finish();
    format!("{}?{query}", app.resource_metadata)
}

/// The public keys (RFC 7517 §5)
#[utoipa::path(
    get, path = "/.well-known/jwks.json",
    params(("If-None-Match" = Option<String>, Header, description = "The ETag of the set that is at hand")),
    responses(
        (status = 200, description = "The keys", body = JwkSet, content_type = "application/jwk-set+json"),
        (status = 304, description = "They are those at hand"),
    ),
)]
pub(super) async fn jwks(State(app): State<App>, headers: HeaderMap) -> Response {
    let keys = app.service.keys();
    let published = keys.published();
    let cache = format!("public, max-age={}", keys.jwks_max_age().as_secs());
    let mut response = if matches(&headers, &published.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, "application/jwk-set+json")], published.body).into_response()
    };
    for (name, value) in [(CACHE_CONTROL, cache), (ETAG, published.etag)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Whether `If-None-Match` names `etag` (RFC 9110 §13.1.2; it compares weakly).
fn matches(headers: &HeaderMap, etag: &str) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok()).any(|line| {
        line.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
    })
}
