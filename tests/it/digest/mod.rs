//! HTTP Digest: its arithmetic, its keys, and what becomes of requests with them.

mod explained;
mod forwarded;
mod management;
mod presented;
mod replay;
mod sealed;
mod used;
mod wire;

use std::net::Ipv4Addr;

use mintage::api::NewClient;
use mintage::crypto::HashAlgorithm;
use mintage::server::config::Config;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::operators::made;
use crate::raw::{Answer, send_from};

pub const ORDERS: &str = "https://orders.example";
pub const WHOAMI: &str = "/api/v1/whoami";

/// A Digest key and its client.
#[derive(Clone, Debug)]
pub struct Pair {
    pub client: String,
    pub id: String,
    pub user: String,
    pub password: String,
}

/// A service whose own routes take Digest.
pub async fn site() -> TestApp {
    site_with(|_| {}).await
}

pub async fn site_with(change: impl FnOnce(&mut Config)) -> TestApp {
    let change = |config: &mut Config| {
        config.api.digest = true;
        change(config);
    };
    let app = TestApp::builder().config(change).start().await;
    app.api(ORDERS, &["orders:read", "orders:write"]).await;
    app
}

/// A client that may read orders and projects, and its Digest key.
pub async fn pair(app: &TestApp) -> Pair {
    pair_with(app, NewClient::default(), json!({})).await
}

pub async fn pair_with(app: &TestApp, mut new: NewClient, key: Value) -> Pair {
    if new.scopes.is_empty() {
        new.scopes = ["orders:read", "mintage:projects:read"].map(str::to_owned).into();
    }
    let client = app.client_with(new).await.id;
    key_of(app, &client, key).await
}

/// Another Digest key of this client.
pub async fn key_of(app: &TestApp, client: &str, key: Value) -> Pair {
    let given = key["private_key"].as_str().map(str::to_owned);
    let made = made(app, &format!("clients/{client}/digest-keys"), key).await;
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{name}: {made}")).to_owned();
    let password = given.unwrap_or_else(|| text("private_key"));
    Pair { client: client.to_owned(), id: text("id"), user: text("public_key"), password }
}

/// What a server challenges with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub algorithm: String,
    pub nonce: String,
    pub opaque: String,
    pub stale: bool,
}

pub fn challenge_lines(answer: &Answer) -> Vec<&str> {
    answer.headers.iter().filter(|(name, _)| name == "www-authenticate").map(|(_, value)| value.as_str()).collect()
}

/// The Digest challenges of an answer, in their order.
pub fn challenges(answer: &Answer) -> Vec<Challenge> {
    let digests = challenge_lines(answer).into_iter().filter_map(|line| line.strip_prefix("Digest "));
    digests
        .map(|line| {
            let parameter = |name: &str| {
                let parts = line.split(", ").filter_map(|part| part.split_once('='));
                let found: Vec<_> = parts.filter(|(own, _)| own.eq_ignore_ascii_case(name)).collect();
                assert_eq!(found.len(), 1, "{name}: {line}");
                found[0].1.trim_matches('"').to_owned()
            };
            assert_eq!((parameter("realm").as_str(), parameter("qop").as_str()), ("mintage", "auth"), "{line}");
            Challenge {
                algorithm: parameter("algorithm"),
                nonce: parameter("nonce"),
                opaque: parameter("opaque"),
                stale: parameter("stale") == "true",
            }
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a client answers to a challenge.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub password: String,
    pub realm: String,
    pub method: String,
    pub uri: String,
    pub nc: String,
    pub cnonce: String,
    pub challenge: Challenge,
}

impl Login {
    pub fn new(pair: &Pair, challenge: &Challenge, method: &str, uri: &str) -> Self {
        Self {
            user: pair.user.clone(),
            password: pair.password.clone(),
            realm: "mintage".to_owned(),
            method: method.to_owned(),
            uri: uri.to_owned(),
            nc: "00000001".to_owned(),
            cnonce: "0a4f113b".to_owned(),
            challenge: challenge.clone(),
        }
    }

    pub fn count(mut self, count: u32) -> Self {
        self.nc = format!("{count:08x}");
        self
    }

    pub fn response(&self) -> String {
        let algorithm = match self.challenge.algorithm.as_str() {
            "SHA-256" => HashAlgorithm::Sha256,
            _ => HashAlgorithm::Sha512_256,
        };
        let hash = |text: String| hex(&algorithm.hash(&[text.as_bytes()]));
        let (a1, a2) =
            (format!("{}:{}:{}", self.user, self.realm, self.password), format!("{}:{}", self.method, self.uri));
        let nonce = &self.challenge.nonce;
        hash(format!("{}:{nonce}:{}:{}:auth:{}", hash(a1), self.nc, self.cnonce, hash(a2)))
    }

    pub fn header(&self) -> String {
        let Self { user, realm, uri, nc, cnonce, challenge: Challenge { algorithm, nonce, opaque, .. }, .. } = self;
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"{realm}\", uri=\"{uri}\", algorithm={algorithm}, \
             nonce=\"{nonce}\", nc={nc}, cnonce=\"{cnonce}\", qop=auth, response=\"{}\", opaque=\"{opaque}\"",
            self.response()
        )
    }

    /// Sends the request that it is made for.
    pub async fn send(&self, app: &TestApp) -> Answer {
        send(app, &self.method, &self.uri, &self.header()).await
    }
}

/// A request with these further lines.
pub async fn send(app: &TestApp, method: &str, target: &str, lines: &str) -> Answer {
    let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    send_from(&app.base, Ipv4Addr::LOCALHOST, head).await
}

/// The first of the challenges that a request without credentials is answered.
pub async fn challenged(app: &TestApp) -> Challenge {
    let answer = send(app, "GET", WHOAMI, "").await;
    assert_eq!(answer.verdict(), (401, "no_credentials".to_owned()));
    challenges(&answer).remove(0)
}

/// A login to a route of ours, to a fresh challenge.
pub async fn login(app: &TestApp, pair: &Pair) -> Login {
    Login::new(pair, &challenged(app).await, "GET", WHOAMI)
}

pub fn ok() -> (u16, String) {
    (200, String::new())
}

pub fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

pub fn invalid() -> (u16, String) {
    refused(401, "digest_invalid")
}

pub fn stale() -> (u16, String) {
    refused(401, "digest_stale")
}
