//! Everywhere that anything is kept, shown or logged.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use super::{KNOWN, Needles, Site};

/// What is searched, by its name.
type Hay = BTreeMap<String, Vec<u8>>;

/// A body. In HTTP/1.0 it comes in one piece: nothing in it is cut apart.
fn get(mut stream: impl Read + Write, path: &str, token: &str) -> Vec<u8> {
    let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1."), "{path}: nothing was answered");
    answer
}

/// The JSON of an answer.
fn body(answer: &[u8]) -> Value {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {head}"))
}

/// Every GET of a description, about everything that there is.
fn paths(document: &Value, site: &Site, requests: &[String]) -> Vec<String> {
    let mut ids: Vec<_> = site.made.iter().map(|(id, _)| id.as_str()).collect();
    ids.dedup();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if item.get("get").is_none() {
            continue;
        }
        let names: Vec<&str> = match path.split('/').nth(3) {
            Some("clients") => ids.clone(),
            Some("api-keys") => site.keys.iter().map(|(id, _)| id.as_str()).collect(),
            Some("refusals") => requests.iter().map(String::as_str).collect(),
            Some("roles") => vec!["ORG_OWNER"],
            _ => vec!["default"],
        };
        let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
        let pages = parameters.filter(|one| one["name"] == "limit").count() > 0;
        let queries: &[&str] = match path.as_str() {
            "/api/v1/audit" => &["?limit=1000&kind=changes", "?limit=1000&kind=issuances", "?limit=1000&kind=refusals"],
            _ if pages => &["?limit=1000"],
            _ => &[""],
        };
        let open = path.find('{').map(|at| (at, path.rfind('}').unwrap()));
        for query in queries {
            match open {
                None => all.push(format!("{path}{query}")),
                Some((from, to)) => {
                    all.extend(names.iter().map(|name| format!("{}{name}{}{query}", &path[..from], &path[to + 1..])));
                }
            }
        }
    }
    all
}

/// What both listeners show.
fn shown(site: &Site, hay: &mut Hay) {
    let public = |path: &str| get(TcpStream::connect(site.server.address).unwrap(), path, &site.token);
    let local = |path: &str| get(UnixStream::connect(site.place.socket()).unwrap(), path, "");
    let refusals = body(&local("/api/v1/audit?limit=1000&kind=refusals"));
    let requests = refusals["items"].as_array().unwrap().iter().filter_map(|one| one["request_id"].as_str());
    let requests: Vec<_> = requests.map(str::to_owned).collect();
    assert!(requests.len() > 100, "hardly anything was refused: {}", requests.len());
    for path in paths(&body(&public("/openapi.json")), site, &requests) {
        hay.insert(format!("GET {path}"), public(&path));
    }
    for path in paths(&body(&local("/openapi.json")), site, &requests) {
        hay.insert(format!("GET {path} (socket)"), local(&path));
    }
}

/// Every file below `folder` but those that are to have secrets in them.
fn files(folder: &Path, hay: &mut Hay) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = entry.file_name().into_string().unwrap();
        if kind.is_dir() {
            files(&path, hay);
        } else if kind.is_file() && !name.starts_with("shown-") && name != "mintage.toml" {
            hay.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Whether `text` is found in what is called `name`.
fn has(hay: &Hay, name: &str, text: &str) -> bool {
    let mut needle = Needles::default();
    needle.add("it", text);
    !needle.found(&hay[name]).is_empty()
}

pub(super) async fn search(mut site: Site) {
    // What is written once a second is written.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let mut hay = Hay::new();
    shown(&site, &mut hay);
    hay.insert("the store, in use".to_owned(), fs::read(site.place.store()).unwrap());
    for args in [
        &["client", "list"][..],
        &["client", "list", "--json"],
        &["client", "show", "by-http"],
        &["client", "show", "given", "--json"],
        &["client", "usage", "by-http"],
        &["client", "export", "exported.jsonl"],
        &["api-key", "list"],
        &["api-key", "list", "--json"],
        &["audit", "tail", "-n", "1000"],
        &["audit", "tail", "-n", "1000", "--json"],
        &["audit", "export"],
        &["audit", "verify"],
        &["config", "show"],
        &["key", "list"],
        &["store", "backup", "backup.redb"],
    ] {
        site.run(args);
    }
    let Site { place, server, needles, made, said, .. } = site;
    let ran = server.stop("-TERM");
    assert_eq!(ran.code, Some(0));
    hay.insert("what was printed and answered".to_owned(), said.into_bytes());
    hay.insert("the log".to_owned(), ran.err.into_bytes());
    files(&place.at("."), &mut hay);

    let mut found: Vec<_> = hay
        .iter()
        .flat_map(|(name, bytes)| needles.found(bytes).into_iter().map(move |what| format!("{name}: {what}")))
        .collect();
    found.dedup();
    assert!(found.is_empty(), "found in {} of {}:\n{}", found.len(), hay.len(), found.join("\n"));

    // What looks for them finds what is there.
    for name in [
        "GET /api/v1/clients?limit=1000",
        "GET /api/v1/bulk/clients",
        "GET /api/v1/api-keys?limit=1000",
        "GET /api/v1/clients/by-http",
        "GET /api/v1/audit?limit=1000&kind=changes",
        "GET /api/v1/store/backup (socket)",
        "the store, in use",
        "mintage.redb",
        "backup.redb",
        "exported.jsonl",
        "what was printed and answered",
    ] {
        assert!(has(&hay, name, KNOWN), "what is known to be in {name} was not found");
    }
    for name in ["the log", "GET /openapi.json", "GET /metrics"] {
        assert!(hay[name].len() > 1000, "{name} is empty");
    }
    assert!(has(&hay, "the log", "\"level\":\"TRACE\""), "the log is not at trace");
    for (id, secret) in made.iter().filter(|(id, secret)| secret.starts_with("mtg_cs_") && id != "applied") {
        let prefix = &secret[..16];
        for name in [&format!("GET /api/v1/clients/{id}"), "mintage.redb", "what was printed and answered"] {
            assert!(String::from_utf8_lossy(&hay[name]).contains(prefix), "{id}: {name} does not have the prefix");
        }
    }
    let saved = fs::read(place.at("shown-1.json")).unwrap();
    assert!(!needles.found(&saved).is_empty(), "a secret in a file is not found");
}
