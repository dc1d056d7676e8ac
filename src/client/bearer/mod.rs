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
        && headers.get_all(WWW_AUTHENTICATE).iter().any(|line| {
            // A description may have characters in it that `to_str` does not take.
            says_invalid_token(&String::from_utf8_lossy(line.as_bytes()))
        })
}

/// Whether one of the challenges of a line (RFC 9110 §11.6.1) is `Bearer` with `error="invalid_token"`. Commas that are
/// forgotten are not missed.
fn says_invalid_token(line: &str) -> bool {
    let mut words = words(line).peekable();
    let mut bearer = false;
    while let Some(word) = words.next() {
        if words.next_if_eq(&"=").is_some() {
            let value = words.next().unwrap_or_default().trim_matches('"');
            if bearer && word.eq_ignore_ascii_case("error") && value.eq_ignore_ascii_case("invalid_token") {
                return true;
            }
        } else if word != "," {
            bearer = word.eq_ignore_ascii_case("bearer");
        }
    }
    false
}

/// Names, values, whole quoted strings, `=` and `,`.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = move |c: char| {
        let ends = !quoted && matches!(c, ',' | '=' | ' ' | '\t');
        (quoted, escaped) = match c {
            _ if escaped => (quoted, false),
            '\\' => (quoted, quoted),
            '"' => (!quoted, false),
            _ => (quoted, false),
        };
        ends
    };
    let parts = line.split_inclusive(ends).flat_map(|part| {
        let word = part.strip_suffix([',', '=', ' ', '\t']).unwrap_or(part);
        [word, part.strip_prefix(word).unwrap_or_default()]
    });
    parts.filter(|word| !word.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_invalid_token_calls_for_another() {
        for (status, challenge, expected) in [
            (401, r#"Bearer realm="x" error="invalid_token""#, true),
            (401, "Bearer\terror = invalid_token", true),
            (401, r#"Negotiate abc==, Bearer error="invalid_token""#, true),
            (401, r#"Negotiate abc=, Bearer error="invalid_token""#, true),
            (401, r#"Bearer realm="a \", b", error="invalid_token""#, true),
            (401, r#"Bearer error="invalid_token", error_description="abgelaufen: ungültig""#, true),
            (401, r#"Basic error="invalid_token", Bearer realm="x""#, false),
            (401, r#"Bearer realm="x", Basic error="invalid_token""#, false),
            (401, r#"Bearer error_description="not error=invalid_token at all""#, false),
            (401, r#"Bearer realm="\", error=invalid_token, ""#, false),
            (401, r#"Bearer error="invalid_token_type""#, false),
            (401, r#"Bearer last_error="invalid_token""#, false),
            (401, r#"Bearer realm="bearer error=invalid_token"#, false),
            (401, "Bearer error=", false),
            (401, "", false),
            (401, r#"Bearer error="invalid_token", error_description="expired""#, true),
            (401, r#"bearer realm="x",error=invalid_token"#, true),
            (401, r#"Basic realm="x", Bearer realm="y", error = "invalid_token""#, true),
            (401, r#"Bearer realm="x""#, false),
            (401, r#"Basic error="invalid_token""#, false),
            (403, r#"Bearer error="insufficient_scope""#, false),
            (403, r#"Bearer error="invalid_token""#, false),
            (400, r#"Bearer error="invalid_request""#, false),
        ] {
            let headers =
                HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_bytes(challenge.as_bytes()).unwrap())]);
            assert_eq!(
                refuses_token(StatusCode::from_u16(status).unwrap(), &headers),
                expected,
                "{status} {challenge}"
            );
        }
        assert!(!refuses_token(StatusCode::UNAUTHORIZED, &HeaderMap::new()));
    }
}
