//! `/api/v1/organizations`.

use axum::extract::State;
use http::StatusCode;

use crate::api;

use super::App;
use super::extract::{Json, Segment};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewOrganization>,
) -> Result<Created<api::Organization>, Fault> {
    let made = app.service.create_organization(new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Created(format!("/api/v1/organizations/{}", made.value.id), made))
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::Organization>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    query.done(&["limit", "cursor"]).map_err(caller.fault(&app))?;
    app.service.organizations(&page, &caller.0).map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Entity<api::Organization>, Fault> {
    app.service.organization(&id, &caller.0).map(Entity).map_err(caller.fault(&app))
}

pub(super) async fn patch(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(patch): Json<api::OrganizationPatch>,
) -> Result<Entity<api::Organization>, Fault> {
    app.service.update_organization(&id, &patch, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<StatusCode, Fault> {
    app.service.delete_organization(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}
