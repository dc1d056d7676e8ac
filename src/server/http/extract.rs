//! What handlers take out of requests.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::Uri;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use crate::id::RequestId;
use crate::server::error::Error;
use crate::server::model::{Actor, Origin};
use crate::server::service::{Caller, PageRequest};

use super::App;
use super::admin_socket::PeerUser;
use super::render::Fault;

/// A body that does not arrive within this time is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a body that is too large is still read: a connection that is closed with unread bytes loses the answer.
const DRAINED: usize = 1024 * 1024;
/// The most that a JSON body may have, in bytes.
const MAX_JSON: usize = 256 * 1024;

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

/// Runs a request to its end although its caller may hang up: a change that the store has made has to reach what is
/// kept at hand, too.
pub(super) async fn run_to_end(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        // It panicked; the connection is all that is lost.
        Err(_) => http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &App) -> Result<Self, Fault> {
        read_json(request, app, MAX_JSON).await.map(Self)
    }
}

/// A JSON body of at most `limit` bytes.
pub(super) async fn read_json<T: DeserializeOwned>(request: Request, app: &App, limit: usize) -> Result<T, Fault> {
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = matches!(media.as_str(), "application/json" | "application/merge-patch+json");
    let body = read_body(request.into_body(), limit).await.map_err(|error| Fault::new(app, error))?;
    if !is_json {
        let detail = "the Content-Type has to be application/json".to_owned();
        return Err(Fault::new(app, Error::Malformed(detail)));
    }
    // serde_json names members and types, and may repeat a value that was sent: its sender sees it, nobody else.
    serde_json::from_slice(&body).map_err(|error| {
        Fault::new(app, Error::Malformed(format!("the body is not what it should be: {error}"))).repeating()
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

/// The one query parameter that a route has, `name`: `true`, or `false` as when it is left out. What it decides is not
/// to be missed for a slip of the pen, so anything else is refused.
pub(super) fn flag(uri: &Uri, name: &str) -> Result<bool, Error> {
    let mut flag = None;
    for (key, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let value = match &*value {
            _ if key != name => return Err(Error::field(&key, format!("this route knows only {name}"))),
            "true" => true,
            "false" => false,
            _ => return Err(Error::field(name, "it has to be true or false")),
        };
        if flag.replace(value).is_some() {
            return Err(Error::field(name, "it is sent more than once"));
        }
    }
    Ok(flag.unwrap_or(false))
}

/// `limit` and `cursor`.
#[derive(Debug)]
pub(super) struct Page(pub(super) PageRequest);

impl FromRequestParts<App> for Page {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(page)| Self(page)).map_err(|_| {
            Fault::new(app, Error::field("limit", "it has to be a number, and limit and cursor are sent once at most"))
        })
    }
}

/// Who calls over the admin socket.
#[derive(Debug)]
pub(super) struct AdminCaller(pub(super) Caller);

impl FromRequestParts<App> for AdminCaller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let uid = parts.extensions.get::<PeerUser>().and_then(|peer| peer.0);
        let origin = Origin { actor: Actor::Admin { uid }, request_id: Some(app.service.request_id()), source: None };
        Ok(Self(Caller { origin }))
    }
}

impl AdminCaller {
    /// A fault in this caller's request.
    pub(super) fn fault(&self, app: &App) -> impl FnOnce(Error) -> Fault {
        let (app, request_id): (App, Option<RequestId>) = (app.clone(), self.0.origin.request_id.clone());
        move |error| match request_id {
            Some(request_id) => Fault::named(&app, error, request_id),
            None => Fault::new(&app, error),
        }
    }
}
