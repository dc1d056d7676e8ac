//! `Idempotency-Key`: a request that is sent again is carried out once.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use mintage::api::{ClientPatch, NewProject};
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient};
use crate::client_changes::{ask, audit};
use crate::coverage::{operator, organization};
use crate::gated_store::GatedStore;

const WRITE: [&str; 2] = ["mintage:clients:read", "mintage:clients:write"];

/// What was answered.
struct Told {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Told {
    fn replayed(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }

    fn id(&self) -> &str {
        self.body["client_id"].as_str().unwrap_or_else(|| panic!("{}: {}", self.status, self.body))
    }

    /// That it was refused, and why.
    fn refused(&self, status: u16, reason: &str) {
        assert_eq!((self.status, &self.body["reason"]), (status, &json!(reason)), "{}", self.body);
        assert!(!self.replayed());
    }
}

async fn post(app: &TestApp, token: &str, path: &str, key: &str, body: &Value) -> Told {
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", HeaderValue::from_bytes(key.as_bytes()).unwrap());
    post_with(app, token, path, headers, body).await
}

async fn post_with(app: &TestApp, token: &str, path: &str, headers: HeaderMap, body: &Value) -> Told {
    let request = app.http.post(app.url(&format!("/api/v1/{path}"))).bearer_auth(token).headers(headers);
    let response = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Told { status, headers, body: serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default() }
}

/// How many clients have this name.
async fn named(app: &TestApp, name: &str) -> usize {
    let (status, page) = ask(app, "GET", &format!("clients?name={name}"), &Value::Null).await;
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_create_fifty_times_at_once_makes_one_client() {
    let app = std::sync::Arc::new(TestApp::start().await);
    let token = app.token(&app.client(&WRITE).await).await;
    let body = json!({"name": "billing", "labels": {"a": "b"}});
    let all = (0..50).map(|_| {
        let (app, token, body) = (app.clone(), token.clone(), body.clone());
        tokio::spawn(async move { post(&app, &token, "clients", "once", &body).await })
    });
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for told in all.collect::<Vec<_>>() {
        let told = told.await.unwrap();
        assert_eq!(told.status, 201, "{}", told.body);
        if told.replayed() { again.push(told) } else { first.push(told) }
    }
    assert_eq!((first.len(), again.len()), (1, 49));
    let first = &first[0];
    let secret = first.body["client_secret"].as_str().unwrap();
    assert!(first.body.get("secret_omitted").is_none());
    for told in &again {
        assert_eq!(told.body["secret_omitted"], true);
        assert!(told.body.get("client_secret").is_none() && !told.body.to_string().contains(secret));
        for name in ["etag", "location", "content-type", "cache-control"] {
            assert_eq!(told.headers.get(name), first.headers.get(name), "{name}");
        }
        let mut same = told.body.clone();
        same.as_object_mut().unwrap().remove("secret_omitted");
        same["client_secret"] = json!(secret);
        assert_eq!(same, first.body);
    }
    assert_eq!(named(&app, "billing").await, 1);
    app.token(&TestClient { id: first.id().to_owned(), secret: secret.to_owned() }).await;
}

#[tokio::test]
async fn a_key_is_a_principals_own_for_one_path_and_one_body() {
    let app = TestApp::start().await;
    let token = app.token(&app.client(&WRITE).await).await;
    let other = app.token(&app.client(&WRITE).await).await;
    let body = json!({"name": "billing"});
    let first = post(&app, &token, "clients", "k", &body).await;
    post(&app, &token, "clients", "k", &json!({"name": "other"})).await.refused(422, "idempotency_key_reused");
    post(&app, &token, "clients", "k", &json!({"name": "billing", "labels": {}}))
        .await
        .refused(422, "idempotency_key_reused");
    assert_eq!(named(&app, "other").await, 0);
    let replayed = post(&app, &token, "clients", "k", &body).await;
    assert!(replayed.replayed() && replayed.id() == first.id());

    let others = post(&app, &other, "clients", "k", &body).await;
    assert!(!others.replayed() && others.id() != first.id());
    let another = post(&app, &token, "clients", "K", &body).await;
    assert!(!another.replayed() && another.id() != first.id());
    // Two clients' secrets, with one key and one body.
    for id in [first.id(), another.id()] {
        let added = post(&app, &token, &format!("clients/{id}/secrets"), "k", &json!({})).await;
        assert_eq!((added.status, added.replayed(), added.id()), (201, false, id), "{}", added.body);
        assert_eq!(added.body["secrets"].as_array().unwrap().len(), 2);
    }
    assert_eq!(named(&app, "billing").await, 3);
}

#[tokio::test]
async fn the_grammar_of_a_key() {
    let app = TestApp::start().await;
    let token = app.token(&app.client(&WRITE).await).await;
    let body = json!({"name": "billing"});
    for key in ["", "\t", "a\tb", "schlüssel", &"x".repeat(256)] {
        post(&app, &token, "clients", key, &body).await.refused(400, "malformed_request");
    }
    let mut twice = HeaderMap::new();
    twice.append("idempotency-key", HeaderValue::from_static("a"));
    twice.append("idempotency-key", HeaderValue::from_static("a"));
    post_with(&app, &token, "clients", twice, &body).await.refused(400, "malformed_request");
    assert_eq!(named(&app, "billing").await, 0);
    for key in ["x", "!", "with blanks, \"quotes\" and ~", &"x".repeat(255)] {
        assert_eq!(post(&app, &token, "clients", key, &body).await.status, 201, "{key}");
        assert!(post(&app, &token, "clients", key, &body).await.replayed(), "{key}");
    }
}

#[tokio::test]
async fn it_is_remembered_for_a_day_and_over_a_restart() {
    let app = TestApp::start().await;
    let client = app.client(&WRITE).await;
    let body = json!({"name": "billing"});
    let first = post(&app, &app.token(&client).await, "clients", "k", &body).await;
    app.advance(24 * 3600 - 1);
    let app = app.restart().await;
    let again = post(&app, &app.token(&client).await, "clients", "k", &body).await;
    assert!(again.replayed() && again.id() == first.id(), "{}", again.body);
    app.advance(1);
    let anew = post(&app, &app.token(&client).await, "clients", "k", &body).await;
    assert!(!anew.replayed() && anew.id() != first.id(), "{}", anew.body);
    assert!(anew.body["client_secret"].is_string());
    assert!(post(&app, &app.token(&client).await, "clients", "k", &body).await.replayed());
    assert_eq!(named(&app, "billing").await, 2);
}

#[tokio::test]
async fn who_lost_the_right_gets_no_answer_again() {
    let app = TestApp::start().await;
    organization(&app, "acme").await;
    let till = NewProject { id: "till".to_owned(), organization: Some("acme".to_owned()), ..NewProject::default() };
    app.service.create_project(till, &app.caller()).await.unwrap();
    let client = operator(&app, ("acme", "till"), &WRITE, &["ORG_OWNER"]).await;
    let token =
        app.token_answer(&client, &[("resource", &app.issuer)]).await["access_token"].as_str().unwrap().to_owned();
    let body = json!({"name": "billing", "project": "shop"});
    let first = post(&app, &token, "clients", "k", &body).await;
    assert_eq!(first.status, 201, "{}", first.body);
    // Nothing is to be retired: nothing is changed, and nothing recorded.
    let retire = format!("clients/{}/secrets/retire", first.id());
    let nothing = post(&app, &token, &retire, "k", &json!({})).await;
    assert_eq!((nothing.status, nothing.id()), (200, first.id()));
    assert!(post(&app, &token, &retire, "k", &json!({})).await.replayed());
    post(&app, &token, &retire, "k", &json!({"force": true})).await.refused(422, "idempotency_key_reused");

    let change = async |patch: ClientPatch| {
        app.service.update_client(&client.id, &patch, true, &app.caller()).await.unwrap();
    };
    // Its reach ends with its role, and what it made is out of it.
    change(ClientPatch { roles: Some(Vec::new()), ..ClientPatch::default() }).await;
    for (path, body) in [("clients", &body), (retire.as_str(), &json!({}))] {
        post(&app, &token, path, "k", body).await.refused(404, "not_found");
    }
    change(ClientPatch { scopes: Some(vec![WRITE[0].to_owned()]), ..ClientPatch::default() }).await;
    post(&app, &token, "clients", "k", &body).await.refused(403, "insufficient_scope");
    change(ClientPatch {
        scopes: Some(WRITE.map(str::to_owned).into()),
        roles: Some(vec!["ORG_OWNER".to_owned()]),
        ..ClientPatch::default()
    })
    .await;
    assert!(post(&app, &token, "clients", "k", &body).await.replayed());
    app.service.delete_client(&client.id, &app.caller()).await.unwrap();
    post(&app, &token, "clients", "k", &body).await.refused(401, "token_revoked");
}

#[tokio::test]
async fn what_was_refused_is_not_remembered() {
    let app = TestApp::start().await;
    let token = app.token(&app.client(&WRITE).await).await;
    let body = json!({"name": "billing", "scopes": ["orders:read"]});
    for _ in 0..2 {
        post(&app, &token, "clients", "k", &body).await.refused(400, "invalid_field");
    }
    app.api("https://orders.example", &["orders:read"]).await;
    let made = post(&app, &token, "clients", "k", &body).await;
    assert_eq!((made.status, made.replayed()), (201, false), "{}", made.body);
    assert!(post(&app, &token, "clients", "k", &body).await.replayed());
    // Neither does another body take the key of one that was refused.
    post(&app, &token, "clients", "k2", &json!({})).await.refused(400, "malformed_request");
    assert_eq!(post(&app, &token, "clients", "k2", &json!({"name": "n"})).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_the_change_and_its_answer() {
    let mut gate = None;
    let app = TestApp::builder()
        .start_on(|store| {
            let gated = GatedStore::new(store);
            gate = Some(gated.clone());
            gated
        })
        .await;
    let (app, gate) = (std::sync::Arc::new(app), gate.unwrap());
    let token = app.token(&app.client(&WRITE).await).await;
    let body = json!({"name": "billing"});
    gate.hold_verb("note_answer");
    let first = {
        let (app, token, body) = (app.clone(), token.clone(), body.clone());
        tokio::spawn(async move { post(&app, &token, "clients", "k", &body).await })
    };
    gate.arrival().await;
    // The client is there, and its answer is not noted: as after a kill.
    gate.hold_nothing();
    gate.set_down(true);
    gate.let_one_pass();
    let first = first.await.unwrap();
    assert_eq!(first.status, 201, "{}", first.body);
    gate.set_down(false);
    for _ in 0..2 {
        let again = post(&app, &token, "clients", "k", &body).await;
        again.refused(409, "conflict");
        assert!(again.body["detail"].as_str().unwrap().contains(first.id()), "{}", again.body);
    }
    post(&app, &token, "clients", "k", &json!({"name": "other"})).await.refused(422, "idempotency_key_reused");
    let all = app.get("/api/v1/clients?name=billing", Some(&token)).await.json::<Value>().await.unwrap();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);

    // Where the store was down before the change, nothing was done, and the same request does it.
    gate.hold_verb("save_client");
    let refused = {
        let (app, token, body) = (app.clone(), token.clone(), body.clone());
        tokio::spawn(async move { post(&app, &token, "clients", "later", &body).await })
    };
    gate.arrival().await;
    gate.hold_nothing();
    gate.set_down(true);
    gate.let_one_pass();
    refused.await.unwrap().refused(503, "unavailable");
    gate.set_down(false);
    let made = post(&app, &token, "clients", "later", &body).await;
    assert_eq!((made.status, made.replayed()), (201, false), "{}", made.body);
}

#[tokio::test]
async fn no_secret_is_kept_with_an_answer() {
    let app = TestApp::start().await;
    let token = app.token(&app.client(&WRITE).await).await;
    let first = post(&app, &token, "clients", "k", &json!({"name": "billing"})).await;
    let added = post(&app, &token, &format!("clients/{}/secrets", first.id()), "k", &json!({})).await;
    let again = post(&app, &token, &format!("clients/{}/secrets", first.id()), "k", &json!({})).await;
    assert!(again.replayed() && again.body["secret_omitted"] == true && again.body.get("client_secret").is_none());
    let secrets: Vec<_> =
        [&first, &added].iter().map(|told| told.body["client_secret"].as_str().unwrap().to_owned()).collect();
    let store = app.config.store_path();
    let dir = app.stop().await;
    let bytes = std::fs::read(store).unwrap();
    let found = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(found(b"billing"), "the store cannot be looked through");
    for secret in &secrets {
        // The random part: the beginning is shown as the masked prefix.
        let random = &secret["mtg_cs_live_".len() + 8..];
        assert!(!found(random.as_bytes()), "raw");
        for shift in 0..3 {
            for engine in [&STANDARD, &URL_SAFE] {
                let text = engine.encode(&random.as_bytes()[shift..shift + 30]);
                assert!(!found(text.as_bytes()), "base64, by {shift}");
            }
        }
        let percent: String = random.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert!(!found(percent.as_bytes()), "percent-encoded");
    }
    drop(dir);
}

#[tokio::test]
async fn a_replay_leaves_no_record() {
    let app = TestApp::start().await;
    let token = app.token(&app.client(&WRITE).await).await;
    let first = post(&app, &token, "clients", "k", &json!({"name": "billing"})).await;
    for _ in 0..3 {
        assert!(post(&app, &token, "clients", "k", &json!({"name": "billing"})).await.replayed());
    }
    let id = first.id().to_owned();
    let records = audit(app).await;
    assert_eq!(records.iter().filter(|record| record["target"] == id.as_str()).count(), 1);
}

/// Whoever has the store could else try weak ones at the speed of SHA-256.
#[tokio::test]
async fn a_body_that_brings_a_secret_is_remembered_by_a_slow_hash() {
    let app = TestApp::start().await;
    for (body, slow) in [
        (r#"{"name":"billing"}"#, false),
        (r#"{"name":"billing","client_secret":"correct horse"}"#, true),
        (r#"{"private_key":"correct horse","public_key":"billing"}"#, true),
        (r#"{"pr\u0069vate_key":"correct horse","public_key":"billing"}"#, true),
        (r#"{"clients":[{"name":"a"},{"name":"b","client_secret":"correct horse"}]}"#, true),
    ] {
        let receipt = app.service.receipt("name", body.as_bytes()).await.unwrap();
        assert_eq!(receipt.fingerprint.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), slow, "{body}: {receipt:?}");
    }
}
