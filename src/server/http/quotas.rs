//! `/api/v1/…/quotas` and `/api/v1/…/balance`, of clients and of projects.

use axum::extract::State;

use crate::api;

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
    app.service.client_quotas(&id, &caller.0).await.map(Answer).map_err(caller.fault(&app))
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
    app.service.change_client_balance(&id, &change, &caller.0).await.map(Entity).map_err(caller.fault(&app))
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
