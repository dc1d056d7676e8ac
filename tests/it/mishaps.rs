//! What may go wrong around a change: callers that hang up, files that are in the way, clocks and settings that moved.

use std::process::Command;
use std::time::Duration;

use mintage::api::{ClientStatus, KeyState, NewSecret};
use mintage::server::config::{SigningAlgorithm, Span};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::app::TestApp;

/// Sends a request to the admin socket and hangs up a little later: while it is worked on, if all goes well.
async fn send_and_hang_up(app: &TestApp, method: &str, path: &str, after: Duration) {
    let mut socket = UnixStream::connect(&app.config.admin.socket).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(after).await;
}

async fn whoami(app: &TestApp, token: &str) -> u16 {
    app.get("/api/v1/whoami", Some(token)).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_does_not_split_store_and_memory() {
    let app = TestApp::start().await;
    let mut cut_short = 0;
    for round in 0..30 {
        let client = app.client(&[]).await;
        let token = app.token(&client).await;
        let after = Duration::from_micros(150 * round);
        send_and_hang_up(&app, "DELETE", &format!("/api/v1/clients/{}", client.id), after).await;
        let mut deleted = false;
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            deleted = app.service.client(&client.id, &app.caller()).await.is_err();
            if deleted {
                break;
            }
        }
        if !deleted {
            // The request was broken off before it was read; then nothing may have changed.
            assert_eq!(whoami(&app, &token).await, 200);
            continue;
        }
        cut_short += 1;
        // The store has it as deleted; what is at hand follows within the same request.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(app.token_request(&client, &[]).send().await.unwrap().status(), 401);
        assert_eq!(whoami(&app, &token).await, 401);
    }
    assert!(cut_short > 0, "no request was under way when its caller hung up");
    let client = app.client(&[]).await;
    let old = app.token(&client).await;
    let kid = mintage::jose::CompactJws::parse(&old).unwrap().header["kid"].as_str().unwrap().to_owned();
    for round in 0..200 {
        let after = Duration::from_micros(50 * round);
        send_and_hang_up(&app, "POST", &format!("/api/v1/keys/{kid}/revoke"), after).await;
        if whoami(&app, &old).await == 401 {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(whoami(&app, &old).await, 401);
    let rotate = mintage::api::RotateKeys { now: true };
    assert!(app.service.rotate_keys(&rotate, &app.caller()).await.unwrap().rotated, "the keys can still be moved");
}

#[tokio::test]
async fn a_key_that_retires_is_not_taken_for_an_unused_one() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let rotate = mintage::api::RotateKeys { now: true };
    app.service.rotate_keys(&rotate, &app.caller()).await.unwrap();
    // Asleep for longer than a key signs: retirement and rotation are due in the same tick.
    app.advance(91 * 24 * 3600);
    for _ in 0..3 {
        app.service.tick().await;
    }
    let keys = app.service.list_keys().items;
    for key in &keys {
        let file = app.config.keys.dir.join(format!("{}.pem", key.kid));
        assert_eq!(file.exists(), key.state != KeyState::Retired, "{key:?}");
    }
    let app = app.restart().await;
    app.token(&client).await;
}

#[tokio::test]
async fn a_revoked_token_stays_dead_when_tokens_are_made_shorter() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    let mut app = app;
    app.config.token.ttl = Span::from_secs(1);
    app.config.token.ttl_max = Span::from_secs(1);
    let app = app.restart().await;
    assert_eq!(whoami(&app, &token).await, 200);
    app.service.set_client_status(&client.id, ClientStatus::Disabled, "client.revoke", &app.caller()).await.unwrap();
    for _ in 0..36 {
        app.advance(100);
        app.service.purge().await;
        assert_eq!(whoami(&app, &token).await, 401);
    }
}

#[tokio::test]
async fn an_emergency_does_not_wait_for_a_stray_file() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    std::fs::write(app.config.keys.dir.join("stray.pem"), "no key at all").unwrap();
    let kid = mintage::jose::CompactJws::parse(&token).unwrap().header["kid"].as_str().unwrap().to_owned();
    app.service.revoke_key(&kid, &app.caller()).await.unwrap();
    assert_eq!(whoami(&app, &token).await, 401);
    assert_eq!(whoami(&app, &app.token(&client).await).await, 200);
}

#[tokio::test]
async fn where_the_only_rsa_key_is_revoked_a_new_file_takes_over() {
    let builder = TestApp::builder().config(|config| config.keys.algorithm = SigningAlgorithm::RS256);
    let keys = builder.keys_dir();
    std::fs::create_dir_all(&keys).unwrap();
    let make = |name: &str| {
        let path = keys.join(name);
        let made = Command::new("openssl")
            .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    make("one.pem");
    let app = builder.start().await;
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    assert!(!app.service.keys().has_next(), "ring makes none");
    let kid = mintage::jose::CompactJws::parse(&token).unwrap().header["kid"].as_str().unwrap().to_owned();
    app.service.revoke_key(&kid, &app.caller()).await.unwrap();
    let answer = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(crate::app::header(&answer, "retry-after"), Some("1"));
    assert_eq!(answer.json::<Value>().await.unwrap()["error"], "temporarily_unavailable");
    app.service.tick().await;
    assert_eq!(
        app.token_request(&client, &[]).send().await.unwrap().status(),
        503,
        "the revoked file is not taken again"
    );
    make("two.pem");
    app.service.tick().await;
    assert_eq!(whoami(&app, &app.token(&client).await).await, 200);
    assert!(app.config.keys.dir.join("one.pem").exists(), "the operator's files are the operator's");
}

#[tokio::test]
async fn a_client_with_all_its_secrets_can_still_be_rotated() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let add = |overlap| {
        let (service, id, caller) = (&app.service, &client.id, app.caller());
        async move { service.add_secret(id, &NewSecret { overlap, ..Default::default() }, &caller).await }
    };
    for _ in 0..4 {
        add(None).await.unwrap();
    }
    assert!(add(None).await.is_err());
    assert!(add(Some(3600)).await.is_err());
    let shown = add(Some(0)).await.unwrap();
    assert_eq!(shown.value.secrets.len(), 1);
    assert_eq!(app.token_request(&client, &[]).send().await.unwrap().status(), 401, "the old one has ended");
}
