//! A client's form-encoded request to one of the endpoints under `/oauth/`, and how all of them are answered.

use std::future::Future;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::clock::Stopwatch;
use crate::limit::Whose;
use crate::limit::headers::insert_standing;
use crate::oauth::{basic, form};
use crate::secret::ClientSecret;
use crate::server::error::{AuthFailure, Error};
use crate::server::service::{ClientRefusal, Endpoint, PresentedCredentials, SensitiveToken, TokenRequest};
use crate::source_ip::{Peer, SourceAddress};

use super::App;
use super::extract::read_body;
use super::render::oauth_error;

/// The most that the body may have, in bytes.
pub(super) const MAX_BODY: usize = 16 * 1024;
/// The same where a token is in it, the longest of which is as long as that.
pub(super) const MAX_BODY_WITH_TOKEN: usize = 24 * 1024;

/// What is said under `/oauth/` is kept nowhere (RFC 6749 §5.1).
pub(super) const NO_STORE: [(HeaderName, HeaderValue); 2] =
    [(CACHE_CONTROL, HeaderValue::from_static("no-store")), (PRAGMA, HeaderValue::from_static("no-cache"))];

/// A client's request: who asks, from where, and what.
pub(super) struct ClientForm {
    pub(super) credentials: Option<PresentedCredentials>,
    pub(super) source: SourceAddress,
    pairs: Vec<(String, String)>,
}

/// Reads a client's request, whose body has `most` bytes at most, has it decided, and answers. A failed authentication is answered no sooner than the delay
/// after it arrived.
pub(super) async fn answer<F, Fut>(app: &App, endpoint: Endpoint, request: Request, most: usize, decide: F) -> Response
where
    F: FnOnce(ClientForm) -> Fut,
    Fut: Future<Output = Result<Response, ClientRefusal>>,
{
    let source = source_of(app, &request);
    let (parts, body) = request.into_parts();
    let read = match source.clone() {
        Ok(source) => ClientForm::read(&parts, body, most, source).await,
        Err(error) => Err(error),
    };
    // Counted from where the whole request has arrived: else a caller could spend the delay on sending it.
    let arrived = Stopwatch::start();
    let decided = match read {
        Ok(form) => decide(form).await,
        Err(error) => Err(error.into()),
    };
    let ClientRefusal { mut error, client_id, standing } = match decided {
        Ok(response) => return response,
        Err(refusal) => refusal,
    };
    let request_id = app.service.request_id();
    app.service.metrics().oauth_request_refused(endpoint, &error);
    app.service.note_refusal_of(&request_id, &error, client_id.as_ref(), source.ok().map(|source| source.ip));
    let failed = match &error {
        Error::Unauthenticated(_) | Error::BadSubjectToken(_) => true,
        Error::RateLimited(exceeded) => exceeded.whose == Whose::Address,
        _ => false,
    };
    if failed {
        app.service.hold_failure(arrived).await;
        error = held(error, arrived);
    }
    let mut response = oauth_error(&error, request_id);
    if let Some(standing) = standing {
        insert_standing(response.headers_mut(), &standing);
    }
    response
}

/// The same, of whose `Retry-After` some time has passed since it arrived.
fn held(error: Error, arrived: Stopwatch) -> Error {
    match error {
        Error::RateLimited(exceeded) => Error::RateLimited(exceeded.after(arrived.elapsed())),
        other => other,
    }
}

/// Anything but POST.
pub(super) async fn only_post(State(app): State<App>) -> Response {
    let mut response = oauth_error(&Error::MethodNotAllowed, app.service.request_id());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// Where a request came from.
pub(super) fn source_of(app: &App, request: &Request) -> Result<SourceAddress, Error> {
    let peer = request.extensions().get::<Peer>().ok_or_else(|| Error::Internal("the peer is unknown".to_owned()))?;
    app.sources.decide(peer.0, request.headers()).map_err(|error| Error::Malformed(error.to_string()))
}

fn malformed(detail: &str) -> Error {
    Error::Malformed(detail.to_owned())
}

impl ClientForm {
    async fn read(parts: &Parts, body: Body, most: usize, source: SourceAddress) -> Result<Self, Error> {
        refuse_credentials_in_query(&parts.uri)?;
        let body = read_body(body, most).await?;
        if !parts.headers.get(CONTENT_TYPE).is_some_and(form::is_form) {
            return Err(malformed("the Content-Type has to be application/x-www-form-urlencoded"));
        }
        let pairs = form::decode_pairs(&body).ok_or_else(|| malformed("the body is not form-encoded UTF-8"))?;
        let mut form = Self { credentials: None, source, pairs };
        form.credentials = form.credentials(&parts.headers)?;
        Ok(form)
    }

    /// A parameter that is sent once at most. An empty one counts as absent (RFC 6749 §3.2).
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Error> {
        let mut found = None;
        for (_, value) in self.pairs.iter_mut().filter(|(own, value)| own == name && !value.is_empty()) {
            if found.is_some() {
                return Err(Error::Malformed(format!("the parameter {name} was sent more than once")));
            }
            found = Some(std::mem::take(value));
        }
        Ok(found)
    }

    /// The values of parameters that are sent as often as one likes, each value once.
    pub(super) fn take_all(&mut self, names: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for (_, value) in
            self.pairs.iter_mut().filter(|(own, value)| names.contains(&own.as_str()) && !value.is_empty())
        {
            let value = std::mem::take(value);
            if !found.contains(&value) {
                found.push(value);
            }
        }
        found
    }

    /// The request as one about a token. `token_type_hint` is for servers that keep kinds of tokens apart.
    pub(super) fn about_token(mut self) -> Result<TokenRequest, Error> {
        self.take("token_type_hint")?;
        let token = self.take("token")?.map(SensitiveToken);
        Ok(TokenRequest { credentials: self.credentials, token, source: self.source })
    }

    /// The credentials of the header or of the body, never of both (RFC 6749 §2.3).
    fn credentials(&mut self, headers: &HeaderMap) -> Result<Option<PresentedCredentials>, Error> {
        let client_id = self.take("client_id")?;
        let client_secret = self.take("client_secret")?.map(ClientSecret::from);
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
}

/// RFC 6749 §2.3.1: credentials never go into the request URI, and neither do tokens.
fn refuse_credentials_in_query(uri: &Uri) -> Result<(), Error> {
    let names = ["client_id", "client_secret", "client_assertion", "access_token", "token"];
    if uri.query().is_some_and(|query| form::names_any(query.as_bytes(), &names)) {
        return Err(malformed(
            "credentials and tokens go into the Authorization header or the body, never into the query, where logs \
             keep them; take these for leaked",
        ));
    }
    Ok(())
}
