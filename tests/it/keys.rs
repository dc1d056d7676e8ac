//! The life of signing keys, with the clock in hand.

use mintage::api::{KeyState, RotateKeys};
use reqwest::header::IF_NONE_MATCH;
use serde_json::Value;

use crate::app::{TestApp, header};

/// The `kid`s of the JWKS, as it is served.
async fn published(app: &TestApp) -> Vec<String> {
    let jwks: Value = app.get("/.well-known/jwks.json", None).await.json().await.unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    for key in keys {
        assert_eq!((&key["use"], &key["alg"]), (&"sig".into(), &"ES256".into()));
        assert_eq!(key.get("d"), None, "a private member");
    }
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    mintage::jose::CompactJws::parse(token).unwrap().header["kid"].as_str().unwrap().to_owned()
}

fn in_state(app: &TestApp, state: KeyState) -> Vec<String> {
    app.service.list_keys().items.into_iter().filter(|key| key.state == state).map(|key| key.kid).collect()
}

async fn rotate(app: &TestApp, now: bool) -> mintage::api::Rotation {
    app.service.rotate_keys(&RotateKeys { now }, &app.caller()).await.unwrap()
}

async fn accepted(app: &TestApp, token: &str) -> u16 {
    app.get("/api/v1/whoami", Some(token)).await.status().as_u16()
}

#[tokio::test]
async fn the_key_set_is_cacheable_and_has_an_entity_tag() {
    let app = TestApp::start().await;
    let response = app.get("/.well-known/jwks.json", None).await;
    assert_eq!(header(&response, "cache-control"), Some("public, max-age=300"));
    let etag = header(&response, "etag").unwrap().to_owned();
    for (value, status) in [(etag.clone(), 304), (format!("\"x\", W/{etag}"), 304), ("\"x\"".to_owned(), 200)] {
        let request = app.http.get(app.url("/.well-known/jwks.json")).header(IF_NONE_MATCH, value);
        let again = request.send().await.unwrap();
        assert_eq!(again.status(), status);
        assert_eq!(header(&again, "etag"), Some(etag.as_str()));
    }
    rotate(&app, true).await;
    assert_ne!(header(&app.get("/.well-known/jwks.json", None).await, "etag"), Some(etag.as_str()));
}

#[tokio::test]
async fn a_rotation_waits_until_the_next_key_has_been_seen_and_refuses_no_token() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let old = app.token(&client).await;
    let [active, next]: [String; 2] = published(&app).await.try_into().unwrap();
    assert_eq!(kid(&old), active);

    app.advance(300);
    let rotation = rotate(&app, false).await;
    assert!(!rotation.rotated);
    assert_eq!(rotation.activates_at.0.seconds(), app.now().seconds() + 1);
    app.service.tick().await;
    assert_eq!(kid(&app.token(&client).await), active, "not yet");

    app.advance(1);
    app.service.tick().await;
    let new = app.token(&client).await;
    assert_eq!(kid(&new), next);
    let now_published = published(&app).await;
    assert_eq!(now_published.len(), 3, "the retiring, the active and a new next key");
    assert_eq!(now_published[0], next, "the active one first");
    assert_eq!((accepted(&app, &old).await, accepted(&app, &new).await), (200, 200));

    app.advance(3629);
    app.service.tick().await;
    assert!(published(&app).await.contains(&active), "published while a token of it may be accepted");
    app.advance(1);
    app.service.tick().await;
    assert!(!published(&app).await.contains(&active));
    assert!(!app.config.keys.dir.join(format!("{active}.pem")).exists(), "the private key goes with it");
    app.service.tick().await;
    assert_eq!(in_state(&app, KeyState::Retired), Vec::<String>::new(), "forgotten once its file is gone");
}

#[tokio::test]
async fn keys_rotate_by_themselves_and_survive_a_restart() {
    let app = TestApp::start().await;
    let before = published(&app).await;
    app.advance(90 * 24 * 3600 - 1);
    app.service.tick().await;
    assert_eq!(published(&app).await, before);
    app.advance(1);
    app.service.tick().await;
    assert_eq!(in_state(&app, KeyState::Active), [before[1].clone()]);
    let after = published(&app).await;
    let app = app.restart().await;
    assert_eq!(published(&app).await, after);
}

#[tokio::test]
async fn a_requested_rotation_survives_a_restart() {
    let app = TestApp::start().await;
    let next = published(&app).await.remove(1);
    assert!(!rotate(&app, false).await.rotated);
    let app = app.restart().await;
    app.advance(301);
    app.service.tick().await;
    assert_eq!(in_state(&app, KeyState::Active), [next]);
}

#[tokio::test]
async fn a_revoked_key_takes_its_tokens_with_it_at_once() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let old = app.token(&client).await;
    assert_eq!(accepted(&app, &old).await, 200);
    app.service.revoke_key(&kid(&old), &app.caller()).await.unwrap();
    let response = app.get("/api/v1/whoami", Some(&old)).await;
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["reason"], "token_revoked");
    assert!(!published(&app).await.contains(&kid(&old)));
    let new = app.token(&client).await;
    assert_ne!(kid(&new), kid(&old));
    assert_eq!(accepted(&app, &new).await, 200);
    assert_eq!(published(&app).await.len(), 2, "there is a next key again");
    let app = app.restart().await;
    assert_ne!(accepted(&app, &old).await, 200);
    assert_eq!(accepted(&app, &new).await, 200);
    assert!(app.service.revoke_key("nothing", &app.caller()).await.is_err());
}

#[tokio::test]
async fn the_algorithm_can_be_changed_between_two_starts() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let old = app.token(&client).await;
    let mut app = app;
    app.config.keys.algorithm = mintage::server::config::SigningAlgorithm::EdDSA;
    let app = app.restart().await;
    assert_eq!(kid(&app.token(&client).await), kid(&old), "the active key signs on");
    assert!(rotate(&app, true).await.rotated);
    let new = app.token(&client).await;
    assert_eq!(mintage::jose::CompactJws::parse(&new).unwrap().header["alg"], "EdDSA");
    assert_eq!((accepted(&app, &old).await, accepted(&app, &new).await), (200, 200));
}
