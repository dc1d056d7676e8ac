//! `POST /oauth/introspect` (RFC 7662).

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::App;
use super::client_form::{self, NO_STORE};

/// What the caller may know of a token.
pub(super) async fn introspect(State(app): State<App>, request: Request) -> Response {
    client_form::answer(&app, request, |form| async {
        let introspection = app.service.introspect(form.about_token()?).await?;
        Ok((NO_STORE, Json(introspection)).into_response())
    })
    .await
}
