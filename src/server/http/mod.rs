//! HTTP: the whole route table, and what turns requests into calls and results into answers.
//!
//! Responsible for: paths, methods, headers, bodies. Never: deciding anything; a handler extracts, makes one call, and
//! renders.

mod access;
mod admin_socket;
mod api_keys;
mod apis;
mod audit;
mod bulk;
mod client_form;
mod clients;
mod digest_keys;
mod errors;
mod explain;
mod extract;
mod forward_auth;
mod health;
mod idempotency;
mod introspect;
mod keys;
mod listen;
mod metrics;
mod openapi;
mod operator;
mod organizations;
mod projects;
mod query;
mod quotas;
mod render;
mod review;
mod revocations;
mod revoke;
mod roles;
mod store;
mod token;
mod unreadable;
mod usage;
mod well_known;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};

use crate::oauth::metadata::{
    self, AUTHORIZATION_SERVER_PATH, INTROSPECTION_PATH, JWKS_PATH, OPENID_CONFIGURATION_PATH, PROTECTED_RESOURCE_PATH,
    REVOCATION_FEED_PATH, REVOCATION_PATH, TOKEN_PATH, endpoint,
};
use crate::resource::Guard;
use crate::source_ip::{Allowlist, SourcePolicy};

use super::guards::Guards;
use super::service::Service;

use access::Access;
pub use admin_socket::{AdminSocket, PeerUser};
pub use listen::{MAX_ADMIN, max_connections, raise_descriptor_limit, serve_tcp, serve_unix};
pub use unreadable::RefuseUnreadable;

/// What handlers are given.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What all clones of an [`App`] share.
#[derive(Debug)]
pub struct Shared {
    /// The decisions.
    pub service: Arc<Service>,
    /// Whom to believe about source addresses.
    pub sources: Arc<SourcePolicy>,
    /// Who may read the metrics without a token.
    pub metrics_allow: Allowlist,
    /// The metadata documents, written once.
    pub documents: Arc<well_known::Documents>,
    /// The URI below which the kinds of problem are described.
    pub errors_base: Arc<str>,
    /// The guards of the configuration.
    pub guards: Guards,
    /// What all guards have in common.
    pub guard: Guard,
    /// What stands before the routes under `/api/v1/`.
    pub api_guard: Guard,
    /// The URL of the protected resource's metadata.
    pub resource_metadata: Arc<str>,
    /// The requests with an `Idempotency-Key` that are being carried out.
    under_way: idempotency::UnderWay,
    /// What is served, described.
    descriptions: openapi::Descriptions,
}

impl App {
    /// Everything that the routes of `service` need.
    #[must_use]
    pub fn new(service: Arc<Service>, sources: SourcePolicy, guards: Guards, metrics_allow: Allowlist) -> Self {
        let issuer = Arc::clone(&service.settings().issuer);
        let api_digest = service.settings().api_digest;
        let resource_metadata: Arc<str> = url::Url::parse(&issuer)
            .map_or_else(
                |_| endpoint(&issuer, PROTECTED_RESOURCE_PATH),
                |url| metadata::well_known(&url, PROTECTED_RESOURCE_PATH).to_string(),
            )
            .into();
        let errors_base: Arc<str> = endpoint(&issuer, "/errors").into();
        let sources = Arc::new(sources);
        let guard = Guard::new(Arc::clone(service.verifier()))
            .observer(Arc::clone(&service) as _)
            .api_keys(Arc::clone(&service) as _)
            .sources(Arc::clone(&sources))
            .resource_metadata(Arc::clone(&resource_metadata))
            .errors_base(Arc::clone(&errors_base));
        let api_guard = match api_digest {
            true => guard.clone().digest(Arc::clone(&service) as _),
            false => guard.clone(),
        };
        Self(Arc::new(Shared {
            documents: Arc::new(well_known::Documents::new(&issuer, service.keys().algorithms())),
            resource_metadata,
            errors_base,
            sources,
            metrics_allow,
            guards,
            api_guard,
            guard,
            under_way: idempotency::UnderWay::default(),
            descriptions: openapi::Descriptions::default(),
            service,
        }))
    }
}

/// The routes of the public listener.
pub fn public_routes(app: App) -> Router {
    let routes = routes_below_the_issuer(&app);
    let path =
        url::Url::parse(&app.service.settings().issuer).map(|issuer| issuer.path().trim_end_matches('/').to_owned());
    let all = match path {
        // Whether a proxy in front takes the issuer's path off or leaves it on, both work. RFC 8414 §3.1 and RFC 9728
        // §3.1 put the well-known part before the path.
        Ok(path) if !path.is_empty() => Router::new()
            .route(&format!("{AUTHORIZATION_SERVER_PATH}{path}"), get(well_known::authorization_server))
            .route(&format!("{OPENID_CONFIGURATION_PATH}{path}"), get(well_known::authorization_server))
            .route(&format!("{PROTECTED_RESOURCE_PATH}{path}"), get(well_known::protected_resource))
            .nest(&path, routes.clone())
            .merge(routes),
        _ => routes,
    };
    all.method_not_allowed_fallback(errors::method_not_allowed).fallback(errors::not_found).with_state(app)
}

fn routes_below_the_issuer(app: &App) -> Router<App> {
    Router::new()
        .route(TOKEN_PATH, post(token::exchange).fallback(client_form::only_post))
        .route(INTROSPECTION_PATH, post(introspect::introspect).fallback(client_form::only_post))
        .route(REVOCATION_PATH, access::to_its_end(app, post(revoke::revoke)).fallback(client_form::only_post))
        .route(REVOCATION_FEED_PATH, get(revocations::follow))
        .route(AUTHORIZATION_SERVER_PATH, get(well_known::authorization_server))
        .route(OPENID_CONFIGURATION_PATH, get(well_known::authorization_server))
        .route(PROTECTED_RESOURCE_PATH, get(well_known::protected_resource))
        .route(JWKS_PATH, get(well_known::jwks))
        .route("/api/v1/whoami", access::guarded(app, get(whoami::show), None, access::COST))
        .route("/forward-auth", any(forward_auth::by_query))
        .route("/forward-auth/g/{guard}", any(forward_auth::by_guard))
        .route("/forward-auth/g/{guard}/", any(forward_auth::by_guard))
        .route("/forward-auth/g/{guard}/{*rest}", any(forward_auth::by_guard))
        .route("/errors", get(errors::list))
        .route("/errors/{reason}", get(errors::show))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(openapi::describe_public))
        .merge(operators_routes(&Access::public(app)))
}

/// What operators do, on both listeners: the public one asks for the scope, the admin socket for nothing.
fn operators_routes(access: &Access<'_>) -> Router<App> {
    Router::new()
        .route(
            "/api/v1/organizations",
            access
                .get(organizations::list, "mintage:organizations:read")
                .merge(access.post(organizations::create, "mintage:organizations:write")),
        )
        .route(
            "/api/v1/organizations/{id}",
            access
                .get(organizations::show, "mintage:organizations:read")
                .merge(access.patch(organizations::patch, "mintage:organizations:write"))
                .merge(access.delete(organizations::delete, "mintage:organizations:write")),
        )
        .route(
            "/api/v1/projects",
            access
                .get(projects::list, "mintage:projects:read")
                .merge(access.post(projects::create, "mintage:projects:write")),
        )
        .route(
            "/api/v1/projects/{id}",
            access
                .get(projects::show, "mintage:projects:read")
                .merge(access.free().patch(projects::patch, "mintage:projects:write"))
                .merge(access.delete(projects::delete, "mintage:projects:write")),
        )
        .route(
            "/api/v1/apis",
            access.get(apis::list, "mintage:apis:read").merge(access.post(apis::create, "mintage:apis:write")),
        )
        .route(
            "/api/v1/apis/{identifier}",
            access
                .get(apis::show, "mintage:apis:read")
                .merge(access.patch(apis::patch, "mintage:apis:write"))
                .merge(access.delete(apis::delete, "mintage:apis:write")),
        )
        .route(
            "/api/v1/roles",
            access.get(roles::list, "mintage:roles:read").merge(access.post(roles::create, "mintage:roles:write")),
        )
        .route(
            "/api/v1/roles/{name}",
            access
                .get(roles::show, "mintage:roles:read")
                .merge(access.patch(roles::patch, "mintage:roles:write"))
                .merge(access.delete(roles::delete, "mintage:roles:write")),
        )
        .route(
            "/api/v1/clients",
            access
                .get(clients::list, "mintage:clients:read")
                .merge(access.post(clients::create, "mintage:clients:write")),
        )
        .route(
            "/api/v1/clients/{id}",
            access
                .get(clients::show, "mintage:clients:read")
                .merge(access.free().patch(clients::patch, "mintage:clients:write"))
                .merge(access.delete(clients::delete, "mintage:clients:write")),
        )
        .route(
            "/api/v1/bulk/clients",
            access
                .get(bulk::export_clients, "mintage:clients:read")
                .merge(access.post(bulk::import_clients, "mintage:clients:write"))
                .layer(axum::Extension(extract::MaxJson(bulk::MAX_BODY))),
        )
        .route("/api/v1/projects/{id}/quotas", access.free().get(quotas::show_project, "mintage:projects:read"))
        .route("/api/v1/projects/{id}/balance", access.free().post(quotas::change_project, "mintage:projects:write"))
        .route("/api/v1/clients/{id}/quotas", access.free().get(quotas::show_client, "mintage:clients:read"))
        .route("/api/v1/clients/{id}/balance", access.free().post(quotas::change_client, "mintage:clients:write"))
        .route("/api/v1/api-keys/{id}/quotas", access.free().get(quotas::show_api_key, "mintage:api-keys:read"))
        .route("/api/v1/api-keys/{id}/balance", access.free().post(quotas::change_api_key, "mintage:api-keys:write"))
        .route("/api/v1/clients/{id}/usage", access.get(usage::show, "mintage:usage:read"))
        .route("/api/v1/clients/{id}/revoke", access.post(clients::revoke, "mintage:clients:write"))
        .route(
            "/api/v1/clients/{id}/secrets",
            access
                .get(clients::secrets, "mintage:clients:read")
                .merge(access.post(clients::add_secret, "mintage:clients:write")),
        )
        .route("/api/v1/clients/{id}/secrets/retire", access.post(clients::retire_secrets, "mintage:clients:write"))
        .route(
            "/api/v1/clients/{id}/secrets/{secret_id}",
            access.delete(clients::withdraw_secret, "mintage:clients:write"),
        )
        .route(
            "/api/v1/clients/{id}/digest-keys",
            access
                .get(digest_keys::list, "mintage:clients:read")
                .merge(access.post(digest_keys::create, "mintage:clients:write")),
        )
        .route("/api/v1/clients/{id}/digest-keys/{key_id}", access.delete(digest_keys::delete, "mintage:clients:write"))
        .route(
            "/api/v1/api-keys",
            access
                .get(api_keys::list, "mintage:api-keys:read")
                .merge(access.post(api_keys::create, "mintage:api-keys:write")),
        )
        .route(
            "/api/v1/api-keys/{id}",
            access
                .get(api_keys::show, "mintage:api-keys:read")
                .merge(access.free().patch(api_keys::patch, "mintage:api-keys:write"))
                .merge(access.delete(api_keys::delete, "mintage:api-keys:write")),
        )
        .route("/api/v1/api-keys/{id}/rotate", access.post(api_keys::rotate, "mintage:api-keys:write"))
        .route("/api/v1/api-keys/{id}/revoke", access.post(api_keys::revoke, "mintage:api-keys:write"))
        .route("/api/v1/review", access.get(review::list, "mintage:clients:read"))
        .route("/api/v1/audit", access.get(audit::list, "mintage:audit:read"))
        .route("/api/v1/audit/head", access.get(audit::head, "mintage:audit:read"))
        .route("/api/v1/keys", access.get(keys::list, "mintage:keys:read"))
        .route("/api/v1/keys/rotate", access.post(keys::rotate, "mintage:keys:write"))
        .route("/api/v1/keys/{kid}/revoke", access.post(keys::revoke, "mintage:keys:write"))
}

/// The routes of the admin socket: whoever can open it holds everything.
pub fn admin_routes(app: App) -> Router {
    operators_routes(&Access::local(&app))
        .route("/api/v1/store/backup", get(store::backup))
        .route("/api/v1/tokens/explain", post(explain::token))
        .route("/api/v1/refusals/{request_id}", get(explain::refusal))
        .route("/api/v1/audit/export", get(audit::export))
        .route("/api/v1/audit/verify", post(audit::verify))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::describe_local))
        .method_not_allowed_fallback(errors::method_not_allowed)
        .fallback(errors::not_found)
        .with_state(app)
}
