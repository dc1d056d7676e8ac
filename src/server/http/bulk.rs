//! `/api/v1/bulk/clients`: many at once.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http_body_util::channel::Channel;

use crate::api::{BulkClients, BulkResults};
use crate::server::error::Error;
use crate::server::service::{Caller, ClientFilter, PageRequest};

use super::App;
use super::extract::Json;
use super::operator::{Answer, Operator};
use super::query::Query;
use super::render::Fault;

/// The most that a body may have, in bytes.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;
/// How many clients are read from the store at once.
const PAGE: usize = 1000;
/// How many pages wait for a slow reader.
const PAGES_AHEAD: usize = 1;

/// Registers many clients, each for itself
///
/// One that cannot be registered fails alone, and one whose identifier is taken is left as it is. The answer has the
/// secrets that were made, and nothing else has them.
#[utoipa::path(
    post, path = "/api/v1/bulk/clients",
    params(("dry_run" = Option<bool>, Query, description = "Register nothing, and say what would become of each")),
    request_body = BulkClients,
    security(("client_credentials" = ["mintage:clients:write"])),
    responses((status = 200, description = "What became of each", body = BulkResults)),
)]
pub(super) async fn import_clients(
    State(app): State<App>,
    caller: Operator,
    mut query: Query,
    Json(clients): Json<BulkClients>,
) -> Result<Answer<BulkResults>, Fault> {
    let dry_run = query.flag("dry_run").map_err(caller.fault(&app))?;
    query.done(&["dry_run"]).map_err(caller.fault(&app))?;
    let items = app.service.import_clients(clients, dry_run, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(Answer(BulkResults { items }))
}

/// All clients within reach, one a line, as they are shown
///
/// Where the store fails on the way the answer breaks off, so that nobody takes it for whole.
#[utoipa::path(
    get, path = "/api/v1/bulk/clients",
    security(("client_credentials" = ["mintage:clients:read"])),
    responses((
        status = 200, description = "A client in JSON on each line", body = String, content_type = "application/x-ndjson",
    )),
)]
pub(super) async fn export_clients(State(app): State<App>, caller: Operator) -> Result<Response, Fault> {
    let mut page = PageRequest { limit: Some(PAGE), cursor: None };
    let mut next = lines(&app, &mut page, &caller.0).await.map_err(caller.fault(&app))?;
    let (mut sender, body) = Channel::<Bytes, BrokenOff>::new(PAGES_AHEAD);
    tokio::spawn(async move {
        loop {
            // A reader that has gone needs no more.
            if sender.send_data(next).await.is_err() || page.cursor.is_none() {
                return;
            }
            next = match lines(&app, &mut page, &caller.0).await {
                Ok(lines) => lines,
                Err(error) => {
                    tracing::error!(cause = error.cause(), "an export of clients broke off");
                    return sender.abort(BrokenOff);
                }
            };
        }
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(body)).into_response())
}

#[derive(Debug, thiserror::Error)]
#[error("the export broke off")]
struct BrokenOff;

/// The clients of a page, one a line; `page` is then the next one, without a cursor where there is none.
async fn lines(app: &App, page: &mut PageRequest, caller: &Caller) -> Result<Bytes, Error> {
    let clients = app.service.list_clients(ClientFilter::default(), page, caller).await?;
    let mut text = Vec::new();
    for client in &clients.items {
        serde_json::to_writer(&mut text, client).map_err(|error| Error::Internal(error.to_string()))?;
        text.push(b'\n');
    }
    page.cursor = clients.next_cursor;
    Ok(text.into())
}
