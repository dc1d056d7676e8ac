//! How a credential stands, in headers: `X-RateLimit-Limit`, `-Remaining`, `-Reset`, which clients know, and `RateLimit`
//! and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10.

use std::ops::Range;

use bytes::BytesMut;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Exceeded, Limit, Standing};

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
    // One piece of memory, of which each value is a part: the headers are most of what a limit costs a request.
    let mut text = Text(BytesMut::with_capacity(192));
    let plain = [text.part(|text| text.number(quota)), text.part(|text| text.number(remaining))];
    let reset = text.part(|text| text.number(reset_at.seconds()));
    // A limit on requests at once has another unit than requests, and no window.
    let policy = text.part(|text| {
        text.named(limit).word(";q=").number(quota);
        match window {
            Some(window) => text.word(";w=").number(window),
            None => text.word(";qu=\"concurrent-requests\""),
        }
    });
    let now = text.part(|text| {
        text.named(limit).word(";r=").number(remaining);
        match window {
            Some(_) => text.word(";t=").number(reset_after),
            None => text,
        }
    });
    let [quota, remaining] = plain;
    let text = text.0.freeze();
    // Grown once, and not at every other one.
    headers.reserve(8);
    for (name, part) in [(LIMIT, quota), (REMAINING, remaining), (RESET, reset), (POLICY, policy), (RATE_LIMIT, now)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(part)) {
            headers.insert(name, value);
        }
    }
}

/// Values, one behind the other.
struct Text(BytesMut);

impl Text {
    /// Where what is written lies.
    fn part(&mut self, write: impl FnOnce(&mut Self) -> &mut Self) -> Range<usize> {
        let start = self.0.len();
        write(self);
        start..self.0.len()
    }

    fn word(&mut self, word: &str) -> &mut Self {
        self.0.extend_from_slice(word.as_bytes());
        self
    }

    fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.word(itoa::Buffer::new().format(number))
    }

    fn named(&mut self, limit: Limit) -> &mut Self {
        self.word("\"").word(limit.as_str()).word("\"")
    }
}

/// Says that a limit was reached, and how long to wait.
pub fn insert_exceeded(headers: &mut HeaderMap, exceeded: &Exceeded) {
    insert_standing(headers, &exceeded.standing);
    headers.insert(RETRY_AFTER, HeaderValue::from(exceeded.retry_after));
}
