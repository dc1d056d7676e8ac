//! `/api/v1/apis`.

use axum::extract::State;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api;

use super::App;
use super::extract::{Json, Segment};
use super::openapi::{IfMatch, Paging};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

/// Registers an API
#[utoipa::path(
    post, path = "/api/v1/apis",
    request_body = api::NewApi,
    security(("client_credentials" = ["mintage:apis:write"])),
    responses((status = 201, description = "It is there, as it is from now on", body = api::Api)),
)]
pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewApi>,
) -> Result<Created<api::Api>, Fault> {
    let api = app.service.create_api(new, &caller.0).await.map_err(caller.fault(&app))?;
    let place = utf8_percent_encode(&api.value.identifier, NON_ALPHANUMERIC);
    Ok(Created(format!("/api/v1/apis/{place}"), api))
}

/// Lists APIs within reach
#[utoipa::path(
    get, path = "/api/v1/apis",
    params(Paging),
    security(("client_credentials" = ["mintage:apis:read"])),
    responses((status = 200, description = "A page of them", body = api::Page<api::Api>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::Api>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    query.done(&["limit", "cursor"]).map_err(caller.fault(&app))?;
    app.service.apis(&page, &caller.0).map(Answer).map_err(caller.fault(&app))
}

/// Shows an API
#[utoipa::path(
    get, path = "/api/v1/apis/{identifier}",
    params(("identifier" = String, Path, description = "Its identifier, percent-encoded")),
    security(("client_credentials" = ["mintage:apis:read"])),
    responses((status = 200, description = "It", body = api::Api)),
)]
pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(identifier): Segment,
) -> Result<Entity<api::Api>, Fault> {
    app.service.api(&identifier, &caller.0).map(Entity).map_err(caller.fault(&app))
}

/// Changes an API (RFC 7396)
#[utoipa::path(
    patch, path = "/api/v1/apis/{identifier}",
    params(("identifier" = String, Path, description = "Its identifier, percent-encoded"), IfMatch),
    request_body(content((api::ApiPatch = "application/merge-patch+json"), (api::ApiPatch = "application/json"))),
    security(("client_credentials" = ["mintage:apis:write"])),
    responses((status = 200, description = "It, as it is from now on", body = api::Api)),
)]
pub(super) async fn patch(
    State(app): State<App>,
    caller: Operator,
    Segment(identifier): Segment,
    Json(patch): Json<api::ApiPatch>,
) -> Result<Entity<api::Api>, Fault> {
    app.service.update_api(&identifier, &patch, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// Deletes an API none of whose scopes any client or role has
#[utoipa::path(
    delete, path = "/api/v1/apis/{identifier}",
    params(("identifier" = String, Path, description = "Its identifier, percent-encoded"), IfMatch),
    security(("client_credentials" = ["mintage:apis:write"])),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(identifier): Segment,
) -> Result<StatusCode, Fault> {
    app.service.delete_api(&identifier, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}
