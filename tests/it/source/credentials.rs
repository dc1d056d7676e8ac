//! Credentials in a file that is replaced, and in ways it should not be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mintage::client::{Bearer, Credentials, Error, TokenSource};
use reqwest::redirect::Policy;
use serde_json::json;
use tempfile::TempDir;

use super::resource::plain_client;
use super::{Endpoint, SECRET, Say, Time, at_once, settle, until};
use crate::app::TestApp;
use crate::client_changes::ask;

const NEW: &str = "s3cret-that-came-later";

/// A folder with a file of credentials in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.replace(contents("billing", SECRET));
        place
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("credentials.json")
    }

    /// As a careful program does it.
    fn replace(&self, contents: impl AsRef<[u8]>) {
        let beside = self.0.path().join("credentials.new");
        fs::write(&beside, contents).unwrap();
        self.clear();
        fs::rename(beside, self.file()).unwrap();
    }

    /// Nothing is there, or what stood in the way of a file.
    fn clear(&self) {
        match fs::symlink_metadata(self.file()) {
            Ok(found) if found.is_dir() => fs::remove_dir(self.file()).unwrap(),
            Ok(_) => fs::remove_file(self.file()).unwrap(),
            Err(_) => {}
        }
    }

    fn source(&self, endpoint: &Endpoint, time: &Time) -> TokenSource {
        endpoint.source(time).credentials_file(self.file()).build().unwrap()
    }
}

fn contents(id: &str, secret: &str) -> String {
    json!({"client_id": id, "client_secret": secret}).to_string()
}

/// The credentials that came with each request for a token.
fn presented(endpoint: &Endpoint) -> Vec<String> {
    let of = |text: String| String::from_utf8(STANDARD.decode(text.strip_prefix("Basic ").unwrap()).unwrap()).unwrap();
    endpoint.seen().into_iter().filter_map(|seen| seen.authorization).map(of).collect()
}

fn pairs(secrets: &[&str]) -> Vec<String> {
    secrets.iter().map(|secret| format!("billing:{secret}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_is_used_within_ten_seconds_and_nobody_waits_for_it() {
    let (time, place, endpoint) = (Time::stands(), Place::new(), Endpoint::new(Say::lives(3600)));
    let source = place.source(&endpoint, &time);
    let first = source.token().await.unwrap();
    place.replace(contents("billing", NEW));
    endpoint.hold(true);
    time.advance(Duration::from_secs(10)).await;
    until("it is asked with the new secret", || endpoint.asked() == 2).await;
    assert!(at_once(source.token()).expect("it waits").unwrap().is_same(&first));
    endpoint.hold(false);
    until("there is another token", || !at_once(source.token()).unwrap().unwrap().is_same(&first)).await;
    // The same again is nothing new, however it came there.
    place.replace(contents("billing", NEW));
    place.replace(format!("\n{}\r\n", contents("billing", NEW)));
    time.pass(60).await;
    assert_eq!(presented(&endpoint), pairs(&[SECRET, NEW]));
    // Another client is one, too.
    place.replace(contents("orders", NEW));
    time.advance(Duration::from_secs(10)).await;
    until("it is asked as the other client", || endpoint.asked() == 3).await;
    assert_eq!(presented(&endpoint)[2], format!("orders:{NEW}"));
}

/// What may stand where the file should: how it comes there.
fn mishaps() -> Vec<(&'static str, fn(&Path))> {
    fn write(path: &Path, contents: impl AsRef<[u8]>) {
        fs::write(path, contents).unwrap();
    }
    let mut mishaps: Vec<(&str, fn(&Path))> = vec![
        ("missing", |_| {}),
        ("empty", |path| write(path, "")),
        ("half written", |path| write(path, &contents("billing", NEW)[..40])),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a symlink to nowhere", |path| symlink("nowhere", path).unwrap()),
        ("a symlink to itself", |path| symlink(path, path).unwrap()),
        ("without an end", |path| symlink("/dev/zero", path).unwrap()),
        ("not UTF-8", |path| write(path, b"{\"client_id\":\"billing\",\"client_secret\":\"s3cret-\xff\"}")),
        ("UTF-16", |path| {
            write(path, contents("b", NEW).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
        }),
        ("no secret", |path| write(path, r#"{"client_id":"billing"}"#)),
        ("an empty secret", |path| write(path, contents("billing", ""))),
        ("an empty id", |path| write(path, contents("", NEW))),
        ("a secret that is none", |path| {
            write(path, r#"{"client_id":"billing","client_secret":["s3cret-in-a-list"]}"#)
        }),
        ("a secret twice", |path| {
            write(path, r#"{"client_id":"billing","client_secret":"s3cret-1","client_secret":"s3cret-2"}"#);
        }),
        ("a list", |path| write(path, format!("[{}]", contents("billing", NEW)))),
        ("the bare secret", |path| write(path, NEW)),
    ];
    // Root reads everything.
    let unreadable = |path: &Path| {
        write(path, contents("billing", NEW));
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    };
    let probe = tempfile::NamedTempFile::new().unwrap();
    unreadable(probe.path());
    if fs::File::open(probe.path()).is_err() {
        mishaps.push(("unreadable", unreadable));
    }
    mishaps
}

#[tokio::test(start_paused = true)]
async fn what_is_no_file_of_credentials_leaves_those_that_were_read_before() {
    for (what, happens) in mishaps() {
        let (time, place, endpoint) = (Time::stands(), Place::new(), Endpoint::new(Say::lives(3600)));
        let source = place.source(&endpoint, &time);
        source.token().await.unwrap();
        place.clear();
        happens(&place.file());
        time.pass(25).await;
        assert_eq!(endpoint.asked(), 1, "{what}");
        time.advance(Duration::from_secs(3300)).await;
        until("the token is renewed", || source.health().fetched == 2).await;
        place.replace(contents("billing", NEW));
        time.advance(Duration::from_secs(10)).await;
        until("the new secret is used", || endpoint.asked() == 3).await;
        assert_eq!(presented(&endpoint), pairs(&[SECRET, SECRET, NEW]), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_good_only_later_brings_a_token_without_a_restart() {
    for (what, happens) in mishaps() {
        let (time, place, endpoint) = (Time::stands(), Place::new(), Endpoint::new(Say::lives(3600)));
        place.clear();
        happens(&place.file());
        let source = place.source(&endpoint, &time);
        let error = source.token().await.unwrap_err();
        assert!(matches!(error, Error::Credentials(_)), "{what}: {error:?}");
        for text in [error.to_string(), format!("{error:?}"), format!("{:?}", source.health())] {
            assert!(text.contains("credentials.json") && !text.contains("s3cret"), "{what}: {text}");
        }
        time.pass(5).await;
        assert_eq!(endpoint.asked(), 0, "{what}");
        place.replace(contents("billing", SECRET));
        // A minute at most; but it stands while the request is on its way.
        for _ in 0..60 {
            if endpoint.asked() == 0 {
                time.advance(Duration::from_secs(1)).await;
                settle().await;
            }
        }
        until("there is a token", || at_once(source.token()).is_some_and(|token| token.is_ok())).await;
        assert_eq!(presented(&endpoint), pairs(&[SECRET]), "{what}");
    }
}

#[test]
fn a_file_may_have_more_in_it_and_before_it() {
    let place = Place::new();
    let more = json!({
        "client_id": "billing", "client_secret": SECRET, "name": "b", "scopes": ["orders:read"], "roles": [],
        "ip_allowlist": [], "labels": {"client_secret": "another"}, "secrets": [{"id": "s_1", "prefix": "mtg_…"}],
    });
    for text in [
        more.to_string(),
        format!("\u{feff}{more}"),
        format!("\r\n{more:#}\r\n\r\n"),
        r#"{"client_id":"billing","client_secret":"s3cret\u002dof-billing"}"#.to_owned(),
    ] {
        place.replace(&text);
        let read = Credentials::from_file(&place.file()).unwrap();
        assert_eq!((read.client_id.as_str(), read.client_secret.reveal()), ("billing", SECRET), "{text}");
    }
}

/// `credentials.json` → `..data/credentials.json`, `..data` → `..1/`; and `..data` is replaced.
#[tokio::test(start_paused = true)]
async fn a_mounted_secret_is_followed_through_its_symlinks() {
    let (time, place, endpoint) = (Time::stands(), Place::new(), Endpoint::new(Say::lives(3600)));
    let at = |name: &str| place.0.path().join(name);
    let mount = |version: &str, secret: &str| {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("credentials.json"), contents("billing", secret)).unwrap();
        symlink(version, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    place.clear();
    mount("..1", SECRET);
    symlink("..data/credentials.json", place.file()).unwrap();
    let source = place.source(&endpoint, &time);
    source.token().await.unwrap();
    mount("..2", NEW);
    fs::remove_dir_all(at("..1")).unwrap();
    time.advance(Duration::from_secs(10)).await;
    until("the new secret is used", || endpoint.asked() == 2).await;
    assert_eq!(presented(&endpoint), pairs(&[SECRET, NEW]));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_that_have_been_replaced_are_tried_again_at_once_and_once() {
    for (also_refused, expected) in [(false, &[SECRET, NEW][..]), (true, &[SECRET, NEW])] {
        let (time, place, endpoint) = (Time::stands(), Place::new(), Endpoint::new(Say::lives(3600)));
        endpoint.says_first(Say::refused(401, "invalid_client"));
        if also_refused {
            endpoint.says(Say::refused(401, "invalid_client"));
        }
        let source = place.source(&endpoint, &time);
        endpoint.hold(true);
        let asks = tokio::spawn({
            let source = source.clone();
            async move { source.token().await }
        });
        until("it is asked", || endpoint.asked() == 1).await;
        place.replace(contents("billing", NEW));
        endpoint.hold(false);
        assert_eq!(asks.await.unwrap().is_err(), also_refused);
        time.pass(25).await;
        assert_eq!(presented(&endpoint), pairs(expected));
        if also_refused {
            // And the next that comes is.
            place.replace(contents("billing", "the third"));
            endpoint.says(Say::lives(60));
            time.advance(Duration::from_secs(10)).await;
            until("there is a token", || at_once(source.token()).is_some_and(|token| token.is_ok())).await;
            assert_eq!(endpoint.asked(), 3);
        }
    }
    let (time, place, endpoint) = (Time::stands(), Place::new(), Endpoint::new(Say::refused(401, "invalid_client")));
    let source = place.source(&endpoint, &time);
    assert!(source.token().await.is_err());
    time.pass(25).await;
    assert_eq!(endpoint.asked(), 1, "those that nobody replaced are not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_at_the_real_service_is_seen_by_no_caller() {
    let (time, place) = (Time::stands(), Place::new());
    let app = TestApp::start().await;
    let client = app.client(&["mintage:projects:read"]).await;
    place.replace(contents(&client.id, &client.secret));
    let builder = TokenSource::discover(&app.issuer).credentials_file(place.file());
    let source = builder.clock(Arc::clone(&time.clock) as _).build().unwrap();
    let http = reqwest_middleware::ClientBuilder::new(plain_client(Policy::none()));
    let http = http.with(Bearer::new(source.clone())).build();
    let (stop, url) = (Arc::new(AtomicBool::new(false)), app.url("/api/v1/whoami"));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (http, stop, url) = (http.clone(), Arc::clone(&stop), url.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(http.get(&url).send().await.unwrap().status(), 200);
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let path = format!("clients/{}", client.id);
    let token = source.token().await.unwrap();
    // With an overlap: the new secret, the file, and then the old secret goes, and its tokens with it.
    let (_, made) = ask(&app, "POST", &format!("{path}/secrets"), &json!({"overlap": 3600})).await;
    place.replace(contents(&client.id, made["client_secret"].as_str().unwrap()));
    time.advance(Duration::from_secs(10)).await;
    until("the new secret is used", || !at_once(source.token()).unwrap().unwrap().is_same(&token)).await;
    let withdraw = async |made: &serde_json::Value| {
        let id = made["secrets"][0]["id"].as_str().unwrap();
        let withdraw = format!("{path}/secrets/{id}?cut_tokens=true");
        assert!(ask(&app, "DELETE", &withdraw, &json!(null)).await.0 < 300);
    };
    withdraw(&made).await;
    assert_eq!(app.get("/api/v1/whoami", Some(token.reveal())).await.status(), 401);
    // In haste: the old secret and its tokens are gone before the file is looked at again.
    let (_, made) = ask(&app, "POST", &format!("{path}/secrets"), &json!({"overlap": 3600})).await;
    place.replace(contents(&client.id, made["client_secret"].as_str().unwrap()));
    withdraw(&made).await;
    settle().await;
    assert_eq!(http.get(&url).send().await.unwrap().status(), 200);
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 3);
    }
    assert_eq!(source.health().fetched, 3);
}
