//! Keys are rotated under a service that verifies elsewhere.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::{Site, decoded, wait_for, within_a_second};

/// Nobody is limited, and keys may be rotated a second after they were published.
const QUICK: &str = "[keys]\njwks_max_age = \"1s\"\n[limits.token]\nper_minute = 0\nper_day = 0\n";

fn kid(token: &str) -> String {
    decoded(token, 0)["kid"].as_str().unwrap().to_owned()
}

/// Uses fresh tokens, and one of each key that there was. How often, and what was refused.
async fn use_tokens(
    site: Arc<Site>,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<String>>>,
) -> (usize, Vec<String>) {
    let client = site.client();
    let (mut held, mut uses, mut refused) = (Vec::<String>::new(), 0, Vec::new());
    while !stop.load(Ordering::SeqCst) {
        let token = site.server.token(&client.0, &client.1).await;
        if held.last().is_none_or(|last| kid(last) != kid(&token)) {
            held.push(token.clone());
        }
        for token in held.iter().chain([&token]) {
            let answer = site.sample.get(token).await;
            uses += 1;
            if answer.status != 200 {
                refused.push(format!("{} after {uses} uses: {}", kid(token), answer.body));
            }
        }
        seen.lock().unwrap().insert(kid(&token));
    }
    (uses, refused)
}

/// Rotates `times` with `rotate` while tokens are used; nothing may be refused.
async fn rotated_under_load(times: usize, rotate: impl Fn(&Site) + Send + 'static) {
    let site = Arc::new(Site::with(QUICK));
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let users: Vec<_> = (0..3).map(|_| tokio::spawn(use_tokens(site.clone(), stop.clone(), seen.clone()))).collect();
    let operator = Arc::clone(&site);
    tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..times {
            rotate(&operator);
        }
        std::thread::sleep(Duration::from_millis(500));
    })
    .await
    .unwrap();
    stop.store(true, Ordering::SeqCst);
    let mut total = 0;
    for user in users {
        let (uses, refused) = user.await.unwrap();
        assert!(
            refused.is_empty(),
            "{} good tokens were refused: {:#?}",
            refused.len(),
            &refused[..refused.len().min(5)]
        );
        total += uses;
    }
    assert!(total > 100, "{total} uses say nothing");
    let keys = seen.lock().unwrap().len();
    assert!(keys > times / 2, "{keys} keys signed in {times} rotations");
}

fn active(list: &Value) -> String {
    let mut keys = list["items"].as_array().unwrap().iter();
    keys.find(|key| key["state"] == "active").unwrap()["kid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_has_no_good_token_refused() {
    rotated_under_load(3, |site| {
        let list = || site.place.json(&["key", "list"]);
        let old = active(&list());
        site.place.text(&["key", "rotate"]);
        wait_for("the rotation", || (active(&list()) != old).then_some(()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_that_does_not_wait_has_no_good_token_refused() {
    rotated_under_load(6, |site| {
        drop(site.place.text(&["key", "rotate", "--now"]));
        std::thread::sleep(Duration::from_millis(300));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_a_second_and_the_next_one_is_known() {
    let site = Site::with(QUICK);
    let client = site.client();
    let mut took = Vec::new();
    for _ in 0..5 {
        let token = site.server.token(&client.0, &client.1).await;
        site.sample.accepts(&token, "a fresh token").await;
        site.place.text(&["key", "revoke", &kid(&token)]);
        // Its key may be gone from the set a moment before it is known to be revoked; refused it is from then on.
        took.push(site.sample.until_refused(&token).await);
        while site.sample.get(&token).await.reason() != "token_revoked" {
            assert_eq!(site.sample.get(&token).await.status, 401);
        }
    }
    within_a_second(took);
}
