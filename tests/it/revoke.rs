//! `POST /oauth/revoke` (RFC 7009), as section 2.4 of the contract has it.

use std::sync::Arc;
use std::time::Duration;

use mintage::api::NewClient;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{TestApp, TestClient, claims, encode, header};
use crate::client_changes::audit;
use crate::forged::{Forged, about, feed, form, refused, whoami, whole};
use crate::gated_store::GatedStore;

const PATH: &str = "/oauth/revoke";
const ORDERS: &str = "https://orders.example";
const DEAD: (u16, &str) = (401, "token_revoked");
const ALIVE: (u16, &str) = (200, "");

async fn state(app: &TestApp, token: &str) -> (u16, &'static str) {
    match whoami(app, token).await {
        (200, _) => ALIVE,
        (401, reason) if reason == "token_revoked" => DEAD,
        other => panic!("{other:?}"),
    }
}

async fn revoke(app: &TestApp, caller: &TestClient, token: &str) {
    let (status, headers, body) = whole(about(app, PATH, caller, token).send().await.unwrap()).await;
    assert_eq!((status, body.as_str()), (200, ""), "{token}");
    let has = |name: &str, value: &str| headers.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("cache-control", "no-store") && has("pragma", "no-cache"), "{headers:?}");
}

fn jti(token: &str) -> String {
    claims(token)["jti"].as_str().unwrap().to_owned()
}

/// The names of the tokens that the feed has as revoked.
async fn revoked(app: &TestApp) -> Vec<String> {
    let all = feed(app, "").await;
    let mut names: Vec<_> =
        all["jtis"].as_array().unwrap().iter().map(|one| one["jti"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_client_revokes_its_own_token_and_no_other() {
    let app = TestApp::start().await;
    let client = app.client(&["mintage:projects:read"]).await;
    let holder = app.client(&["mintage:tokens:introspect"]).await;
    let (one, other) = (app.token(&client).await, app.token(&client).await);
    assert_eq!((state(&app, &one).await, state(&app, &other).await), (ALIVE, ALIVE));
    revoke(&app, &client, &one).await;
    let told = |token: &str| about(&app, "/oauth/introspect", &holder, token);
    for _ in 0..2 {
        assert_eq!(state(&app, &one).await, DEAD);
        assert_eq!(app.get("/api/v1/projects", Some(&one)).await.status(), 401);
        assert_eq!(whole(told(&one).send().await.unwrap()).await.2, "{\"active\":false}");
        // Once more is as good as once.
        revoke(&app, &client, &one).await;
    }
    assert_eq!(state(&app, &other).await, ALIVE);
    assert_eq!(told(&other).send().await.unwrap().json::<Value>().await.unwrap()["active"], true);
    assert_eq!(revoked(&app).await, [jti(&one)]);
    let (id, secret) = (client.id.as_str(), client.secret.as_str());
    let posted = form(&app, PATH, &[("client_id", id), ("client_secret", secret), ("token", &other)]);
    assert_eq!(posted.send().await.unwrap().status(), 200);
    assert_eq!(state(&app, &other).await, DEAD);
}

#[tokio::test]
async fn what_is_no_good_token_needs_no_revocation() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let expired = app.token(&client).await;
    app.advance(3630);
    let good = app.token(&client).await;
    let (signed, _) = good.rsplit_once('.').unwrap();
    let stranger = Forged { iss: format!("{}/", app.issuer), ..Forged::of(&app, &client, "x") }.sign(&app);
    for token in ["x", "a.b.c", "refresh", &client.secret, &format!("{signed}.AAAA"), &expired, &stranger] {
        revoke(&app, &client, token).await;
    }
    assert_eq!(state(&app, &good).await, ALIVE);
    assert!(revoked(&app).await.is_empty(), "none of them is carried by anybody");
    // One that verifiers still take, within their leeway, is revoked until they do no longer.
    app.advance(3629);
    assert_eq!(state(&app, &good).await, ALIVE);
    revoke(&app, &client, &good).await;
    assert_eq!(state(&app, &good).await, DEAD);
}

#[tokio::test]
async fn a_token_that_is_not_good_yet_is_revoked_before_it_is() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    // Issued a minute ago, by a clock that was set back since.
    let mut token = Forged::of(&app, &client, "early");
    token.nbf += 60;
    let token = token.sign(&app);
    revoke(&app, &client, &token).await;
    app.advance(60);
    assert_eq!(state(&app, &token).await, DEAD);
}

#[tokio::test]
async fn the_request_is_read_like_any_other_of_a_client() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let away = NewClient { ip_allowlist: vec!["10.0.0.0/8".to_owned()], ..NewClient::default() };
    let away = app.client_with(away).await;
    let token = app.token(&client).await;
    let (id, secret) = (client.id.as_str(), Some(client.secret.as_str()));
    let unauthenticated = [
        form(&app, PATH, &[("token", &token)]),
        form(&app, PATH, &[("token", &token)]).header(AUTHORIZATION, format!("Bearer {token}")),
        form(&app, PATH, &[("token", &token)]).basic_auth(id, Some("wrong")),
        about(&app, PATH, &TestClient { secret: away.secret.clone(), ..client.clone() }, &token),
    ];
    for request in unauthenticated {
        refused(request, 401, "invalid_client", "invalid_client").await;
    }
    refused(about(&app, PATH, &away, &token), 403, "access_denied", "ip_not_allowed").await;
    let in_query = app.http.post(app.url(&format!("{PATH}?{}", encode(&[("token", &token)]))));
    let in_json = app.http.post(app.url(PATH)).header(CONTENT_TYPE, "application/json");
    let bad = [
        form(&app, PATH, &[]),
        form(&app, PATH, &[("token", "")]),
        form(&app, PATH, &[("token", &token), ("token", &token)]),
        form(&app, PATH, &[("token", &token), ("client_secret", &client.secret)]),
        in_query.header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
        in_json.body(json!({ "token": token }).to_string()),
    ];
    for request in bad {
        refused(request.basic_auth(id, secret), 400, "invalid_request", "malformed_request").await;
    }
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let request = app.http.request(method.parse().unwrap(), app.url(PATH)).basic_auth(id, secret);
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, Some("POST")), "{method}");
    }
    assert_eq!(state(&app, &token).await, ALIVE, "nothing of this has revoked it");
}

#[tokio::test]
async fn another_clients_token_is_for_operators() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read"]).await;
    let (client, other) = (app.client(&["orders:read"]).await, app.client(&["mintage:tokens:introspect"]).await);
    let operator = app.client(&["mintage:tokens:revoke"]).await;
    let (one, at_an_api) = (app.client(&[]).await, app.token(&client).await);
    let token = app.token(&one).await;
    for (caller, token) in [(&other, &token), (&client, &token), (&other, &at_an_api)] {
        refused(about(&app, PATH, caller, token), 400, "unauthorized_client", "unauthorized_client").await;
    }
    let forged = Forged::of(&app, &one, "forged");
    let mut answers = None;
    for (org, project) in [("default", "other"), ("other", "default"), ("other", "other"), ("", "default")] {
        let (org, project) = (org.to_owned(), project.to_owned());
        let token = Forged { org, project, ..forged.clone() }.sign(&app);
        let request = about(&app, PATH, &operator, &token);
        let mut body = refused(request, 400, "unauthorized_client", "unauthorized_client").await;
        body["request_id"].take();
        assert_eq!(answers.get_or_insert_with(|| body.clone()), &body, "it tells nothing of the token");
        assert_eq!(state(&app, &token).await, ALIVE);
    }
    assert_eq!(state(&app, &token).await, ALIVE);
    assert!(revoked(&app).await.is_empty());
    for token in [&token, &at_an_api] {
        revoke(&app, &operator, token).await;
    }
    assert_eq!(state(&app, &token).await, DEAD);
    let mut names = [jti(&token), jti(&at_an_api)];
    names.sort();
    assert_eq!(revoked(&app).await, names);
    // A dead one needs nothing, whoever asks.
    revoke(&app, &other, &token).await;
    // The right is that of the moment, not that of the token.
    let patch = mintage::api::ClientPatch { scopes: Some(Vec::new()), ..Default::default() };
    app.service.update_client(&operator.id, &patch, false, &app.caller()).await.unwrap();
    let token = app.token(&one).await;
    refused(about(&app, PATH, &operator, &token), 400, "unauthorized_client", "unauthorized_client").await;
}

#[tokio::test]
async fn a_token_of_another_key_is_nobodys() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    let other = TestApp::start().await;
    let foreign = Forged { iss: app.issuer.clone(), ..Forged::of(&other, &client, &jti(&token)) }.sign(&other);
    let (claims, signature) = (token.rsplit_once('.').unwrap().0, foreign.rsplit_once('.').unwrap().1);
    // The other service's own, and what it would have to be: the same claims under this one's `kid`.
    for forged in [foreign.clone(), format!("{claims}.{signature}")] {
        revoke(&app, &client, &forged).await;
    }
    assert_eq!(state(&app, &token).await, ALIVE);
    assert!(revoked(&app).await.is_empty());
}

#[tokio::test]
async fn where_the_store_is_down_nothing_is_said_to_be_revoked() {
    let mut gate = None;
    let app = TestApp::builder().start_on(|store| gate.insert(GatedStore::new(store)).clone()).await;
    let gate = gate.unwrap();
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    gate.set_down(true);
    for _ in 0..2 {
        let request = about(&app, PATH, &client, &token);
        let response = request.try_clone().unwrap().send().await.unwrap();
        assert_eq!(header(&response, "retry-after"), Some("1"));
        refused(request, 503, "temporarily_unavailable", "unavailable").await;
        assert_eq!(state(&app, &token).await, ALIVE);
        assert!(revoked(&app).await.is_empty());
    }
    gate.set_down(false);
    revoke(&app, &client, &token).await;
    assert_eq!(state(&app, &token).await, DEAD);
}

#[tokio::test]
async fn whoever_hangs_up_store_and_memory_stay_one() {
    let mut gate = None;
    let app = TestApp::builder().start_on(|store| gate.insert(GatedStore::new(store)).clone()).await;
    let gate = gate.unwrap();
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    let address = app.base.strip_prefix("http://").unwrap();
    let body = encode(&[("token", &token), ("client_id", &client.id), ("client_secret", &client.secret)]);
    let kind = "content-type: application/x-www-form-urlencoded";
    let request = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // Before the whole of it was sent: then there was no request.
    for sent in [10, 60, request.len() - 1] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&request.as_bytes()[..sent]).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
        assert_eq!(state(&app, &token).await, ALIVE);
    }
    // While the store is at work.
    gate.hold();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    gate.arrival().await;
    assert_eq!(state(&app, &token).await, ALIVE);
    let cursor = feed(&app, "").await["cursor"].as_str().unwrap().to_owned();
    drop(socket);
    // The service has heard of it: it answers others that came later.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(state(&app, &token).await, ALIVE);
    }
    gate.let_one_pass();
    let query = encode(&[("since", &cursor), ("wait", "60")]);
    let news = tokio::time::timeout(Duration::from_secs(20), feed(&app, &query));
    assert_eq!(news.await.expect("the revocation is lost")["jtis"][0]["jti"], json!(jti(&token)));
    assert_eq!(state(&app, &token).await, DEAD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_live_ones_are_enough() {
    let app = Arc::new(TestApp::start().await);
    let client = app.client(&[]).await;
    let other = app.client(&["mintage:tokens:revoke"]).await;
    let token = |n: usize, client: &TestClient| {
        // A few of them live a little longer than the others.
        let mut token = Forged::of(&app, client, &format!("jti-{n:04}"));
        token.exp += if n < 5 { 60 } else { 0 };
        token.sign(&app)
    };
    let tokens: Vec<String> = (0..1000).map(|n| token(n, &client)).collect();
    let tasks: Vec<_> = tokens
        .chunks(50)
        .map(|chunk| {
            let (app, client, chunk) = (Arc::clone(&app), client.clone(), chunk.to_vec());
            tokio::spawn(async move {
                for token in chunk {
                    revoke(&app, &client, &token).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(revoked(&app).await.len(), 1000);
    let (last, strangers) = (app.token(&client).await, app.token(&other).await);
    let more = |caller| refused(about(&app, PATH, caller, &last), 403, "access_denied", "too_many_revoked");
    for caller in [&client, &other, &client] {
        // Not even an operator puts more on the verifiers.
        let body = more(caller).await;
        assert!(body["error_description"].as_str().unwrap().contains("1000"), "{body}");
        assert_eq!(state(&app, &last).await, ALIVE);
    }
    // The limit is the client's own, and what is revoked stays so.
    revoke(&app, &other, &strangers).await;
    revoke(&app, &client, &tokens[7]).await;
    assert_eq!((state(&app, &strangers).await, state(&app, &tokens[7]).await), (DEAD, DEAD));
    assert_eq!(revoked(&app).await.len(), 1001);
    // 995 of the thousand have expired, and the others have not.
    app.advance(3630);
    let next = app.token(&client).await;
    app.service.purge().await;
    assert_eq!(revoked(&app).await, (0..5).map(|n| format!("jti-{n:04}")).collect::<Vec<_>>());
    revoke(&app, &client, &next).await;
    assert_eq!((state(&app, &next).await, state(&app, &tokens[0]).await), (DEAD, DEAD));
}

#[tokio::test]
async fn a_revocation_is_in_the_audit_chain_and_outlives_a_restart() {
    let app = TestApp::start().await;
    let operator = app.client(&["mintage:tokens:revoke"]).await;
    let client = app.client(&[]).await;
    let (one, two, three) = (app.token(&client).await, app.token(&client).await, app.token(&client).await);
    revoke(&app, &client, &one).await;
    revoke(&app, &operator, &two).await;
    revoke(&app, &client, &one).await;
    revoke(&app, &client, "garbage").await;
    let app = app.restart().await;
    assert_eq!((state(&app, &one).await, state(&app, &two).await, state(&app, &three).await), (DEAD, DEAD, ALIVE));
    let records = audit(app).await;
    let told: Vec<_> = records.iter().filter(|record| record["action"] == "token.revoke").collect();
    assert_eq!(told.len(), 2, "what is dead already is no news");
    for (record, (caller, token)) in told.iter().zip([(&client, &one), (&operator, &two)]) {
        assert!(record["actor"].to_string().contains(&caller.id), "{record}");
        assert_eq!(record["target"], json!(jti(token)));
        assert!(record["request_id"].as_str().unwrap().len() > 10, "{record}");
        assert_eq!(record["after"]["client_id"], json!(client.id));
    }
    let all = serde_json::to_string(&records).unwrap();
    for secret in [&one, &two, &client.secret, &operator.secret, &"garbage".to_owned()] {
        for part in secret.split('.').filter(|part| !part.is_empty()) {
            assert!(!all.contains(part), "{part}");
        }
    }
}
