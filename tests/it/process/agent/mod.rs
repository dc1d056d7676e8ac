//! `mintage agent`: real agents, asked by real programs; behind them the real service, or an endpoint that fails as it
//! is told to.

mod config;
mod exec;
mod files;
mod guide;
mod http;
mod notify;
mod outage;
mod socket;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mintage::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::{Captured, Mintage, PATIENCE, Place, Ran, clean, decoded, finish, mode, random, seed, spawn, wait_for};
use crate::source::{Endpoint, SECRET, Say};

const GUARD: &str = "X-Mintage-Agent: 1";

/// A running agent. It is killed when it is dropped.
struct Agent {
    child: Child,
    out: Captured,
    err: Captured,
}

impl Agent {
    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        let (child, out, err) = spawn(&mut command);
        Self { child, out, err }
    }

    /// Where it listens.
    fn address(&mut self) -> SocketAddr {
        let listening = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == "listening").then(|| line["address"].as_str()?.parse().ok())?
        };
        self.until("it listens", |agent| agent.err.now().lines().find_map(listening))
    }

    /// The same for a socket.
    fn on(mut self, socket: &Path) -> Self {
        self.until("it answers on its socket", |_| UnixStream::connect(socket).ok());
        self
    }

    fn until<T>(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> Option<T>) -> T {
        wait_for(what, || {
            let found = so(self);
            if found.is_none() {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "{what}: the agent ended with {ended:?}: {}", self.err.now());
            }
            found
        })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn hint(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap().success());
    }

    fn end(&mut self) -> ExitStatus {
        wait_for("the agent to end", || self.child.try_wait().unwrap())
    }

    /// Asks it to end. Its exit code, stdout and stderr.
    fn stop(mut self, signal: &str) -> Ran {
        self.hint(signal);
        self.ended()
    }

    fn ended(&mut self) -> Ran {
        let status = self.end();
        Ran { code: status.code(), out: self.out.finish(), err: self.err.finish() }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where an agent is asked.
#[derive(Clone, Debug)]
enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["access_token"].as_str().unwrap().to_owned()
    }
}

impl At {
    /// A head of a request, without its end, to the letter.
    fn say(&self, head: &str) -> Answer {
        self.try_say(head).unwrap_or_else(|error| panic!("{head}: {error}"))
    }

    fn try_say(&self, head: &str) -> io::Result<Answer> {
        fn on(mut stream: impl Read + Write, head: &str) -> io::Result<Answer> {
            stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status = status.ok_or(io::ErrorKind::InvalidData)?;
            Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
        }
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                on(stream, head)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                on(stream, head)
            }
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{GUARD}"))
    }

    /// Asks until there is a token.
    fn token(&self) -> String {
        wait_for("a token", || self.try_token())
    }

    fn try_token(&self) -> Option<String> {
        let answer = self.get("/token");
        (answer.status == 200).then(|| answer.token())
    }

    fn status(&self) -> Value {
        self.get("/status").json()["tokens"].take()
    }
}

/// A place with the credentials of a client in `credentials.json`.
struct Site {
    place: Place,
    server: Mintage,
    id: String,
    secret: String,
}

const ORDERS: [&str; 4] = ["--scope", "orders:read", "--scope", "orders:write"];

impl Site {
    /// The real service, with a client that has these arguments.
    fn new(client: &[&str]) -> Self {
        let place = Place::new();
        place.write("mintage.toml", "[token]\nttl = \"10m\"\n");
        let server = place.start(&["--no-quickstart"]);
        place.text(&["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
        place.text(&["api", "create", "https://stock.example", "--scope", "stock:read"]);
        let (id, secret) = place.client(&[&["billing"], client].concat());
        let site = Self { place, server, id, secret };
        site.give(&site.secret);
        site
    }

    /// The credentials file, with this secret.
    fn give(&self, secret: &str) -> PathBuf {
        let unfinished = self.place.write("new.json", credentials(&self.id, secret));
        let path = self.place.at("credentials.json");
        fs::rename(unfinished, &path).unwrap();
        path
    }

    fn agent(&self, args: &[&str]) -> Agent {
        Agent::spawn(self.command(args))
    }

    fn command(&self, args: &[&str]) -> Command {
        let url = self.server.url("");
        let source = ["agent", "--issuer", &url, "--credentials", "credentials.json"];
        self.place.command(&[&source, args].concat())
    }

    /// One that answers on `agent.sock`.
    fn on_socket(&self, args: &[&str]) -> (Agent, At) {
        let agent = self.agent(&[&["--socket", "agent.sock"], args].concat());
        let socket = self.place.at("agent.sock");
        (agent.on(&socket), At::Unix(socket))
    }

    fn may(&self, token: &str) -> bool {
        runtime().block_on(self.server.whoami(token)).0 == 200
    }
}

/// First by its name, since it takes the longest.
#[test]
fn all_outages_are_got_over() {
    outage::all();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn credentials(id: &str, secret: &str) -> String {
    json!({"client_id": id, "client_secret": secret}).to_string()
}

/// A place, and an agent for the scripted endpoint.
fn scripted(place: &Place, endpoint: &Endpoint, args: &[&str]) -> Command {
    let url = format!("{}/token", endpoint.url);
    let mut command = place.command(&[&["agent", "--token-url", &url], args].concat());
    command.env("MINTAGE_CLIENT_ID", "billing").env("MINTAGE_CLIENT_SECRET", SECRET);
    command
}

fn scripted_on_socket(place: &Place, endpoint: &Endpoint, args: &[&str]) -> (Agent, At) {
    let socket = place.at("agent.sock");
    let command = scripted(place, endpoint, &[&["--socket", "agent.sock"], args].concat());
    (Agent::spawn(command).on(&socket), At::Unix(socket))
}

fn claims(token: &str) -> Value {
    decoded(token, 1)
}

fn now() -> i64 {
    SystemClock.now().seconds()
}

/// The names in a folder, but those given.
fn others(folder: &Path, but: &[&str]) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !but.contains(&name.as_str())).collect()
}

/// Ends who watches, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
