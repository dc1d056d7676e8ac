//! `/api/v1/clients/{id}/digest-keys`.

use axum::extract::State;
use http::StatusCode;

use crate::api;

use super::App;
use super::extract::{Json, Segment, Segments};
use super::openapi::IfMatch;
use super::operator::{Answer, Operator};
use super::render::Fault;

/// Gives a client a key pair for HTTP Digest, whose private part is in this answer alone
///
/// Or takes the pair that there is already elsewhere, which is not repeated.
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/digest-keys",
    params(("id" = String, Path, description = "The client's identifier"), IfMatch),
    request_body = api::NewDigestKey,
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 201, description = "It", body = api::DigestKey)),
)]
pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(new): Json<api::NewDigestKey>,
) -> Result<(StatusCode, Answer<api::DigestKey>), Fault> {
    let made = app.service.create_digest_key(&id, &new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// Lists the Digest keys of a client
#[utoipa::path(
    get, path = "/api/v1/clients/{id}/digest-keys",
    params(("id" = String, Path, description = "The client's identifier")),
    security(("client_credentials" = ["mintage:clients:read"])),
    responses((status = 200, description = "All of them", body = api::Page<api::DigestKey>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Answer<api::Page<api::DigestKey>>, Fault> {
    let items = app.service.digest_keys(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Answer(api::Page { items, next_cursor: None }))
}

/// Takes a Digest key out at once
#[utoipa::path(
    delete, path = "/api/v1/clients/{id}/digest-keys/{key_id}",
    params(("key_id" = String, Path, description = "The key's identifier"), ("id" = String, Path, description = "The client's identifier"), IfMatch),
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segments(id, key_id): Segments,
) -> Result<StatusCode, Fault> {
    app.service.delete_digest_key(&id, &key_id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}
