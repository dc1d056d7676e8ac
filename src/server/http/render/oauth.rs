//! Errors of the token endpoint (RFC 6749 §5.2).

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::id::RequestId;
use crate::limit::headers;
use crate::oauth::challenge;
use crate::oauth::response::ErrorResponse;
use crate::server::error::Error;

/// The answer of the token endpoint to `error`.
pub(crate) fn oauth_error(error: &Error, request_id: RequestId) -> Response {
    let reason = error.reason();
    let members = match error {
        Error::RateLimited(exceeded) => exceeded.members(),
        Error::QuotaExceeded(exceeded) => exceeded.members(),
        Error::InsufficientBalance(short) => short.members(),
        _ => Vec::new(),
    };
    let body = ErrorResponse::new(reason, &error.detail(), request_id).with_members(members);
    let mut response = (reason.status(), axum::Json(body)).into_response();
    let answered = response.headers_mut();
    answered.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answered.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answered.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    match error {
        Error::Unauthenticated(_) => {
            if let Ok(value) = HeaderValue::try_from(challenge::basic()) {
                answered.insert(WWW_AUTHENTICATE, value);
            }
        }
        Error::Unavailable(_) => {
            answered.insert(RETRY_AFTER, HeaderValue::from_static(super::RETRY_AFTER));
        }
        Error::RateLimited(exceeded) => headers::insert_exceeded(answered, exceeded),
        Error::Malformed(_)
        | Error::UnsupportedGrantType
        | Error::InvalidScope(_)
        | Error::InvalidTarget(_)
        | Error::QuotaExceeded(_)
        | Error::InsufficientBalance(_)
        | Error::PolicyViolated { .. }
        | Error::BadSubjectToken(_)
        | Error::NotTheirToken
        | Error::TooManyRevoked { .. }
        | Error::AddressNotAllowed(_)
        | Error::ScopeLost(_)
        | Error::BeyondCaller { .. }
        | Error::Stale
        | Error::KeyReused
        | Error::InvalidFields(_)
        | Error::NotFound { .. }
        | Error::Conflict(_)
        | Error::MethodNotAllowed
        | Error::BodyTooLarge { .. }
        | Error::HeadTooLarge
        | Error::Timeout
        | Error::Internal(_) => {}
    }
    response
}
