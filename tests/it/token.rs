//! `POST /oauth/token`, as section 2.3 of the contract has it.

use std::time::{Duration, Instant};

use mintage::api;
use mintage::clock::UnixTime;
use mintage::server::store::AuditStore;
use mintage::server::store::redb::RedbStore;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient, claims, encode, header};

const ORDERS: &str = "https://orders.example";
const STOCK: &str = "urn:example:stock";

async fn with_apis() -> TestApp {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read", "orders:write"]).await;
    app.api(STOCK, &["stock:read"]).await;
    app
}

fn assert_not_stored(response: &reqwest::Response) {
    assert_eq!(header(response, "cache-control"), Some("no-store"));
    assert_eq!(header(response, "pragma"), Some("no-cache"));
}

/// The error of a refused request, with what every error has to have.
async fn refused(request: reqwest::RequestBuilder, status: u16, error: &str, reason: &str) -> Value {
    let response = request.send().await.unwrap();
    assert_not_stored(&response);
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let got = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(got.as_u16(), status, "{body}");
    assert_eq!(body["error"], error, "{body}");
    assert_eq!(body["reason"], reason, "{body}");
    assert!(body["request_id"].as_str().unwrap().len() > 10);
    assert!(!body["error_description"].as_str().unwrap().is_empty());
    body
}

#[tokio::test]
async fn a_token_has_the_profile_of_rfc_9068() {
    let app = with_apis().await;
    let client = app.client(&["orders:read", "orders:write"]).await;
    let response = app.token_request(&client, &[]).send().await.unwrap();
    assert_not_stored(&response);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3600);
    assert!((3270..=3300).contains(&body["refresh_in"].as_u64().unwrap()), "{body}");
    assert_eq!(body["scope"], "orders:read orders:write");
    assert_eq!(body.as_object().unwrap().len(), 5);
    let token = body["access_token"].as_str().unwrap();
    let jws = mintage::jose::CompactJws::parse(token).unwrap();
    assert_eq!(jws.header["typ"], "at+jwt");
    assert_eq!(jws.header["alg"], "ES256");
    assert!(
        app.service.keys().published().body.windows(43).any(|w| w == jws.header["kid"].as_str().unwrap().as_bytes())
    );
    let now = app.now().seconds();
    let claims = claims(token);
    for (name, value) in [
        ("iss", json!(app.issuer)),
        ("sub", json!(client.id)),
        ("client_id", json!(client.id)),
        ("aud", json!(ORDERS)),
        ("exp", json!(now + 3600)),
        ("iat", json!(now)),
        ("nbf", json!(now)),
        ("scope", json!("orders:read orders:write")),
        ("org", json!("default")),
        ("project", json!("default")),
        ("env", json!("live")),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    assert_eq!(claims["gen"].as_str().unwrap().len(), 22);
    assert_eq!(claims.get("ip_allowlist"), None);
}

#[tokio::test]
async fn scopes_and_resources_decide_the_audience() {
    let app = with_apis().await;
    let all = app.client(&["orders:read", "orders:write", "stock:read", "mintage:projects:read"]).await;
    let only_ours = app.client(&["mintage:projects:read", "mintage:keys:read"]).await;
    let none = app.client(&[]).await;
    let issuer = app.issuer.clone();
    let both = json!([ORDERS, STOCK]);
    let everything = "orders:read orders:write stock:read";
    let cases: Vec<(&TestClient, Vec<(&str, &str)>, &str, Value)> = vec![
        (&all, vec![], everything, both.clone()),
        (&all, vec![("scope", "")], everything, both.clone()),
        (&all, vec![("resource", "")], everything, both.clone()),
        (&all, vec![("resource", ORDERS)], "orders:read orders:write", json!(ORDERS)),
        (&all, vec![("audience", ORDERS)], "orders:read orders:write", json!(ORDERS)),
        (&all, vec![("resource", ORDERS), ("audience", ORDERS)], "orders:read orders:write", json!(ORDERS)),
        (&all, vec![("resource", ORDERS), ("resource", STOCK)], everything, both.clone()),
        (&all, vec![("resource", ORDERS), ("audience", STOCK)], everything, both),
        (&all, vec![("resource", &issuer)], "mintage:projects:read", json!(issuer)),
        (&all, vec![("scope", "mintage:projects:read")], "mintage:projects:read", json!(issuer)),
        (&all, vec![("scope", "orders:read")], "orders:read", json!(ORDERS)),
        (&all, vec![("scope", " orders:read  orders:read ")], "orders:read", json!(ORDERS)),
        (&all, vec![("scope", "stock:read orders:read")], "orders:read stock:read", json!([ORDERS, STOCK])),
        (
            &all,
            vec![("scope", "stock:read mintage:projects:read")],
            "mintage:projects:read stock:read",
            json!([issuer, STOCK]),
        ),
        (&only_ours, vec![], "mintage:keys:read mintage:projects:read", json!(issuer)),
        (&none, vec![], "", json!(issuer)),
        (&none, vec![("resource", &issuer)], "", json!(issuer)),
    ];
    for (client, parameters, scope, audience) in cases {
        let body = app.token_answer(client, &parameters).await;
        let claims = claims(body["access_token"].as_str().unwrap());
        assert_eq!(body.get("scope").and_then(Value::as_str).unwrap_or(""), scope, "{parameters:?}");
        assert_eq!(claims.get("scope").and_then(Value::as_str).unwrap_or(""), scope, "{parameters:?}");
        assert_eq!(claims["aud"], audience, "{parameters:?}");
    }
}

#[tokio::test]
async fn what_is_not_granted_is_named_and_nothing_is_dropped() {
    let app = with_apis().await;
    let client = app.client(&["orders:read"]).await;
    let cases: [(&[(&str, &str)], &str, &str); 11] = [
        (&[("scope", "orders:read orders:write")], "invalid_scope", "orders:write"),
        (&[("scope", "nobody:knows")], "invalid_scope", "nobody:knows"),
        (&[("scope", "mintage:clients:write")], "invalid_scope", "mintage:clients:write"),
        (&[("scope", " ")], "invalid_scope", "scope"),
        (&[("scope", "orders:read\torders:write")], "invalid_scope", "RFC 6749"),
        (&[("scope", "orders:read\n")], "invalid_scope", "RFC 6749"),
        (&[("resource", "https://nobody.example")], "invalid_target", "https://nobody.example"),
        (&[("audience", "https://orders.example/")], "invalid_target", "https://orders.example/"),
        (&[("resource", ORDERS), ("resource", "https://nobody.example")], "invalid_target", "https://nobody.example"),
        (&[("resource", STOCK)], "invalid_target", STOCK),
        (&[("scope", "orders:read"), ("resource", STOCK)], "invalid_scope", "orders:read"),
    ];
    for (parameters, error, named) in cases {
        let body = refused(app.token_request(&client, parameters), 400, error, error).await;
        assert!(body["error_description"].as_str().unwrap().contains(named), "{parameters:?}: {body}");
    }
    let both = app.client(&["orders:read", "stock:read"]).await;
    let body = refused(
        app.token_request(&both, &[("scope", "orders:read"), ("resource", ORDERS), ("resource", STOCK)]),
        400,
        "invalid_target",
        "invalid_target",
    )
    .await;
    assert!(body["error_description"].as_str().unwrap().contains(STOCK));
}

#[tokio::test]
async fn a_malformed_request_is_told_apart_from_a_refused_one() {
    let app = with_apis().await;
    let client = app.client(&["orders:read"]).await;
    let post = |body: &str| {
        app.http
            .post(app.url("/oauth/token"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.to_owned())
    };
    let basic = |request: reqwest::RequestBuilder| request.basic_auth(&client.id, Some(&client.secret));
    let grant = "grant_type=client_credentials";
    let in_body = encode(&[("client_id", &client.id), ("client_secret", &client.secret)]);
    let other_id = encode(&[("client_id", "somebody-else")]);
    let same_id = encode(&[("client_id", &client.id)]);
    let malformed = [
        ("no grant type", basic(post(""))),
        ("empty grant type", basic(post("grant_type="))),
        ("repeated grant type", basic(post(&format!("{grant}&{grant}")))),
        ("repeated scope", basic(post(&format!("{grant}&scope=orders:read&scope=orders:read")))),
        ("repeated client_id", post(&format!("{grant}&{in_body}&{same_id}"))),
        ("both ways", basic(post(&format!("{grant}&{in_body}")))),
        ("another id in the body", basic(post(&format!("{grant}&{other_id}")))),
        ("not UTF-8", basic(post(&format!("{grant}&scope=%ff")))),
        ("two Authorization headers", basic(basic(post(grant)))),
        ("no base64", post(grant).header(AUTHORIZATION, "Basic §§§")),
        ("no colon", post(grant).header(AUTHORIZATION, "Basic bm9jb2xvbg==")),
        (
            "credentials in the query",
            basic(
                app.http
                    .post(app.url(&format!("/oauth/token?{in_body}")))
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(grant),
            ),
        ),
        ("JSON", basic(app.http.post(app.url("/oauth/token")).json(&json!({"grant_type": "client_credentials"})))),
        ("no content type", basic(app.http.post(app.url("/oauth/token")).body(grant))),
    ];
    for (what, request) in malformed {
        let body = refused(request, 400, "invalid_request", "malformed_request").await;
        assert!(!body.to_string().contains(&client.secret), "{what}");
    }
    refused(
        basic(post("grant_type=password&username=a&password=b")),
        400,
        "unsupported_grant_type",
        "unsupported_grant_type",
    )
    .await;
    let large = format!("{grant}&padding={}", "x".repeat(16 * 1024));
    refused(basic(post(&large)), 413, "invalid_request", "body_too_large").await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = app.http.request(method.parse().unwrap(), app.url("/oauth/token"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(header(&response, "allow"), Some("POST"), "{method}");
        assert_not_stored(&response);
    }
    for good in [
        basic(post(grant)),
        basic(post(&format!("{grant}&{same_id}"))),
        basic(post(&format!("{grant}&unknown=1&unknown=2"))),
        basic(post(&format!("{grant}&scope=&scope=orders%3Aread&scope="))),
        post(&format!("{grant}&{in_body}")),
        basic(post(grant)).header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8"),
    ] {
        let good = good.build().unwrap();
        assert_eq!(app.http.execute(good).await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn all_failed_authentications_are_one_answer_and_none_is_early() {
    let app = TestApp::start().await;
    let good = app.client(&[]).await;
    let disabled = app.client(&[]).await;
    app.service
        .set_client_status(&disabled.id, api::ClientStatus::Disabled, "client.disable", &app.caller())
        .await
        .unwrap();
    let expired = app.client_with(api::NewClient { secret_ttl: Some(10), ..Default::default() }).await;
    app.token(&expired).await;
    app.advance(10);
    let delay = Duration::from_millis(50);
    let mut answers = Vec::new();
    let pasted_secret = TestClient { id: good.secret.clone(), secret: "x".to_owned() };
    let unknown = TestClient { id: "nobody".to_owned(), secret: good.secret.clone() };
    let wrong = TestClient { id: good.id.clone(), secret: disabled.secret.clone() };
    let empty = TestClient { id: good.id.clone(), secret: String::new() };
    let not_an_id = TestClient { id: "a b/ü".to_owned(), secret: good.secret.clone() };
    for client in [&unknown, &wrong, &disabled, &expired, &pasted_secret, &empty, &not_an_id] {
        let requests = [app.token_request(client, &[]), app.token_request(client, &[]).header("x-anything", "1")];
        for request in requests {
            let begun = Instant::now();
            let response = request.send().await.unwrap();
            assert!(begun.elapsed() >= delay, "{:?} after {:?}", client.id, begun.elapsed());
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_not_stored(&response);
            assert_eq!(header(&response, "www-authenticate"), Some("Basic realm=\"mintage\""));
            let mut headers = response.headers().clone();
            headers.remove("date");
            let text = response.text().await.unwrap();
            let body: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(body["error"], "invalid_client");
            let id = body["request_id"].as_str().unwrap();
            answers.push((headers, text.replace(id, "ID")));
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    // No credentials, or of another scheme, are the same answer too.
    for request in [app.http.post(app.url("/oauth/token")), app.http.post(app.url("/oauth/token")).bearer_auth("x")] {
        let request =
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body("grant_type=client_credentials");
        refused(request, 401, "invalid_client", "invalid_client").await;
    }
}

#[tokio::test]
async fn what_really_happened_is_recorded_under_the_request_id() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let pasted = TestClient { id: client.secret.clone(), secret: "x".to_owned() };
    let wrong = TestClient { secret: "x".to_owned(), ..client.clone() };
    let mut told = Vec::new();
    for presented in [&pasted, &wrong] {
        let answer: Value = app.token_request(presented, &[]).send().await.unwrap().json().await.unwrap();
        told.push(answer["request_id"].as_str().unwrap().to_owned());
    }
    let path = app.config.store_path();
    let service = std::sync::Arc::downgrade(&app.service);
    let _dir = app.stop().await;
    while service.strong_count() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (store, _) = RedbStore::open(&path, [0; 32], UnixTime::from_seconds(0)).unwrap();
    let records = store.refusals(10).await.unwrap();
    let outline: Vec<_> = records
        .iter()
        .map(|r| (r.request_id.clone().unwrap(), r.cause.as_deref().unwrap(), r.client_id.clone()))
        .collect();
    assert_eq!(
        outline,
        [(told[1].clone(), "wrong_secret", Some(client.id)), (told[0].clone(), "unknown_client", None)]
    );
    assert!(!serde_json::to_string(&records).unwrap().contains(&client.secret), "what was pasted is kept nowhere");
}

#[tokio::test]
async fn a_good_client_from_elsewhere_is_told_so() {
    let app = TestApp::start().await;
    let client =
        app.client_with(api::NewClient { ip_allowlist: vec!["10.0.0.0/8".to_owned()], ..Default::default() }).await;
    let body = refused(app.token_request(&client, &[]), 403, "access_denied", "ip_not_allowed").await;
    let description = body["error_description"].as_str().unwrap();
    assert!(description.contains("127.0.0.1") && description.contains("credential itself is good"), "{description}");
    let home =
        app.client_with(api::NewClient { ip_allowlist: vec!["127.0.0.0/8".to_owned()], ..Default::default() }).await;
    let body = app.token_answer(&home, &[]).await;
    assert_eq!(claims(body["access_token"].as_str().unwrap())["ip_allowlist"], json!(["127.0.0.0/8"]));
    // A wrong secret from elsewhere learns nothing of the allowlist.
    let wrong = TestClient { secret: home.secret.clone(), ..client };
    refused(app.token_request(&wrong, &[]), 401, "invalid_client", "invalid_client").await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_header_decides_and_garbage_is_refused() {
    let app = TestApp::builder()
        .config(|config| {
            config.network.trusted_proxies = mintage::source_ip::Allowlist::parse(["127.0.0.1"]).unwrap();
        })
        .start()
        .await;
    let client =
        app.client_with(api::NewClient { ip_allowlist: vec!["10.0.0.0/8".to_owned()], ..Default::default() }).await;
    let from = |value: &str| app.token_request(&client, &[]).header("x-forwarded-for", value);
    assert_eq!(from("10.1.2.3").send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(from("garbage, 10.1.2.3").send().await.unwrap().status(), StatusCode::OK);
    let body = refused(from("10.1.2.3, 192.0.2.1"), 403, "access_denied", "ip_not_allowed").await;
    assert!(body["error_description"].as_str().unwrap().contains("192.0.2.1"));
    refused(from("10.1.2.3, garbage"), 400, "invalid_request", "malformed_request").await;
    refused(app.token_request(&client, &[]), 403, "access_denied", "ip_not_allowed").await;
}

#[tokio::test]
async fn a_shorter_life_can_be_set_for_a_client_and_for_an_api() {
    let app = TestApp::start().await;
    let short = app.client_with(api::NewClient { token_ttl: Some(60), ..Default::default() }).await;
    let body = app.token_answer(&short, &[]).await;
    assert_eq!(body["expires_in"], 60);
    assert!((44..=45).contains(&body["refresh_in"].as_u64().unwrap()), "{body}");
    let new = api::NewApi {
        identifier: ORDERS.to_owned(),
        scopes: vec![api::ScopeDefinition { name: "orders:read".to_owned(), description: String::new() }],
        token_ttl: Some(1200),
        ..api::NewApi::default()
    };
    app.service.create_api(new, &app.caller()).await.unwrap();
    let client = app.client(&["orders:read"]).await;
    let body = app.token_answer(&client, &[]).await;
    assert_eq!(body["expires_in"], 1200);
    assert!((870..=900).contains(&body["refresh_in"].as_u64().unwrap()), "{body}");
}

#[tokio::test]
async fn an_issued_token_notes_its_secret_as_used() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    assert_eq!(app.service.client(&client.id, &app.caller()).await.unwrap().value.secrets[0].last_used_at, None);
    app.token(&client).await;
    for flushed in [false, true] {
        if flushed {
            app.service.tick().await;
        }
        let secret = app.service.client(&client.id, &app.caller()).await.unwrap().value.secrets.remove(0);
        assert_eq!(secret.last_used_at.unwrap().0, app.now());
        assert_eq!(secret.last_used_from.as_deref(), Some("127.0.0.1"));
    }
}
