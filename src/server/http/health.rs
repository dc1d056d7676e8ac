//! `/healthz` and `/readyz`.

use axum::extract::State;

use super::App;
use super::openapi::NotReady;
use super::render::Fault;

/// Whether the process answers
#[utoipa::path(
    get, path = "/healthz",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
)]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether tokens can be issued
#[utoipa::path(
    get, path = "/readyz",
    responses((status = 200, description = "They can", body = String, content_type = "text/plain"), NotReady),
)]
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Fault> {
    app.service.ready().await.map(|()| "ready\n").map_err(|error| Fault::new(&app, error))
}
