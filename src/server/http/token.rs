//! `POST /oauth/token` (RFC 6749 §3.2, §4.4).

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};

use crate::clock::Stopwatch;
use crate::limit::headers::insert_standing;
use crate::oauth::response::TokenResponse;
use crate::server::error::Error;
use crate::server::service::{Endpoint, IssueRequest, IssuedToken};

use super::App;
use super::client_form::{self, ClientForm, MAX_BODY};
use super::openapi::{AtTheToken, NewToken};

/// Exchanges credentials for a token (RFC 6749 §4.4)
#[utoipa::path(
    post, path = "/oauth/token",
    request_body(content = NewToken, content_type = "application/x-www-form-urlencoded"),
    security((), ("basic" = [])),
    responses((status = 200, description = "A token", body = TokenResponse), AtTheToken),
)]
pub(super) async fn exchange(State(app): State<App>, request: Request) -> Response {
    let stopwatch = Stopwatch::start();
    let response = client_form::answer(&app, Endpoint::Token, request, MAX_BODY, |form| async {
        app.service.issue(read(form)?).await.map(token_response)
    })
    .await;
    app.service.metrics().token_request_took(stopwatch.elapsed());
    response
}

fn read(mut form: ClientForm) -> Result<IssueRequest, Error> {
    let grant_type = form.take("grant_type")?;
    let scope = form.take("scope")?;
    Ok(IssueRequest {
        grant_type: grant_type
            .ok_or_else(|| Error::Malformed("grant_type is missing; send client_credentials".to_owned()))?,
        scope,
        resources: form.take_all(&["resource", "audience"]),
        credentials: form.credentials,
        source: form.source,
    })
}

fn token_response(issued: IssuedToken) -> Response {
    // A `TokenResponse`, written out: neither a compact JWS nor scopes (RFC 6749 §3.3) have anything that JSON escapes,
    // and looking each byte over for it would be the dearest part of the answer.
    let IssuedToken { token, scopes, expires_in, refresh_in, standing, granted: _ } = issued;
    let mut body = String::with_capacity(token.len() + scopes.len() + 160);
    body.push_str("{\"access_token\":\"");
    body.push_str(&token);
    body.push_str("\",\"token_type\":\"Bearer\",\"expires_in\":");
    body.push_str(&expires_in.to_string());
    if !scopes.is_empty() {
        body.push_str(",\"scope\":\"");
        body.push_str(&scopes);
        body.push('"');
    }
    body.push_str(",\"refresh_in\":");
    body.push_str(&refresh_in.to_string());
    body.push('}');
    let mut response = Response::new(axum::body::Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if let Some(standing) = standing {
        insert_standing(headers, &standing);
    }
    response
}
