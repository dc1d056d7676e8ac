//! `GET /openapi.json`: the HTTP surface, described (OpenAPI 3.1), as far as the listener that is asked serves it.
//!
//! Responsible for: what all operations of one kind have in common (`finish`), refusals by their reasons (`refusals`),
//! parameters (`params`), and shapes that no Rust type has (`shapes`). Never: what one operation has for itself, which
//! stands at its handler.
//!
//! A new operation is annotated with `#[utoipa::path]`, named in one of the lists below, and put into the table of
//! `tests/it/coverage`.

mod finish;
mod params;
mod refusals;
mod shapes;

use std::sync::OnceLock;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use utoipa::OpenApi;

use super::{
    App, api_keys, apis, audit, bulk, clients, digest_keys, errors, explain, forward_auth, health, introspect, keys,
    metrics, organizations, projects, quotas, review, revocations, revoke, roles, store, token, usage, well_known,
    whoami,
};

pub(super) use params::{
    ApiKeyFilters, AuditFilters, AuditSpan, ClientFilters, Forwarded, IfMatch, OfOrganization, Paging, ReviewSpans,
    UsageSpan,
};
pub(super) use refusals::{
    AlreadyUnderWay, AtAGuard, AtRevocation, AtTheFeed, AtTheToken, NoSuchApi, NoSuchReason, NotReady,
    OfAForwardedRequest, OfAToken, OfMetrics,
};
pub(super) use shapes::{JwkSet, NewToken, TokenInForm};

/// What operators do, on both listeners.
#[derive(OpenApi)]
#[openapi(
    paths(
        organizations::create,
        organizations::list,
        organizations::show,
        organizations::patch,
        organizations::delete,
        projects::create,
        projects::list,
        projects::show,
        projects::patch,
        projects::delete,
        apis::create,
        apis::list,
        apis::show,
        apis::patch,
        apis::delete,
        roles::create,
        roles::list,
        roles::show,
        roles::patch,
        roles::delete,
        clients::create,
        clients::list,
        clients::show,
        clients::patch,
        clients::delete,
        clients::revoke,
        clients::secrets,
        clients::add_secret,
        clients::retire_secrets,
        clients::withdraw_secret,
        digest_keys::create,
        digest_keys::list,
        digest_keys::delete,
        api_keys::create,
        api_keys::list,
        api_keys::show,
        api_keys::patch,
        api_keys::delete,
        api_keys::rotate,
        api_keys::revoke,
        bulk::export_clients,
        bulk::import_clients,
        usage::show,
        quotas::show_client,
        quotas::change_client,
        quotas::show_api_key,
        quotas::change_api_key,
        quotas::show_project,
        quotas::change_project,
        review::list,
        audit::list,
        audit::head,
        keys::list,
        keys::rotate,
        keys::revoke,
        health::live,
        health::ready,
        describe_public,
    ),
    components(schemas(shapes::Problem))
)]
struct OnBoth;

/// What the public listener has besides.
#[derive(OpenApi)]
#[openapi(
    paths(
        token::exchange,
        introspect::introspect,
        revoke::revoke,
        revocations::follow,
        well_known::authorization_server,
        well_known::protected_resource,
        well_known::jwks,
        whoami::show,
        forward_auth::by_query,
        forward_auth::by_guard,
        errors::list,
        errors::show,
        metrics::show,
    ),
    components(schemas(crate::oauth::response::ErrorResponse))
)]
struct OnPublic;

/// What the admin socket has besides.
#[derive(OpenApi)]
#[openapi(paths(explain::token, explain::refusal, store::backup, audit::export, audit::verify))]
struct OnLocal;

/// Who is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    Public,
    Local,
}

/// The descriptions of both listeners, each written when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct Descriptions {
    public: OnceLock<Bytes>,
    local: OnceLock<Bytes>,
}

impl Descriptions {
    fn of(&self, listener: Listener, issuer: &str) -> Bytes {
        let written = match listener {
            Listener::Public => &self.public,
            Listener::Local => &self.local,
        };
        let write = || {
            let mut document = OnBoth::openapi();
            document.merge(match listener {
                Listener::Public => OnPublic::openapi(),
                Listener::Local => OnLocal::openapi(),
            });
            finish::finish(&mut document, listener, issuer);
            finish::written(&document).and_then(|whole| serde_json::to_vec(&whole)).unwrap_or_default().into()
        };
        written.get_or_init(write).clone()
    }
}

fn answer(app: &App, listener: Listener) -> Response {
    let body = app.descriptions.of(listener, &app.service.settings().issuer);
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")], body).into_response()
}

/// This description
///
/// Of what the listener that is asked serves: the public one, or the admin socket.
#[utoipa::path(get, path = "/openapi.json", tag = "description", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json"),
))]
pub(super) async fn describe_public(State(app): State<App>) -> Response {
    answer(&app, Listener::Public)
}

/// The same on the admin socket.
pub(super) async fn describe_local(State(app): State<App>) -> Response {
    answer(&app, Listener::Local)
}
