//! `/api/v1/keys`.

use axum::extract::State;

use crate::api;

use super::App;
use super::extract::{Json, Segment};
use super::operator::{Answer, Operator};
use super::render::Fault;

/// Lists the signing keys
#[utoipa::path(
    get, path = "/api/v1/keys",
    security(("client_credentials" = ["mintage:keys:read"])),
    responses((status = 200, description = "All of them", body = api::Page<api::Key>)),
)]
pub(super) async fn list(State(app): State<App>, _caller: Operator) -> Answer<api::Page<api::Key>> {
    Answer(app.service.list_keys())
}

/// Rotates the signing keys, now or as soon as every verifier has had time to see the next one
#[utoipa::path(
    post, path = "/api/v1/keys/rotate",
    request_body = api::RotateKeys,
    security(("client_credentials" = ["mintage:keys:write"])),
    responses((status = 200, description = "What was done, or will be", body = api::Rotation)),
)]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Operator,
    Json(request): Json<api::RotateKeys>,
) -> Result<Answer<api::Rotation>, Fault> {
    app.service.rotate_keys(&request, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

/// Takes a signing key out of use at once
///
/// Every token signed with it is refused from now on.
#[utoipa::path(
    post, path = "/api/v1/keys/{kid}/revoke",
    params(("kid" = String, Path, description = "Its kid")),
    security(("client_credentials" = ["mintage:keys:write"])),
    responses((status = 200, description = "All keys", body = api::Page<api::Key>)),
)]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Operator,
    Segment(kid): Segment,
) -> Result<Answer<api::Page<api::Key>>, Fault> {
    app.service.revoke_key(&kid, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}
