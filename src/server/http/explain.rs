//! `/api/v1/tokens/explain` and `/api/v1/refusals`.

use axum::extract::State;

use crate::api;
use crate::resource::Explanation;

use super::App;
use super::extract::{Json, Segment};
use super::operator::{Answer, Operator};
use super::render::Fault;

pub(super) async fn token(
    State(app): State<App>,
    caller: Operator,
    Json(request): Json<api::ExplainToken>,
) -> Result<Answer<Explanation>, Fault> {
    app.service.explain_token(&request).map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn refusal(
    State(app): State<App>,
    caller: Operator,
    Segment(request_id): Segment,
) -> Result<Answer<api::Refusal>, Fault> {
    app.service.explain_refusal(&request_id).await.map(Answer).map_err(caller.fault(&app))
}
