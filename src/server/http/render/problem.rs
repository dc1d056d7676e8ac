//! Errors everywhere else (RFC 9457), with the challenge of RFC 6750 where a token lacks something.

use std::net::IpAddr;

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;

use crate::id::{ClientId, RequestId};
use crate::limit::headers::insert_exceeded;
use crate::oauth::challenge;
use crate::problem::{MEDIA_TYPE, Problem};
use crate::scope::ScopeSet;
use crate::server::error::Error;
use crate::server::http::App;

/// A domain error on its way out of a handler, with the name of the request it happened in.
#[derive(Debug)]
pub(crate) struct Fault {
    error: Error,
    request_id: RequestId,
    app: App,
    /// What is kept instead of words that may repeat what was sent, and are for its sender alone.
    kept: Option<&'static str>,
    /// Whose request it is, as far as that is known, and where it came from.
    caller: (Option<ClientId>, Option<IpAddr>),
}

impl Fault {
    /// `error`, in a request that has no name yet.
    pub(crate) fn new(app: &App, error: Error) -> Self {
        Self::named(app, error, app.service.request_id())
    }

    /// `error`, in the request of this name.
    pub(crate) fn named(app: &App, error: Error, request_id: RequestId) -> Self {
        Self { error, request_id, app: app.clone(), kept: None, caller: (None, None) }
    }

    /// The same, in a request of this client, from there.
    pub(crate) fn of(self, client: Option<ClientId>, source: Option<IpAddr>) -> Self {
        Self { caller: (client, source), ..self }
    }

    /// The same, whose words may repeat what was sent: nobody but its sender sees them. `kept` goes into the log.
    pub(crate) fn repeating(self, kept: &'static str) -> Self {
        Self { kept: Some(kept), ..self }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (client, source) = (self.caller.0.as_ref(), self.caller.1);
        if let Some(kept) = self.kept {
            let kept = Error::Malformed(kept.to_owned());
            self.app.service.note_refusal_of(&self.request_id, &kept, client, source);
        } else {
            self.app.service.note_refusal_of(&self.request_id, &self.error, client, source);
        }
        problem_response(&self.error, self.request_id, &self.app.errors_base)
    }
}

/// The answer of a route of ours to `error`.
pub(crate) fn problem_response(error: &Error, request_id: RequestId, errors_base: &str) -> Response {
    let reason = error.reason();
    let mut problem = Problem::new(reason, error.detail(), request_id, errors_base);
    let (mut header, mut limited) = (None, None);
    match error {
        Error::InvalidFields(errors) => problem = problem.with("errors", json!(errors)),
        Error::AddressNotAllowed(source) => {
            problem = problem
                .with("source_address", source.ip.to_string())
                .with("source_address_from", source.from.to_string())
                .with("allowlist", "client");
        }
        Error::ScopeLost(scope) => {
            problem = problem.with("scope", scope.as_str());
            let needed: ScopeSet = [scope.clone()].into_iter().collect();
            header = HeaderValue::try_from(challenge::bearer_insufficient_scope(&needed))
                .ok()
                .map(|value| (WWW_AUTHENTICATE, value));
        }
        Error::Unauthenticated(_) => {
            header = HeaderValue::try_from(challenge::basic()).ok().map(|value| (WWW_AUTHENTICATE, value));
        }
        Error::Unavailable(_) => header = Some((RETRY_AFTER, HeaderValue::from_static(super::RETRY_AFTER))),
        Error::BeyondCaller { lacking, .. } => {
            let lacking: Vec<_> = lacking
                .iter()
                .map(|(scope, level)| json!({ "scope": scope.as_str(), "level": level.as_str() }))
                .collect();
            problem = problem.with("lacking", json!(lacking));
        }
        Error::RateLimited(exceeded) => {
            problem = problem.with_members(exceeded.members());
            limited = Some(exceeded);
        }
        Error::QuotaExceeded(exceeded) => problem = problem.with_members(exceeded.members()),
        Error::InsufficientBalance(short) => problem = problem.with_members(short.members()),
        Error::PolicyViolated { policy, .. } => problem = problem.with("policy", *policy),
        Error::Malformed(_)
        | Error::Stale
        | Error::KeyReused
        | Error::UnsupportedGrantType
        | Error::InvalidScope(_)
        | Error::InvalidTarget(_)
        | Error::BadSubjectToken(_)
        | Error::NotTheirToken
        | Error::TooManyRevoked { .. }
        | Error::NotFound { .. }
        | Error::Conflict(_)
        | Error::MethodNotAllowed
        | Error::BodyTooLarge { .. }
        | Error::HeadTooLarge
        | Error::Timeout
        | Error::Internal(_) => {}
    }
    let mut response = (reason.status(), problem.to_json()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(header);
    if let Some(exceeded) = limited {
        insert_exceeded(headers, exceeded);
    }
    response
}
