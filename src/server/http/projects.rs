//! `/api/v1/projects`. The organization is the caller's unless the query names one.

use axum::extract::State;
use http::StatusCode;

use crate::api;

use super::App;
use super::extract::{Json, Segment};
use super::openapi::{IfMatch, OfOrganization, Paging};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

/// Makes a project
///
/// It takes the reach of its organization.
#[utoipa::path(
    post, path = "/api/v1/projects",
    request_body = api::NewProject,
    security(("client_credentials" = ["mintage:projects:write"])),
    responses((status = 201, description = "It is there, as it is from now on", body = api::Project)),
)]
pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewProject>,
) -> Result<Created<api::Project>, Fault> {
    let made = app.service.create_project(new, &caller.0).await.map_err(caller.fault(&app))?;
    let place = format!("/api/v1/projects/{}?organization={}", made.value.id, made.value.organization);
    Ok(Created(place, made))
}

/// Lists projects within reach
#[utoipa::path(
    get, path = "/api/v1/projects",
    params(Paging, OfOrganization),
    security(("client_credentials" = ["mintage:projects:read"])),
    responses((status = 200, description = "A page of them", body = api::Page<api::Project>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::Project>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    let organization = query.take("organization");
    query.done(&["limit", "cursor", "organization"]).map_err(caller.fault(&app))?;
    app.service.projects(organization.as_deref(), &page, &caller.0).map(Answer).map_err(caller.fault(&app))
}

/// Shows a project
#[utoipa::path(
    get, path = "/api/v1/projects/{id}",
    params(("id" = String, Path, description = "Its identifier"), OfOrganization),
    security(("client_credentials" = ["mintage:projects:read"])),
    responses((status = 200, description = "It", body = api::Project)),
)]
pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    mut query: Query,
) -> Result<Entity<api::Project>, Fault> {
    let organization = query.take("organization");
    query.done(&["organization"]).map_err(caller.fault(&app))?;
    app.service.project(organization.as_deref(), &id, &caller.0).map(Entity).map_err(caller.fault(&app))
}

/// Changes a project (RFC 7396)
#[utoipa::path(
    patch, path = "/api/v1/projects/{id}",
    params(("id" = String, Path, description = "Its identifier"), OfOrganization, IfMatch),
    request_body(content((api::ProjectPatch = "application/merge-patch+json"), (api::ProjectPatch = "application/json"))),
    security(("client_credentials" = ["mintage:projects:write"])),
    responses((status = 200, description = "It, as it is from now on", body = api::Project)),
)]
pub(super) async fn patch(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    mut query: Query,
    Json(patch): Json<api::ProjectPatch>,
) -> Result<Entity<api::Project>, Fault> {
    let organization = query.take("organization");
    query.done(&["organization"]).map_err(caller.fault(&app))?;
    let changed = app.service.update_project(organization.as_deref(), &id, &patch, &caller.0).await;
    changed.map(Entity).map_err(caller.fault(&app))
}

/// Deletes a project that has no clients left
#[utoipa::path(
    delete, path = "/api/v1/projects/{id}",
    params(("id" = String, Path, description = "Its identifier"), OfOrganization, IfMatch),
    security(("client_credentials" = ["mintage:projects:write"])),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    mut query: Query,
) -> Result<StatusCode, Fault> {
    let organization = query.take("organization");
    query.done(&["organization"]).map_err(caller.fault(&app))?;
    app.service.delete_project(organization.as_deref(), &id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}
