//! An issuer that is away, or does not take the service's own credentials.

use std::sync::Arc;
use std::time::Duration;

use mintage::api::ClientStatus;
use mintage::resource::{Credentials, IntrospectedKeys};
use serde_json::{Value, json};

use crate::client_changes::ask;

use super::super::key;
use super::{Site, follower, guard, introspects, unavailable, until, verdict};

#[tokio::test]
async fn keys_that_are_known_go_on_and_others_have_to_wait() {
    let app = super::super::site().await;
    let own = app.client(&[]).await;
    introspects(&app, &own).await;
    let verifier = follower(&app).await;
    let keys = IntrospectedKeys::of(&verifier).credentials(Credentials::new(&own.id, &own.secret));
    let guard = guard(&verifier, keys);
    let (known, fresh) = (key(&app).await, key(&app).await);
    assert_eq!(verdict(&guard, &known.key).await, None);
    let clock = Arc::clone(&app.clock);
    let folder = app.stop().await;
    for seconds in [0, 50, 9] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(verdict(&guard, &known.key).await, None);
        assert_eq!(verdict(&guard, &fresh.key).await, unavailable());
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(verdict(&guard, &known.key).await, unavailable(), "a minute, and no longer");
    drop(folder);
}

#[tokio::test]
async fn it_is_asked_again_soon_after_it_is_back() {
    let site = Site::new().await;
    let (guard, fresh) = (site.guard(), key(&site.app).await);
    // What passes by itself, and what somebody has to mend.
    for (status, body, within) in [(502, "", 3), (200, "{\"active\":\"true\"}", 8), (200, "{\"active\":true}", 8)] {
        site.front.says(status, body);
        assert_eq!(verdict(&guard, &fresh.key).await, unavailable(), "{status} {body}");
        site.front.says(0, "");
        let took = until(&guard, &fresh.key, &None).await;
        assert!(took < Duration::from_secs(within), "{status} {body}: {took:?}");
        site.app.advance(60);
    }
}

#[tokio::test]
async fn one_that_does_not_answer_is_waited_for_five_seconds() {
    let site = Site::new().await;
    let (guard, fresh) = (site.guard(), key(&site.app).await);
    site.front.hold(true);
    let start = std::time::Instant::now();
    assert_eq!(verdict(&guard, &fresh.key).await, unavailable());
    let took = start.elapsed().as_millis();
    assert!((4900..7000).contains(&took), "{took} ms");
    assert_eq!(verdict(&guard, &fresh.key).await, unavailable());
    assert!(start.elapsed().as_millis() - took < 500, "nobody waits for it in vain a second time");
    site.front.hold(false);
    until(&guard, &fresh.key, &None).await;
}

#[tokio::test]
async fn credentials_that_are_not_taken_are_no_fault_of_the_caller() {
    let site = Site::new().await;
    let key = key(&site.app).await;
    for own in [Credentials::new(&site.own.id, "wrong"), Credentials::new("nobody", &site.own.secret)] {
        let guard = site.guard_with(site.keys().credentials(own));
        let asked = site.front.asked();
        for _ in 0..10 {
            assert_eq!(verdict(&guard, &key.key).await, unavailable());
        }
        assert_eq!(site.front.asked(), asked + 1, "they are not tried over and over");
    }
    let missing = site.guard_with(site.keys().credentials_file(site.app.dir.path().join("nothing.json")));
    assert_eq!(verdict(&missing, &key.key).await, unavailable());
}

#[tokio::test]
async fn a_client_that_is_disabled_learns_nothing_new() {
    let site = Site::new().await;
    let (guard, known, fresh) = (site.guard(), key(&site.app).await, key(&site.app).await);
    assert_eq!(verdict(&guard, &known.key).await, None);
    let status = async |status, action| {
        site.app.service.set_client_status(&site.own.id, status, action, &site.app.caller()).await.unwrap();
    };
    status(ClientStatus::Disabled, "client.disable").await;
    assert_eq!((verdict(&guard, &known.key).await, verdict(&guard, &fresh.key).await), (None, unavailable()));
    status(ClientStatus::Active, "client.enable").await;
    let took = until(&guard, &fresh.key, &None).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_file_that_is_replaced_is_used_at_once() {
    let site = Site::new().await;
    let file = site.app.dir.path().join("own.json");
    let write = |secret: &str| {
        let text = json!({ "client_id": site.own.id, "client_secret": secret }).to_string();
        std::fs::write(&file, text).unwrap();
    };
    write("the one before");
    let keys = site.keys().credentials_file(&file).build().unwrap();
    let guard = mintage::resource::Guard::new(Arc::clone(&site.verifier)).api_keys(Arc::new(keys));
    let (one, two) = (key(&site.app).await, key(&site.app).await);
    assert_eq!(verdict(&guard, &one.key).await, unavailable());
    write(&site.own.secret);
    until(&guard, &one.key, &None).await;
    // The secret is rotated, and the file not yet looked at again.
    let path = format!("clients/{}/secrets", site.own.id);
    let (_, before) = ask(&site.app, "GET", &path, &Value::Null).await;
    let before = before["items"][0]["id"].as_str().unwrap().to_owned();
    let (status, rotated) = ask(&site.app, "POST", &path, &json!({})).await;
    assert_eq!(status, 201, "{rotated}");
    let (status, _) = ask(&site.app, "DELETE", &format!("{path}/{before}"), &Value::Null).await;
    assert!(matches!(status, 200 | 204), "{status}");
    write(rotated["client_secret"].as_str().unwrap());
    assert_eq!(verdict(&guard, &two.key).await, None);
}
