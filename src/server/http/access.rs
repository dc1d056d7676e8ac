//! What stands before operators' routes: on the public listener a guard that asks for the route's scope, on the admin
//! socket nothing, since the file's mode is the guard.

use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};

use crate::limit::Class;
use crate::limit::headers::insert_standing;
use crate::resource::{AccessToken, Refused, RequireScopes};
use crate::scope::{Scope, ScopeSet};
use crate::server::error::Error;
use crate::source_ip::SourceAddress;

use super::operator::Needed;
use super::render::Fault;
use super::{App, idempotency};

/// What a request to a route of our own costs.
pub(super) const COST: u64 = 1;

/// The listener that routes are made for.
#[derive(Debug)]
pub(super) struct Access<'a> {
    app: &'a App,
    public: bool,
    cost: u64,
}

/// A guard before a route: a good token for the issuer's audience, with `scope` if one is named. A request costs `cost`.
pub(super) fn guarded(app: &App, route: MethodRouter<App>, scope: Option<&str>, cost: u64) -> MethodRouter<App> {
    let scopes = match scope.map(Scope::parse) {
        None => RequireScopes::None,
        Some(Ok(scope)) => RequireScopes::All([scope].into_iter().collect()),
        // What cannot be named cannot be held.
        Some(Err(_)) => RequireScopes::Any(ScopeSet::default()),
    };
    let limited = route.route_layer(from_fn_with_state((app.clone(), cost), within_limits));
    limited.route_layer(app.api_guard.clone().scopes(scopes).layer())
}

/// Lets through what the guard has let through, as far as its credential's limits go, and says how these stand.
async fn within_limits(State((app, cost)): State<(App, u64)>, request: Request, next: Next) -> Response {
    let Some(token) = request.extensions().get::<AccessToken>().cloned() else {
        return Fault::new(&app, Error::Internal("a limited route without a guard".to_owned())).into_response();
    };
    let source = request.extensions().get::<SourceAddress>().copied();
    let refused = |refusal| {
        let refused = Refused::of_client(refusal, token.client_id()).from_source(source);
        app.api_guard.answer(refused, app.service.request_id())
    };
    let admitted = match app.service.admit(&token, Class::of(request.method())).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refused(refusal),
    };
    let mut response = match app.service.charge(&token, cost).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(refusal),
    };
    if let Some(standing) = &admitted.standing {
        insert_standing(response.headers_mut(), standing);
    }
    response
}

/// Runs a request to its end although its caller may hang up: a change that the store has made has to reach what is
/// kept at hand, too.
pub(super) fn to_its_end(app: &App, route: MethodRouter<App>) -> MethodRouter<App> {
    route.route_layer(from_fn_with_state(app.clone(), run_to_end))
}

async fn run_to_end(State(app): State<App>, request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(_) => Fault::new(&app, Error::Internal("a request panicked".to_owned())).into_response(),
    }
}

impl<'a> Access<'a> {
    /// To the public listener.
    pub(super) fn public(app: &'a App) -> Self {
        Self { app, public: true, cost: COST }
    }

    /// To the admin socket.
    pub(super) fn local(app: &'a App) -> Self {
        Self { app, public: false, cost: COST }
    }

    /// The same, for routes that cost nothing: who has used all that there is can look at it, and have more.
    pub(super) fn free(&self) -> Self {
        Self { cost: 0, ..*self }
    }

    fn guarded(&self, route: MethodRouter<App>, scope: &str) -> MethodRouter<App> {
        let route = match Scope::parse(scope) {
            Ok(scope) => route.route_layer(axum::Extension(Needed(scope))),
            Err(_) => route,
        };
        if self.public { guarded(self.app, route, Some(scope), self.cost) } else { route }
    }

    /// A route that looks at something.
    pub(super) fn get<H: Handler<T, App>, T: 'static>(&self, handler: H, scope: &str) -> MethodRouter<App> {
        self.guarded(get(handler), scope)
    }

    /// A route that makes something, or does something to it. With an `Idempotency-Key` it is done once.
    pub(super) fn post<H: Handler<T, App>, T: 'static>(&self, handler: H, scope: &str) -> MethodRouter<App> {
        let once = post(handler).route_layer(from_fn_with_state(self.app.clone(), idempotency::once));
        to_its_end(self.app, self.guarded(once, scope))
    }

    /// A route that changes something.
    pub(super) fn patch<H: Handler<T, App>, T: 'static>(&self, handler: H, scope: &str) -> MethodRouter<App> {
        to_its_end(self.app, self.guarded(patch(handler), scope))
    }

    /// A route that takes something away.
    pub(super) fn delete<H: Handler<T, App>, T: 'static>(&self, handler: H, scope: &str) -> MethodRouter<App> {
        to_its_end(self.app, self.guarded(delete(handler), scope))
    }
}
