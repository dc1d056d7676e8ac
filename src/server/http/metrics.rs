//! `GET /metrics`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::limit::Class;
use crate::limit::headers::insert_standing;
use crate::resource::{Refusal, Refused, RequireScopes};
use crate::scope::Scope;
use crate::server::error::Error;
use crate::source_ip::Peer;

use super::App;
use super::openapi::OfMetrics;
use super::render::Fault;

/// The scope that reads them.
const METRICS_READ: &str = "mintage:metrics:read";

/// Metrics, as Prometheus reads them
///
/// For a token with the scope; and without any, for an address that the configuration allows. Behind a trusted proxy
/// that is the address that the proxy names: what comes through a proxy on this machine is not from this machine.
#[utoipa::path(
    get, path = "/metrics",
    security((), ("client_credentials" = ["mintage:metrics:read"])),
    responses((status = 200, description = "They", body = String, content_type = "text/plain"), OfMetrics),
)]
pub(super) async fn show(State(app): State<App>, request: Request) -> Response {
    let Ok(scope) = Scope::parse(METRICS_READ) else {
        return Fault::new(&app, Error::Internal("a scope of ours is none".to_owned())).into_response();
    };
    let guard = app.guard.clone().scopes(RequireScopes::All([scope.clone()].into_iter().collect()));
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let refused = match guard.decide_on_any(request.uri(), request.headers(), peer, None).await {
        Ok((token, source)) => match app.service.authority(&token, &scope).await {
            Ok(_) => match app.service.admit(&token, Class::Read).await {
                Ok(admitted) => {
                    let mut response = text(&app);
                    if let Some(standing) = &admitted.standing {
                        insert_standing(response.headers_mut(), standing);
                    }
                    return response;
                }
                Err(refusal) => Refused::of_client(refusal, token.client_id()).from_source(source),
            },
            Err(error) => return Fault::new(&app, error).into_response(),
        },
        Err(refused) => refused,
    };
    let allowed = refused.ip().is_some_and(|ip| app.metrics_allow.contains(ip));
    match refused.refusal {
        Refusal::NoCredentials if allowed => text(&app),
        _ => guard.answer(refused, app.service.request_id()),
    }
}

fn text(app: &App) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.service.render_metrics()).into_response()
}
