//! `/api/v1/api-keys`.

use axum::extract::State;
use http::StatusCode;

use crate::api;
use crate::server::service::ClientFilter;

use super::App;
use super::extract::{Json, Segment};
use super::openapi::{ApiKeyFilters, IfMatch, Paging};
use super::operator::{Answer, Created, Entity, Operator};
use super::query::Query;
use super::render::Fault;

/// Makes an API key, which is in this answer alone
///
/// Nobody makes one that holds more than they do.
#[utoipa::path(
    post, path = "/api/v1/api-keys",
    request_body = api::NewApiKey,
    security(("client_credentials" = ["mintage:api-keys:write"])),
    responses((status = 201, description = "It is there, as it is from now on", body = api::ApiKey)),
)]
pub(super) async fn create(
    State(app): State<App>,
    caller: Operator,
    Json(new): Json<api::NewApiKey>,
) -> Result<Created<api::ApiKey>, Fault> {
    let key = app.service.create_api_key(new, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Created(format!("/api/v1/api-keys/{}", key.value.id), key))
}

/// Lists API keys within reach
#[utoipa::path(
    get, path = "/api/v1/api-keys",
    params(Paging, ApiKeyFilters),
    security(("client_credentials" = ["mintage:api-keys:read"])),
    responses((status = 200, description = "A page of them", body = api::Page<api::ApiKey>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
) -> Result<Answer<api::Page<api::ApiKey>>, Fault> {
    let page = query.page().map_err(caller.fault(&app))?;
    let filter = query.client_filter(&ClientFilter::OF_KEYS).map_err(caller.fault(&app))?;
    let known: Vec<_> = ["limit", "cursor"].into_iter().chain(ClientFilter::OF_KEYS).collect();
    query.done(&known).map_err(caller.fault(&app))?;
    app.service.list_api_keys(filter, &page, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

/// Shows an API key, masked
#[utoipa::path(
    get, path = "/api/v1/api-keys/{id}",
    params(("id" = String, Path, description = "Its identifier")),
    security(("client_credentials" = ["mintage:api-keys:read"])),
    responses((status = 200, description = "It", body = api::ApiKey)),
)]
pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Entity<api::ApiKey>, Fault> {
    app.service.api_key(&id, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// Changes an API key (RFC 7396)
///
/// Disabling it, taking a scope away and narrowing its allowlist cut off every token that it was exchanged for.
#[utoipa::path(
    patch, path = "/api/v1/api-keys/{id}",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    request_body(content((api::ApiKeyPatch = "application/merge-patch+json"), (api::ApiKeyPatch = "application/json"))),
    security(("client_credentials" = ["mintage:api-keys:write"])),
    responses((status = 200, description = "It, as it is from now on", body = api::ApiKey)),
)]
pub(super) async fn patch(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(patch): Json<api::ApiKeyPatch>,
) -> Result<Entity<api::ApiKey>, Fault> {
    app.service.update_api_key(&id, patch, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// Replaces an API key by a new one, which is in this answer alone
///
/// The old one ends with the overlap, and is in `retiring` until then; without one it is cut off at once, with every token
/// that it was exchanged for. Without a `ttl` the new one lives as long as the old one was made to live.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/rotate",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    request_body = api::RotateApiKey,
    security(("client_credentials" = ["mintage:api-keys:write"])),
    responses((status = 200, description = "It, with the new key", body = api::ApiKey)),
)]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(how): Json<api::RotateApiKey>,
) -> Result<Entity<api::ApiKey>, Fault> {
    app.service.rotate_api_key(&id, &how, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// Disables an API key, and cuts off every token that it was exchanged for
///
/// They stay dead when it is enabled again, and so do the keys that it took the place of.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/revoke",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    security(("client_credentials" = ["mintage:api-keys:write"])),
    responses((status = 200, description = "It, as it is from now on", body = api::ApiKey)),
)]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Entity<api::ApiKey>, Fault> {
    app.service.revoke_api_key(&id, &caller.0).await.map(Entity).map_err(caller.fault(&app))
}

/// Deletes an API key, and cuts off every token that it was exchanged for
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{id}",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    security(("client_credentials" = ["mintage:api-keys:write"])),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<StatusCode, Fault> {
    app.service.delete_api_key(&id, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(StatusCode::NO_CONTENT)
}
