//! `/api/v1/clients`.

use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;

use crate::api;
use crate::api::ClientStatus;
use crate::server::service::ClientFilter;

use super::App;
use super::extract::{Json, Segment, Segments};
use super::openapi::{ClientFilters, IfMatch, Paging};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

/// Registers a client and gives it a secret, which is in this answer alone
///
/// Nobody registers one that holds more than they do.
#[utoipa::path(
    post, path = "/api/v1/clients",
    request_body = api::NewClient,
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 201, description = "It is there, as it is from now on", body = api::Client)),
)]
pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewClient>,
) -> Result<Created<api::Client>, Fault> {
    let client = app.service.create_client(new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Created(format!("/api/v1/clients/{}", client.value.client_id), client))
}

/// Lists clients within reach
#[utoipa::path(
    get, path = "/api/v1/clients",
    params(Paging, ClientFilters),
    security(("client_credentials" = ["mintage:clients:read"])),
    responses((status = 200, description = "A page of them", body = api::Page<api::Client>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::Client>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    let filter = query.client_filter(&ClientFilter::NAMES).map_err(caller.fault(&app))?;
    let known: Vec<_> = ["limit", "cursor"].into_iter().chain(ClientFilter::NAMES).collect();
    query.done(&known).map_err(caller.fault(&app))?;
    app.service.list_clients(filter, &page, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

/// Shows a client
#[utoipa::path(
    get, path = "/api/v1/clients/{id}",
    params(("id" = String, Path, description = "Its identifier")),
    security(("client_credentials" = ["mintage:clients:read"])),
    responses((status = 200, description = "It", body = api::Client)),
)]
pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Entity<api::Client>, Fault> {
    app.service.client(&id, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// Changes a client (RFC 7396)
///
/// Disabling it, taking a scope away and narrowing its allowlist cut off every token it holds; with keep_tokens the last
/// two leave them be.
#[utoipa::path(
    patch, path = "/api/v1/clients/{id}",
    params(("id" = String, Path, description = "Its identifier"), ("keep_tokens" = Option<bool>, Query, description = "Leave tokens be that say more than is granted from now on"), IfMatch),
    request_body(content((api::ClientPatch = "application/merge-patch+json"), (api::ClientPatch = "application/json"))),
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 200, description = "It, as it is from now on", body = api::Client)),
)]
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

/// Disables a client, and cuts off every token it holds
///
/// They stay dead when it is enabled again.
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/revoke",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 200, description = "It, as it is from now on", body = api::Client)),
)]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Entity<api::Client>, Fault> {
    let changed = app.service.set_client_status(&id, ClientStatus::Disabled, "client.revoke", &caller.0).await;
    changed.map(Entity).map_err(caller.fault(&app))
}

/// Deletes a client, and cuts off every token it holds
#[utoipa::path(
    delete, path = "/api/v1/clients/{id}",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<StatusCode, Fault> {
    app.service.delete_client(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a secret, which is in this answer alone
///
/// With an overlap the others end when that is over, and without a `secret_ttl` it then lives as long as the newest of
/// them was made to live.
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/secrets",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    request_body = api::NewSecret,
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 201, description = "The client, with the new secret", body = api::Client)),
)]
pub(super) async fn add_secret(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(new): Json<api::NewSecret>,
) -> Result<impl IntoResponse, Fault> {
    let client = app.service.add_secret(&id, &new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok((StatusCode::CREATED, Entity(client)))
}

/// Takes a secret out at once
#[utoipa::path(
    delete, path = "/api/v1/clients/{id}/secrets/{secret_id}",
    params(("secret_id" = String, Path, description = "The secret's identifier"), ("id" = String, Path, description = "Its identifier"), ("cut_tokens" = Option<bool>, Query, description = "Cut off its tokens, too"), IfMatch),
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 200, description = "The client, as it is from now on", body = api::Client)),
)]
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

/// Retires every secret but the newest
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/secrets/retire",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    request_body = api::RetireSecrets,
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 200, description = "The client, as it is from now on", body = api::Client)),
)]
pub(super) async fn retire_secrets(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(how): Json<api::RetireSecrets>,
) -> Result<Entity<api::Client>, Fault> {
    app.service.retire_secrets(&id, &how, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// Lists the secrets of a client, which are shown with it, too
#[utoipa::path(
    get, path = "/api/v1/clients/{id}/secrets",
    params(("id" = String, Path, description = "Its identifier")),
    security(("client_credentials" = ["mintage:clients:read"])),
    responses((status = 200, description = "All of them", body = api::Page<api::Secret>)),
)]
pub(super) async fn secrets(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Answer<api::Page<api::Secret>>, Fault> {
    let client = app.service.client(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Answer(api::Page { items: client.value.secrets, next_cursor: None }))
}
