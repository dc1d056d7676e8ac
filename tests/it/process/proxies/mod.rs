//! The configurations of docs/guides, in the real nginx, Caddy and Envoy, before a folder and an app.

mod guides;
mod openai;
mod spellings;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Captured, Mintage, Place, clean, finish, spawn, wait_for};

/// The request lines that the app got.
type Seen = Arc<Mutex<Vec<String>>>;

const GUIDES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guides");
/// The callers. They are no proxies: Mintage believes 127.0.0.1 alone.
const CALLER: &str = "127.0.0.2";

/// Whether a program has to be there in CI.
#[derive(PartialEq)]
enum Needed {
    InCi,
    Not,
}

/// Where a program is; none where it is absent and need not be there.
fn program(name: &str, needed: Needed, how: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let venv = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin");
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", venv].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(
            needed == Needed::Not || std::env::var("CI").as_deref() != Ok("true"),
            "{name} is not installed: {how}"
        );
        eprintln!("\n*** SKIPPED the guide for {name}, which is not installed: {how}\n");
    }
    found
}

/// An app that answers with what it was asked, as JSON.
fn app() -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let sink = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sink = Arc::clone(&sink);
            std::thread::spawn(move || drop(echo(&stream.unwrap(), &sink)));
        }
    });
    (address, seen)
}

/// A request, as an app gets it.
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn read(stream: &TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut next = || -> std::io::Result<String> {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line)?;
            Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
        };
        let line = next()?;
        let mut headers = Vec::new();
        loop {
            let line = next()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Self { line, headers, body: String::from_utf8(body).unwrap() })
    }
}

fn answer(mut stream: &TcpStream, body: &Value) -> std::io::Result<()> {
    let (head, body) = ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close", body.to_string());
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn echo(stream: &TcpStream, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let Request { line, headers, body } = Request::read(stream)?;
    seen.lock().unwrap().push(line.clone());
    answer(stream, &json!({"request": line, "headers": headers, "body": body}))
}

/// What came back through the proxy.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// All that a header says; none where it is not there.
    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        first
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.body))
    }

    /// The values that the app saw of headers which an app could take for `name`.
    fn seen(&self, name: &str) -> Vec<String> {
        let same = |header: &Value| header[0].as_str().unwrap().replace('_', "-") == name;
        let headers = self.json()["headers"].as_array().unwrap().clone();
        headers.into_iter().filter(same).map(|header| header[1].as_str().unwrap().to_owned()).collect()
    }
}

/// curl, as one of the callers.
fn curl(from: &str, url: &str, args: &[&str]) -> Answer {
    let mut command = clean("curl");
    command.args(["-sS", "-i", "--max-time", "20", "--interface", from]).args(args).arg(url);
    let ran = finish(command, "");
    assert_eq!(ran.code, Some(0), "{url} {args:?}: {}", ran.err);
    let mut rest = ran.out.as_str();
    while rest.starts_with("HTTP/1.1 100 ") {
        rest = rest.split_once("\r\n\r\n").unwrap().1;
    }
    let (head, body) = rest.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Answer { status, headers: lines.map(header).collect(), body: body.to_owned() }
}

/// Mintage, and clients of every kind.
struct Site {
    place: Place,
    mintage: Mintage,
    app: SocketAddr,
    seen: Seen,
    /// What goes into a file of the guides besides, at its beginning of what is guarded.
    more: fn(&str) -> &'static str,
}

impl Site {
    fn new(configuration: &str) -> Self {
        Self::with_scopes(configuration, &[])
    }

    /// Its API has these scopes too.
    fn with_scopes(configuration: &str, more: &[&str]) -> Self {
        let place = Place::new();
        let network = "[network]\ntrusted_proxies = [\"127.0.0.1\"]\n";
        place.write("mintage.toml", format!("{network}{configuration}"));
        place.write("www/reports/march.txt", "the report of March\n");
        let mintage = place.start(&["--no-quickstart"]);
        let scopes = ["orders:read", "orders:write", "reports:read"];
        let scopes: Vec<_> = scopes.iter().chain(more).flat_map(|scope| ["--scope", scope]).collect();
        place.text(&[&["api", "create", "https://orders.example"], &scopes[..]].concat());
        let (app, seen) = app();
        Self { place, mintage, app, seen, more: |_| "" }
    }

    /// The id of a new client, and a token that it fetched itself.
    fn client(&self, args: &[&str]) -> (String, String) {
        let (id, secret) = self.place.client(args);
        let credentials = format!("{id}:{secret}");
        let grant = ["-u", &credentials, "-d", "grant_type=client_credentials"];
        let answer = curl(CALLER, &self.mintage.url("/oauth/token"), &grant).json();
        let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{args:?}: {answer}"));
        (id, format!("Authorization: Bearer {token}"))
    }

    /// A file of the guides as it is, but for its addresses.
    fn guide(&self, name: &str, port: u16) -> String {
        let guide = fs::read_to_string(format!("{GUIDES}/{name}")).unwrap();
        let guide = match ((self.more)(name), guide.split_once("# -- what is guarded")) {
            ("", _) | (_, None) => guide,
            (more, Some((before, after))) => format!("{before}{more}\n# --{after}"),
        };
        let changed = [
            ("127.0.0.1:8080", self.mintage.address.to_string()),
            ("port_value: 8080", format!("port_value: {}", self.mintage.address.port())),
            ("127.0.0.1:3000", self.app.to_string()),
            ("port_value: 3000", format!("port_value: {}", self.app.port())),
            ("127.0.0.1:8000", format!("127.0.0.1:{port}")),
            ("port_value: 8000", format!("port_value: {port}")),
            ("/srv/www", self.place.at("www").to_str().unwrap().to_owned()),
        ];
        changed.iter().fold(guide, |guide, (from, to)| guide.replace(from, to))
    }

    /// A proxy on a free port, which `command` makes ready.
    fn front(&self, command: impl Fn(u16) -> Command) -> Front {
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (mut child, out, err) = spawn(command(port).stdin(Stdio::null()));
            let up = wait_for("the proxy to listen", || match child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true),
            });
            let front = Front { child, out, err, url: format!("http://127.0.0.1:{port}") };
            if up {
                return front;
            }
            // Somebody else may have taken the port in between.
            let said = front.err.now() + &front.out.now();
            assert!(said.to_ascii_lowercase().contains("address already in use"), "{said}");
        }
        panic!("no port is free");
    }

    /// nginx with its guide, where it is installed.
    fn nginx(&self) -> Option<Front> {
        let nginx = program("nginx", Needed::InCi, "apt-get install nginx")?;
        let folder = self.place.at("nginx");
        Some(self.front(|port| {
            self.place.write("nginx/guide.conf", self.guide("nginx.conf", port));
            // The main file of an nginx that needs no root and leaves nothing behind.
            let folders =
                ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {of};"));
            let http = format!("access_log off; {} include guide.conf;", folders.join(" "));
            let main = "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}";
            self.place.write("nginx/nginx.conf", format!("{main} http {{ {http} }}"));
            let mut command = clean(&nginx);
            command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(&folder);
            command
        }))
    }

    fn caddy(&self) -> Option<Front> {
        let caddy = program("caddy", Needed::InCi, "apt-get install caddy")?;
        let folder = self.place.at("caddy");
        Some(self.front(|port| {
            // Without its door for administration, whose port another Caddy may have.
            let text = format!("{{\n\tadmin off\n}}\n{}", self.guide("Caddyfile", port));
            let guide = self.place.write("caddy/Caddyfile", text);
            let mut command = clean(&caddy);
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&guide);
            command.env("HOME", &folder).env("XDG_CONFIG_HOME", &folder).env("XDG_DATA_HOME", &folder);
            command
        }))
    }

    /// Its policy is in `envoy_policy()`, with which Mintage has to be started.
    fn envoy(&self) -> Option<Front> {
        let envoy = program("envoy", Needed::Not, "tests/run installs it with Python's libraries")?;
        Some(self.front(|port| {
            let guide = self.place.write("envoy.yaml", self.guide("envoy.yaml", port));
            let mut command = clean(&envoy);
            command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"]).arg(&guide);
            command
        }))
    }
}

fn envoy_policy() -> String {
    fs::read_to_string(format!("{GUIDES}/envoy.toml")).unwrap()
}

/// A running proxy. It is killed when it is dropped.
struct Front {
    child: Child,
    out: Captured,
    err: Captured,
    url: String,
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the proxy said: {}{}", self.out.now(), self.err.now());
        }
    }
}

impl Front {
    fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.get_from(CALLER, path, headers)
    }

    fn get_from(&self, from: &str, path: &str, headers: &[&str]) -> Answer {
        let args: Vec<_> = headers.iter().flat_map(|header| ["-H", header]).collect();
        curl(from, &format!("{}{path}", self.url), &args)
    }
}
