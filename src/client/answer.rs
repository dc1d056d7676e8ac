//! Reading the answers of a token endpoint: a token, or why there is none.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::UnixTime;
use crate::oauth::basic;

use super::error::LONGEST_RETRY_AFTER;
use super::{Credentials, Error};

/// The longest text of a server that is repeated.
const MAX_SAID: usize = 500;

/// A token as it came.
pub(super) struct Answer {
    pub(super) text: Zeroizing<String>,
    pub(super) authorization: HeaderValue,
    pub(super) scope: Option<String>,
    pub(super) expires_in: Option<Value>,
    pub(super) refresh_in: Option<Duration>,
}

/// RFC 6749 §5.1, with `refresh_in` of our own. Members that are a hint alone may have any shape.
#[derive(Deserialize)]
struct Granted {
    access_token: Zeroizing<String>,
    token_type: String,
    expires_in: Option<Value>,
    scope: Option<Value>,
    refresh_in: Option<Value>,
}

/// RFC 6749 §5.2, with `request_id` of our own.
#[derive(Default, Deserialize)]
struct Refusal {
    error: Option<Value>,
    error_description: Option<Value>,
    request_id: Option<Value>,
}

/// Reads an answer of 200.
pub(super) fn granted(url: &str, body: &[u8]) -> Result<Answer, Error> {
    let fail = |why: &str| Error::BadAnswer { url: url.to_owned(), why: why.to_owned() };
    let granted: Granted =
        object(body).ok_or_else(|| fail("it is not a JSON object with access_token and token_type"))?;
    if !granted.token_type.eq_ignore_ascii_case("bearer") {
        return Err(fail("its token_type is not Bearer"));
    }
    // A b64token (RFC 6750 §2.1), by which nothing else can be put into the header.
    let in_token = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
    if granted.access_token.is_empty() || !granted.access_token.bytes().all(in_token) {
        return Err(fail("its access_token has characters that no Authorization header can carry, or none at all"));
    }
    let value = Zeroizing::new(format!("Bearer {}", granted.access_token.as_str()));
    let mut authorization = HeaderValue::from_str(&value).map_err(|_| fail("its access_token fits no header"))?;
    authorization.set_sensitive(true);
    Ok(Answer {
        text: granted.access_token,
        authorization,
        scope: granted.scope.as_ref().and_then(Value::as_str).map(str::to_owned),
        expires_in: granted.expires_in,
        refresh_in: granted.refresh_in.as_ref().and_then(Value::as_u64).map(Duration::from_secs),
    })
}

/// Reads any other answer.
pub(super) fn refused(
    url: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    sent: &Credentials,
    now: UnixTime,
) -> Error {
    if status.is_redirection() {
        let why = "it is a redirect, and credentials follow none; name the address that it leads to".to_owned();
        return Error::BadAnswer { url: url.to_owned(), why };
    }
    let refusal: Refusal = object(body).unwrap_or_default();
    // A proxy whose service is away answers so, a page that has moved, a portal: it is no word of the token endpoint.
    if refusal.error.is_none() && !matches!(status.as_u16(), 400 | 401 | 403 | 408 | 425 | 429 | 500..) {
        return Error::BadAnswer {
            url: url.to_owned(),
            why: format!("it is {} without an error code", status.as_u16()),
        };
    }
    let said = |value: Option<Value>| value.as_ref().and_then(Value::as_str).map(|text| repeatable(text, sent));
    Error::Refused {
        status: status.as_u16(),
        error: said(refusal.error).unwrap_or_else(|| "no OAuth error code".to_owned()),
        description: said(refusal.error_description),
        request_id: said(refusal.request_id),
        retry_after: retry_after(headers, now),
    }
}

/// A JSON object: serde takes an array for one as well.
fn object<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
    if body.trim_ascii_start().starts_with(b"{") { serde_json::from_slice(body).ok() } else { None }
}

/// What a server says, fit for a log: not for ever, in one line, and not our own secret.
fn repeatable(text: &str, sent: &Credentials) -> String {
    if repeats_secret(text, sent) {
        return "(left out: it repeats the client secret)".to_owned();
    }
    let mut line: String = text.chars().take(MAX_SAID).map(|c| if is_plain(c) { c } else { ' ' }).collect();
    if text.chars().nth(MAX_SAID).is_some() {
        line.push('…');
    }
    line
}

/// Whether the secret is in `text`: bare, as Basic sends it, or escaped as in a form, however that is spelled.
fn repeats_secret(text: &str, sent: &Credentials) -> bool {
    let secret = sent.client_secret.reveal();
    let authorization = basic::encode(&sent.client_id, &sent.client_secret);
    let basic = authorization.trim_start_matches("Basic ").trim_end_matches('=');
    let unescaped = |text: &str| Zeroizing::new(percent_decode_str(text).decode_utf8_lossy().into_owned());
    let spaced = Zeroizing::new(text.replace('+', " "));
    let texts = [unescaped(text), unescaped(&spaced)];
    !secret.is_empty()
        && ([secret, basic].into_iter().any(|sent| text.contains(sent))
            || texts.iter().any(|text| text.contains(secret)))
}

/// Whether a character neither controls a terminal, nor ends a line, nor turns it round.
fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wanted = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => LONGEST_RETRY_AFTER,
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value).ok()?;
            UnixTime::from_seconds(date.timestamp().as_second()).since(now)
        }
    };
    Some(wanted.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials::new("billing", "s3cret/+ of mine")
    }

    #[test]
    fn a_server_that_repeats_the_secret_is_not_repeated() {
        let sent = credentials();
        let basic = basic::encode(&sent.client_id, &sent.client_secret);
        for echo in [
            "s3cret/+ of mine",
            "client_secret=s3cret%2F%2B+of+mine",
            "client_secret=s3cret%2f%2b%20of%20mine",
            "s3cret/%2B+of+mine",
            basic.as_str(),
            basic.trim_end_matches('='),
        ] {
            let body = serde_json::json!({"error": "invalid_client", "error_description": format!("you sent {echo}")});
            let error = refused(
                "http://x",
                StatusCode::UNAUTHORIZED,
                &HeaderMap::new(),
                body.to_string().as_bytes(),
                &sent,
                UnixTime::from_seconds(0),
            );
            for text in [error.to_string(), format!("{error:?}")] {
                assert!(!text.contains("s3cret"), "{text}");
                assert!(!text.contains(basic.trim_start_matches("Basic ")), "{text}");
            }
        }
    }

    #[test]
    fn what_a_server_says_is_one_line_and_bounded() {
        let said = repeatable(&format!("a\r\nb{}", "x".repeat(10_000)), &credentials());
        assert!(said.starts_with("a  bx") && said.chars().count() == MAX_SAID + 1);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UnixTime::from_seconds(1_445_412_470);
        for (value, seconds) in [
            ("5", Some(5)),
            ("0", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(10)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("99999999", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn only_a_bearer_token_that_fits_the_header_is_one() {
        for bad in [
            r#"{"token_type":"Bearer"}"#,
            r#"{"access_token":"a"}"#,
            r#"{"access_token":"","token_type":"Bearer"}"#,
            r#"{"access_token":"a b","token_type":"Bearer"}"#,
            r#"{"access_token":"a\r\nX-Admin: yes","token_type":"Bearer"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"a","token_type":"Bearer""#,
            r#"["a","Bearer",null,null,null]"#,
            "<html>",
            "",
        ] {
            assert!(matches!(granted("http://x", bad.as_bytes()), Err(Error::BadAnswer { .. })), "{bad}");
        }
        let odd = r#"{"access_token":"a","token_type":"bearer","scope":["x"],"refresh_in":"soon","expires_in":{}}"#;
        assert!(granted("http://x", odd.as_bytes()).is_ok());
    }
}
