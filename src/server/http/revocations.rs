//! `GET /oauth/revocations`: the feed of what is revoked.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};

use crate::oauth::feed::{JWKS_ETAG, MAX_WAIT, RevocationFeed};
use crate::oauth::form;
use crate::server::error::Error;

use super::App;
use super::client_form::{NO_STORE, source_of};
use super::openapi::AtTheFeed;
use super::render::oauth_error;

/// What was revoked since a cursor; held back until there is news, where that is asked for
#[utoipa::path(
    get, path = "/oauth/revocations",
    params(
        ("since" = Option<String>, Query, description = "The cursor of the answer before"),
        ("wait" = Option<u64>, Query, maximum = 60, description = "How long to hold the answer back, in seconds"),
    ),
    responses((status = 200, description = "What was revoked", body = RevocationFeed), AtTheFeed),
)]
pub(super) async fn follow(State(app): State<App>, request: Request) -> Response {
    let asked = source_of(&app, &request).and_then(|source| Ok((source, read(request.uri().query())?)));
    let (source, (since, wait)) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            let request_id = app.service.request_id();
            app.service.note_refusal_of(&request_id, &error, None, None);
            return oauth_error(&error, request_id);
        }
    };
    let answer = app.service.revocation_feed(since.as_deref(), wait, source.ip).await;
    let mut response = (NO_STORE, [(CONTENT_TYPE, "application/json")], answer.body).into_response();
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(answer.jwks_etag) {
        headers.insert(HeaderName::from_static(JWKS_ETAG), etag);
    }
    if answer.crowded {
        // Else those who find no place would hold the connections that they are to leave to others.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn read(query: Option<&str>) -> Result<(Option<String>, Duration), Error> {
    let malformed = |detail: &str| Error::Malformed(detail.to_owned());
    let pairs = form::decode_pairs(query.unwrap_or_default().as_bytes())
        .ok_or_else(|| malformed("the query is not form-encoded UTF-8"))?;
    let (mut since, mut wait) = (None, None);
    for (name, value) in pairs {
        let repeated = match name.as_str() {
            "since" => since.replace(value).is_some(),
            "wait" => wait.replace(value).is_some(),
            _ => false,
        };
        if repeated {
            return Err(Error::Malformed(format!("the parameter {name} was sent more than once")));
        }
    }
    let seconds = match wait.as_deref() {
        None | Some("") => 0,
        Some(text) => text
            .parse()
            .ok()
            // Digits alone: a sign can be parsed, too.
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|seconds| *seconds <= MAX_WAIT)
            .ok_or_else(|| Error::Malformed(format!("wait has to be whole seconds, from 0 to {MAX_WAIT}")))?,
    };
    Ok((since, Duration::from_secs(seconds)))
}
