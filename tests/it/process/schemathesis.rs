//! Schemathesis, which asks everything that `/openapi.json` describes, and looks whether the answers are as it says.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
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
const UNSAID: &str = "mintage:api-keys:read";

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

    // No guard is configured, and there are eight methods on each of three paths.
    let without = ["--exclude-path-regex", "^/forward-auth/g/"];
    let authorization = format!("Authorization: Bearer {token}");
    let more = [&["--phases", "examples,coverage,fuzzing", "-H", &authorization], &without[..]].concat();
    let out = run(&python, &place, &server.url(""), &basic(&id, &secret), &more);
    // It looked at everything, and was who it was until the end.
    assert!(out.contains("Tested: ") && !out.contains("Tested: 0"), "{out}");
    let (status, told) = server.whoami(token).await;
    assert_eq!(status, 200, "its own client was changed, so that most was refused: {told}");
}

#[tokio::test]
async fn schemathesis_finds_nothing_on_the_admin_socket_either() {
    let Some(python) = python("schemathesis") else { return };
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    // Nothing is sent there that authenticates anybody. The handlers are those of the listener, whose parameters have been
    // gone through one by one there.
    let out = run(&python, &place, &bridge(&place), "", &["--phases", "examples,fuzzing"]);
    assert!(out.contains("Tested: ") && !out.contains("Tested: 0"), "{out}");
}

/// Asks everything that is described at `base`. What is said at the end, once nothing was found.
fn run(python: &Path, place: &Place, base: &str, basic: &str, more: &[&str]) -> String {
    let mut command = clean(python.with_file_name("schemathesis"));
    command.current_dir(place.at(".")).env("BASIC", basic).stdin(Stdio::null());
    command.args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/interop/schemathesis.toml"), "run"]);
    command.arg(format!("{base}/openapi.json")).args(more);
    command.args(["--max-examples", DRAWN, "--generation-deterministic"]);
    command.args(["--suppress-health-check", "all", "--continue-on-failure", "--no-color", "--warnings", "off"]);
    let (mut child, mut out, mut err) = spawn(&mut command);
    let status = wait_for_as_long_as(PATIENCE, "schemathesis to end", || child.try_wait().unwrap());
    let (out, err) = (out.finish(), err.finish());
    assert!(status.success(), "{out}{err}");
    out
}

/// A URL at which the admin socket answers: Schemathesis opens none.
fn bridge(place: &Place) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let socket = place.socket();
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            // The server is gone at the end of the test.
            let Ok(local) = UnixStream::connect(&socket) else { return };
            let (mut from, mut to) = (stream.try_clone().unwrap(), local.try_clone().unwrap());
            std::thread::spawn(move || {
                drop(io::copy(&mut from, &mut to));
                drop(to.shutdown(Shutdown::Write));
            });
            let (mut from, mut to) = (local, stream);
            std::thread::spawn(move || {
                drop(io::copy(&mut from, &mut to));
                drop(to.shutdown(Shutdown::Write));
            });
        }
    });
    url
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))
}
