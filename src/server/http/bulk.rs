//! `/api/v1/bulk/clients`: many at once.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http_body_util::channel::Channel;

use crate::api::{BulkClients, BulkResults};
use crate::server::error::Error;
use crate::server::service::PageRequest;

use super::App;
use super::extract::{AdminCaller, flag, read_json};
use super::render::Fault;

/// The most that a body may have, in bytes.
const MAX_BODY: usize = 8 * 1024 * 1024;
/// How many clients are read from the store at once.
const PAGE: usize = 1000;
/// How many pages wait for a slow reader.
const PAGES_AHEAD: usize = 1;

pub(super) async fn import_clients(
    State(app): State<App>,
    caller: AdminCaller,
    request: Request,
) -> Result<Response, Fault> {
    let dry_run = flag(request.uri(), "dry_run").map_err(caller.fault(&app))?;
    let clients: BulkClients = read_json(request, &app, MAX_BODY).await?;
    let items = app.service.import_clients(clients, dry_run, &caller.0).await.map_err(caller.fault(&app))?;
    Ok(([(CACHE_CONTROL, "no-store")], Answer(BulkResults { items })).into_response())
}

/// All clients, one a line, as they are shown. Where the store fails on the way the answer breaks off, so that nobody
/// takes it for whole.
pub(super) async fn export_clients(State(app): State<App>, caller: AdminCaller) -> Result<Response, Fault> {
    let mut page = PageRequest { limit: Some(PAGE), cursor: None };
    let mut next = lines(&app, &mut page).await.map_err(caller.fault(&app))?;
    let (mut sender, body) = Channel::<Bytes, BrokenOff>::new(PAGES_AHEAD);
    tokio::spawn(async move {
        loop {
            // A reader that has gone needs no more.
            if sender.send_data(next).await.is_err() || page.cursor.is_none() {
                return;
            }
            next = match lines(&app, &mut page).await {
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
async fn lines(app: &App, page: &mut PageRequest) -> Result<Bytes, Error> {
    let clients = app.service.list_clients(page).await?;
    let mut text = Vec::new();
    for client in &clients.items {
        serde_json::to_writer(&mut text, client).map_err(|error| Error::Internal(error.to_string()))?;
        text.push(b'\n');
    }
    page.cursor = clients.next_cursor;
    Ok(text.into())
}
