//! RFC 8693: an API key for a token.

use mintage::oauth::metadata::{ACCESS_TOKEN_TYPE, API_KEY_TYPE, TOKEN_EXCHANGE};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::app::{TestApp, claims, encode, header};
use crate::client_changes::ask;
use crate::forged::{form, whole};

use super::{GOOD, ORDERS, key, key_with, reading, site};

pub fn exchange(app: &TestApp, key: &str, more: &[(&str, &str)]) -> RequestBuilder {
    let own = [("grant_type", TOKEN_EXCHANGE), ("subject_token", key), ("subject_token_type", API_KEY_TYPE)];
    form(app, "/oauth/token", &[&own[..], more].concat())
}

pub async fn exchanged(app: &TestApp, key: &str, more: &[(&str, &str)]) -> Value {
    let response = exchange(app, key, more).send().await.unwrap();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test]
async fn a_key_is_exchanged_for_a_token_of_its_own() {
    let app = site().await;
    let key = key_with(&app, json!({ "scopes": ["orders:read", "orders:write", "mintage:projects:read"] })).await;
    let body = exchanged(&app, &key.key, &[]).await;
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["issued_token_type"], ACCESS_TOKEN_TYPE);
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["scope"], "orders:read orders:write", "what administers has to be asked for");
    assert!(body["refresh_in"].as_u64().unwrap() < 3600);
    let token = body["access_token"].as_str().unwrap();
    let said = claims(token);
    assert_eq!((&said["sub"], &said["client_id"]), (&json!(key.id), &json!(key.id)));
    assert_eq!(said["aud"], ORDERS);
    assert!(said["gen"].is_string() && said["jti"] != said["gen"]);
    assert_eq!(reading(&app, token).await, GOOD);

    let narrow = exchanged(&app, &key.key, &[("scope", "orders:read"), ("resource", ORDERS)]).await;
    assert_eq!(narrow["scope"], "orders:read");
    let own = exchanged(&app, &key.key, &[("audience", &app.issuer)]).await;
    assert_eq!(own["scope"], "mintage:projects:read");
    let also = [("grant_type", TOKEN_EXCHANGE), ("subject_token", &key.key), ("subject_token_type", ACCESS_TOKEN_TYPE)];
    assert_eq!(form(&app, "/oauth/token", &also).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_cannot_be_granted_or_read_is_said() {
    let app = site().await;
    let key = key(&app).await;
    let client = app.client(&["orders:read"]).await;
    let refusals: [(RequestBuilder, u16, &str); 9] = [
        (exchange(&app, &key.key, &[("scope", "orders:write")]), 400, "invalid_scope"),
        (exchange(&app, &key.key, &[("resource", "urn:none")]), 400, "invalid_target"),
        (exchange(&app, &key.key, &[("requested_token_type", "urn:x")]), 400, "malformed_request"),
        (exchange(&app, &key.key, &[("actor_token", "x")]), 400, "malformed_request"),
        (exchange(&app, &key.key, &[("actor_token_type", "x")]), 400, "malformed_request"),
        (exchange(&app, &key.key, &[]).basic_auth(&client.id, Some(&client.secret)), 400, "malformed_request"),
        (exchange(&app, "", &[]), 400, "malformed_request"),
        (
            form(&app, "/oauth/token", &[("grant_type", TOKEN_EXCHANGE), ("subject_token", &key.key)]),
            400,
            "malformed_request",
        ),
        (
            form(&app, "/oauth/token", &[("grant_type", "password")]).basic_auth(&client.id, Some(&client.secret)),
            400,
            "unsupported_grant_type",
        ),
    ];
    for (request, status, reason) in refusals {
        let response = request.send().await.unwrap();
        assert_eq!(header(&response, "cache-control"), Some("no-store"));
        let got = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        assert_eq!((got, &body["reason"]), (status, &json!(reason)), "{body}");
        if reason == "unsupported_grant_type" {
            let said = body["error_description"].as_str().unwrap();
            assert!(said.contains("client_credentials") && said.contains(TOKEN_EXCHANGE), "{said}");
        }
    }
    let metadata: Value = app.get("/.well-known/oauth-authorization-server", None).await.json().await.unwrap();
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials", TOKEN_EXCHANGE]));
}

#[tokio::test]
async fn every_bad_key_is_one_and_the_same_answer() {
    let app = site().await;
    let (ended, disabled) =
        (key_with(&app, json!({ "ttl": 1 })).await, key_with(&app, json!({ "scopes": ["orders:read"] })).await);
    ask(&app, "POST", &format!("api-keys/{}/revoke", disabled.id), &Value::Null).await;
    app.advance(2);
    let unknown = key(&site().await).await;
    let client = app.client(&["orders:read"]).await;
    let jwt = app.token(&client).await;
    let mut answers = Vec::new();
    for bad in [&unknown.key, &ended.key, &disabled.key, &client.secret, &jwt, "mtg_sk_live_short"] {
        let (status, headers, body) = whole(exchange(&app, bad, &[]).send().await.unwrap()).await;
        let mut body: Value = serde_json::from_str(&body).unwrap();
        let request_id = body["request_id"].take();
        assert_eq!(
            (status, &body["error"], &body["reason"]),
            (400, &json!("invalid_request"), &json!("invalid_subject_token"))
        );
        answers.push((status, headers, body.to_string()));
        let path = format!("refusals/{}", request_id.as_str().unwrap());
        let (_, refusal) = ask(&app, "GET", &path, &Value::Null).await;
        let cause = match bad {
            text if text == ended.key => "expired_secret",
            text if text == disabled.key => "disabled_client",
            _ => "unknown_api_key",
        };
        assert_eq!(refusal["cause"], cause, "{refusal}");
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
}

#[tokio::test]
async fn an_address_off_its_allowlist_is_named() {
    let app = site().await;
    let key = key_with(&app, json!({ "scopes": ["orders:read"], "ip_allowlist": ["192.0.2.0/24"] })).await;
    let response = exchange(&app, &key.key, &[]).send().await.unwrap();
    assert_eq!(response.status(), 403);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["error"], &body["reason"]), (&json!("access_denied"), &json!("ip_not_allowed")));
    assert!(body["error_description"].as_str().unwrap().contains("127.0.0.1"), "{body}");
}

#[tokio::test]
async fn it_counts_as_the_keys_token_request_and_its_failures_as_the_addresss() {
    let app = super::site_with(|config| {
        config.limits.token.per_minute = 2;
        config.limits.token.burst = Some(2);
        config.limits.failed_auth.per_minute = 3;
    })
    .await;
    let key = key(&app).await;
    for n in 0..3 {
        let response = exchange(&app, &key.key, &[]).send().await.unwrap();
        let status = if n < 2 { 200 } else { 429 };
        assert_eq!(response.status(), status, "{n}");
        assert!(header(&response, "x-ratelimit-limit").is_some(), "{response:?}");
    }
    let unknown = super::key(&site().await).await;
    for n in 0..4 {
        let response = exchange(&app, &unknown.key, &[]).send().await.unwrap();
        assert_eq!(response.status(), if n < 3 { 400 } else { 429 }, "{n}");
    }
}

/// What a key was exchanged for ends with it.
#[tokio::test]
async fn a_token_does_not_outlive_its_key() {
    let app = site().await;
    let made = key_with(&app, json!({"scopes": ["orders:read"], "ttl": 90})).await;
    app.advance(60);
    let pairs = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", made.key.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    let request = app.http.post(app.url("/oauth/token")).body(encode(&pairs));
    let answer = request.header("Content-Type", "application/x-www-form-urlencoded").send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["expires_in"], 30, "{body}");
}
