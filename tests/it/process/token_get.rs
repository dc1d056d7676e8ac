//! `mintage token get`, against token endpoints that say what a test has them say.

use base64::Engine;
use serde_json::{Value, json};

use super::{Place, Ran};
use crate::source::resource::{Resource, answer};

const GRANTED: &str =
    r#"{"access_token":"a.b.c","token_type":"bearer","expires_in":600,"scope":"x y","refresh_in":500}"#;
const CREDENTIALS: [(&str, &str); 2] =
    [("MINTAGE_CLIENT_ID", "billing"), ("MINTAGE_CLIENT_SECRET", "s3cret-of-billing")];

/// A server that answers all that it is asked with this.
fn says(status: u16, headers: &'static [&'static str], body: &'static str) -> Resource {
    Resource::new(move |_| answer(status, headers, body))
}

/// `token get` with these arguments besides, wherever they stand.
fn get(server: &Resource, before: &[&str], after: &[&str]) -> Ran {
    let url = format!("{}/t", server.url);
    let args = [before, &["token", "get", "--token-url", &url], after].concat();
    Place::new().run_with(&args, &CREDENTIALS)
}

#[test]
fn what_is_printed_is_the_token_or_a_header_or_json() {
    let server = says(200, &[], GRANTED);
    for (args, out) in [(&[][..], "a.b.c\n"), (&["--header"], "Authorization: Bearer a.b.c\n")] {
        let ran = get(&server, &[], args);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), out, ""));
    }
    for (before, after) in [(&["--json"][..], &[][..]), (&[], &["--json"])] {
        let ran = get(&server, before, after);
        let mut body: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(body["expires_at"].take().as_i64().unwrap() > 1_700_000_000, "{}", ran.out);
        let expected = json!({
            "access_token": "a.b.c", "token_type": "Bearer", "expires_in": 600, "expires_at": null, "scope": "x y",
            "refresh_in": 500,
        });
        assert_eq!((body, ran.out.lines().count()), (expected, 1));
    }
    let asked = server.asked();
    for (before, after) in [(&["--json"][..], &["--header"][..]), (&[], &["--json", "--header"])] {
        let ran = get(&server, before, after);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
    }
    assert_eq!(server.asked(), asked, "wrong usage asks nothing");
}

#[test]
fn the_exit_code_says_whether_to_ask_again() {
    let error = r#"{"error":"invalid_scope","error_description":"not granted"}"#;
    for (status, headers, body, code, says_) in [
        (400, &[][..], error, 3, "not granted"),
        (401, &["www-authenticate: Basic"], r#"{"error":"invalid_client"}"#, 3, "invalid_client"),
        (403, &[], "<html>", 3, "403"),
        (408, &[], "", 4, "408"),
        (429, &["retry-after: 5"], r#"{"error":"temporarily_unavailable"}"#, 4, "temporarily_unavailable"),
        (500, &[], "s3cret-of-billing", 4, "500"),
        (503, &[], r#"{"error":"temporarily_unavailable"}"#, 4, "503"),
        (200, &[], "<html>s3cret-of-billing", 1, "token response"),
        (200, &[], r#"{"access_token":"a","token_type":"mac"}"#, 1, "token_type"),
        (302, &["location: http://127.0.0.1:1/"], "", 1, "redirect"),
    ] {
        let ran = get(&says(status, headers, body), &[], &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{status} {body}: {}", ran.err);
        assert!(ran.err.contains(says_) && !ran.err.contains("s3cret"), "{status} {body}: {}", ran.err);
    }
    // And of an issuer that is asked where its endpoint is.
    for (status, body, code) in [(503, "", 4), (429, "", 4), (404, "", 1), (200, "{}", 1)] {
        let server = says(status, &[], body);
        let ran = Place::new().run_with(&["token", "get", "--issuer", &server.url], &CREDENTIALS);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{status} {body}: {}", ran.err);
    }
    let server = Resource::new(|sent| {
        let url = format!("http://{}", sent.header("host").unwrap());
        answer(200, &[], &json!({"issuer": url, "token_endpoint": "ftp://x/"}).to_string())
    });
    let ran = Place::new().run_with(&["token", "get", "--issuer", &server.url], &CREDENTIALS);
    assert!(ran.code == Some(1) && ran.err.contains("token_endpoint"), "{}", ran.err);
}

#[test]
fn what_cannot_be_asked_for_is_wrong_usage() {
    let server = says(200, &[], GRANTED);
    for args in [&["--scope", "a\"b"][..], &["--scope", "ä"], &["--scopes", "a"], &["--resource"], &["surplus"]] {
        let ran = get(&server, &[], args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}: {}", ran.err);
    }
    assert_eq!(server.asked(), 0);
}

#[test]
fn scopes_resources_and_credentials_arrive_as_they_were_given() {
    let server = says(200, &[], GRANTED);
    let url = format!("{}/t?tenant=a", server.url);
    let args = ["--scope", "b a", "--scope", "c", "--resource", "https://z.example", "--resource", "https://a.example"];
    let variables = [("MINTAGE_CLIENT_ID", "a:b c"), ("MINTAGE_CLIENT_SECRET", "50%+é:")];
    let ran = Place::new().run_with(&[&["token", "get", "--token-url", &url], &args[..]].concat(), &variables);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let sent = server.seen().pop().unwrap();
    assert_eq!(sent.line(), "POST /t?tenant=a HTTP/1.1");
    let resources = "resource=https%3A%2F%2Fz.example&resource=https%3A%2F%2Fa.example";
    assert_eq!(sent.body, format!("grant_type=client_credentials&scope=a+b+c&{resources}"));
    let basic = sent.header("authorization").unwrap().strip_prefix("Basic ").unwrap();
    let basic = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(basic).unwrap()).unwrap();
    assert_eq!(basic, "a%3Ab%20c:50%25%2B%C3%A9%3A");
}
