//! `GET /api/v1/store/backup`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::body::Frame;

use crate::server::service::Backup;

use super::App;
use super::openapi::AlreadyUnderWay;
use super::operator::Operator;
use super::render::Fault;

/// A backup: all that the store has at this moment
///
/// An answer that breaks off is no backup: its reader sees so.
#[utoipa::path(
    get, path = "/api/v1/store/backup",
    responses((
        status = 200, description = "What store restore takes", body = String, content_type = "application/octet-stream",
    ), AlreadyUnderWay),
)]
pub(super) async fn backup(State(app): State<App>, caller: Operator) -> Result<Response, Fault> {
    let backup = app.service.backup(&caller.0).await.map_err(caller.fault(&app))?;
    let headers = [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(Pieces(backup))).into_response())
}

struct Pieces(Backup);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = std::task::ready!(self.0.poll_recv(context));
        Poll::Ready(piece.map(|piece| piece.map(|bytes| Frame::data(bytes.into())).map_err(io::Error::other)))
    }
}
