//! Clients that others wrote: curl, and the usual libraries of Python.

use std::path::PathBuf;

use serde_json::Value;

use super::{Mintage, Place, clean, documents, finish};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/interop");

fn curl(args: &[&str]) -> String {
    let mut command = clean("curl");
    command.args(["-sS", "--max-time", "20"]).args(args);
    let ran = finish(command, "");
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    ran.out
}

/// A server with a client of an API of somebody else. The issuer is `server.url("")`.
fn site(algorithm: &str) -> (Place, Mintage, String, String) {
    let place = Place::new();
    place.write("mintage.toml", format!("[keys]\nalgorithm = \"{algorithm}\"\n"));
    let server = place.start(&["--no-quickstart"]);
    place.text(&["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
    let (id, secret) = place.client(&["billing", "--scope", "orders:read", "--scope", "orders:write"]);
    (place, server, id, secret)
}

#[test]
fn curl_with_basic_and_with_the_body() {
    let (_place, server, id, secret) = site("ES256");
    let url = server.url("/oauth/token");
    let basic = format!("{id}:{secret}");
    let (client_id, client_secret) = (format!("client_id={id}"), format!("client_secret={secret}"));
    let grant = ["-d", "grant_type=client_credentials"];
    let in_body = ["-d", &client_id, "-d", &client_secret];
    for credentials in [&["-u", &basic][..], &in_body] {
        let [body] = &documents(&curl(&[&grant, credentials, &["-d", "scope=orders:read", &url]].concat()))[..] else {
            panic!("one document was expected")
        };
        assert_eq!((&body["token_type"], &body["scope"]), (&Value::from("Bearer"), &Value::from("orders:read")));
        assert_eq!(body["expires_in"], 3600);
    }
    let both = documents(&curl(&[&grant[..], &["-u", &basic], &in_body, &[&url]].concat()));
    assert_eq!(both[0]["error"], "invalid_request");
}

#[test]
fn curl_sees_every_header_of_a_refusal() {
    let (_place, server, id, secret) = site("ES256");
    let url = server.url("/oauth/token");
    let wrong = format!("{id}:{secret}x");
    let grant = "grant_type=client_credentials";
    for (args, status) in [
        (&["-u", &wrong, "-d", grant][..], "401"),
        (&["-u", "nobody:nothing", "-d", grant], "401"),
        (&["-d", grant, "-d", "client_id=nobody", "-d", "client_secret=nothing"], "401"),
        (&["-d", grant], "401"),
        (&["-u", &wrong, "-d", "scope=x"], "400"),
        (&["-X", "PUT", "-d", grant], "405"),
        (&[], "405"),
    ] {
        let answer = curl(&[&["-i", url.as_str()], args].concat());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        assert!(lines.next().unwrap().starts_with(&format!("HTTP/1.1 {status} ")), "{args:?}: {head}");
        let headers: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let header = |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        assert_eq!(header("cache-control"), Some("no-store"), "{args:?}");
        assert_eq!(header("pragma"), Some("no-cache"), "{args:?}");
        assert_eq!(header("content-type"), Some("application/json"), "{args:?}");
        let body: Value = serde_json::from_str(body).unwrap();
        for name in ["error", "error_description", "reason", "request_id"] {
            assert!(body[name].is_string(), "{name}: {body}");
        }
        match status {
            "401" => {
                assert_eq!(body["error"], "invalid_client");
                assert!(header("www-authenticate").unwrap().starts_with("Basic"), "{head}");
            }
            "405" => assert_eq!(header("allow"), Some("POST")),
            _ => assert_eq!(header("www-authenticate"), None),
        }
    }
    let answer = curl(&["-i", "-u", &format!("{id}:{secret}"), "-d", grant, &url]).to_ascii_lowercase();
    assert!(answer.contains("cache-control: no-store\r\n") && answer.contains("pragma: no-cache\r\n"), "{answer}");
}

/// The interpreter that has these libraries; none where they are not installed and need not be.
pub(super) fn python(libraries: &str) -> Option<PathBuf> {
    let usual = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python"));
    let python = std::env::var_os("MINTAGE_TEST_PYTHON").map_or(usual, PathBuf::from);
    let mut command = clean(&python);
    command.args(["-c", &format!("import {libraries}")]);
    let missing = if python.exists() {
        let ran = finish(command, "");
        (ran.code != Some(0)).then_some(ran.err)
    } else {
        Some(format!("{} is not there", python.display()))
    };
    let Some(why) = missing else { return Some(python) };
    let how = "tests/run makes the environment (or name one with MINTAGE_TEST_PYTHON)";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "Python's libraries are not installed: {why}\n{how}");
    eprintln!("\n*** SKIPPED the interoperation with Python: {why}\n*** {how}\n");
    None
}

/// Runs a script of the folder on a server of its own.
fn script(name: &str, algorithm: &str) {
    let Some(python) = python("authlib, cryptography, jwt, requests, requests_oauthlib") else { return };
    let (_place, server, id, secret) = site(algorithm);
    let mut command = clean(python);
    command.arg("-I").arg(format!("{FOLDER}/{name}"));
    command.env("ISSUER", server.url("")).env("CLIENT_ID", &id).env("CLIENT_SECRET", &secret);
    command.env("AUDIENCE", "https://orders.example").env("ALGORITHM", algorithm);
    let ran = finish(command, "");
    assert_eq!(ran.code, Some(0), "{name}: {}{}", ran.out, ran.err);
    // A script that ended early would have checked nothing.
    assert!(ran.out.ends_with("all good\n"), "{name}: {}{}", ran.out, ran.err);
}

#[test]
fn authlib_fetches() {
    script("authlib_fetch.py", "ES256");
}

#[test]
fn requests_oauthlib_fetches() {
    script("requests_oauthlib_fetch.py", "ES256");
}

#[test]
fn pyjwt_verifies_es256() {
    script("pyjwt_verify.py", "ES256");
}

#[test]
fn pyjwt_verifies_eddsa() {
    script("pyjwt_verify.py", "EdDSA");
}
