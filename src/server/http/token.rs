//! `POST /oauth/token` (RFC 6749 §3.2, §4.4, and RFC 8693).

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};

use crate::clock::Stopwatch;
use crate::limit::headers::insert_standing;
use crate::oauth::metadata::{ACCESS_TOKEN_TYPE, API_KEY_TYPE, TOKEN_EXCHANGE};
use crate::oauth::response::TokenResponse;
use crate::server::error::Error;
use crate::server::service::{Endpoint, ExchangeRequest, IssueRequest, IssuedToken, SensitiveToken};

use super::App;
use super::client_form::{self, ClientForm, MAX_BODY};
use super::openapi::{AtTheToken, NewToken};

/// Exchanges credentials for a token (RFC 6749 §4.4), or an API key (RFC 8693)
#[utoipa::path(
    post, path = "/oauth/token",
    request_body(content = NewToken, content_type = "application/x-www-form-urlencoded"),
    security((), ("basic" = [])),
    responses((status = 200, description = "A token", body = TokenResponse), AtTheToken),
)]
pub(super) async fn exchange(State(app): State<App>, request: Request) -> Response {
    let stopwatch = Stopwatch::start();
    let response = client_form::answer(&app, Endpoint::Token, request, MAX_BODY, |form| async {
        match read(form)? {
            Asked::Token(request) => app.service.issue(request).await.map(|issued| token_response(issued, false)),
            Asked::Exchange(request) => app.service.exchange(request).await.map(|issued| token_response(issued, true)),
        }
    })
    .await;
    app.service.metrics().token_request_took(stopwatch.elapsed());
    response
}

/// What is asked for, by its grant type.
enum Asked {
    Token(IssueRequest),
    Exchange(ExchangeRequest),
}

fn read(mut form: ClientForm) -> Result<Asked, Error> {
    let grant_type = form.take("grant_type")?;
    let scope = form.take("scope")?;
    let grant_type =
        grant_type.ok_or_else(|| Error::Malformed("grant_type is missing; send client_credentials".to_owned()))?;
    let resources = form.take_all(&["resource", "audience"]);
    if grant_type == TOKEN_EXCHANGE {
        return read_exchange(form, scope, resources).map(Asked::Exchange);
    }
    let (credentials, source) = (form.credentials, form.source);
    Ok(Asked::Token(IssueRequest { grant_type, scope, resources, credentials, source }))
}

/// A token exchange (RFC 8693 §2.1). The key is all that proves who asks: of credentials besides it would not be clear
/// whose token it is to be.
fn read_exchange(
    mut form: ClientForm,
    scope: Option<String>,
    resources: Vec<String>,
) -> Result<ExchangeRequest, Error> {
    let malformed = |detail: &str| Err(Error::Malformed(detail.to_owned()));
    let subject_token = form.take("subject_token")?.map(SensitiveToken);
    let subject_token_type = form.take("subject_token_type")?;
    let requested_token_type = form.take("requested_token_type")?;
    if form.credentials.is_some() {
        return malformed("a token exchange takes no client credentials: the subject_token says who asks");
    }
    if form.take("actor_token")?.is_some() {
        return malformed("nobody can act for another here: leave actor_token out");
    }
    if form.take("actor_token_type")?.is_some() {
        return malformed("there is no actor_token, so leave actor_token_type out (RFC 8693, 2.1)");
    }
    let Some(subject_token) = subject_token else { return malformed("subject_token is missing; send the API key") };
    if !matches!(subject_token_type.as_deref(), Some(ACCESS_TOKEN_TYPE | API_KEY_TYPE)) {
        return Err(Error::Malformed(format!("subject_token_type has to be {API_KEY_TYPE} or {ACCESS_TOKEN_TYPE}")));
    }
    if !matches!(requested_token_type.as_deref(), None | Some(ACCESS_TOKEN_TYPE)) {
        return Err(Error::Malformed(format!("requested_token_type can be {ACCESS_TOKEN_TYPE}, and nothing else")));
    }
    Ok(ExchangeRequest { subject_token, scope, resources, source: form.source })
}

fn token_response(issued: IssuedToken, exchanged: bool) -> Response {
    // A `TokenResponse`, written out: neither a compact JWS nor scopes (RFC 6749 §3.3) have anything that JSON escapes,
    // and looking each byte over for it would be the dearest part of the answer.
    let IssuedToken { token, scopes, expires_in, refresh_in, standing, granted: _ } = issued;
    let mut body = String::with_capacity(token.len() + scopes.len() + 240);
    body.push_str("{\"access_token\":\"");
    body.push_str(&token);
    body.push_str("\",\"token_type\":\"Bearer\",\"expires_in\":");
    body.push_str(&expires_in.to_string());
    if !scopes.is_empty() {
        body.push_str(",\"scope\":\"");
        body.push_str(&scopes);
        body.push('"');
    }
    if exchanged {
        body.push_str(",\"issued_token_type\":\"");
        body.push_str(ACCESS_TOKEN_TYPE);
        body.push('"');
    }
    body.push_str(",\"refresh_in\":");
    body.push_str(&refresh_in.to_string());
    body.push('}');
    let mut response = Response::new(axum::body::Body::from(body));
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if let Some(standing) = standing {
        insert_standing(headers, &standing);
    }
    response
}
