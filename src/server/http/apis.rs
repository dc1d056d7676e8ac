//! `/api/v1/apis`.

use axum::extract::State;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api;

use super::App;
use super::extract::{Json, Segment};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewApi>,
) -> Result<Created<api::Api>, Fault> {
    let api = app.service.create_api(new, &caller.0).await.map_err(caller.fault(&app))?;
    let place = utf8_percent_encode(&api.value.identifier, NON_ALPHANUMERIC);
    Ok(Created(format!("/api/v1/apis/{place}"), api))
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::Api>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    query.done(&["limit", "cursor"]).map_err(caller.fault(&app))?;
    app.service.apis(&page, &caller.0).map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(identifier): Segment,
) -> Result<Entity<api::Api>, Fault> {
    app.service.api(&identifier, &caller.0).map(Entity).map_err(caller.fault(&app))
}

pub(super) async fn patch(
    State(app): State<App>,
    caller: Operator,
    Segment(identifier): Segment,
    Json(patch): Json<api::ApiPatch>,
) -> Result<Entity<api::Api>, Fault> {
    app.service.update_api(&identifier, &patch, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(identifier): Segment,
) -> Result<StatusCode, Fault> {
    app.service.delete_api(&identifier, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}
