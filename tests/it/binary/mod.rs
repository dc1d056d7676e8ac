//! The real program, as a process of its own.

mod cli;
mod interop;
mod kill9;
mod start;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// How long a start may take: a debug build on a busy machine.
const START: Duration = Duration::from_secs(60);

/// `mintage` with these arguments in this folder, with nothing of the test's own environment that it would read.
pub fn command<S: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintage"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MINTAGE_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    command
}

/// What `mintage` prints with these arguments.
pub fn run<S: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = S>) -> Output {
    command(dir, arguments).output().unwrap()
}

/// The JSON that `mintage … --json` prints, which has to succeed.
pub fn json(dir: &Path, arguments: &[&str]) -> Value {
    let output = run(dir, arguments.iter().chain(&["--json"]));
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A running server; killed when dropped.
pub struct Server {
    pub dir: PathBuf,
    pub base: String,
    child: Child,
    stdout: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
}

/// Reads a pipe to its end on a thread of its own, line by line.
fn lines(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    receive
}

impl Server {
    /// Starts `mintage serve` in `dir`, and waits until it listens.
    pub fn start(dir: &Path, arguments: &[&str]) -> Self {
        Self::try_start(dir, arguments).unwrap_or_else(|(code, said)| panic!("it ended with {code:?}: {said}"))
    }

    /// The same; where it ends instead, its exit code and what it said.
    pub fn try_start(dir: &Path, arguments: &[&str]) -> Result<Self, (Option<i32>, String)> {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        all.extend_from_slice(arguments);
        let mut child = command(dir, all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let mut said = String::new();
        loop {
            let line = match stderr.recv_timeout(START) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err((child.wait().unwrap().code(), said)),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it neither listens nor ends: {said}"),
            };
            let log: Value = serde_json::from_str(&line).unwrap_or_default();
            if log["message"] == "listening" {
                let base = format!("http://{}", log["address"].as_str().unwrap());
                return Ok(Self { dir: dir.to_owned(), base, child, stdout, stderr });
            }
            said.push_str(&line);
            said.push('\n');
        }
    }

    /// What is printed until `end` is in a line.
    pub fn printed_until(&self, end: &str) -> Vec<String> {
        let mut printed = Vec::new();
        loop {
            let line = self.stdout.recv_timeout(START).unwrap();
            let done = line.contains(end);
            printed.push(line);
            if done {
                return printed;
            }
        }
    }

    /// Ends it with SIGTERM. Its exit code, and all that it printed and logged besides what was read before.
    pub fn terminate(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let rest: Vec<String> = self.stdout.iter().chain(self.stderr.iter()).collect();
        (status.code(), rest.join("\n"))
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The answer to a token request of this client.
pub async fn token_request(base: &str, id: &str, secret: &str) -> reqwest::Response {
    mintage::client::http_client()
        .unwrap()
        .post(format!("{base}/oauth/token"))
        .basic_auth(id, Some(secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials")
        .send()
        .await
        .unwrap()
}

/// A token of this client, which has to be given one.
pub async fn token(base: &str, id: &str, secret: &str) -> String {
    let response = token_request(base, id, secret).await;
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

/// The answer of a guarded route.
pub async fn whoami(base: &str, token: &str) -> reqwest::Response {
    let request = mintage::client::http_client().unwrap().get(format!("{base}/api/v1/whoami"));
    request.bearer_auth(token).send().await.unwrap()
}

pub fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap()
}
