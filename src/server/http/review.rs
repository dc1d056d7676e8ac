//! `/api/v1/review`.

use axum::extract::State;

use crate::api;
use crate::server::error::Error;
use crate::server::service::ReviewSettings;

use super::App;
use super::openapi::{Paging, ReviewSpans};
use super::operator::{Answer, Operator};
use super::query::Query;
use super::render::Fault;

/// What of clients and their secrets is worth a look
#[utoipa::path(
    get, path = "/api/v1/review",
    params(Paging, ReviewSpans),
    security(("client_credentials" = ["mintage:clients:read"])),
    responses((status = 200, description = "A page of it", body = api::Page<api::Finding>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    query: Query,
) -> Result<Answer<api::Page<api::Finding>>, Fault> {
    let (settings, page) = read(query, app.service.settings().review).map_err(caller.fault(&app))?;
    app.service.review(settings, &page, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

fn read(
    mut query: Query,
    configured: ReviewSettings,
) -> Result<(ReviewSettings, crate::server::service::PageRequest), Error> {
    let page = query.page()?;
    let mut seconds = |name: &str| {
        let value = query.take(name).map(|value| value.parse::<u64>());
        value.transpose().map_err(|_| Error::field(name, "it has to be a number of seconds"))
    };
    let settings = ReviewSettings {
        expiring_within: seconds("expiring_within")?.or(configured.expiring_within),
        unused_for: seconds("unused_for")?.unwrap_or(configured.unused_for),
        never_used_for: seconds("never_used_for")?.unwrap_or(configured.never_used_for),
    };
    query.done(&["limit", "cursor", "expiring_within", "unused_for", "never_used_for"])?;
    Ok((settings, page))
}
