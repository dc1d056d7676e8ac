//! Requests that are carried out once: `Idempotency-Key` on every POST of an operator.
//!
//! The receipt is written in the transaction of the change itself, so that there is never one without the other; what was
//! answered is added behind it. Requests with one key wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::server::error::Error;
use crate::server::model::{Actor, Receipt, ReplayedAnswer};
use crate::server::service::{Authority, Caller, receipt_name};

use super::App;
use super::extract::{MAX_JSON, MaxJson, read_body};
use super::operator::Operator;
use super::render::Fault;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says of an answer that it is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
const MAX_KEY: usize = 255;
/// The longest answer that is kept; of a longer one it is known that it was given.
const MAX_KEPT: usize = 256 * 1024;

/// The requests that are being carried out, by the names of their receipts.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl UnderWay {
    fn turn(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(name.to_owned()).or_default())
    }

    fn over(&self, name: &str, turn: Arc<tokio::sync::Mutex<()>>) {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Given back while nobody can take another one: what is left then is the map's own, or others wait.
        drop(turn);
        if turns.get(name).is_some_and(|left| Arc::strong_count(left) == 1) {
            turns.remove(name);
        }
    }
}

/// Carries a request out once.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    match carry_out(&app, request, next).await {
        Ok(response) => response,
        Err(fault) => fault.into_response(),
    }
}

async fn carry_out(app: &App, request: Request, next: Next) -> Result<Response, Fault> {
    let Some(key) = key(&request).map_err(|error| Fault::new(app, error))? else { return Ok(next.run(request).await) };
    let (mut parts, body) = request.into_parts();
    let operator = Operator::from_request_parts(&mut parts, app).await?;
    let most = parts.extensions.get::<MaxJson>().map_or(MAX_JSON, |most| most.0);
    let body = read_body(body, most).await.map_err(operator.fault(app))?;
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let name = receipt_name(&principal(&operator.0), &format!("POST {path}"), &key);
    let turn = app.under_way.turn(&name);
    let answer = {
        let _mine = turn.lock().await;
        in_turn(app, &operator, &name, next, (parts, body)).await
    };
    app.under_way.over(&name, turn);
    answer.map_err(operator.fault(app))
}

/// Carries the request out, unless it was: nobody else does meanwhile.
async fn in_turn(
    app: &App,
    operator: &Operator,
    name: &str,
    next: Next,
    (mut parts, body): (Parts, Bytes),
) -> Result<Response, Error> {
    if let Some(answer) = app.service.replay(name, &body, &operator.0).await? {
        return Ok(replayed(answer));
    }
    let receipt = app.service.receipt(name, &body).await?;
    let mut first = operator.clone();
    first.0.origin.receipt = Some(receipt.clone());
    parts.extensions.insert(first);
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    noted(app, &receipt, response).await
}

/// The key, if one is sent.
fn key(request: &Request) -> Result<Option<String>, Error> {
    let mut lines = request.headers().get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let good = lines.next().is_none()
        && (1..=MAX_KEY).contains(&line.len())
        && line.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte));
    let text = line.to_str().ok().filter(|_| good);
    text.map(|text| Some(text.to_owned())).ok_or_else(|| {
        Error::Malformed(format!("Idempotency-Key has to be one line of 1 to {MAX_KEY} printable ASCII characters"))
    })
}

/// Who asks, as far as receipts are concerned: a key is each principal's own, and no other client's who gets the id later.
fn principal(caller: &Caller) -> String {
    if let Authority::Client { client, .. } = &caller.authority {
        return format!("client {} of {}", client.client_id, client.created_at);
    }
    match &caller.origin.actor {
        Actor::Admin { uid } => format!("uid {}", uid.map_or_else(|| "?".to_owned(), |uid| uid.to_string())),
        Actor::Client { client_id } => format!("client {client_id}"),
        Actor::System => "system".to_owned(),
    }
}

/// Notes what the request was answered, if it was carried out. The first answer alone has the secret.
async fn noted(app: &App, receipt: &Receipt, response: Response) -> Result<Response, Error> {
    if !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body =
        axum::body::to_bytes(body, usize::MAX).await.map_err(|_| Error::Internal("an answer broke off".to_owned()))?;
    let mut value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    omit_secrets(&mut value);
    if value.to_string().len() > MAX_KEPT {
        value = json!({ "answer_omitted": true });
    }
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (tag, location) = (header(ETAG), header(LOCATION));
    let answer = ReplayedAnswer { status: parts.status.as_u16(), tag, location, body: value };
    app.service.note_answer(receipt, answer).await;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Takes out what is shown once, wherever it stands.
fn omit_secrets(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let shown = ["client_secret", "api_key", "private_key"].map(|name| members.remove(name).is_some());
            if shown.contains(&true) {
                members.insert("secret_omitted".to_owned(), Value::Bool(true));
            }
            members.values_mut().for_each(omit_secrets);
        }
        Value::Array(items) => items.iter_mut().for_each(omit_secrets),
        _ => {}
    }
}

fn replayed(answer: ReplayedAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let body = if answer.body.is_null() { Body::empty() } else { Body::from(answer.body.to_string()) };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    for (name, value) in [(ETAG, answer.tag), (LOCATION, answer.location)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}
