//! `/api/v1/clients`.

use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;

use crate::api;
use crate::api::ClientStatus;
use crate::server::service::ClientFilter;

use super::App;
use super::extract::{Json, Segment, Segments};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewClient>,
) -> Result<Created<api::Client>, Fault> {
    let client = app.service.create_client(new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Created(format!("/api/v1/clients/{}", client.value.client_id), client))
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::Client>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    let filter = query.client_filter().map_err(caller.fault(&app))?;
    let known: Vec<_> = ["limit", "cursor"].into_iter().chain(ClientFilter::NAMES).collect();
    query.done(&known).map_err(caller.fault(&app))?;
    app.service.list_clients(filter, &page, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Entity<api::Client>, Fault> {
    app.service.client(&id, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

pub(super) async fn patch(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    mut query: Query,
    Json(patch): Json<api::ClientPatch>,
) -> Result<Entity<api::Client>, Fault> {
    let keep_tokens = query.flag("keep_tokens").map_err(caller.fault(&app))?;
    query.done(&["keep_tokens"]).map_err(caller.fault(&app))?;
    let changed = app.service.update_client(&id, &patch, keep_tokens, &caller.0).await;
    changed.map(Entity).map_err(caller.fault(&app))
}

pub(super) async fn revoke(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Entity<api::Client>, Fault> {
    let changed = app.service.set_client_status(&id, ClientStatus::Disabled, "client.revoke", &caller.0).await;
    changed.map(Entity).map_err(caller.fault(&app))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<StatusCode, Fault> {
    app.service.delete_client(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn add_secret(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(new): Json<api::NewSecret>,
) -> Result<impl IntoResponse, Fault> {
    let client = app.service.add_secret(&id, &new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok((StatusCode::CREATED, Entity(client)))
}

pub(super) async fn withdraw_secret(
    State(app): State<App>,
    caller: Operator,
    Segments(id, secret_id): Segments,
    mut query: Query,
) -> Result<Entity<api::Client>, Fault> {
    let cut_tokens = query.flag("cut_tokens").map_err(caller.fault(&app))?;
    query.done(&["cut_tokens"]).map_err(caller.fault(&app))?;
    let changed = app.service.withdraw_secret(&id, &secret_id, cut_tokens, &caller.0).await;
    changed.map(Entity).map_err(caller.fault(&app))
}

pub(super) async fn retire_secrets(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(how): Json<api::RetireSecrets>,
) -> Result<Entity<api::Client>, Fault> {
    app.service.retire_secrets(&id, &how, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// The secrets of a client, which are shown with it, too.
pub(super) async fn secrets(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Answer<api::Page<api::Secret>>, Fault> {
    let client = app.service.client(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Answer(api::Page { items: client.value.secrets, next_cursor: None }))
}
