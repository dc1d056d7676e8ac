//! `POST /oauth/revoke` (RFC 7009).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use crate::server::service::Endpoint;

use super::App;
use super::client_form::{self, MAX_BODY_WITH_TOKEN, NO_STORE};
use super::openapi::{AtRevocation, TokenInForm};

/// Revokes a token (RFC 7009)
#[utoipa::path(
    post, path = "/oauth/revoke",
    request_body(content = TokenInForm, content_type = "application/x-www-form-urlencoded"),
    security((), ("basic" = [])),
    responses((status = 200, description = "It is revoked, or none"), AtRevocation),
)]
pub(super) async fn revoke(State(app): State<App>, request: Request) -> Response {
    client_form::answer(&app, Endpoint::Revocation, request, MAX_BODY_WITH_TOKEN, |form| async {
        app.service.revoke_token(form.about_token()?).await?;
        Ok(NO_STORE.into_response())
    })
    .await
}
