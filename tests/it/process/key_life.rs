//! `mintage key …`: rotation that nobody notices, and revocation that everybody does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Mintage, Place, decoded};

/// A place whose keys can be rotated `seconds` after they were published.
fn with_max_age(seconds: u64) -> Place {
    let place = Place::new();
    place.write("mintage.toml", format!("[keys]\njwks_max_age = \"{seconds}s\"\n"));
    place
}

fn kid(token: &str) -> String {
    decoded(token, 0)["kid"].as_str().unwrap().to_owned()
}

fn key<'k>(list: &'k Value, state: &str) -> Option<&'k Value> {
    list["items"].as_array().unwrap().iter().find(|key| key["state"] == state)
}

fn kid_of(list: &Value, state: &str) -> String {
    key(list, state).unwrap_or_else(|| panic!("no {state} key: {list}"))["kid"].as_str().unwrap().to_owned()
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn seconds(time: &Value) -> u64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_as_they_are_published() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let list = place.json(&["key", "list"]);
    let (active, next) = (key(&list, "active").unwrap(), key(&list, "next").unwrap());
    for key in [active, next] {
        assert_eq!(key["algorithm"], "ES256");
        assert!(key["created_at"].is_string() && key["activates_at"].is_string(), "{key}");
    }
    // Ninety days from now, unless somebody asks for it.
    assert_eq!(seconds(&next["activates_at"]) - seconds(&active["activates_at"]), 90 * 24 * 3600);
    let mut kids = vec![kid_of(&list, "active"), kid_of(&list, "next")];
    kids.sort();
    assert_eq!(server.kids().await, kids);
    assert_eq!(place.key_files(), kids);
    assert!(place.text(&["key", "list"]).contains(&kids[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn now_does_not_wait() {
    let place = Place::new();
    let server = place.start(&[]);
    let (_, secret) = server.introduction();
    let old = server.token("quickstart", &secret).await;
    let before = place.json(&["key", "list"]);
    assert_eq!(kid(&old), kid_of(&before, "active"));
    let rotation = place.json(&["key", "rotate", "--now"]);
    assert_eq!(rotation["rotated"], true);
    let after = place.json(&["key", "list"]);
    assert_eq!(rotation["keys"], after["items"]);
    assert_eq!(kid_of(&after, "active"), kid_of(&before, "next"));
    assert_eq!(kid_of(&after, "retiring"), kid_of(&before, "active"));
    assert!(!server.kids().await.is_empty() && key(&after, "next").is_some());
    let new = server.token("quickstart", &secret).await;
    assert_eq!(kid(&new), kid_of(&after, "active"));
    for token in [&old, &new] {
        assert_eq!(server.whoami(token).await.0, StatusCode::OK);
    }
    assert!(place.text(&["key", "rotate", "--now"]).contains("rotated at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_asked_for_early_happens_when_it_may() {
    let place = with_max_age(3);
    let args = ["--issuer", "http://127.0.0.1:1"];
    let server = place.start(&args);
    let (_, secret) = server.introduction();
    let before = place.json(&["key", "list"]);
    let rotation = place.json(&["key", "rotate"]);
    assert_eq!(rotation["rotated"], false, "{rotation}");
    let due = seconds(&rotation["activates_at"]);
    assert!((1..=4).contains(&(due - now().as_secs())), "{rotation}");
    assert_eq!(seconds(&key(&place.json(&["key", "list"]), "next").unwrap()["activates_at"]), due);
    // What was promised is kept through a restart.
    server.stop("-TERM");
    let server = place.start(&args);
    let (old, next) = (kid_of(&before, "active"), kid_of(&before, "next"));
    let first_new = loop {
        let asked = now();
        let seen = kid(&server.token("quickstart", &secret).await);
        if seen == next {
            break asked;
        }
        assert_eq!(seen, old);
        assert!(asked.as_secs() < due + 3, "it did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(first_new.as_secs_f64() > due as f64 - 0.1, "it happened {} s early", due as f64 - first_new.as_secs_f64());
    assert!(first_new.as_secs() <= due + 2, "it happened late");
}

/// Whoever fetched the key set just before the next key came into it may keep that for the whole of `max-age`.
#[test]
fn the_next_key_is_published_for_the_whole_of_jwks_max_age() {
    let place = with_max_age(2);
    let _server = place.start(&["--no-quickstart"]);
    let rotate = |args: &[&str]| place.json(&[&["key", "rotate"], args].concat())["rotated"] == true;
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        // Late in a second: where times are in whole seconds, what is cut off is then longest.
        let fraction = now().subsec_millis();
        std::thread::sleep(Duration::from_millis(u64::from((1000 + 750 - fraction) % 1000)));
        // The next key is published after this.
        let published = Instant::now();
        assert!(rotate(&["--now"]));
        while !rotate(&[]) {}
        shortest = shortest.min(published.elapsed());
    }
    assert!(shortest >= Duration::from_secs(2), "a key signed {shortest:?} after it was published, not 2 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_gone_at_once() {
    let place = Place::new();
    let server = place.start(&[]);
    let (_, secret) = server.introduction();
    let old = server.token("quickstart", &secret).await;
    assert_eq!(server.whoami(&old).await.0, StatusCode::OK);
    let (revoked, next) = (kid(&old), kid_of(&place.json(&["key", "list"]), "next"));
    let list = place.json(&["key", "revoke", &revoked]);
    assert_eq!(kid_of(&list, "active"), next);
    assert_eq!(server.whoami(&old).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server.whoami(&old).await.1["reason"], "token_revoked");
    assert!(!server.kids().await.contains(&revoked));
    assert!(!place.key_files().contains(&revoked), "the file of a revoked key is still there");
    let new = server.token("quickstart", &secret).await;
    assert_eq!(kid(&new), next);
    assert_eq!(server.whoami(&new).await.0, StatusCode::OK);
    // The next one can be revoked, too, and one that is not there cannot.
    let next = kid_of(&list, "next");
    let list = place.json(&["key", "revoke", &next]);
    assert_ne!(kid_of(&list, "next"), next);
    // One in 64 begins with a hyphen, and is no option for that.
    for kid in [revoked.as_str(), "nobody", "-mZfeAw0KkkPtIko", "-hZfeAw0KkkPtIko", "-VZfeAw", "-qZ", "--ZfeAw", "-"] {
        assert!(place.fails(&["key", "revoke", kid]).contains("no key"), "{kid}");
    }
    assert_eq!(server.whoami(&new).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_stays_gone_through_a_restart() {
    let place = Place::new();
    let args = ["--issuer", "http://127.0.0.1:1"];
    let server = place.start(&args);
    let (_, secret) = server.introduction();
    let old = server.token("quickstart", &secret).await;
    place.text(&["key", "revoke", &kid(&old)]);
    server.kill9();
    let server = place.start(&args);
    assert_eq!(server.whoami(&old).await.1["reason"], "token_revoked");
    assert!(!server.kids().await.contains(&kid(&old)));
    let new = server.token("quickstart", &secret).await;
    assert_eq!(server.whoami(&new).await.0, StatusCode::OK);
}

/// One that uses tokens as services do: it fetches one, uses it and earlier ones, and notes whose were accepted.
async fn use_tokens(
    server: Arc<Mintage>,
    secret: String,
    stop: Arc<AtomicBool>,
    accepted: Arc<Mutex<Vec<(Instant, String)>>>,
) -> usize {
    let mut held: Vec<String> = Vec::new();
    let mut uses = 0;
    while !stop.load(Ordering::SeqCst) {
        let token = server.token("quickstart", &secret).await;
        if held.last().is_none_or(|last| kid(last) != kid(&token)) {
            held.push(token.clone());
        }
        for token in held.iter().chain([&token]) {
            let (status, body) = server.whoami(token).await;
            assert_eq!(status, StatusCode::OK, "a good token was refused: {body}");
            accepted.lock().unwrap().push((Instant::now(), kid(token)));
            uses += 1;
        }
    }
    uses
}

/// A verifier elsewhere: it keeps the key set for as long as it is told, and fetches it no sooner.
async fn verify_elsewhere(server: Arc<Mintage>, secret: String, stop: Arc<AtomicBool>) -> usize {
    let http = mintage::client::http_client().unwrap();
    let mut verified = 0;
    while !stop.load(Ordering::SeqCst) {
        let fetched = Instant::now();
        let answer = http.get(server.url("/.well-known/jwks.json")).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "public, max-age=2");
        let jwks: Value = answer.json().await.unwrap();
        let known: BTreeSet<_> = jwks["keys"].as_array().unwrap().iter().map(|k| k["kid"].as_str().unwrap()).collect();
        while fetched.elapsed() < Duration::from_millis(1900) && !stop.load(Ordering::SeqCst) {
            let token = server.token("quickstart", &secret).await;
            assert!(known.contains(kid(&token).as_str()), "a verifier within its max-age does not know the key");
            verified += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    verified
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_refused_while_keys_are_rotated() {
    let place = with_max_age(2);
    let server = Arc::new(place.start(&[]));
    let (_, secret) = server.introduction();
    let stop = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let users: Vec<_> = (0..4)
        .map(|_| tokio::spawn(use_tokens(server.clone(), secret.clone(), stop.clone(), accepted.clone())))
        .collect();
    let verifier = tokio::spawn(verify_elsewhere(server.clone(), secret.clone(), stop.clone()));
    let place = Arc::new(place);
    for _ in 0..3 {
        let cli = Arc::clone(&place);
        // As an operator does it: ask, and ask again until it has happened.
        let (old, new, rotated) = tokio::task::spawn_blocking(move || {
            let old = kid_of(&cli.json(&["key", "list"]), "active");
            cli.json(&["key", "rotate"]);
            let new = super::wait_for("the rotation", || {
                Some(kid_of(&cli.json(&["key", "list"]), "active")).filter(|active| *active != old)
            });
            (old, new, Instant::now())
        })
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        let accepted = accepted.lock().unwrap();
        let after: BTreeSet<_> = accepted.iter().filter(|(at, _)| *at > rotated).map(|(_, kid)| kid.clone()).collect();
        assert!(
            after.contains(&old) && after.contains(&new),
            "accepted after the rotation: {after:?}, not {old} and {new}"
        );
    }
    stop.store(true, Ordering::SeqCst);
    let mut uses = 0;
    for user in users {
        uses += user.await.unwrap();
    }
    let verified = verifier.await.unwrap();
    assert!(uses > 100 && verified > 50, "{uses} uses and {verified} verifications say nothing");
    assert_eq!(json!(server.kids().await.len()), 5, "active, next and three that retire");
}
