//! Errors as answers: one renderer a surface, each exhaustive. The statuses are [`Reason`](crate::reason::Reason)'s.

mod oauth;
mod problem;

pub(super) use oauth::oauth_error;
pub(super) use problem::Fault;

/// How long to wait before the next try when the service cannot answer, in seconds.
const RETRY_AFTER: &str = "1";

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{oauth_error, problem::problem_response};
    use crate::api::Level;
    use crate::clock::UnixTime;
    use crate::crypto::entropy::SystemEntropy;
    use crate::id::RequestId;
    use crate::limit::{Allowance, Exceeded, InsufficientBalance, Moment, Period, QuotaExceeded, Rate, Shadow, Whose};
    use crate::scope::Scope;
    use crate::server::error::{AuthFailure, Error, FieldError};
    use crate::source_ip::{DecidedFrom, SourceAddress};
    use axum::response::Response;
    use serde_json::Value;

    fn exceeded() -> Exceeded {
        let allowance = Arc::new(Allowance::default());
        let moment = Moment { elapsed: Duration::from_secs(5), now: UnixTime::from_seconds(1000) };
        let rate = Rate { per_minute: 6, burst: 1, ..Rate::UNLIMITED };
        let take = || allowance.take(&rate, Shadow::default(), moment, Whose::Client);
        take().unwrap();
        take().unwrap_err()
    }

    /// One of each variant. The match fails to compile when one is added, as a reminder to add it here too.
    fn every_error() -> Vec<Error> {
        let source = SourceAddress { ip: [192, 0, 2, 1].into(), from: DecidedFrom::Peer };
        let all = vec![
            Error::Malformed("m".to_owned()),
            Error::Unauthenticated(AuthFailure::UNKNOWN_CLIENT),
            Error::UnsupportedGrantType,
            Error::InvalidScope("s".to_owned()),
            Error::InvalidTarget("t".to_owned()),
            Error::AddressNotAllowed(source),
            Error::RateLimited(exceeded()),
            Error::QuotaExceeded(Box::new(QuotaExceeded {
                whose: "client",
                what: "requests",
                period: Period::Day,
                quota: 10,
                used: 10,
                cost: 1,
                resets_at: Some(UnixTime::from_seconds(86_400)),
            })),
            Error::InsufficientBalance(InsufficientBalance { whose: "project", balance: 2, cost: 5 }),
            Error::PolicyViolated { policy: "require_expiry", detail: "d".to_owned() },
            Error::BadSubjectToken(AuthFailure::UNKNOWN_CLIENT),
            Error::NotTheirToken,
            Error::TooManyRevoked { client_id: "c".to_owned(), most: 1 },
            Error::ScopeLost(Scope::parse("mintage:projects:read").unwrap()),
            Error::BeyondCaller {
                what: "granting this".to_owned(),
                lacking: vec![(Scope::parse("mintage:keys:write").unwrap(), Level::Project)],
            },
            Error::Stale,
            Error::KeyReused,
            Error::InvalidFields(vec![FieldError::new("name", "n")]),
            Error::NotFound { what: "client", name: "c".to_owned() },
            Error::Conflict("c".to_owned()),
            Error::MethodNotAllowed,
            Error::BodyTooLarge { limit: 1 },
            Error::HeadTooLarge,
            Error::Timeout,
            Error::Unavailable("u".to_owned()),
            Error::Internal("i".to_owned()),
        ];
        for error in &all {
            match error {
                Error::Malformed(_)
                | Error::Unauthenticated(_)
                | Error::UnsupportedGrantType
                | Error::InvalidScope(_)
                | Error::InvalidTarget(_)
                | Error::AddressNotAllowed(_)
                | Error::RateLimited(_)
                | Error::QuotaExceeded(_)
                | Error::InsufficientBalance(_)
                | Error::PolicyViolated { .. }
                | Error::BadSubjectToken(_)
                | Error::NotTheirToken
                | Error::TooManyRevoked { .. }
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
                | Error::Unavailable(_)
                | Error::Internal(_) => {}
            }
        }
        all
    }

    async fn body(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// What an answer is, without what differs from one to the next.
    async fn outline(response: Response) -> String {
        let status = response.status().as_u16();
        let mut headers: Vec<_> =
            response.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        headers.sort();
        let mut body = body(response).await;
        assert!(body["request_id"].take().as_str().unwrap().starts_with("r_"));
        format!("{status}\n{}\n{body:#}", headers.join("\n"))
    }

    #[tokio::test]
    async fn every_error_on_every_surface() {
        let id = || RequestId::generate(&SystemEntropy::new());
        let mut all = String::new();
        for error in every_error() {
            let oauth = outline(oauth_error(&error, id())).await;
            let problem = outline(problem_response(&error, id(), "https://issuer.example/errors")).await;
            all.push_str(&format!("## {}\n\nat /oauth/: {oauth}\n\nelsewhere: {problem}\n\n", error.reason().as_str()));
        }
        insta::assert_snapshot!("every_error_on_every_surface", all);
    }
}
