//! Secrets that were not made here, one client at a time.

use std::time::{Duration, Instant};

use mintage::api::{NewClient, NewSecret};
use mintage::crypto::SlowHash;
use mintage::crypto::entropy::SystemEntropy;
use mintage::secret::{ClientSecret, Environment};
use mintage::server::error::Error;
use mintage::server::store::AuditReader;
use serde_json::{Value, json};

use super::{CURRENT, HASHES, kept, secret, status, with_hash};
use crate::app::{TestApp, TestClient};

fn errors(refused: Error) -> Vec<(String, String)> {
    let Error::InvalidFields(errors) = refused else { panic!("{refused:?}") };
    errors.into_iter().map(|error| (error.field, error.detail)).collect()
}

async fn given(app: &TestApp, id: &str, text: &str) -> Result<TestClient, Error> {
    let new = NewClient {
        name: id.to_owned(),
        client_id: Some(id.to_owned()),
        client_secret: secret(text),
        ..NewClient::default()
    };
    let made = app.service.create_client(new, &app.caller()).await?;
    assert!(made.value.client_secret.is_none(), "who gave it has it");
    Ok(TestClient { id: id.to_owned(), secret: text.to_owned() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_of_another_system_is_checked_and_replaced_on_first_use() {
    for (index, pair) in HASHES.into_iter().enumerate() {
        let app = TestApp::start().await;
        let client = with_hash(&app, "c", pair).await;
        let wrong = TestClient { secret: pair.0.to_uppercase(), ..client.clone() };
        assert_eq!(status(&app, &wrong).await, 401, "{}", pair.1);
        assert_eq!(status(&app, &client).await, 200, "{}", pair.1);
        // What is made in its place is made after the answer.
        tokio::time::sleep(Duration::from_millis(500)).await;
        app.service.tick().await;
        assert_eq!((status(&app, &client).await, status(&app, &wrong).await), (200, 401));
        let app = app.restart().await;
        assert_eq!((status(&app, &wrong).await, status(&app, &client).await), (401, 200));
        let (hashes, revision) = kept(app, "c").await;
        assert!(hashes.len() == 1 && hashes[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{index}: {hashes:?}");
        assert_eq!(revision, 2, "it is a change like any other, made once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_argon2id_already_stays() {
    let app = TestApp::start().await;
    let client = with_hash(&app, "c", CURRENT).await;
    assert_eq!(status(&app, &client).await, 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    app.service.tick().await;
    assert_eq!(kept(app, "c").await, (vec![CURRENT.1.to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replacement_is_recorded_without_any_hash() {
    let app = TestApp::start().await;
    let client = with_hash(&app, "c", HASHES[0]).await;
    assert_eq!(status(&app, &client).await, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let path = app.config.store_path();
    let _dir = app.stop().await;
    let records: Vec<Value> = tokio::task::spawn_blocking(move || {
        let (store, _) =
            mintage::server::store::redb::RedbStore::open(&path, [0; 32], mintage::clock::UnixTime::from_seconds(0))
                .unwrap();
        let read = tokio::runtime::Handle::current().block_on(store.audit(0, 100)).unwrap().1;
        read.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
    })
    .await
    .unwrap();
    let last = records.iter().rfind(|record| record["action"] == "client.secret.rehash").expect("a record of it");
    assert_eq!(last["target"], "c");
    assert_eq!((&last["before"]["kept_under"], &last["after"]["kept_under"]), (&json!("bcrypt"), &json!("argon2id")));
    let all = json!(records).to_string();
    assert!(!all.contains("$2a$") && !all.contains("$argon2id$") && !all.contains(HASHES[0].0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_secret_is_kept_under_argon2id_unless_it_is_one_of_ours() {
    let app = TestApp::start().await;
    let weak = given(&app, "weak", "correct horse").await.unwrap();
    let ours = ClientSecret::generate(Environment::Live, &SystemEntropy::new()).unwrap();
    let ours = given(&app, "ours", ours.reveal()).await.unwrap();
    for client in [&weak, &ours] {
        assert_eq!(status(&app, client).await, 200);
        let wrong = TestClient { secret: format!("{}x", client.secret), ..client.clone() };
        assert_eq!(status(&app, &wrong).await, 401);
    }
    let shown = app.service.client("ours", &app.caller()).await.unwrap().value;
    assert!(shown.secrets[0].prefix.starts_with("mtg_cs_live_") && shown.secrets[0].prefix.ends_with('…'));
    // Another one beside it, as the clear text and as a hash.
    let second = NewSecret { client_secret: secret("battery staple"), ..NewSecret::default() };
    let shown = app.service.add_secret("ours", &second, &app.caller()).await.unwrap().value;
    assert!(shown.client_secret.is_none() && shown.secrets.len() == 2);
    let third = NewSecret { client_secret_hash: secret(HASHES[0].1), ..NewSecret::default() };
    app.service.add_secret("ours", &third, &app.caller()).await.unwrap();
    for text in ["battery staple", HASHES[0].0, ours.secret.as_str()] {
        assert_eq!(status(&app, &TestClient { id: "ours".to_owned(), secret: text.to_owned() }).await, 200);
    }
    let (hashes, _) = kept(app, "ours").await;
    assert!(hashes[0].starts_with("sha256:") && hashes[1].starts_with("$argon2id$"), "{hashes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_and_never_repeated() {
    let app = TestApp::start().await;
    for text in ["", "seven77", "with a line end\n", &"x".repeat(513)] {
        let refused = errors(given(&app, "c", text).await.unwrap_err());
        assert_eq!((refused.len(), refused[0].0.as_str()), (1, "client_secret"));
        assert!(text.is_empty() || !refused[0].1.contains(text), "{refused:?}");
    }
    let hashes = ["", "hunter2hunter2", "$2b$31$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga", "$6$salt$hash"];
    for hash in hashes {
        let new = NewClient { name: "c".to_owned(), client_secret_hash: secret(hash), ..NewClient::default() };
        let refused = errors(app.service.create_client(new, &app.caller()).await.unwrap_err());
        assert_eq!((refused.len(), refused[0].0.as_str()), (1, "client_secret_hash"));
        assert!(hash.is_empty() || !refused[0].1.contains(hash), "{refused:?}");
    }
    // All that is wrong is said at once.
    let new =
        NewClient { client_secret: secret("short"), scopes: vec!["nobody:has".to_owned()], ..NewClient::default() };
    let fields: Vec<_> = errors(app.service.create_client(new, &app.caller()).await.unwrap_err());
    assert_eq!(fields.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), ["name", "scopes[0]", "client_secret"]);
    let both = NewSecret {
        client_secret: secret("long enough"),
        client_secret_hash: secret(HASHES[0].1),
        ..NewSecret::default()
    };
    let client = app.client(&[]).await;
    assert_eq!(errors(app.service.add_secret(&client.id, &both, &app.caller()).await.unwrap_err()).len(), 1);
    assert_eq!(app.service.client(&client.id, &app.caller()).await.unwrap().value.secrets.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_secret_costs_one_slow_check() {
    let app = TestApp::start().await;
    let slow = {
        let (watch, hash) = (Instant::now(), SlowHash::parse(HASHES[1].1).unwrap());
        assert!(hash.is_of(HASHES[1].0.as_bytes()));
        watch.elapsed()
    };
    let client = with_hash(&app, "c", HASHES[1]).await;
    let took = async || {
        let watch = Instant::now();
        assert_eq!(status(&app, &client).await, 200);
        watch.elapsed()
    };
    let first = took().await;
    assert!(first > slow / 4, "{first:?} of {slow:?}");
    let mut later = Vec::new();
    for _ in 0..20 {
        later.push(took().await);
    }
    later.sort();
    assert!(later[10] < slow / 4, "{later:?} of {slow:?}");
    // Nor when what it is kept under was replaced.
    app.service.tick().await;
    assert_eq!(app.service.client("c", &app.caller()).await.unwrap().value.secrets.len(), 1);
    let after = took().await;
    assert!(after < slow / 2, "{after:?} of {slow:?}");
}
