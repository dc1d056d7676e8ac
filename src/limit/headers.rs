//! How a credential stands, in headers: `X-RateLimit-Limit`, `-Remaining`, `-Reset`, which clients know, and `RateLimit`
//! and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10.

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Exceeded, Standing};

/// How many requests the limit that binds lets through at a stretch.
pub const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// How many of them are left.
pub const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// When it is whole again, in Unix seconds.
pub const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// What the limits are.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How the credential stands with the one that binds.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Says how a credential stands.
pub fn insert_standing(headers: &mut HeaderMap, standing: &Standing) {
    let Standing { limit, quota, remaining, window, reset_after, reset_at } = *standing;
    headers.insert(LIMIT, HeaderValue::from(quota));
    headers.insert(REMAINING, HeaderValue::from(remaining));
    headers.insert(RESET, HeaderValue::from(reset_at.seconds()));
    // A limit on requests at once has another unit than requests, and no window.
    let policy = match window {
        Some(window) => format!("\"{limit}\";q={quota};w={window}"),
        None => format!("\"{limit}\";q={quota};qu=\"concurrent-requests\""),
    };
    let now = match window {
        Some(_) => format!("\"{limit}\";r={remaining};t={reset_after}"),
        None => format!("\"{limit}\";r={remaining}"),
    };
    for (name, text) in [(POLICY, policy), (RATE_LIMIT, now)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}

/// Says that a limit was reached, and how long to wait.
pub fn insert_exceeded(headers: &mut HeaderMap, exceeded: &Exceeded) {
    insert_standing(headers, &exceeded.standing);
    headers.insert(RETRY_AFTER, HeaderValue::from(exceeded.retry_after));
}
