//! One question about a key, and what comes back (RFC 7662 §2).

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use url::Url;

use crate::clock::UnixTime;
use crate::credentials::Credentials;
use crate::fetch::{FetchError, MAX_ANSWER_BYTES, not_redirected, read_bounded};
use crate::jose::claims::AccessTokenClaims;
use crate::jose::strict;
use crate::oauth::{basic, form};

/// What a key without an end stands for is good for so long, in the words of a token.
const STANDS_FOR: Duration = Duration::from_secs(24 * 3600);

/// How long an issuer that failed is left alone, where it does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// However long it says: what it counts may have been set right since.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long it is left alone after a refusal that only an operator can mend.
const PAUSE_FOR_OPERATOR: Duration = Duration::from_secs(5);

/// No answer. Carries nothing secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The issuer was not reached, or has its own trouble.
    #[error("{0}")]
    Away(FetchError),
    /// It took too long.
    #[error("it did not answer in time")]
    Late,
    /// It has had enough for now (429).
    #[error("{0}")]
    Busy(FetchError),
    /// It does not take this service's own credentials: 401 or 403.
    #[error(
        "the issuer refuses this service's own client with {status}{said}. Are id, secret and address those that it was \
         registered with, and is it active?"
    )]
    Refused {
        /// The status.
        status: u16,
        /// What the issuer said, as far as it can be repeated.
        said: String,
    },
    /// Anything else that somebody has to set right.
    #[error("{0}")]
    Amiss(String),
}

impl Failure {
    /// Whether it passes by itself.
    pub(super) const fn passes(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Late | Self::Busy(_))
    }

    /// For how long nothing should be asked.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Away(FetchError::Status { retry_after, .. }) | Self::Busy(FetchError::Status { retry_after, .. }) => {
                retry_after.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE)
            }
            Self::Away(_) | Self::Late | Self::Busy(_) => PAUSE,
            Self::Refused { .. } | Self::Amiss(_) => PAUSE_FOR_OPERATOR,
        }
    }
}

/// Asks once. `None` where the key is not active.
pub(super) async fn ask(
    http: &reqwest::Client,
    url: &Url,
    credentials: &Credentials,
    key: &str,
) -> Result<Option<Map<String, Value>>, Failure> {
    let basic = basic::encode(&credentials.client_id, &credentials.client_secret);
    let mut authorization = HeaderValue::from_str(&basic)
        .map_err(|_| Failure::Amiss("the credentials cannot be sent in a header".to_owned()))?;
    authorization.set_sensitive(true);
    let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", key).finish();
    let request = http
        .post(url.clone())
        .header(AUTHORIZATION, authorization)
        .header(CONTENT_TYPE, form::MEDIA_TYPE)
        .header(ACCEPT, "application/json")
        .body(body);
    let away = |error: reqwest::Error| Failure::Away(FetchError::unreachable(url, &error));
    let response = request.send().await.map_err(away)?;
    not_redirected(url, &response).map_err(|error| Failure::Amiss(error.to_string()))?;
    let error = FetchError::status(url, &response);
    match response.status().as_u16() {
        200 => {}
        429 => return Err(Failure::Busy(error)),
        408 | 425 | 500.. => return Err(Failure::Away(error)),
        status @ (401 | 403) => {
            let body = read_bounded(response, MAX_ANSWER_BYTES).await.unwrap_or_default();
            return Err(Failure::Refused { status, said: said(&body) });
        }
        _ => return Err(Failure::Amiss(error.to_string())),
    }
    let body = read_bounded(response, MAX_ANSWER_BYTES).await.map_err(Failure::Away)?;
    let no_answer = || Failure::Amiss(format!("the answer of {url} is none of introspection (RFC 7662, 2.2)"));
    let mut answer = strict::parse_object(&body).map_err(|_| no_answer())?;
    match answer.remove("active") {
        Some(Value::Bool(true)) => Ok(Some(answer)),
        Some(Value::Bool(false)) => Ok(None),
        _ => Err(no_answer()),
    }
}

/// The reason and the name of the request, by which the operator finds it. Nothing else is repeated: a server may send
/// back what it was sent.
fn said(body: &[u8]) -> String {
    let body = strict::parse_object(body).unwrap_or_default();
    let text = |member: &str| body.get(member).and_then(Value::as_str).filter(|text| text.len() <= 32);
    let reason = text("reason").filter(|text| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let id = text("request_id").filter(|text| text.starts_with("r_") && text.bytes().all(|b| b.is_ascii_graphic()));
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("{reason}{}", id.map(|id| format!(" [request_id {id}]")).unwrap_or_default())
}

/// What a key stands for at `now`, and when it ends, if it does.
pub(super) fn read(
    mut answer: Map<String, Value>,
    issuer: &str,
    now: UnixTime,
) -> Result<(AccessTokenClaims, Option<UnixTime>), Failure> {
    let has_end = answer.contains_key("exp");
    if !has_end {
        answer.insert("exp".to_owned(), json!(now.plus(STANDS_FOR)));
    }
    let amiss = |error| Failure::Amiss(format!("what the issuer says of an API key cannot be gone by: {error}"));
    let claims = AccessTokenClaims::from_object(answer).map_err(amiss)?;
    claims.check_issuer(issuer).map_err(amiss)?;
    let end = has_end.then_some(claims.expires_at);
    Ok((claims, end))
}
