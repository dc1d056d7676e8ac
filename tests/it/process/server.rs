//! A running server.

use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use reqwest::StatusCode;
use serde_json::Value;

use super::{Captured, Ran, spawn, wait_for};

/// A running server. It is killed when it is dropped.
pub(super) struct Mintage {
    child: Child,
    pub(super) address: SocketAddr,
    out: Captured,
    err: Captured,
    http: OnceLock<reqwest::Client>,
}

impl Mintage {
    /// Starts `command`, which has to be a server, and waits until it listens.
    pub(super) fn spawn(command: Command) -> Self {
        Self::try_spawn(command)
            .unwrap_or_else(|ran| panic!("the server ended with {:?}: {} {}", ran.code, ran.out, ran.err))
    }

    /// The same, or how it ended without having listened.
    pub(super) fn try_spawn(mut command: Command) -> Result<Self, Ran> {
        let (mut child, mut out, mut err) = spawn(command.stdin(Stdio::null()));
        let listening = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == "listening").then(|| line["address"].as_str().unwrap().parse().unwrap())
        };
        let address = wait_for("the server to listen", || match child.try_wait().unwrap() {
            Some(status) => Some(Err(status)),
            None => err.now().lines().find_map(listening).map(Ok),
        });
        match address {
            Ok(address) => Ok(Self { child, address, out, err, http: OnceLock::new() }),
            Err(status) => Err(Ran { code: status.code(), out: out.finish(), err: err.finish() }),
        }
    }

    /// Made when it is first needed: reading the system's certificates takes longer than most starts.
    fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| mintage::client::http_client().unwrap())
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it has printed, once `last` is in it.
    pub(super) fn printed(&self, last: &str) -> String {
        wait_for("the introduction", || Some(self.out.now()).filter(|text| text.contains(last)))
    }

    /// The introduction of a first start, and the secret in it.
    pub(super) fn introduction(&self) -> (String, String) {
        let text = self.printed("mintage client create");
        let secret =
            text.lines().find_map(|line| line.trim().strip_prefix("client_secret:")).unwrap().trim().to_owned();
        (text, secret)
    }

    pub(super) fn hint(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(super) fn signal(&mut self, name: &str) -> ExitStatus {
        self.hint(name);
        wait_for("the server to end", || self.child.try_wait().unwrap())
    }

    /// Asks it to end. Its exit code, stdout and stderr.
    pub(super) fn stop(mut self, signal: &str) -> Ran {
        let status = self.signal(signal);
        Ran { code: status.code(), out: self.out.finish(), err: self.err.finish() }
    }

    /// Ends it as a crash would.
    pub(super) fn kill9(mut self) {
        self.signal("-KILL");
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let response = self.http().get(self.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    /// The kids that the JWKS has.
    pub(super) async fn kids(&self) -> Vec<String> {
        let jwks = self.get("/.well-known/jwks.json").await;
        let mut kids: Vec<_> =
            jwks["keys"].as_array().unwrap().iter().map(|k| k["kid"].as_str().unwrap().to_owned()).collect();
        kids.sort();
        kids
    }

    /// What the token endpoint answers to these credentials.
    pub(super) async fn exchange(&self, id: &str, secret: &str) -> (StatusCode, Value) {
        let request = self.http().post(self.url("/oauth/token")).basic_auth(id, Some(secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.body("grant_type=client_credentials").send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// A token for a client that has to get one.
    pub(super) async fn token(&self, id: &str, secret: &str) -> String {
        let (status, body) = self.exchange(id, secret).await;
        assert_eq!(status, StatusCode::OK, "{id}: {body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// What the guarded route answers to a token.
    pub(super) async fn whoami(&self, token: &str) -> (StatusCode, Value) {
        let response = self.http().get(self.url("/api/v1/whoami")).bearer_auth(token).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }
}

impl Drop for Mintage {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
