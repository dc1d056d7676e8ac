//! The verifier and the real service.

use std::sync::Arc;
use std::time::Duration;

use mintage::resource::{TokenError, Verifier};
use serde_json::json;

use super::{API, until, verdict};
use crate::app::{TestApp, TestClient};

const REVOKED: Result<(), TokenError> = Err(TokenError::Revoked);

async fn service() -> (TestApp, TestClient) {
    let app = TestApp::start().await;
    app.api(API, &["orders:read"]).await;
    let client = app.client(&["orders:read"]).await;
    (app, client)
}

async fn follower(app: &TestApp) -> Verifier {
    Verifier::discover(&app.issuer).audience(API).clock(Arc::clone(&app.clock) as _).build().await.unwrap()
}

async fn revoke(app: &TestApp, client: &TestClient, token: &str) {
    let request = app.http.post(app.url("/oauth/revoke")).basic_auth(&client.id, Some(&client.secret));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(format!("token={token}"));
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_a_client_and_a_key_are_cut_off() {
    let (app, client) = service().await;
    let verifier = follower(&app).await;
    let (one, two) = (app.token(&client).await, app.token(&client).await);
    assert_eq!((verdict(&verifier, &one), verdict(&verifier, &two)), (Ok(()), Ok(())));
    revoke(&app, &client, &one).await;
    until("the token is refused", || verdict(&verifier, &one) == REVOKED).await;
    assert_eq!(verdict(&verifier, &two), Ok(()));

    let disabled = mintage::api::ClientStatus::Disabled;
    app.service.set_client_status(&client.id, disabled, "client.revoke", &app.caller()).await.unwrap();
    until("the client is refused", || verdict(&verifier, &two) == REVOKED).await;

    let other = app.client(&["orders:read"]).await;
    let token = app.token(&other).await;
    assert_eq!(verdict(&verifier, &token), Ok(()));
    let kid = verifier_kid(&token);
    app.service.revoke_key(&kid, &app.caller()).await.unwrap();
    until("the key is refused", || verdict(&verifier, &token) == REVOKED).await;
    let fresh = app.token(&other).await;
    assert_ne!(verifier_kid(&fresh), kid);
    assert_eq!(verdict(&verifier, &fresh), Ok(()));
}

fn verifier_kid(token: &str) -> String {
    use base64::Engine;
    let header = token.split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// Two rotations without any pause for verifiers: the key that signs was published a moment ago.
#[tokio::test]
async fn a_key_is_known_soon_after_it_is_published() {
    let (app, client) = service().await;
    let verifier = follower(&app).await;
    for _ in 0..3 {
        let before = verifier.health().unwrap().keys.count;
        app.service.rotate_keys(&mintage::api::RotateKeys { now: true }, &app.caller()).await.unwrap();
        let token = app.token(&client).await;
        assert_eq!(verdict(&verifier, &token), Ok(()), "next was published before it signs");
        until("the one after it is known", || verifier.health().unwrap().keys.count == before + 1).await;
    }
}

#[tokio::test]
async fn the_issuer_may_stop_for_an_hour() {
    let (app, client) = service().await;
    let verifier = follower(&app).await;
    let (good, revoked) = (app.token(&client).await, app.token(&client).await);
    assert_eq!((verdict(&verifier, &good), verdict(&verifier, &revoked)), (Ok(()), Ok(())));
    revoke(&app, &client, &revoked).await;
    until("the token is refused", || verdict(&verifier, &revoked) == REVOKED).await;
    let clock = Arc::clone(&app.clock);
    let folder = app.stop().await;
    until("it is noticed", || !verifier.health().unwrap().is_good()).await;
    clock.advance(Duration::from_secs(3599));
    assert_eq!((verdict(&verifier, &good), verdict(&verifier, &revoked)), (Ok(()), REVOKED));
    let health = serde_json::to_value(verifier.health().unwrap()).unwrap();
    assert_eq!((&health["keys"]["usable"], &health["revocations"]["usable"]), (&json!(true), &json!(true)));
    drop(folder);
}
