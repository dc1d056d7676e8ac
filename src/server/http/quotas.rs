//! `/api/v1/…/quotas` and `/api/v1/…/balance`, of clients, API keys and projects.

use axum::extract::State;

use crate::api;
use crate::server::model::Kind;

use super::App;
use super::extract::{Json, Segment};
use super::openapi::{IfMatch, OfOrganization};
use super::operator::{Answer, Entity, Operator};
use super::query::Query;
use super::render::Fault;

/// Shows what a client has used of its quotas, and its balance
#[utoipa::path(
    get, path = "/api/v1/clients/{id}/quotas",
    params(("id" = String, Path, description = "Its identifier")),
    security(("client_credentials" = ["mintage:clients:read"])),
    responses((status = 200, description = "As it is now", body = api::QuotaUses)),
)]
pub(super) async fn show_client(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Answer<api::QuotaUses>, Fault> {
    app.service.client_quotas(Kind::Client, &id, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

/// Changes the prepaid balance of a client
///
/// Its own takes the reach of its organization.
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/balance",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    request_body = api::BalanceChange,
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 200, description = "The balance, as it is from now on", body = api::Balance)),
)]
pub(super) async fn change_client(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(change): Json<api::BalanceChange>,
) -> Result<Entity<api::Balance>, Fault> {
    app.service
        .change_client_balance(Kind::Client, &id, &change, &caller.0)
        .await
        .map(Entity)
        .map_err(caller.fault(&app))
}

/// Shows what an API key has used of its quotas, and its balance
#[utoipa::path(
    get, path = "/api/v1/api-keys/{id}/quotas",
    params(("id" = String, Path, description = "Its identifier")),
    security(("client_credentials" = ["mintage:api-keys:read"])),
    responses((status = 200, description = "As it is now", body = api::QuotaUses)),
)]
pub(super) async fn show_api_key(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
) -> Result<Answer<api::QuotaUses>, Fault> {
    app.service.client_quotas(Kind::ApiKey, &id, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

/// Changes the prepaid balance of an API key
///
/// Its own takes the reach of its organization.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/balance",
    params(("id" = String, Path, description = "Its identifier"), IfMatch),
    request_body = api::BalanceChange,
    security(("client_credentials" = ["mintage:api-keys:write"])),
    responses((status = 200, description = "The balance, as it is from now on", body = api::Balance)),
)]
pub(super) async fn change_api_key(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    Json(change): Json<api::BalanceChange>,
) -> Result<Entity<api::Balance>, Fault> {
    app.service
        .change_client_balance(Kind::ApiKey, &id, &change, &caller.0)
        .await
        .map(Entity)
        .map_err(caller.fault(&app))
}

/// Shows what the clients of a project have used of its quotas together, and its balance
#[utoipa::path(
    get, path = "/api/v1/projects/{id}/quotas",
    params(("id" = String, Path, description = "Its identifier"), OfOrganization),
    security(("client_credentials" = ["mintage:projects:read"])),
    responses((status = 200, description = "As it is now", body = api::QuotaUses)),
)]
pub(super) async fn show_project(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    mut query: Query,
) -> Result<Answer<api::QuotaUses>, Fault> {
    let organization = query.take("organization");
    query.done(&["organization"]).map_err(caller.fault(&app))?;
    let used = app.service.project_quotas(organization.as_deref(), &id, &caller.0).await;
    used.map(Answer).map_err(caller.fault(&app))
}

/// Changes the prepaid balance of a project
///
/// It takes the reach of its organization.
#[utoipa::path(
    post, path = "/api/v1/projects/{id}/balance",
    params(("id" = String, Path, description = "Its identifier"), OfOrganization, IfMatch),
    request_body = api::BalanceChange,
    security(("client_credentials" = ["mintage:projects:write"])),
    responses((status = 200, description = "The balance, as it is from now on", body = api::Balance)),
)]
pub(super) async fn change_project(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    mut query: Query,
    Json(change): Json<api::BalanceChange>,
) -> Result<Entity<api::Balance>, Fault> {
    let organization = query.take("organization");
    query.done(&["organization"]).map_err(caller.fault(&app))?;
    let changed = app.service.change_project_balance(organization.as_deref(), &id, &change, &caller.0).await;
    changed.map(Entity).map_err(caller.fault(&app))
}
