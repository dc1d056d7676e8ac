//! Tokens on requests: for reqwest and for tower.

mod layer;
mod middleware;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, StatusCode};

pub use layer::{BearerLayer, BearerService, ClonedBody, NoRetry, SecondBody};
pub use middleware::Bearer;

/// Whether a resource says that the token is no good (RFC 6750 §3.1), and not that something else is missing.
fn refuses_token(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::UNAUTHORIZED
        && headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok()).any(|line| {
            let bare: String = line.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
            let bare = bare.to_ascii_lowercase();
            bare.contains("bearer") && bare.contains("error=invalid_token")
        })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_invalid_token_calls_for_another() {
        for (status, challenge, expected) in [
            (401, r#"Bearer error="invalid_token", error_description="expired""#, true),
            (401, r#"bearer realm="x",error=invalid_token"#, true),
            (401, r#"Basic realm="x", Bearer realm="y", error = "invalid_token""#, true),
            (401, r#"Bearer realm="x""#, false),
            (401, r#"Basic error="invalid_token""#, false),
            (403, r#"Bearer error="insufficient_scope""#, false),
            (403, r#"Bearer error="invalid_token""#, false),
            (400, r#"Bearer error="invalid_request""#, false),
        ] {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))]);
            assert_eq!(
                refuses_token(StatusCode::from_u16(status).unwrap(), &headers),
                expected,
                "{status} {challenge}"
            );
        }
        assert!(!refuses_token(StatusCode::UNAUTHORIZED, &HeaderMap::new()));
    }
}
