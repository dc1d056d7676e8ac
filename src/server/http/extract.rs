//! What handlers take out of requests.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use crate::server::error::Error;

use super::App;
use super::render::Fault;

/// A body that does not arrive within this time is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a body that is too large is still read: a connection that is closed with unread bytes loses the answer.
const DRAINED: usize = 1024 * 1024;
/// The most that a JSON body may have, in bytes.
pub(super) const MAX_JSON: usize = 256 * 1024;

/// The most that the JSON body of a route may have, in bytes, where it is not [`MAX_JSON`].
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxJson(pub(super) usize);

/// The whole body, if it has at most `limit` bytes and arrives in time.
pub(super) async fn read_body(body: Body, limit: usize) -> Result<Bytes, Error> {
    let mut read = pin!(collect(body, limit));
    // What has come along with the head needs no timer.
    if let Poll::Ready(body) = poll_fn(|context| Poll::Ready(read.as_mut().poll(context))).await {
        return body;
    }
    tokio::time::timeout(BODY_TIMEOUT, read).await.unwrap_or(Err(Error::Timeout))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Error> {
    let mut read = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::Malformed("the body broke off".to_owned()))?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        if length <= limit && body.is_end_stream() && read.is_empty() {
            // All of it at once: nothing to put together.
            return Ok(data.clone());
        }
        if length <= limit {
            read.extend_from_slice(data);
        } else if length > limit + DRAINED {
            break;
        }
    }
    if length > limit { Err(Error::BodyTooLarge { limit }) } else { Ok(read.freeze()) }
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &App) -> Result<Self, Fault> {
        let most = request.extensions().get::<MaxJson>().map_or(MAX_JSON, |most| most.0);
        read_json(request, app, most).await.map(Self)
    }
}

/// A JSON body of at most `limit` bytes.
async fn read_json<T: DeserializeOwned>(request: Request, app: &App, limit: usize) -> Result<T, Fault> {
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = matches!(media.as_str(), "application/json" | "application/merge-patch+json");
    let body = read_body(request.into_body(), limit).await.map_err(|error| Fault::new(app, error))?;
    if !is_json {
        let detail = "the Content-Type has to be application/json".to_owned();
        return Err(Fault::new(app, Error::Malformed(detail)));
    }
    // serde takes an array for a struct, member by member: nobody means that.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Fault::new(app, Error::Malformed("the body has to be a JSON object".to_owned())));
    }
    // serde_json names members and types, and may repeat a value that was sent: its sender sees it, nobody else.
    serde_json::from_slice(&body).map_err(|error| {
        Fault::new(app, Error::Malformed(format!("the body is not what it should be: {error}")))
            .repeating("the body cannot be read; its sender was told where")
    })
}

/// The one named segment of the path.
#[derive(Debug)]
pub(super) struct Segment(pub(super) String);

impl FromRequestParts<App> for Segment {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        axum::extract::Path::<String>::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Path(segment)| Self(segment))
            .map_err(|_| Fault::new(app, Error::Malformed("the path is not percent-encoded UTF-8".to_owned())))
    }
}

/// The two named segments of the path.
#[derive(Debug)]
pub(super) struct Segments(pub(super) String, pub(super) String);

impl FromRequestParts<App> for Segments {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        axum::extract::Path::<(String, String)>::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Path((first, second))| Self(first, second))
            .map_err(|_| Fault::new(app, Error::Malformed("the path is not percent-encoded UTF-8".to_owned())))
    }
}
