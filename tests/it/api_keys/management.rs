//! REST: made and shown once, listed, changed, and kept apart from clients.

use serde_json::{Value, json};

use crate::app::{TestClient, header};
use crate::client_changes::{ask, fields};
use crate::operators::{call, operator, world};

use super::{Key, key, key_with, reading, shown, site, site_with};

#[tokio::test]
async fn a_key_is_shown_once_and_then_masked() {
    let app = site().await;
    let members = json!({
        "name": "openai", "scopes": ["orders:read"], "environment": "test", "ip_allowlist": ["10.0.0.1/8"],
        "description": "d", "owner": "o", "labels": { "a": "b" }, "ttl": 3600,
    });
    let (status, answer) = ask(&app, "POST", "api-keys", &members).await;
    assert_eq!(status, 201, "{answer}");
    let made = Key::of(&answer);
    assert!(made.id.len() == 24 && made.id.starts_with("k_"), "{answer}");
    assert!(made.key.len() == "mtg_sk_test_".len() + 49 && made.key.starts_with("mtg_sk_test_"), "{answer}");
    let mut once = answer.clone();
    once.as_object_mut().unwrap().remove("api_key");
    let later = shown(&app, &made.id).await;
    assert_eq!(later, once);
    assert_eq!(later["prefix"], format!("{}…", &made.key[..16]));
    let members: Vec<_> = later.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "id",
        "name",
        "prefix",
        "scopes",
        "environment",
        "status",
        "ip_allowlist",
        "limits",
        "quotas",
        "organization",
        "project",
        "description",
        "owner",
        "labels",
        "created_at",
        "updated_at",
        "expires_at",
        "last_used_at",
        "last_used_from",
        "retiring",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(later["ip_allowlist"], json!(["10.0.0.0/8"]));
    let (_, list) = ask(&app, "GET", "api-keys", &Value::Null).await;
    assert_eq!(list, json!({ "items": [later], "next_cursor": null }));
    assert!(!list.to_string().contains(&made.key));
}

#[tokio::test]
async fn the_prefix_is_the_configurations_and_older_keys_go_on() {
    let app = site().await;
    let older = key(&app).await;
    let mut app = app;
    app.config.api_keys.prefix = "acme".to_owned().try_into().unwrap();
    let app = app.restart().await;
    let newer = key(&app).await;
    assert!(newer.key.starts_with("acme_live_"), "{newer:?}");
    for key in [older, newer] {
        assert_eq!(reading(&app, &key.key).await.0, 200, "{key:?}");
    }
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let app = site().await;
    let live = key(&app).await;
    let test = key_with(&app, json!({ "environment": "test" })).await;
    ask(&app, "POST", &format!("api-keys/{}/revoke", test.id), &Value::Null).await;
    for (query, expected) in [
        ("environment=test", vec![&test]),
        ("environment=live", vec![&live]),
        ("status=disabled", vec![&test]),
        ("status=active", vec![&live]),
        ("scope=orders:read", vec![&live]),
        ("name=a*&project=default", vec![&live, &test]),
        ("name=b", vec![]),
        ("organization=default", vec![&live, &test]),
        ("organization=none", vec![]),
    ] {
        let (status, list) = ask(&app, "GET", &format!("api-keys?{query}"), &Value::Null).await;
        assert_eq!(status, 200, "{list}");
        let mut found: Vec<_> =
            list["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
        let mut ids: Vec<_> = expected.iter().map(|key| key.id.as_str()).collect();
        found.sort_unstable();
        ids.sort_unstable();
        assert_eq!(found, ids, "{query}");
    }
    assert_eq!(fields(&app, "GET", "api-keys?role=x", Value::Null).await, ["role"]);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = ask(&app, "GET", &format!("api-keys?limit=1{cursor}"), &Value::Null).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.sort_unstable();
    let mut ids = [live.id, test.id];
    ids.sort_unstable();
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn a_key_is_no_client_and_a_client_no_key() {
    let app = site().await;
    let client = app.client(&["orders:read"]).await;
    let key = key(&app).await;
    for (method, path) in [
        ("GET", format!("clients/{}", key.id)),
        ("PATCH", format!("clients/{}", key.id)),
        ("DELETE", format!("clients/{}", key.id)),
        ("POST", format!("clients/{}/revoke", key.id)),
        ("GET", format!("clients/{}/secrets", key.id)),
        ("GET", format!("clients/{}/usage", key.id)),
        ("GET", format!("api-keys/{}", client.id)),
        ("PATCH", format!("api-keys/{}", client.id)),
        ("DELETE", format!("api-keys/{}", client.id)),
        ("POST", format!("api-keys/{}/revoke", client.id)),
    ] {
        let body = if method == "PATCH" { json!({ "name": "n" }) } else { Value::Null };
        let (status, problem) = ask(&app, method, &path, &body).await;
        assert_eq!((status, &problem["reason"]), (404, &json!("not_found")), "{method} {path}: {problem}");
    }
    let (_, clients) = ask(&app, "GET", "clients", &Value::Null).await;
    assert!(clients.to_string().contains(&client.id) && !clients.to_string().contains(&key.id), "{clients}");
    let (_, keys) = ask(&app, "GET", "api-keys", &Value::Null).await;
    assert!(keys.to_string().contains(&key.id) && !keys.to_string().contains(&client.id), "{keys}");
    let (_, api) = ask(&app, "PATCH", "apis/https%3A%2F%2Forders.example", &json!({ "scopes": [] })).await;
    assert_eq!(api["reason"], "conflict", "a scope that somebody holds stays: {api}");
}

/// What is answered to a client's request, without the name of the request.
async fn answered(app: &crate::app::TestApp, path: &str, id: &str, secret: &str, in_body: bool) -> (u16, String) {
    let mut form = vec![("grant_type", "client_credentials"), ("token", "x")];
    if in_body {
        form.extend([("client_id", id), ("client_secret", secret)]);
    }
    let mut request = crate::forged::form(app, path, &form);
    if !in_body {
        request = request.basic_auth(id, Some(secret));
    }
    let response = request.send().await.unwrap();
    assert_eq!(header(&response, "www-authenticate"), Some("Basic realm=\"mintage\""));
    let status = response.status().as_u16();
    let mut body: Value = response.json().await.unwrap();
    body["request_id"].take();
    (status, body.to_string())
}

#[tokio::test]
async fn a_key_authenticates_nowhere_as_a_client_would() {
    let app = site().await;
    let key = key_with(&app, json!({ "scopes": ["mintage:tokens:introspect", "mintage:tokens:revoke"] })).await;
    for path in ["/oauth/token", "/oauth/introspect", "/oauth/revoke"] {
        for in_body in [false, true] {
            let as_key = answered(&app, path, &key.id, &key.key, in_body).await;
            let unknown = answered(&app, path, "c_nobody", &key.key, in_body).await;
            assert_eq!(as_key, unknown, "{path}");
            assert_eq!(as_key.0, 401);
        }
    }
    let client = TestClient { id: key.id, secret: key.key };
    assert_eq!(app.token_request(&client, &[]).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_change_has_a_tag_and_is_made_once() {
    let app = site().await;
    let writer = operator(&app, "default", "default", &["mintage:api-keys:read", "mintage:api-keys:write"], &[]).await;
    let (status, _) = call(&app, &writer, "POST", "api-keys", json!({ "name": "n", "scopes": ["orders:read"] })).await;
    assert_eq!(status, 201);
    let post = async || {
        let request = app.http.post(app.url("/api/v1/api-keys")).bearer_auth(&writer);
        let request = request.header("content-type", "application/json").header("idempotency-key", "k");
        let response = request.body(json!({ "name": "once" }).to_string()).send().await.unwrap();
        assert_eq!(response.status(), 201);
        let tag = header(&response, "etag").unwrap().to_owned();
        assert!(header(&response, "location").unwrap().starts_with("/api/v1/api-keys/k_"));
        (tag, response.json::<Value>().await.unwrap())
    };
    let ((tag, first), (again, second)) = (post().await, post().await);
    assert_eq!((tag.as_str(), &first["id"]), (again.as_str(), &second["id"]));
    assert!(first["api_key"].is_string() && first.get("secret_omitted").is_none(), "{first}");
    assert!(second.get("api_key").is_none() && second["secret_omitted"] == true, "{second}");
    let id = first["id"].as_str().unwrap();
    let patch = async |tag: &str| {
        let request = app.http.patch(app.url(&format!("/api/v1/api-keys/{id}"))).bearer_auth(&writer);
        let request = request.header("content-type", "application/json").header("if-match", tag);
        request.body(json!({ "description": "d" }).to_string()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(patch(&tag).await, 200);
    assert_eq!(patch(&tag).await, 412);
}

#[tokio::test]
async fn nobody_makes_a_key_that_holds_more_than_they_do() {
    let app = world().await;
    let writer = operator(&app, "acme", "red", &["mintage:api-keys:read", "mintage:api-keys:write"], &[]).await;
    let (status, mine) =
        call(&app, &writer, "POST", "api-keys", json!({ "name": "n", "scopes": ["mintage:api-keys:read"] })).await;
    assert_eq!((status, &mine["project"]), (201, &json!("red")), "{mine}");
    for scope in ["mintage:clients:write", "mintage:keys:read"] {
        let (status, problem) =
            call(&app, &writer, "POST", "api-keys", json!({ "name": "n", "scopes": [scope] })).await;
        assert_eq!((status, &problem["reason"]), (403, &json!("beyond_caller")), "{problem}");
    }
    // A key is a caller like any other: it makes keys that hold no more than it does.
    let (_, made) = call(
        &app,
        &writer,
        "POST",
        "api-keys",
        json!({ "name": "n", "scopes": ["mintage:api-keys:read", "mintage:api-keys:write"] }),
    )
    .await;
    let key = Key::of(&made);
    let (status, child) =
        call(&app, &key.key, "POST", "api-keys", json!({ "name": "child", "scopes": ["mintage:api-keys:read"] })).await;
    assert_eq!(status, 201, "{child}");
    let child = Key::of(&child);
    let (status, problem) = call(&app, &child.key, "POST", "api-keys", json!({ "name": "n" })).await;
    assert_eq!((status, &problem["reason"]), (403, &json!("insufficient_scope")), "{problem}");
    let (status, list) = call(&app, &child.key, "GET", "api-keys", Value::Null).await;
    assert_eq!((status, list["items"].as_array().unwrap().len()), (200, 3), "{list}");
    let changes = ask(&app, "GET", "audit?action=api_key.create&limit=100", &Value::Null).await.1;
    let actors: Vec<_> = changes["items"].as_array().unwrap().iter().map(|change| change.to_string()).collect();
    assert!(actors.iter().any(|change| change.contains(&key.id)), "{actors:?}");
}

#[tokio::test]
async fn the_configuration_takes_no_other_prefix() {
    for bad in ["", "a", "Mtg", "a-b", "a.b", "mtg_cs", "mtg_dk", "mtg_cs_live", "mtg_dk_x"] {
        assert!(mintage::secret::KeyPrefix::try_from(bad.to_owned()).is_err(), "{bad}");
    }
    let app = site_with(|config| config.api_keys.prefix = "x_".to_owned().try_into().unwrap()).await;
    let key = key(&app).await;
    assert!(key.key.starts_with("x__live_"), "{key:?}");
    assert_eq!(reading(&app, &key.key).await.0, 200);
}
