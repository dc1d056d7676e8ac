//! Programs that know HTTP Digest, and the real server: curl, and Python's requests.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::Value;

use super::interop::python;
use super::{Mintage, Place, clean, finish};

const CONFIG: &str = r#"
[api]
digest = true

[network]
trusted_proxies = ["127.0.0.1"]

[[guard]]
name = "orders"
digest = true

[[guard.rule]]
path = "/v1/{*rest}"
scopes = ["orders:read"]

[[guard]]
name = "caddy"
request = "x-forwarded"
digest = true

[[guard.rule]]
path = "/v1/{*rest}"
scopes = ["orders:read"]
"#;

/// A server, and a client with a Digest key.
fn site() -> (Place, Mintage, String, Value) {
    let place = Place::new();
    place.write("mintage.toml", CONFIG);
    let server = place.start(&["--no-quickstart"]);
    place.text(&["api", "create", "https://orders.example", "--scope", "orders:read"]);
    let (id, _) = place.client(&["legacy", "--scope", "orders:read", "--scope", "mintage:projects:read"]);
    let key = place.json(&["client", "digest-key", "create", &id]);
    (place, server, id, key)
}

/// Status and body.
fn curl(args: &[&str]) -> (String, String) {
    let mut command = clean("curl");
    command.args(["-sS", "--max-time", "20", "-w", "\n%{http_code}"]).args(args);
    let ran = finish(command, "");
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let (body, status) = ran.out.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// How a proxy asks Mintage.
#[derive(Clone, Copy)]
enum Asks {
    LikeEnvoy,
    LikeCaddy,
}

/// A proxy that asks Mintage about each request, and answers what it was answered.
fn proxy(server: &Mintage, asks: Asks) -> String {
    let (listener, mintage) = (TcpListener::bind("127.0.0.1:0").unwrap(), server.address);
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().map(Result::unwrap) {
            let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            let [method, target, _] = first.split(' ').collect::<Vec<_>>()[..] else { continue };
            let mut question = match asks {
                Asks::LikeEnvoy => format!("{method} /forward-auth/g/orders{target} HTTP/1.1\r\n"),
                Asks::LikeCaddy => format!(
                    "GET /forward-auth/g/caddy HTTP/1.1\r\nX-Forwarded-Method: {method}\r\nX-Forwarded-Uri: {target}\r\n"
                ),
            };
            for line in lines.take_while(|line| !line.is_empty()) {
                if !line.to_ascii_lowercase().starts_with("connection:") {
                    question.push_str(&format!("{line}\r\n"));
                }
            }
            let mut upstream = std::net::TcpStream::connect(mintage).unwrap();
            upstream.write_all(format!("{question}Connection: close\r\n\r\n").as_bytes()).unwrap();
            drop(std::io::copy(&mut upstream, &mut &client));
        }
    });
    url
}

fn user(key: &Value) -> String {
    format!("{}:{}", key["public_key"].as_str().unwrap(), key["private_key"].as_str().unwrap())
}

#[test]
fn curl_logs_in() {
    let (place, server, id, key) = site();
    let (whoami, good) = (server.url("/api/v1/whoami"), user(&key));
    let (status, body) = curl(&["--digest", "-u", &good, &whoami]);
    assert_eq!(status, "200", "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["claims"]["client_id"], id.as_str());
    // Several requests on one connection, with one nonce.
    let (status, body) = curl(&["--digest", "-u", &good, &whoami, &format!("{whoami}?a=b"), &whoami]);
    assert!(status == "200" && body.matches(&format!("\"client_id\":\"{id}\"")).count() == 3, "{body}");
    let (status, body) = curl(&["--digest", "-u", &format!("{good}x"), &whoami]);
    assert!(status == "401" && body.contains("digest_invalid"), "{body}");
    let (status, body) = curl(&["-u", &good, &whoami]);
    assert!(status == "400" && body.contains("malformed_request"), "Basic is none: {body}");
    // Through proxies: what curl signs is what it asks them for.
    for asks in [Asks::LikeEnvoy, Asks::LikeCaddy] {
        let proxy = proxy(&server, asks);
        let (status, body) = curl(&["-i", "--digest", "-u", &good, &format!("{proxy}/v1/orders?x=a%20b")]);
        assert!(status == "200" && body.contains(&format!("x-auth-client-id: {id}")), "{body}");
        let (status, body) = curl(&["--digest", "-u", &good, "-X", "DELETE", &format!("{proxy}/v1/orders/1")]);
        assert_eq!(status, "200", "{body}");
        let (status, body) = curl(&["--digest", "-u", &good, &format!("{proxy}/v2/orders")]);
        assert!(status == "403" && body.contains("no_rule_matches"), "{body}");
    }
    // Without one, what it signs is the path that begins with the guard's name.
    let (status, body) = curl(&["--digest", "-u", &good, &server.url("/forward-auth/g/orders/v1/orders")]);
    assert!(status == "400" && body.contains("malformed_request"), "{body}");
    // The operator sees that it is in use, and why what failed has failed.
    let (key_id, public_key) = (key["id"].as_str().unwrap(), key["public_key"].as_str().unwrap());
    let client = place.text(&["client", "show", &id]);
    let line = client.lines().skip_while(|line| !line.starts_with("DIGEST KEY")).nth(1).unwrap_or_default().to_owned();
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!((&cells[..3], cells.last()), (&[key_id, public_key, "never"][..], Some(&"127.0.0.1")), "{client}");
    assert!(
        !place.text(&["client", "list"]).lines().find(|line| line.starts_with(&id)).unwrap().contains("never  never")
    );
    assert!(!place.text(&["client", "review", "--never-used-for", "0s"]).contains(&id));
    let (_, body) = curl(&["--digest", "-u", &format!("{good}x"), &whoami]);
    let request_id = serde_json::from_str::<Value>(&body).unwrap()["request_id"].as_str().unwrap().to_owned();
    let why = place.text(&["explain", &request_id]);
    for said in ["wrong_response", &id, public_key] {
        assert!(why.contains(said) && !body.contains(said), "{why} {body}");
    }
    // It is written within a second or two.
    let search = || place.text(&["audit", "search", "--kind", "refusals", "--request-id", &request_id]);
    let log = (0..100).map(|_| search()).find(|log| log.contains(&request_id)).unwrap_or_default();
    let line = log.lines().find(|line| line.contains(&request_id)).unwrap_or_default();
    assert!(line.contains(&format!("client:{id}")) && line.contains(public_key), "{log}");
    // Withdrawn, it is refused at once.
    let shown = place.json(&["client", "digest-key", "list", &id]);
    assert!(shown["items"][0]["last_used_at"].is_string() && shown["items"][0].get("private_key").is_none(), "{shown}");
    place.text(&["client", "digest-key", "delete", &id, key["id"].as_str().unwrap()]);
    let (status, body) = curl(&["--digest", "-u", &good, &whoami]);
    assert!(status == "401" && body.contains("digest_invalid"), "{body}");
}

#[test]
fn a_pair_that_there_is_goes_on() {
    let (place, server, id, _) = site();
    let file = place.write("old.key", "b1b9f7c6-3c8d-4d8b-9f1e-0d5a7f2c9e11\n");
    let (path, whoami) = (file.to_str().unwrap(), server.url("/api/v1/whoami"));
    let create = ["client", "digest-key", "create", &id, "--public-key", "hqxvbmwe", "--private-key", path];
    let made = place.text(&create);
    assert!(made.contains("hqxvbmwe") && !made.contains("b1b9f7c6"), "{made}");
    let pair = "hqxvbmwe:b1b9f7c6-3c8d-4d8b-9f1e-0d5a7f2c9e11";
    assert_eq!(curl(&["--digest", "-u", pair, &whoami]).0, "200");
    assert!(place.fails(&create).contains("already"));
    let half = place.run(&create[..6]);
    assert!(half.code == Some(2) && half.err.contains("--private-key"), "{}", half.err);
    let listed = place.text(&["client", "digest-key", "list", &id]);
    assert!(listed.lines().count() == 3 && listed.contains("hqxvbmwe"), "{listed}");
    // A backup goes on with the key that it was sealed with, and lets nobody in without.
    place.text(&["store", "backup", "b.backup"]);
    server.stop("-TERM");
    let aside = place.at("aside.key");
    fs::remove_dir_all(place.at("data")).unwrap();
    place.text(&["store", "restore", "b.backup"]);
    fs::rename(place.at("keys/digest.key"), &aside).unwrap();
    let server = place.start(&[]);
    assert_eq!(curl(&["--digest", "-u", pair, &server.url("/api/v1/whoami")]).0, "401");
    let ran = server.stop("-TERM");
    assert_eq!(ran.err.matches("put the file back from a backup and start anew").count(), 1, "{}", ran.err);
    fs::rename(&aside, place.at("keys/digest.key")).unwrap();
    let server = place.start(&[]);
    assert_eq!(curl(&["--digest", "-u", pair, &server.url("/api/v1/whoami")]).0, "200");
    assert!(!server.stop("-TERM").err.contains("digest.key"));
}

#[test]
fn requests_logs_in() {
    let Some(python) = python("requests") else { return };
    let (_place, server, id, key) = site();
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    let proxy = proxy(&server, Asks::LikeEnvoy);
    let mut command = clean(python);
    command.arg("-I").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/interop/requests_digest.py"));
    command.env("URL", server.url("/api/v1/whoami")).env("GUARDED", format!("{proxy}/v1/orders?x=a%20b"));
    command.env("PUBLIC_KEY", text("public_key")).env("PRIVATE_KEY", text("private_key")).env("CLIENT_ID", id);
    let ran = finish(command, "");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("all good\n"), "{}{}", ran.out, ran.err);
}
