//! What a project can demand of the credentials in it.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client_changes::ask;

use super::{Key, site};

async fn set(app: &TestApp, path: &str, policy: Value) {
    let (status, answer) = ask(app, "PATCH", path, &json!({ "secret_policy": policy })).await;
    assert_eq!(status, 200, "{answer}");
}

async fn violates(app: &TestApp, method: &str, path: &str, body: Value, policy: &str) {
    let (status, problem) = ask(app, method, path, &body).await;
    let got = (status, &problem["reason"], &problem["policy"]);
    assert_eq!(got, (403, &json!("policy_violated"), &json!(policy)), "{method} {path} {body}: {problem}");
    assert!(problem["detail"].as_str().unwrap().contains(policy), "{problem}");
}

async fn created(app: &TestApp, path: &str, body: Value) -> Value {
    let (status, answer) = ask(app, "POST", path, &body).await;
    assert_eq!(status, 201, "{path} {body}: {answer}");
    answer
}

#[tokio::test]
async fn every_secret_has_to_end() {
    let app = site().await;
    let before = created(&app, "clients", json!({ "name": "before" })).await["client_id"].as_str().unwrap().to_owned();
    let key = Key::of(&created(&app, "api-keys", json!({ "name": "before" })).await);
    set(&app, "organizations/default", json!({ "require_expiry": true })).await;
    for path in ["clients", "api-keys"] {
        violates(&app, "POST", path, json!({ "name": "n" }), "require_expiry").await;
    }
    violates(&app, "POST", &format!("clients/{before}/secrets"), json!({ "overlap": 60 }), "require_expiry").await;
    violates(&app, "POST", &format!("api-keys/{}/rotate", key.id), json!({ "overlap": 60 }), "require_expiry").await;
    created(&app, "clients", json!({ "name": "n", "secret_ttl": 60 })).await;
    created(&app, "api-keys", json!({ "name": "n", "ttl": 60 })).await;
    // What is there stays, and can be changed otherwise.
    assert_eq!(ask(&app, "PATCH", &format!("clients/{before}"), &json!({ "name": "after" })).await.0, 200);
    assert_eq!(ask(&app, "POST", &format!("clients/{before}/secrets"), &json!({ "secret_ttl": 60 })).await.0, 201);
    assert_eq!(ask(&app, "POST", &format!("api-keys/{}/rotate", key.id), &json!({ "ttl": 60 })).await.0, 200);
    // A longest life is an end.
    set(&app, "projects/default", json!({ "max_ttl": 3600 })).await;
    created(&app, "clients", json!({ "name": "n" })).await;
}

#[tokio::test]
async fn everybody_has_to_say_where_they_come_from() {
    let app = site().await;
    let before = created(&app, "clients", json!({ "name": "before" })).await["client_id"].as_str().unwrap().to_owned();
    set(&app, "projects/default", json!({ "require_allowlist": true })).await;
    for path in ["clients", "api-keys"] {
        violates(&app, "POST", path, json!({ "name": "n" }), "require_allowlist").await;
        // All there are are none in particular, however they are cut.
        for open in [&["0.0.0.0/0"][..], &["::/0"], &["10.0.0.1", "0.0.0.0/1", "128.0.0.0/1"]] {
            violates(&app, "POST", path, json!({ "name": "n", "ip_allowlist": open }), "require_allowlist").await;
        }
    }
    let listed = json!({ "name": "n", "ip_allowlist": ["10.0.0.0/8"] });
    let client = created(&app, "clients", listed.clone()).await["client_id"].as_str().unwrap().to_owned();
    let key = Key::of(&created(&app, "api-keys", listed).await);
    for path in [format!("clients/{client}"), format!("api-keys/{}", key.id)] {
        violates(&app, "PATCH", &path, json!({ "ip_allowlist": [] }), "require_allowlist").await;
        assert_eq!(ask(&app, "PATCH", &path, &json!({ "ip_allowlist": ["10.0.0.1"] })).await.0, 200);
    }
    assert_eq!(ask(&app, "PATCH", &format!("clients/{before}"), &json!({ "name": "after" })).await.0, 200);
    // Each line of many is told.
    let many = json!({ "clients": [
        { "name": "open", "client_id": "open" },
        { "name": "listed", "client_id": "listed", "ip_allowlist": ["10.0.0.1"] },
    ] });
    let (status, results) = ask(&app, "POST", "bulk/clients", &many).await;
    assert_eq!(status, 200, "{results}");
    assert_eq!((&results["items"][0]["status"], &results["items"][1]["status"]), (&json!("failed"), &json!("created")));
    let error = &results["items"][0]["errors"][0];
    assert_eq!(error["field"], "ip_allowlist");
    assert!(error["detail"].as_str().unwrap().contains("require_allowlist"), "{results}");
}

#[tokio::test]
async fn twenty_at_once_make_no_more_keys_than_there_may_be() {
    let app = std::sync::Arc::new(site().await);
    set(&app, "projects/default", json!({ "max_keys": 7 })).await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let app = std::sync::Arc::clone(&app);
            tokio::spawn(async move { ask(&app, "POST", "api-keys", &json!({ "name": format!("k{n}") })).await })
        })
        .collect();
    let (mut made, mut refused) = (Vec::new(), 0);
    for task in tasks {
        match task.await.unwrap() {
            (201, answer) => made.push(Key::of(&answer)),
            (403, problem) if problem["policy"] == "max_keys" => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made.len(), refused), (7, 13));
    let (_, list) = ask(&app, "GET", "api-keys", &Value::Null).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 7);
    // A client is no key; a key that is gone makes room, and one that is disabled is still there.
    created(&app, "clients", json!({ "name": "n" })).await;
    ask(&app, "POST", &format!("api-keys/{}/revoke", made[0].id), &Value::Null).await;
    violates(&app, "POST", "api-keys", json!({ "name": "n" }), "max_keys").await;
    assert_eq!(ask(&app, "DELETE", &format!("api-keys/{}", made[0].id), &Value::Null).await.0, 204);
    created(&app, "api-keys", json!({ "name": "n" })).await;
    violates(&app, "POST", "api-keys", json!({ "name": "n" }), "max_keys").await;
    // Another project has its own, and so has this one without the policy.
    created(&app, "projects", json!({ "id": "other" })).await;
    created(&app, "api-keys", json!({ "name": "n", "project": "other" })).await;
    set(&app, "projects/default", json!({ "max_keys": null })).await;
    created(&app, "api-keys", json!({ "name": "n" })).await;
    let (status, problem) =
        ask(&app, "PATCH", "projects/default", &json!({ "secret_policy": { "max_keys": 0 } })).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("secret_policy.max_keys")));
}
