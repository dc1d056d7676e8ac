//! `/api/v1/organizations`.

use axum::extract::State;
use http::StatusCode;

use crate::api;

use super::App;
use super::extract::{Json, Segment};
use super::openapi::{IfMatch, Paging};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

/// Makes an organization
///
/// The scope is granted over the admin socket alone.
#[utoipa::path(
    post, path = "/api/v1/organizations",
    request_body = api::NewOrganization,
    security(("client_credentials" = ["mintage:organizations:write"])),
    responses((status = 201, description = "It is there, as it is from now on", body = api::Organization)),
)]
pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewOrganization>,
) -> Result<Created<api::Organization>, Fault> {
    let made = app.service.create_organization(new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Created(format!("/api/v1/organizations/{}", made.value.id), made))
}

/// Lists organizations within reach
#[utoipa::path(
    get, path = "/api/v1/organizations",
    params(Paging),
    security(("client_credentials" = ["mintage:organizations:read"])),
    responses((status = 200, description = "A page of them", body = api::Page<api::Organization>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::Organization>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    query.done(&["limit", "cursor"]).map_err(caller.fault(&app))?;
    app.service.organizations(&page, &caller.0).map(Answer).map_err(caller.fault(&app))
}

/// Shows an organization
#[utoipa::path(
    get, path = "/api/v1/organizations/{id}",
    params(("id" = String, Path, description = "Its identifier")),
    security(("client_credentials" = ["mintage:organizations:read"])),
    responses((status = 200, description = "It", body = api::Organization)),
)]
pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Entity<api::Organization>, Fault> {
    app.service.organization(&id, &caller.0).map(Entity).map_err(caller.fault(&app))
}

/// Changes an organization (RFC 7396)
#[utoipa::path(
    patch, path = "/api/v1/organizations/{id}",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    request_body(content((api::OrganizationPatch = "application/merge-patch+json"), (api::OrganizationPatch = "application/json"))),
    security(("client_credentials" = ["mintage:organizations:write"])),
    responses((status = 200, description = "It, as it is from now on", body = api::Organization)),
)]
pub(super) async fn patch(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(patch): Json<api::OrganizationPatch>,
) -> Result<Entity<api::Organization>, Fault> {
    app.service.update_organization(&id, &patch, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// Deletes an organization that has nothing left in it
#[utoipa::path(
    delete, path = "/api/v1/organizations/{id}",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    security(("client_credentials" = ["mintage:organizations:write"])),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<StatusCode, Fault> {
    app.service.delete_organization(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}
