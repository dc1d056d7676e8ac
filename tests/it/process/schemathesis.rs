//! Schemathesis, which asks everything that `/openapi.json` describes, and looks whether the answers are as it says.

use std::process::Stdio;
use std::time::Duration;

use mintage::scope::BUILT_IN;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::interop::python;
use super::{Place, clean, spawn, wait_for_as_long_as};

/// How many requests are drawn for each operation, besides those that go through its parameters one by one.
const DRAWN: &str = "8";
/// Slower than this is hung, on any machine; it takes half a minute.
const PATIENCE: Duration = Duration::from_secs(600);
/// It changes every client that holds no more than it does, and is not to be one of them: its token does not say this.
const UNSAID: &str = "mintage:metrics:read";

#[tokio::test]
async fn schemathesis_finds_nothing_that_is_not_declared() {
    let Some(python) = python("schemathesis") else { return };
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let all: Vec<_> = BUILT_IN.iter().flat_map(|scope| ["--scope", scope]).collect();
    let (id, secret) = place.client(&[&["fuzz"], &all[..]].concat());
    let said: Vec<_> = BUILT_IN.into_iter().filter(|scope| *scope != UNSAID).collect();
    let http = mintage::client::http_client().unwrap();
    let request = http.post(server.url("/oauth/token")).basic_auth(&id, Some(&secret));
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let body = format!("grant_type=client_credentials&scope={}", said.join("+"));
    let answer: Value = request.body(body).send().await.unwrap().json().await.unwrap();
    let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));

    let mut command = clean(python.with_file_name("schemathesis"));
    command.current_dir(place.at(".")).env("BASIC", basic(&id, &secret)).stdin(Stdio::null());
    command.args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/interop/schemathesis.toml"), "run"]);
    command.arg(server.url("/openapi.json")).args(["-H", &format!("Authorization: Bearer {token}")]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", DRAWN, "--generation-deterministic"]);
    command.args(["--suppress-health-check", "all", "--continue-on-failure", "--no-color", "--warnings", "off"]);
    // No guard is configured, and there are eight methods on each of three paths.
    command.args(["--exclude-path-regex", "^/forward-auth/g/"]);
    let (mut child, mut out, mut err) = spawn(&mut command);
    let status = wait_for_as_long_as(PATIENCE, "schemathesis to end", || child.try_wait().unwrap());
    let (out, err) = (out.finish(), err.finish());
    assert!(status.success(), "{out}{err}");
    // It looked at everything, and was who it was until the end.
    assert!(out.contains("Tested: ") && !out.contains("Tested: 0"), "{out}");
    let (status, told) = server.whoami(token).await;
    assert_eq!(status, 200, "its own client was changed, so that most was refused: {told}");
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))
}
