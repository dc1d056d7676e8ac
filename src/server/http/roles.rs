//! `/api/v1/roles`. The organization is the caller's unless the query names one.

use axum::extract::State;
use http::StatusCode;

use crate::api;

use super::App;
use super::extract::{Json, Segment};
use super::openapi::{IfMatch, OfOrganization, Paging};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

/// Defines a role
///
/// Nobody defines one that holds more than they do.
#[utoipa::path(
    post, path = "/api/v1/roles",
    request_body = api::NewRole,
    security(("client_credentials" = ["mintage:roles:write"])),
    responses((status = 201, description = "It is there, as it is from now on", body = api::Role)),
)]
pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewRole>,
) -> Result<Created<api::Role>, Fault> {
    let made = app.service.create_role(new, &caller.0).await.map_err(caller.fault(&app))?;
    let organization = made.value.organization.as_deref().unwrap_or_default();
    let place = format!("/api/v1/roles/{}?organization={organization}", made.value.name);
    Ok(Created(place, made))
}

/// Lists roles within reach
#[utoipa::path(
    get, path = "/api/v1/roles",
    params(Paging, OfOrganization),
    security(("client_credentials" = ["mintage:roles:read"])),
    responses((status = 200, description = "A page of them", body = api::Page<api::Role>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::Role>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    let organization = query.take("organization");
    query.done(&["limit", "cursor", "organization"]).map_err(caller.fault(&app))?;
    app.service.roles(organization.as_deref(), &page, &caller.0).map(Answer).map_err(caller.fault(&app))
}

/// Shows a role
#[utoipa::path(
    get, path = "/api/v1/roles/{name}",
    params(("name" = String, Path, description = "Its name"), OfOrganization),
    security(("client_credentials" = ["mintage:roles:read"])),
    responses((status = 200, description = "It", body = api::Role)),
)]
pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(name): Segment,
    mut query: Query,
) -> Result<Entity<api::Role>, Fault> {
    let organization = query.take("organization");
    query.done(&["organization"]).map_err(caller.fault(&app))?;
    app.service.role(organization.as_deref(), &name, &caller.0).map(Entity).map_err(caller.fault(&app))
}

/// Changes a role (RFC 7396)
///
/// Taking a scope away cuts off every token of every client that holds the role, unless they are to be kept.
#[utoipa::path(
    patch, path = "/api/v1/roles/{name}",
    params(("name" = String, Path, description = "Its name"), OfOrganization, ("keep_tokens" = Option<bool>, Query, description = "Leave tokens be that say more than is granted from now on"), IfMatch),
    request_body(content((api::RolePatch = "application/merge-patch+json"), (api::RolePatch = "application/json"))),
    security(("client_credentials" = ["mintage:roles:write"])),
    responses((status = 200, description = "It, as it is from now on", body = api::Role)),
)]
pub(super) async fn patch(
    State(app): State<App>,
    caller: Operator,
    Segment(name): Segment,
    mut query: Query,
    Json(patch): Json<api::RolePatch>,
) -> Result<Entity<api::Role>, Fault> {
    let organization = query.take("organization");
    let keep_tokens = query.flag("keep_tokens").map_err(caller.fault(&app))?;
    query.done(&["organization", "keep_tokens"]).map_err(caller.fault(&app))?;
    let changed = app.service.update_role(organization.as_deref(), &name, &patch, keep_tokens, &caller.0).await;
    changed.map(Entity).map_err(caller.fault(&app))
}

/// Deletes a role that no client holds any more
#[utoipa::path(
    delete, path = "/api/v1/roles/{name}",
    params(("name" = String, Path, description = "Its name"), OfOrganization, IfMatch),
    security(("client_credentials" = ["mintage:roles:write"])),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(name): Segment,
    mut query: Query,
) -> Result<StatusCode, Fault> {
    let organization = query.take("organization");
    query.done(&["organization"]).map_err(caller.fault(&app))?;
    app.service.delete_role(organization.as_deref(), &name, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}
