//! `/api/v1/keys`.

use axum::extract::State;

use crate::api;

use super::App;
use super::extract::{Json, Segment};
use super::operator::{Answer, Operator};
use super::render::Fault;

pub(super) async fn list(State(app): State<App>, _caller: Operator) -> Answer<api::Page<api::Key>> {
    Answer(app.service.list_keys())
}

pub(super) async fn rotate(
    State(app): State<App>,
    caller: Operator,
    Json(request): Json<api::RotateKeys>,
) -> Result<Answer<api::Rotation>, Fault> {
    app.service.rotate_keys(&request, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn revoke(
    State(app): State<App>,
    caller: Operator,
    Segment(kid): Segment,
) -> Result<Answer<api::Page<api::Key>>, Fault> {
    app.service.revoke_key(&kid, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}
