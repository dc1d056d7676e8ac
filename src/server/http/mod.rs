//! HTTP: the whole route table, and what turns requests into calls and results into answers.
//!
//! Responsible for: paths, methods, headers, bodies. Never: deciding anything; a handler extracts, makes one call, and
//! renders.

mod admin_socket;
mod apis;
mod audit;
mod client_form;
mod clients;
mod errors;
mod explain;
mod extract;
mod forward_auth;
mod health;
mod introspect;
mod keys;
mod listen;
mod projects;
mod render;
mod revocations;
mod revoke;
mod token;
mod well_known;
mod whoami;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{MethodRouter, any, delete, get, post};

use crate::oauth::metadata::{
    self, AUTHORIZATION_SERVER_PATH, INTROSPECTION_PATH, JWKS_PATH, OPENID_CONFIGURATION_PATH, PROTECTED_RESOURCE_PATH,
    REVOCATION_FEED_PATH, REVOCATION_PATH, TOKEN_PATH, endpoint,
};
use crate::resource::{Guard, RequireScopes};
use crate::scope::{Scope, ScopeSet};
use crate::source_ip::SourcePolicy;

use super::guards::Guards;
use super::service::Service;

pub use admin_socket::{AdminSocket, PeerUser};
pub use listen::{MAX_ADMIN, max_connections, raise_descriptor_limit, serve_tcp, serve_unix};

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
    /// A failed authentication is answered no sooner than this after it arrived.
    pub failed_auth_delay: Duration,
    /// The metadata documents, written once.
    pub documents: Arc<well_known::Documents>,
    /// The URI below which the kinds of problem are described.
    pub errors_base: Arc<str>,
    /// The guards of the configuration.
    pub guards: Guards,
    /// What all guards have in common.
    pub guard: Guard,
    /// The URL of the protected resource's metadata.
    pub resource_metadata: Arc<str>,
}

/// The scope that lists projects.
const PROJECTS_READ: &str = "mintage:projects:read";

impl App {
    /// Everything that the routes of `service` need.
    #[must_use]
    pub fn new(service: Arc<Service>, sources: SourcePolicy, guards: Guards, failed_auth_delay: Duration) -> Self {
        let issuer = Arc::clone(&service.settings().issuer);
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
            .sources(Arc::clone(&sources))
            .resource_metadata(Arc::clone(&resource_metadata))
            .errors_base(Arc::clone(&errors_base));
        Self(Arc::new(Shared {
            documents: Arc::new(well_known::Documents::new(&issuer, service.keys().algorithms())),
            resource_metadata,
            errors_base,
            sources,
            failed_auth_delay,
            guards,
            guard,
            service,
        }))
    }

    /// A guard before a route of ours.
    fn guarded(&self, route: MethodRouter<Self>, scope: Option<&str>) -> MethodRouter<Self> {
        let scopes = match scope.map(Scope::parse) {
            None => RequireScopes::None,
            Some(Ok(scope)) => RequireScopes::All([scope].into_iter().collect()),
            // What cannot be named cannot be held.
            Some(Err(_)) => RequireScopes::Any(ScopeSet::default()),
        };
        route.layer(self.guard.clone().scopes(scopes).layer())
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
        .route(REVOCATION_PATH, run_to_end(post(revoke::revoke)).fallback(client_form::only_post))
        .route(REVOCATION_FEED_PATH, get(revocations::follow))
        .route(AUTHORIZATION_SERVER_PATH, get(well_known::authorization_server))
        .route(OPENID_CONFIGURATION_PATH, get(well_known::authorization_server))
        .route(PROTECTED_RESOURCE_PATH, get(well_known::protected_resource))
        .route(JWKS_PATH, get(well_known::jwks))
        .route("/api/v1/whoami", app.guarded(get(whoami::show), None))
        .route("/api/v1/projects", app.guarded(get(projects::list), Some(PROJECTS_READ)))
        .route("/forward-auth", any(forward_auth::by_query))
        .route("/forward-auth/g/{guard}", any(forward_auth::by_guard))
        .route("/forward-auth/g/{guard}/", any(forward_auth::by_guard))
        .route("/forward-auth/g/{guard}/{*rest}", any(forward_auth::by_guard))
        .route("/errors/{reason}", get(errors::show))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
}

/// A change is made to its end although its caller may hang up.
fn run_to_end(route: MethodRouter<App>) -> MethodRouter<App> {
    route.layer(axum::middleware::from_fn(extract::run_to_end))
}

/// The routes of the admin socket: whoever can open it holds everything.
pub fn admin_routes(app: App) -> Router {
    Router::new()
        .route("/api/v1/apis", get(apis::list).post(apis::create))
        .route("/api/v1/apis/{identifier}", get(apis::show).patch(apis::patch))
        .route("/api/v1/clients", get(clients::list).post(clients::create))
        .route("/api/v1/clients/{id}", get(clients::show).patch(clients::patch).delete(clients::delete))
        .route("/api/v1/clients/{id}/secrets", post(clients::add_secret))
        .route("/api/v1/clients/{id}/secrets/retire", post(clients::retire_secrets))
        .route("/api/v1/clients/{id}/secrets/{secret_id}", delete(clients::withdraw_secret))
        .route("/api/v1/clients/{id}/revoke", post(clients::revoke))
        .route("/api/v1/tokens/explain", post(explain::token))
        .route("/api/v1/refusals/{request_id}", get(explain::refusal))
        .route("/api/v1/audit", get(audit::list))
        .route("/api/v1/audit/export", get(audit::export))
        .route("/api/v1/audit/head", get(audit::head))
        .route("/api/v1/audit/verify", post(audit::verify))
        .route("/api/v1/keys", get(keys::list))
        .route("/api/v1/keys/rotate", post(keys::rotate))
        .route("/api/v1/keys/{kid}/revoke", post(keys::revoke))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .layer(axum::middleware::from_fn(extract::run_to_end))
        .method_not_allowed_fallback(errors::method_not_allowed)
        .fallback(errors::not_found)
        .with_state(app)
}
