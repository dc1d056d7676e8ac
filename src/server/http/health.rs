//! `/healthz` and `/readyz`.

use axum::extract::State;

use super::App;
use super::render::Fault;

/// The process answers.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Tokens can be issued.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Fault> {
    app.service.ready().await.map(|()| "ready\n").map_err(|error| Fault::new(&app, error))
}
