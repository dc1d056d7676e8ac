//! `POST /oauth/introspect` (RFC 7662).

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use crate::oauth::introspection::Introspection;
use crate::server::service::Endpoint;

use super::App;
use super::client_form::{self, MAX_BODY_WITH_TOKEN, NO_STORE};
use super::openapi::{OfAToken, TokenInForm};

/// What the caller may know of a token (RFC 7662)
#[utoipa::path(
    post, path = "/oauth/introspect",
    request_body(content = TokenInForm, content_type = "application/x-www-form-urlencoded"),
    security((), ("basic" = [])),
    responses((status = 200, description = "What it may know", body = Introspection), OfAToken),
)]
pub(super) async fn introspect(State(app): State<App>, request: Request) -> Response {
    client_form::answer(&app, Endpoint::Introspection, request, MAX_BODY_WITH_TOKEN, |form| async {
        let introspection = app.service.introspect(form.about_token()?).await?;
        Ok((NO_STORE, Json(introspection)).into_response())
    })
    .await
}
