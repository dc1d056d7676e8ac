//! `/api/v1/apis`.

use axum::Json as Answer;
use axum::extract::State;
use http::StatusCode;

use crate::api;

use super::App;
use super::extract::{AdminCaller, Json, Page, Segment};
use super::render::Fault;

pub(super) async fn create(
    State(app): State<App>,
    caller: AdminCaller,
    Json(new): Json<api::NewApi>,
) -> Result<(StatusCode, Answer<api::Api>), Fault> {
    let api = app.service.create_api(new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok((StatusCode::CREATED, Answer(api)))
}

pub(super) async fn list(
    State(app): State<App>,
    caller: AdminCaller,
    Page(page): Page,
) -> Result<Answer<api::Page<api::Api>>, Fault> {
    app.service.apis(&page).map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(identifier): Segment,
) -> Result<Answer<api::Api>, Fault> {
    app.service.api(&identifier).map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn patch(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(identifier): Segment,
    Json(patch): Json<api::ApiPatch>,
) -> Result<Answer<api::Api>, Fault> {
    app.service.update_api(&identifier, &patch, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}
