//! What is kept of a private key does not let in who has copied the store alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use mintage::crypto::HashAlgorithm;
use mintage::oauth::digest::h_a1;
use mintage::server::{Parts, Server};
use serde_json::json;

use crate::client_changes::ask;

use super::*;

#[tokio::test]
async fn neither_the_key_nor_what_stands_for_it_is_in_the_store() {
    let app = site().await;
    let pair = pair(&app).await;
    assert_eq!(login(&app, &pair).await.send(&app).await.verdict(), ok());
    let file = app.config.keys.dir.join("digest.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let sealing = fs::read_to_string(&file).unwrap();
    let dir = app.stop().await;
    let mut kept = Vec::new();
    for entry in fs::read_dir(dir.path().join("data")).unwrap() {
        kept.extend(fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    let has = |needle: &[u8]| kept.windows(needle.len()).any(|window| window == needle);
    assert!(has(pair.user.as_bytes()) && has(b"sealed"), "what looks for it can find something");
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512_256] {
        let secret = *h_a1(algorithm, &pair.user, "mintage", &pair.password);
        for text in
            [hex(&secret), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret), STANDARD.encode(secret)]
        {
            assert!(!has(text.as_bytes()));
        }
        assert!(!has(&secret));
    }
    assert!(!has(pair.password.as_bytes()) && !has(sealing.lines().nth(1).unwrap().as_bytes()));
}

#[tokio::test]
async fn without_the_sealing_key_the_pairs_are_refused_and_nothing_else() {
    let app = site().await;
    let pair = pair(&app).await;
    let file = app.config.keys.dir.join("digest.key");
    let aside = file.with_extension("aside");
    let app = app.restart_after(|| fs::rename(&file, &aside).unwrap()).await;
    assert_eq!(login(&app, &pair).await.send(&app).await.verdict(), invalid());
    let client = app.client(&["orders:read"]).await;
    app.token(&client).await;
    // No other is made in its place, while something was sealed with it.
    let path = format!("clients/{}/digest-keys", client.id);
    let (status, problem) = ask(&app, "POST", &path, &json!({})).await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("digest.key"), "{problem}");
    assert!(!file.exists());
    let app = app.restart_after(|| fs::rename(&aside, &file).unwrap()).await;
    assert_eq!(login(&app, &pair).await.send(&app).await.verdict(), ok());
    // Once nothing is sealed, one is made anew; and with the wrong one in place a pair is refused.
    let app = app.restart_after(|| fs::rename(&file, &aside).unwrap()).await;
    app.service.delete_digest_key(&pair.client, &pair.id, &app.caller()).await.unwrap();
    let new = key_of(&app, &client.id, json!({})).await;
    assert!(file.exists());
    app.service
        .update_client(&client.id, &patch(json!({"scopes": ["mintage:projects:read"]})), false, &app.caller())
        .await
        .unwrap();
    assert_eq!(login(&app, &new).await.send(&app).await.verdict(), ok());
    let app = app.restart_after(|| fs::rename(&aside, &file).unwrap()).await;
    assert_eq!(login(&app, &new).await.send(&app).await.verdict(), invalid());
}

fn patch(body: Value) -> mintage::api::ClientPatch {
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn a_sealing_key_that_others_can_read_or_that_is_none_refuses_the_start() {
    let app = site().await;
    pair(&app).await;
    let (config, file) = (app.config.clone(), app.config.keys.dir.join("digest.key"));
    let _dir = app.stop().await;
    let good = fs::read(&file).unwrap();
    for (text, mode, said) in [
        (&good[..], 0o644, "chmod 600"),
        (b"", 0o600, "damaged"),
        (&good[..good.len() / 2], 0o600, "damaged"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600, "damaged"),
    ] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let error = Server::start(&config, Parts::default(), false).await.unwrap_err().to_string();
        assert!(error.contains("digest.key") && error.contains(said), "{error}");
    }
    fs::write(&file, &good).unwrap();
    Server::start(&config, Parts::default(), false).await.unwrap();
}
