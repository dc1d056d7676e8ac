//! `/api/v1/tokens/explain` and `/api/v1/refusals`.

use axum::extract::State;

use crate::api;
use crate::resource::Explanation;

use super::App;
use super::extract::{Json, Segment};
use super::operator::{Answer, Operator};
use super::render::Fault;

/// What a guard would decide about a token, and why
#[utoipa::path(
    post, path = "/api/v1/tokens/explain",
    request_body = api::ExplainToken,
    responses((status = 200, description = "Each check, in order", body = Explanation)),
)]
pub(super) async fn token(
    State(app): State<App>,
    caller: Operator,
    Json(request): Json<api::ExplainToken>,
) -> Result<Answer<Explanation>, Fault> {
    app.service.explain_token(&request).map(Answer).map_err(caller.fault(&app))
}

/// Why a request was refused
#[utoipa::path(
    get, path = "/api/v1/refusals/{request_id}",
    params(("request_id" = String, Path, description = "The request's name, as its caller was told it")),
    responses((status = 200, description = "What was recorded", body = api::Refusal)),
)]
pub(super) async fn refusal(
    State(app): State<App>,
    caller: Operator,
    Segment(request_id): Segment,
) -> Result<Answer<api::Refusal>, Fault> {
    app.service.explain_refusal(&request_id).await.map(Answer).map_err(caller.fault(&app))
}
