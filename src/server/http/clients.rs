//! `/api/v1/clients`.

use axum::Json as Answer;
use axum::extract::State;
use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode, Uri};

use crate::api;
use crate::api::ClientStatus;

use super::App;
use super::extract::{AdminCaller, Json, Page, Segment, Segments, flag};
use super::render::Fault;

/// An answer that has a secret in it is kept nowhere.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

type Secret = (StatusCode, [(HeaderName, &'static str); 1], Answer<api::Client>);

pub(super) async fn create(
    State(app): State<App>,
    caller: AdminCaller,
    Json(new): Json<api::NewClient>,
) -> Result<Secret, Fault> {
    let client = app.service.create_client(new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok((StatusCode::CREATED, NO_STORE, Answer(client)))
}

pub(super) async fn list(
    State(app): State<App>,
    caller: AdminCaller,
    Page(page): Page,
) -> Result<Answer<api::Page<api::Client>>, Fault> {
    app.service.list_clients(&page).await.map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(id): Segment,
) -> Result<Answer<api::Client>, Fault> {
    app.service.client(&id).await.map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn patch(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(id): Segment,
    uri: Uri,
    Json(patch): Json<api::ClientPatch>,
) -> Result<Answer<api::Client>, Fault> {
    let keep_tokens = flag(&uri, "keep_tokens").map_err(caller.fault(&app))?;
    let changed = app.service.update_client(&id, &patch, keep_tokens, &caller.0).await;
    changed.map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn revoke(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(id): Segment,
) -> Result<Answer<api::Client>, Fault> {
    let changed = app.service.set_client_status(&id, ClientStatus::Disabled, "client.revoke", &caller.0).await;
    changed.map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(id): Segment,
) -> Result<StatusCode, Fault> {
    app.service.delete_client(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn add_secret(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(id): Segment,
    Json(new): Json<api::NewSecret>,
) -> Result<Secret, Fault> {
    let client = app.service.add_secret(&id, &new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok((StatusCode::CREATED, NO_STORE, Answer(client)))
}

pub(super) async fn withdraw_secret(
    State(app): State<App>,
    caller: AdminCaller,
    Segments(id, secret_id): Segments,
    uri: Uri,
) -> Result<Answer<api::Client>, Fault> {
    let cut_tokens = flag(&uri, "cut_tokens").map_err(caller.fault(&app))?;
    let changed = app.service.withdraw_secret(&id, &secret_id, cut_tokens, &caller.0).await;
    changed.map(Answer).map_err(caller.fault(&app))
}

pub(super) async fn retire_secrets(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(id): Segment,
    Json(how): Json<api::RetireSecrets>,
) -> Result<Answer<api::Client>, Fault> {
    app.service.retire_secrets(&id, &how, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}
