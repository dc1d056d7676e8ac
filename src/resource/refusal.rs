//! The refusals of a guarded route, and their words (RFC 6750 §3, RFC 9457).

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use crate::id::RequestId;
use crate::limit::headers::insert_exceeded;
use crate::limit::{Exceeded, InsufficientBalance, QuotaExceeded};
use crate::oauth::challenge;
use crate::problem::{self, Problem};
use crate::reason::Reason;
use crate::scope::ScopeSet;
use crate::source_ip::{BadForwardingHeader, SourceAddress};

use super::verifier::TokenError;

/// What is wrong with Digest credentials. Nothing tells an unknown user from a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestFailure {
    /// They are nobody's who may authenticate with them.
    Invalid,
    /// They are right, but answer a nonce that is not in use, or answer it a second time.
    Stale,
}

/// Why a request is not let through.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Nothing to authenticate with.
    NoCredentials,
    /// Credentials or addresses that cannot be read.
    Malformed(String),
    /// A token that is not good.
    Token(TokenError),
    /// Digest credentials that are not good.
    Digest(DigestFailure),
    /// A token without a scope that is needed.
    InsufficientScope {
        /// What is needed.
        needed: ScopeSet,
        /// Whether one of them is enough.
        any: bool,
        /// What the token has.
        held: ScopeSet,
    },
    /// A good token of another environment.
    WrongEnvironment {
        /// What is needed.
        needed: String,
        /// What the token is of; none where it does not say.
        found: Option<String>,
    },
    /// A good token, and a method and path that no rule of the guard covers.
    NoRule {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// A limit on requests was reached.
    RateLimited(Exceeded),
    /// What was granted is used up.
    QuotaExceeded(Box<QuotaExceeded>),
    /// Whether there is enough left for the request cannot be looked up, or that it was used not be written.
    Unknowable,
    /// The balance does not cover the request.
    InsufficientBalance(InsufficientBalance),
    /// A good token from an address that is not allowed.
    IpNotAllowed {
        /// The address; none where the server does not know it.
        source: Option<SourceAddress>,
        /// Whose allowlist does not have it: `token` or `route`.
        allowlist: &'static str,
    },
}

impl From<BadForwardingHeader> for Refusal {
    fn from(bad: BadForwardingHeader) -> Self {
        Self::Malformed(bad.to_string())
    }
}

impl Refusal {
    /// Its stable word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoCredentials => Reason::NoCredentials,
            Self::Malformed(_) => Reason::MalformedRequest,
            Self::Token(TokenError::Invalid(_)) => Reason::TokenInvalid,
            Self::Token(TokenError::Expired(_) | TokenError::KeyEnded(_)) => Reason::TokenExpired,
            Self::Token(TokenError::Revoked | TokenError::KeyRevoked) => Reason::TokenRevoked,
            Self::Token(TokenError::Undecidable(_)) => Reason::Unavailable,
            Self::Digest(DigestFailure::Invalid) => Reason::DigestInvalid,
            Self::Digest(DigestFailure::Stale) => Reason::DigestStale,
            Self::WrongEnvironment { .. } => Reason::WrongEnvironment,
            Self::NoRule { .. } => Reason::NoRuleMatches,
            Self::InsufficientScope { .. } => Reason::InsufficientScope,
            Self::IpNotAllowed { .. } => Reason::IpNotAllowed,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::QuotaExceeded(_) => Reason::QuotaExceeded,
            Self::Unknowable => Reason::Unavailable,
            Self::InsufficientBalance(_) => Reason::InsufficientBalance,
        }
    }

    /// What happened, and what to do.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::WrongEnvironment { needed, found } => format!(
                "this route takes tokens of the environment {needed}; this one is of {}",
                found.as_deref().unwrap_or("none")
            ),
            Self::NoRule { method, path } => format!("the guard has no rule for {method} {path}"),
            Self::RateLimited(exceeded) => exceeded.detail(),
            Self::QuotaExceeded(exceeded) => exceeded.detail(),
            Self::InsufficientBalance(short) => short.detail(),
            Self::Unknowable => "the service cannot count this request for the moment; try again".to_owned(),
            Self::NoCredentials => "send an access token: Authorization: Bearer TOKEN".to_owned(),
            Self::Malformed(detail) => detail.clone(),
            Self::Token(error) => error.to_string(),
            Self::Digest(DigestFailure::Invalid) => {
                "the Digest credentials are wrong, or of nobody who may authenticate with them".to_owned()
            }
            Self::Digest(DigestFailure::Stale) => {
                "the nonce has ended, or was used before; answer the one of this challenge".to_owned()
            }
            Self::InsufficientScope { needed, any, held } => {
                let of = if *any { "one of the scopes" } else { "the scope" };
                if held.is_empty() {
                    format!("this route needs {of} {needed}; the token has none")
                } else {
                    format!("this route needs {of} {needed}; the token has {held}")
                }
            }
            Self::IpNotAllowed { source: Some(source), allowlist } => format!(
                "the credential itself is good, but the request came from {} (by {}), \
                 which is not in the allowlist of the {allowlist}",
                source.ip, source.from
            ),
            Self::IpNotAllowed { source: None, allowlist } => format!(
                "the credential itself is good, but this server does not know the address that the request came \
                 from, and the {allowlist} has an allowlist"
            ),
        }
    }

    /// The `WWW-Authenticate` that goes with it (RFC 6750 §3). Those of Digest have nonces in them, which the guard has
    /// made.
    fn challenge(&self, resource_metadata: Option<&str>) -> Option<String> {
        match self {
            Self::NoCredentials => Some(challenge::bearer_without_credentials(resource_metadata)),
            Self::Malformed(_) => Some(challenge::bearer_malformed()),
            // The credential may be good; another one would not help.
            Self::Token(TokenError::Undecidable(_)) => None,
            Self::Token(error) => Some(challenge::bearer_invalid_token(&error.to_string())),
            Self::InsufficientScope { needed, .. } => Some(challenge::bearer_insufficient_scope(needed)),
            Self::IpNotAllowed { .. }
            | Self::Digest(_)
            | Self::WrongEnvironment { .. }
            | Self::NoRule { .. }
            | Self::RateLimited(_)
            | Self::QuotaExceeded(_)
            | Self::Unknowable
            | Self::InsufficientBalance(_) => None,
        }
    }

    /// The answer: status, challenge and problem.
    #[must_use]
    pub fn into_response<B: From<String>>(
        self,
        request_id: RequestId,
        resource_metadata: Option<&str>,
        errors_base: &str,
    ) -> Response<B> {
        let reason = self.reason();
        let mut problem = Problem::new(reason, self.detail(), request_id, errors_base);
        match &self {
            Self::InsufficientScope { needed, held, .. } => {
                problem = problem.with("scope", needed.to_string()).with("token_scope", held.to_string());
            }
            Self::IpNotAllowed { source, allowlist } => {
                problem = problem
                    .with("source_address", source.map(|s| s.ip.to_string()))
                    .with("source_address_from", source.map(|s| s.from.to_string()))
                    .with("allowlist", *allowlist);
            }
            Self::WrongEnvironment { needed, found } => {
                problem = problem.with("environment", needed.clone()).with("token_environment", found.clone());
            }
            Self::RateLimited(exceeded) => problem = problem.with_members(exceeded.members()),
            Self::QuotaExceeded(exceeded) => problem = problem.with_members(exceeded.members()),
            Self::InsufficientBalance(short) => problem = problem.with_members(short.members()),
            Self::NoCredentials
            | Self::Malformed(_)
            | Self::Token(_)
            | Self::Digest(_)
            | Self::NoRule { .. }
            | Self::Unknowable => {}
        }
        let mut response = Response::new(B::from(problem.to_json()));
        *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::FORBIDDEN);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match &self {
            Self::Token(TokenError::Undecidable(_)) | Self::Unknowable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::RateLimited(exceeded) => insert_exceeded(headers, exceeded),
            _ => {}
        }
        if let Some(value) = self.challenge(resource_metadata).and_then(|c| HeaderValue::try_from(c).ok()) {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::Value;

    use crate::limit::{
        Allowance, Class, Exceeded, InsufficientBalance, Moment, Period, QuotaExceeded, Rate, Shadow, Whose,
    };

    use super::{DigestFailure, Refusal, RequestId, TokenError};
    use crate::clock::UnixTime;
    use crate::crypto::entropy::SystemEntropy;
    use crate::scope::ScopeSet;
    use crate::source_ip::{DecidedFrom, SourceAddress};

    fn exceeded() -> Exceeded {
        let allowance = Arc::new(Allowance::default());
        let moment = Moment { elapsed: Duration::from_secs(5), now: UnixTime::from_seconds(1000) };
        let rate = Rate { per_day: 1, ..Rate::UNLIMITED };
        let take = || allowance.take(&rate, Shadow::default(), moment, Whose::Credential(Class::Write));
        take().unwrap();
        take().unwrap_err()
    }

    /// One of each variant. The match fails to compile when one is added, as a reminder to add it here too.
    fn every_refusal() -> Vec<Refusal> {
        let scopes = |text| ScopeSet::parse(text).unwrap();
        let source = SourceAddress { ip: [192, 0, 2, 1].into(), from: DecidedFrom::XForwardedFor };
        let all = vec![
            Refusal::NoCredentials,
            Refusal::Malformed("m".to_owned()),
            Refusal::Token(TokenError::Invalid("i".to_owned())),
            Refusal::Token(TokenError::Expired(UnixTime::from_seconds(0))),
            Refusal::Token(TokenError::Revoked),
            Refusal::Token(TokenError::KeyEnded(UnixTime::from_seconds(0))),
            Refusal::Token(TokenError::KeyRevoked),
            Refusal::Token(TokenError::Undecidable("its keys")),
            Refusal::Digest(DigestFailure::Invalid),
            Refusal::Digest(DigestFailure::Stale),
            Refusal::InsufficientScope { needed: scopes("a b"), any: false, held: scopes("c") },
            Refusal::InsufficientScope { needed: scopes("a b"), any: true, held: scopes("") },
            Refusal::WrongEnvironment { needed: "live".to_owned(), found: Some("test".to_owned()) },
            Refusal::WrongEnvironment { needed: "live".to_owned(), found: None },
            Refusal::NoRule { method: "GET".to_owned(), path: "/\"x\"".to_owned() },
            Refusal::IpNotAllowed { source: Some(source), allowlist: "token" },
            Refusal::IpNotAllowed { source: None, allowlist: "route" },
            Refusal::RateLimited(exceeded()),
            Refusal::QuotaExceeded(Box::new(QuotaExceeded {
                whose: "project",
                what: "requests",
                period: Period::Total,
                quota: 10,
                used: 8,
                cost: 3,
                resets_at: None,
            })),
            Refusal::InsufficientBalance(InsufficientBalance { whose: "client", balance: 0, cost: 1 }),
            Refusal::Unknowable,
        ];
        for refusal in &all {
            match refusal {
                Refusal::NoCredentials
                | Refusal::Malformed(_)
                | Refusal::Token(
                    TokenError::Invalid(_)
                    | TokenError::Expired(_)
                    | TokenError::Revoked
                    | TokenError::KeyEnded(_)
                    | TokenError::KeyRevoked
                    | TokenError::Undecidable(_),
                )
                | Refusal::Digest(DigestFailure::Invalid | DigestFailure::Stale)
                | Refusal::InsufficientScope { .. }
                | Refusal::WrongEnvironment { .. }
                | Refusal::NoRule { .. }
                | Refusal::RateLimited(_)
                | Refusal::QuotaExceeded(_)
                | Refusal::InsufficientBalance(_)
                | Refusal::Unknowable
                | Refusal::IpNotAllowed { .. } => {}
            }
        }
        all
    }

    #[test]
    fn every_refusal_on_a_guarded_route() {
        let mut all = String::new();
        for refusal in every_refusal() {
            let request_id = RequestId::generate(&SystemEntropy::new());
            let metadata = Some("https://orders.example/.well-known/oauth-protected-resource");
            let response = refusal.into_response::<String>(request_id, metadata, "https://issuer.example/errors");
            let headers: Vec<_> =
                response.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
            let mut body: Value = serde_json::from_str(response.body()).unwrap();
            assert!(body["request_id"].take().as_str().unwrap().starts_with("r_"));
            all.push_str(&format!("{}\n{}\n{body:#}\n\n", response.status().as_u16(), headers.join("\n")));
        }
        insta::assert_snapshot!("every_refusal_on_a_guarded_route", all);
    }
}
