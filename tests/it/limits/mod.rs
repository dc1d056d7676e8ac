//! Limits on requests, as those who are held to them see them.

mod failures;
mod layer;
mod overrides;
mod routes;
mod token;

use mintage::server::config::Config;
use reqwest::Response;

use crate::app::{TestApp, header};

/// A service with limits.
async fn limited(change: impl FnOnce(&mut Config)) -> TestApp {
    TestApp::builder().config(change).start().await
}

/// The number in a header.
fn number(response: &Response, name: &str) -> u64 {
    let text = header(response, name).unwrap_or_else(|| panic!("{name} is missing: {:?}", response.headers()));
    text.parse().unwrap_or_else(|_| panic!("{name}: {text}"))
}

/// `X-RateLimit-Limit` and `-Remaining`.
fn standing(response: &Response) -> (u64, u64) {
    (number(response, "x-ratelimit-limit"), number(response, "x-ratelimit-remaining"))
}

/// Whether an answer says nothing of any limit.
fn says_nothing(response: &Response) -> bool {
    !response.headers().keys().any(|name| name.as_str().contains("ratelimit"))
}
