//! A service of somebody else's: `examples/orders.rs`, built with the feature `resource` alone and run as a process of
//! its own, with default settings, against the real program.

mod forged;
mod rotation;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::{Captured, Mintage, Place, clean, decoded, spawn, wait_for};

const API: &str = "https://orders.example";

/// A command of cargo on this package with one feature alone.
fn cargo(feature: &str, args: &[&str]) -> Command {
    let mut command = super::cargo();
    command.args(args).args(["--offline", "--no-default-features", "--features", feature]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// The built sample. In a folder of its own, so that its features and ours do not have each other built anew.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/sample");
        let built = cargo("resource", &["build", "--example", "orders", "--target-dir", target]).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Path::new(target).join("debug/examples/orders")
    })
}

/// The sample, running. It is killed when it is dropped.
struct Sample {
    child: Child,
    url: String,
    err: Captured,
    http: reqwest::Client,
}

impl Drop for Sample {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An answer of the sample.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn reason(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["reason"].as_str().unwrap_or_default().to_owned()
    }
}

impl Sample {
    /// In `place`, where its snapshot is, too; for the tokens of `issuer`.
    fn start(place: &Place, issuer: &str) -> Self {
        let mut command = clean(program());
        command.current_dir(place.at("")).env("ORDERS_ISSUER", issuer).env("ORDERS_LISTEN", "127.0.0.1:0");
        let (mut child, out, err) = spawn(command.stdin(Stdio::null()));
        let url = wait_for("the sample to listen", || {
            let text = out.now();
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the sample ended: {text} {}", err.now());
            Some(text.lines().next()?.strip_prefix("listening on ")?.to_owned())
        });
        Self { child, url, err, http: mintage::client::http_client().unwrap() }
    }

    /// What it answers to this `Authorization`.
    async fn ask(&self, authorization: impl AsRef<[u8]>) -> Answer {
        let value = HeaderValue::from_bytes(authorization.as_ref()).unwrap();
        Answer::of(self.http.get(format!("{}/orders", self.url)).header("authorization", value)).await
    }

    async fn get(&self, token: &str) -> Answer {
        self.ask(format!("Bearer {token}")).await
    }

    async fn accepts(&self, token: &str, what: &str) {
        let answer = self.get(token).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    }

    async fn refuses_as_revoked(&self, token: &str, what: &str) {
        let answer = self.get(token).await;
        assert_eq!((answer.status, answer.reason().as_str()), (401, "token_revoked"), "{what}: {}", answer.body);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""));
    }

    async fn health(&self) -> Value {
        let response = self.http.get(format!("{}/health", self.url)).send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// How long it is until the token is refused.
    async fn until_refused(&self, token: &str) -> Duration {
        let start = Instant::now();
        while self.get(token).await.status == 200 {
            assert!(start.elapsed() < Duration::from_secs(30), "a revoked token is still accepted");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        start.elapsed()
    }

    async fn until_revoked(&self, token: &str) -> Duration {
        let took = self.until_refused(token).await;
        self.refuses_as_revoked(token, "what was refused stays refused").await;
        took
    }
}

/// The program and the sample beside it.
struct Site {
    place: Place,
    server: Mintage,
    sample: Sample,
}

impl Site {
    fn new() -> Self {
        Self::with("")
    }

    fn with(configuration: &str) -> Self {
        let place = Place::new();
        place.write("mintage.toml", configuration);
        let server = place.start(&["--no-quickstart"]);
        place.text(&["api", "create", API, "--scope", "orders:read", "--scope", "orders:write"]);
        let sample = Sample::start(&place, &server.url(""));
        Self { place, server, sample }
    }

    fn client(&self) -> (String, String) {
        self.place.client(&["sample", "--scope", "orders:read"])
    }

    async fn revoke(&self, (id, secret): &(String, String), token: &str) {
        let request = self.sample.http.post(self.server.url("/oauth/revoke")).basic_auth(id, Some(secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(request.body(format!("token={token}")).send().await.unwrap().status(), 200);
    }

    /// The program again, on the files and the port that it had.
    fn restart(place: &Place, address: SocketAddr) -> Mintage {
        Mintage::spawn(place.command(&["serve", "--no-quickstart", "--listen", &address.to_string()]))
    }
}

/// What is told to be so within a second is so; on a busy machine at least most of the time.
fn within_a_second(mut all: Vec<Duration>) {
    all.sort();
    assert!(all[all.len() / 2] < Duration::from_secs(1), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_and_a_revoked_client_are_refused_within_a_second() {
    let site = Site::new();
    let (mut tokens, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let client = site.client();
        let (one, two) = (site.server.token(&client.0, &client.1).await, site.server.token(&client.0, &client.1).await);
        site.sample.accepts(&one, "one").await;
        site.sample.accepts(&two, "two").await;
        site.revoke(&client, &one).await;
        tokens.push(site.sample.until_revoked(&one).await);
        site.sample.accepts(&two, "the other one").await;
        site.place.text(&["client", "revoke", &client.0]);
        clients.push(site.sample.until_revoked(&two).await);
    }
    within_a_second(tokens);
    within_a_second(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_outlives_its_issuer_and_remembers() {
    let Site { place, server, sample } = Site::new();
    let client = place.client(&["sample", "--scope", "orders:read"]);
    let token = async || server.token(&client.0, &client.1).await;
    let (seen, unseen, revoked, later) = (token().await, token().await, token().await, token().await);
    for token in [&seen, &revoked, &later] {
        sample.accepts(token, "at first").await;
    }
    let site = Site { place, server, sample };
    site.revoke(&client, &revoked).await;
    site.sample.until_revoked(&revoked).await;
    let Site { place, server, mut sample } = site;

    let (address, issuer) = (server.address, server.url(""));
    assert_eq!(server.stop("-TERM").code, Some(0));
    let as_it_was = async |sample: &Sample, when: &str| {
        for token in [&seen, &unseen, &later] {
            sample.accepts(token, when).await;
        }
        sample.refuses_as_revoked(&revoked, when).await;
    };
    as_it_was(&sample, "while the issuer is down").await;
    until_healthy(&sample, false).await;

    // As a crash would end it: twice, so that it is no luck.
    for _ in 0..2 {
        drop(sample);
        sample = Sample::start(&place, &issuer);
        as_it_was(&sample, "after a restart without the issuer").await;
    }

    let server = Site::restart(&place, address);
    let site = Site { place, server, sample };
    let fresh = site.server.token(&client.0, &client.1).await;
    site.sample.accepts(&fresh, "a fresh one").await;
    as_it_was(&site.sample, "when the issuer is back").await;
    site.revoke(&client, &later).await;
    site.sample.until_revoked(&later).await;
    site.sample.accepts(&seen, "the others").await;
    until_healthy(&site.sample, true).await;
}

async fn until_healthy(sample: &Sample, healthy: bool) {
    let start = Instant::now();
    loop {
        let health = sample.health().await;
        if health["revocations"]["last_error"].is_null() == healthy {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{health}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A crash of the issuer, and a restart of both.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_forgotten_when_both_die() {
    let site = Site::new();
    let client = site.client();
    let (good, revoked) =
        (site.server.token(&client.0, &client.1).await, site.server.token(&client.0, &client.1).await);
    site.sample.accepts(&revoked, "at first").await;
    site.revoke(&client, &revoked).await;
    let Site { place, server, sample } = site;
    let (address, issuer) = (server.address, server.url(""));
    // At once: the sample may not have heard of it.
    server.kill9();
    drop(sample);
    let server = Site::restart(&place, address);
    let sample = Sample::start(&place, &issuer);
    sample.refuses_as_revoked(&revoked, "heard before the first request").await;
    sample.accepts(&good, "the other one").await;
    drop(server);
    sample.refuses_as_revoked(&revoked, "without the issuer").await;
}

#[test]
fn without_a_snapshot_and_without_an_issuer_the_sample_says_why_it_does_not_start() {
    let place = Place::new();
    let mut command = clean(program());
    command.current_dir(place.at("")).env("ORDERS_ISSUER", "http://127.0.0.1:1").env("ORDERS_LISTEN", "127.0.0.1:0");
    let ran = super::finish(command, "");
    assert!(ran.code == Some(1) && ran.out.is_empty() && ran.err.contains("127.0.0.1:1"), "{}", ran.err);
}

#[test]
fn the_library_sides_need_no_server() {
    for (feature, brought) in [("resource", ["moka", "ring"]), ("client", ["moka", "reqwest-middleware"])] {
        let listed = cargo(feature, &["tree", "-e", "normal", "--prefix", "none"]).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let listed = String::from_utf8(listed.stdout).unwrap();
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains(&"mintage") && brought.iter().all(|name| names.contains(name)), "{listed}");
        for name in names {
            for server in ["axum", "redb", "sqlx", "clap", "figment", "tracing-subscriber"] {
                assert!(!name.starts_with(server), "{name} is in the tree of the feature {feature}");
            }
        }
    }
}
