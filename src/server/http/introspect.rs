//! `POST /oauth/introspect` (RFC 7662).

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use crate::server::service::Endpoint;

use super::App;
use super::client_form::{self, MAX_BODY_WITH_TOKEN, NO_STORE};

/// What the caller may know of a token.
pub(super) async fn introspect(State(app): State<App>, request: Request) -> Response {
    client_form::answer(&app, Endpoint::Introspection, request, MAX_BODY_WITH_TOKEN, |form| async {
        let introspection = app.service.introspect(form.about_token()?).await?;
        Ok((NO_STORE, Json(introspection)).into_response())
    })
    .await
}
