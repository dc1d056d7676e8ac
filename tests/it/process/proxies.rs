//! The configurations of docs/guides, in the real nginx, Caddy and Envoy, before a folder and an app.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Captured, Mintage, Place, clean, finish, spawn, wait_for};

const GUIDES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guides");
const IDENTITY: [&str; 5] = ["x-auth-client-id", "x-auth-scope", "x-auth-org", "x-auth-project", "x-auth-env"];
/// Two callers. They are no proxies: Mintage believes 127.0.0.1 alone.
const CALLER: &str = "127.0.0.2";
const OTHER: &str = "127.0.0.3";

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
fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(|| drop(echo(stream.unwrap())));
        }
    });
    address
}

fn echo(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut line = || -> std::io::Result<String> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let request = line()?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let seen = json!({"request": request, "headers": headers, "body": String::from_utf8(body).unwrap()}).to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(&stream, "{head}\r\nContent-Length: {}\r\n\r\n{seen}", seen.len())
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
}

impl Site {
    fn new(configuration: &str) -> Self {
        let place = Place::new();
        let network = "[network]\ntrusted_proxies = [\"127.0.0.1\"]\n";
        place.write("mintage.toml", format!("{network}{configuration}"));
        place.write("www/reports/march.txt", "the report of March\n");
        let mintage = place.start(&["--no-quickstart"]);
        let scopes = ["orders:read", "orders:write", "reports:read"].map(|scope| ["--scope", scope]);
        place.text(&[&["api", "create", "https://orders.example"], scopes.as_flattened()].concat());
        Self { place, mintage, app: app() }
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

/// A refusal says why, in its status, its challenge, its body and a header.
fn refused(answer: &Answer, status: u16, reason: &str, challenge: Option<&str>) {
    let said = answer.header("www-authenticate");
    assert_eq!((answer.status, said.is_some()), (status, challenge.is_some()), "{reason}: {}", answer.body);
    assert!(said.unwrap_or_default().starts_with(challenge.unwrap_or_default()), "{reason}: {said:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{reason}");
    assert_eq!(answer.header("x-auth-reason"), Some(reason));
    let body = answer.json();
    assert_eq!((&body["reason"], &body["status"]), (&json!(reason), &json!(status)), "{body}");
    assert!(body["request_id"].as_str().unwrap().starts_with("r_"), "{body}");
}

/// What has to hold behind every proxy. /orders/ID of the app needs orders:read, or orders:write to change.
fn guards(site: &Site, front: &Front) {
    let (id, reader) = site.client(&["reader", "--scope", "orders:read"]);
    let spoofs = IDENTITY.map(|name| [format!("{name}: admin"), format!("{}: admin", name.replace('-', "_"))]);
    let others = ["X-Auth-Reason: admin", "X-Auth-Status: admin", "X-Auth-Request-Id: admin", "X-Auth_Scope: admin"];
    let spoofs: Vec<_> = spoofs.as_flattened().iter().map(String::as_str).chain(others).collect();

    // Let through, and the app knows who it is.
    let answer = front.get("/orders/7?full=1", &[&[reader.as_str()], &spoofs[..]].concat());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json()["request"].as_str().unwrap().starts_with("GET /orders/7?full=1 "), "{}", answer.body);
    let values = [id.as_str(), "orders:read", "default", "default", "live"];
    for (name, value) in IDENTITY.into_iter().zip(values) {
        assert_eq!(answer.seen(name), [value], "{name}");
    }
    assert!(!answer.body.contains("admin"), "{}", answer.body);

    // What is public tells the app nothing, and passes on nothing that the caller said of itself.
    let answer = front.get("/healthz", &spoofs);
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("admin") && !answer.body.contains("x-auth-"), "{}", answer.body);

    // Refused.
    let invalid = Some("Bearer error=\"invalid_token\"");
    refused(&front.get("/orders/7", &[]), 401, "no_credentials", Some("Bearer realm=\""));
    refused(&front.get("/orders/7", &spoofs), 401, "no_credentials", Some("Bearer realm=\""));
    refused(&front.get("/orders/7", &["Authorization: Bearer garbage"]), 401, "token_invalid", invalid);
    let malformed = Some("Bearer error=\"invalid_request\"");
    refused(&front.get("/orders/7", &["Authorization: Basic eDp5"]), 400, "malformed_request", malformed);
    // By Mintage, or by the proxy itself.
    assert_eq!(front.get("/orders/7", &[&reader, &reader]).status, 400);
    let (_, writer) = site.client(&["writer", "--scope", "orders:write"]);
    let insufficient = Some("Bearer error=\"insufficient_scope\", scope=\"orders:read\"");
    refused(&front.get("/orders/7", &[&writer]), 403, "insufficient_scope", insufficient);

    // A body reaches the app whole, and the decision is that for its method.
    let body = "0123456789abcdef".repeat(20_000);
    let file = site.place.write("body", &body);
    let data = format!("@{}", file.display());
    let post = |token: &str| {
        let args = ["-H", token, "-H", "Content-Type: text/plain", "--data-binary", &data];
        curl(CALLER, &format!("{}/orders/7", front.url), &args)
    };
    let answer = post(&writer);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json()["request"].as_str().unwrap().starts_with("POST /orders/7 "));
    assert!(answer.json()["body"] == body.as_str(), "{} bytes came", answer.json()["body"].as_str().unwrap().len());
    refused(&post(&reader), 403, "insufficient_scope", Some("Bearer error=\"insufficient_scope\""));

    // The address is the caller's own, whatever it says.
    let (_, bound) = site.client(&["bound", "--scope", "orders:read", "--allow-ip", CALLER]);
    for (from, said) in [(CALLER, "192.0.2.1"), (OTHER, CALLER)] {
        let [forwarded, real] = ["X-Forwarded-For", "X-Real-IP"].map(|name| format!("{name}: {said}"));
        let standard = format!("Forwarded: for={said}");
        for headers in [&[bound.as_str()][..], &[&bound, &forwarded], &[&bound, &forwarded, &standard, &real]] {
            let answer = front.get_from(from, "/orders/7", headers);
            if from == CALLER {
                assert_eq!(answer.status, 200, "{headers:?}: {}", answer.body);
            } else {
                refused(&answer, 403, "ip_not_allowed", None);
            }
        }
    }

    // Last, since it ends the client.
    site.place.text(&["client", "revoke", &id]);
    refused(&front.get("/orders/7", &[&reader]), 401, "token_revoked", invalid);
}

/// What has to hold where the policy is in the proxy's configuration.
fn places(site: &Site, front: &Front) {
    // A token without scopes: nothing stands in the place of the empty header.
    let (id, bare) = site.client(&["bare"]);
    let answer = front.get("/hello", &[&bare, "X-Auth-Scope: admin", "X_Auth_Scope: admin"]);
    assert_eq!((answer.status, answer.seen("x-auth-client-id")), (200, vec![id]), "{}", answer.body);
    assert!(answer.seen("x-auth-scope").iter().all(String::is_empty), "{}", answer.body);

    // A folder, for whoever has both scopes.
    let (_, reader) = site.client(&["half", "--scope", "orders:read"]);
    let (_, both) = site.client(&["both", "--scope", "orders:read", "--scope", "reports:read"]);
    let answer = front.get("/reports/march.txt", &[&both]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "the report of March\n"));
    let insufficient = Some("Bearer error=\"insufficient_scope\", scope=\"orders:read reports:read\"");
    refused(&front.get("/reports/march.txt", &[&reader]), 403, "insufficient_scope", insufficient);
    refused(&front.get("/reports/march.txt", &[]), 401, "no_credentials", Some("Bearer realm=\""));
}

#[test]
fn nginx_lets_through_whom_mintage_does() {
    let Some(nginx) = program("nginx", Needed::InCi, "apt-get install nginx") else { return };
    let site = Site::new("");
    let folder = site.place.at("nginx");
    let front = site.front(|port| {
        site.place.write("nginx/guide.conf", site.guide("nginx.conf", port));
        // The main file of an nginx that needs no root and leaves nothing behind.
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {of};"));
        let http = format!("access_log off; {} include guide.conf;", folders.join(" "));
        let main = "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}";
        site.place.write("nginx/nginx.conf", format!("{main} http {{ {http} }}"));
        let mut command = clean(&nginx);
        command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(&folder);
        command
    });
    guards(&site, &front);
    places(&site, &front);
    assert_eq!(front.get("/_mintage", &[]).status, 404, "the way to Mintage is open to callers");
    // Without Mintage nobody gets in.
    drop(site.mintage);
    assert_eq!(front.get("/orders/7", &[]).status, 500);
}

#[test]
fn caddy_lets_through_whom_mintage_does() {
    let Some(caddy) = program("caddy", Needed::InCi, "apt-get install caddy") else { return };
    let site = Site::new("");
    let folder = site.place.at("caddy");
    let front = site.front(|port| {
        // Without its door for administration, whose port another Caddy may have.
        let text = format!("{{\n\tadmin off\n}}\n{}", site.guide("Caddyfile", port));
        let guide = site.place.write("caddy/Caddyfile", text);
        let mut command = clean(&caddy);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&guide);
        command.env("HOME", &folder).env("XDG_CONFIG_HOME", &folder).env("XDG_DATA_HOME", &folder);
        command
    });
    guards(&site, &front);
    places(&site, &front);
    // Its refusals are Mintage's own, to the last member.
    let body = front.get("/orders/7", &[]).json();
    assert!(body["type"].as_str().unwrap().ends_with("/errors/no_credentials") && body["detail"].is_string(), "{body}");
    // Without Mintage nobody gets in.
    drop(site.mintage);
    assert_eq!(front.get("/orders/7", &[]).status, 502);
}

#[test]
fn envoy_lets_through_whom_mintage_does() {
    let how = "tests/run installs it with Python's libraries";
    let Some(envoy) = program("envoy", Needed::Not, how) else { return };
    let site = Site::new(&fs::read_to_string(format!("{GUIDES}/envoy.toml")).unwrap());
    let front = site.front(|port| {
        let guide = site.place.write("envoy.yaml", site.guide("envoy.yaml", port));
        let mut command = clean(&envoy);
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"]).arg(&guide);
        command
    });
    guards(&site, &front);
    // A path that no rule names, and other spellings of one that a rule does.
    let (_, writer) = site.client(&["both", "--scope", "orders:read", "--scope", "orders:write"]);
    for path in ["/", "/orders", "/orders/7/lines", "/elsewhere/7"] {
        assert_eq!(front.get(path, &[&writer]).status, 403, "{path}");
    }
    assert_eq!(front.get("/healthz/..%2forders/7", &[]).status, 400);
    assert_eq!(front.get("//orders//7", &[&writer]).status, 200);
    // Without Mintage nobody gets in.
    drop(site.mintage);
    assert_eq!(front.get("/orders/7", &[]).status, 503);
}
