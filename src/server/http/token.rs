//! `POST /oauth/token` (RFC 6749 §3.2, §4.4).

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};

use crate::clock::Deadline;
use crate::oauth::{basic, form};
use crate::secret::ClientSecret;
use crate::server::error::{AuthFailure, Error};
use crate::server::service::{IssueRequest, IssuedToken, PresentedCredentials};
use crate::source_ip::{Peer, SourceAddress};

use super::App;
use super::extract::{is_form, read_body};
use super::render::oauth_error;

/// The most that the body may have, in bytes.
pub(super) const MAX_BODY: usize = 16 * 1024;

/// Exchanges credentials for a token.
pub(super) async fn exchange(State(app): State<App>, request: Request) -> Response {
    let source = source_of(&app, &request);
    let (parts, body) = request.into_parts();
    let read = match source.clone() {
        Ok(source) => read(&parts, body, source).await,
        Err(error) => Err(error),
    };
    // Counted from where the whole request has arrived: else a caller could spend the delay on sending it.
    let earliest_refusal = Deadline::after(app.failed_auth_delay);
    let issued = match read {
        Ok(request) => app.service.issue(request).await,
        Err(error) => Err(error),
    };
    let error = match issued {
        Ok(issued) => return token_response(issued),
        Err(error) => error,
    };
    let request_id = app.service.note_refusal(&error, source.ok());
    if matches!(error, Error::Unauthenticated(_)) {
        earliest_refusal.reached().await;
    }
    oauth_error(&error, request_id)
}

/// Anything but POST.
pub(super) async fn method_not_allowed(State(app): State<App>) -> Response {
    let mut response = oauth_error(&Error::MethodNotAllowed, app.service.request_id());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

fn token_response(issued: IssuedToken) -> Response {
    // A `TokenResponse`, written out: neither a compact JWS nor scopes (RFC 6749 §3.3) have anything that JSON escapes,
    // and looking each byte over for it would be the dearest part of the answer.
    let IssuedToken { token, scopes, expires_in, refresh_in } = issued;
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
    response
}

fn source_of(app: &App, request: &Request) -> Result<SourceAddress, Error> {
    let peer = request.extensions().get::<Peer>().ok_or_else(|| Error::Internal("the peer is unknown".to_owned()))?;
    app.sources.decide(peer.0, request.headers()).map_err(|error| Error::Malformed(error.to_string()))
}

async fn read(parts: &Parts, body: axum::body::Body, source: SourceAddress) -> Result<IssueRequest, Error> {
    let malformed = |detail: &str| Error::Malformed(detail.to_owned());
    refuse_credentials_in_query(&parts.uri)?;
    let body = read_body(body, MAX_BODY).await?;
    if !is_form(&parts.headers) {
        return Err(malformed("the Content-Type has to be application/x-www-form-urlencoded"));
    }
    let pairs = form::decode_pairs(&body).ok_or_else(|| malformed("the body is not form-encoded UTF-8"))?;
    let fields = Fields::read(pairs)?;
    let credentials = credentials(&parts.headers, fields.client_id, fields.client_secret)?;
    Ok(IssueRequest {
        credentials,
        grant_type: fields.grant_type.ok_or_else(|| malformed("grant_type is missing; send client_credentials"))?,
        scope: fields.scope,
        resources: fields.resources,
        source,
    })
}

/// RFC 6749 §2.3.1: credentials never go into the request URI.
fn refuse_credentials_in_query(uri: &Uri) -> Result<(), Error> {
    let names = ["client_id", "client_secret", "client_assertion", "access_token"];
    if uri.query().is_some_and(|query| form::names_any(query.as_bytes(), &names)) {
        return Err(Error::Malformed(
            "credentials go into the Authorization header or the body, never into the query, where logs keep them; \
             take these for leaked"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The parameters that are known here. An empty one counts as absent (RFC 6749 §3.2).
#[derive(Default)]
struct Fields {
    grant_type: Option<String>,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<ClientSecret>,
    resources: Vec<String>,
}

impl Fields {
    fn read(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        let mut fields = Self::default();
        for (name, value) in pairs {
            if value.is_empty() {
                continue;
            }
            let repeated = match name.as_str() {
                "grant_type" => fields.grant_type.replace(value).is_some(),
                "scope" => fields.scope.replace(value).is_some(),
                "client_id" => fields.client_id.replace(value).is_some(),
                "client_secret" => fields.client_secret.replace(value.into()).is_some(),
                "resource" | "audience" => {
                    if !fields.resources.contains(&value) {
                        fields.resources.push(value);
                    }
                    false
                }
                _ => false,
            };
            if repeated {
                return Err(Error::Malformed(format!("the parameter {name} was sent more than once")));
            }
        }
        Ok(fields)
    }
}

/// The credentials of the header or of the body, never of both (RFC 6749 §2.3).
fn credentials(
    headers: &HeaderMap,
    client_id: Option<String>,
    client_secret: Option<ClientSecret>,
) -> Result<Option<PresentedCredentials>, Error> {
    let malformed = |detail: &str| Error::Malformed(detail.to_owned());
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let Some(line) = lines.next() else {
        return Ok(match (client_id, client_secret) {
            (Some(client_id), Some(client_secret)) => Some(PresentedCredentials { client_id, client_secret }),
            _ => None,
        });
    };
    if lines.next().is_some() {
        return Err(malformed("there are two Authorization headers; send one"));
    }
    if client_secret.is_some() {
        return Err(malformed("the client authenticates in the header and in the body; do one of the two"));
    }
    let text = line.to_str().map_err(|_| malformed("the Authorization header is not ASCII"))?;
    let (scheme, parameter) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Error::Unauthenticated(AuthFailure::NO_CREDENTIALS));
    }
    let (id, secret) = basic::decode(parameter).map_err(|error| Error::Malformed(error.to_string()))?;
    if client_id.is_some_and(|in_body| in_body != id) {
        return Err(malformed("client_id in the body is not that of the Authorization header"));
    }
    Ok(Some(PresentedCredentials { client_id: id, client_secret: secret }))
}
