//! The end of an API key: at once, with what it was exchanged for, and for those who hold an answer about it.

use serde_json::{Value, json};

use crate::app::{TestApp, claims};
use crate::client_changes::ask;
use crate::forged::about;

use super::exchange::exchanged;
use super::{GOOD, Key, ORDERS, key, reading, refused, site};

/// All that is revoked.
async fn feed(app: &TestApp) -> Value {
    app.get("/oauth/revocations", None).await.json().await.unwrap()
}

async fn introspected(app: &TestApp, token: &str) -> Value {
    let holder = app.client(&["mintage:tokens:introspect"]).await;
    about(app, "/oauth/introspect", &holder, token).send().await.unwrap().json().await.unwrap()
}

/// A key in use, what is known of it, and a token that it was exchanged for.
async fn in_use(app: &TestApp) -> (Key, String, String) {
    let key = key(app).await;
    let token = exchanged(app, &key.key, &[]).await["access_token"].as_str().unwrap().to_owned();
    for bearer in [&key.key, &token] {
        assert_eq!(reading(app, bearer).await, GOOD);
    }
    let jti = introspected(app, &key.key).await["jti"].as_str().unwrap().to_owned();
    assert_eq!(claims(&token)["gen"], jti);
    (key, token, jti)
}

#[tokio::test]
async fn introspection_says_what_a_key_stands_for() {
    let app = site().await;
    let key = key(&app).await;
    let mut said = introspected(&app, &key.key).await;
    let jti = said["jti"].take();
    assert!(jti.as_str().unwrap().len() >= 22);
    let created = said["iat"].take();
    assert_eq!(created, app.now().seconds());
    let expected = json!({
        "active": true, "scope": "orders:read", "client_id": key.id, "token_type": "Bearer", "iat": null, "sub": key.id,
        "aud": ORDERS, "iss": app.issuer, "jti": null, "org": "default", "project": "default", "env": "live",
    });
    assert_eq!(said, expected, "it has no end, and so no exp");
    let ends = super::key_with(&app, json!({ "ttl": 60, "ip_allowlist": ["10.0.0.0/8"] })).await;
    let said = introspected(&app, &ends.key).await;
    assert_eq!((&said["exp"], &said["ip_allowlist"]), (&json!(app.now().seconds() + 60), &json!(["10.0.0.0/8"])));
    app.advance(60);
    assert_eq!(introspected(&app, &ends.key).await, json!({ "active": false }));
    let nobody = app.client(&[]).await;
    let answer = about(&app, "/oauth/introspect", &nobody, &key.key).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "{\"active\":false}");
}

#[tokio::test]
async fn whatever_ends_a_key_cuts_it_off_everywhere_at_once() {
    for how in ["revoke", "rotate", "delete", "disable", "narrow"] {
        let app = site().await;
        let (key, token, jti) = in_use(&app).await;
        let path = format!("api-keys/{}", key.id);
        let (status, answer) = match how {
            "delete" => ask(&app, "DELETE", &path, &Value::Null).await,
            "disable" => ask(&app, "PATCH", &path, &json!({ "status": "disabled" })).await,
            "narrow" => ask(&app, "PATCH", &path, &json!({ "ip_allowlist": ["127.0.0.0/8"] })).await,
            _ => ask(&app, "POST", &format!("{path}/{how}"), &json!({})).await,
        };
        assert!(matches!(status, 200 | 204), "{how}: {answer}");
        assert_eq!(reading(&app, &token).await, refused(401, "token_revoked"), "{how}: a token of it");
        let expected = match how {
            "delete" => refused(401, "token_invalid"),
            // The key itself is as good as before, under another name.
            "narrow" => GOOD,
            _ => refused(401, "token_revoked"),
        };
        assert_eq!(reading(&app, &key.key).await, expected, "{how}");
        let told = feed(&app).await;
        let has =
            |list: &str, member: &str| told[list].as_array().unwrap().iter().any(|entry| entry[member] == json!(jti));
        assert!(has("jtis", "jti") && has("generations", "gen"), "{how}: {told}");
        let still = introspected(&app, &key.key).await;
        assert_eq!(still["active"], how == "narrow", "{how}");
        assert_ne!(still["jti"], json!(jti), "{how}");
        let app = app.restart().await;
        assert_eq!(reading(&app, &token).await, refused(401, "token_revoked"), "{how}: after a restart");
        assert!(feed(&app).await["jtis"].to_string().contains(&jti), "{how}: after a restart");
    }
}

#[tokio::test]
async fn a_key_that_is_enabled_again_leaves_its_old_tokens_dead() {
    let app = site().await;
    let (key, token, _) = in_use(&app).await;
    for status in ["disabled", "active"] {
        ask(&app, "PATCH", &format!("api-keys/{}", key.id), &json!({ "status": status })).await;
    }
    assert_eq!(reading(&app, &key.key).await, GOOD);
    assert_eq!(reading(&app, &token).await, refused(401, "token_revoked"));
}

#[tokio::test]
async fn a_key_that_was_found_is_revoked_by_itself() {
    let app = site().await;
    let (key, token, _) = in_use(&app).await;
    let revoke = async |caller: &crate::app::TestClient, text: &str| {
        let response = about(&app, "/oauth/revoke", caller, text).send().await.unwrap();
        response.status().as_u16()
    };
    let stranger = app.client(&["orders:read"]).await;
    assert_eq!(revoke(&stranger, &key.key).await, 400, "it is not its own");
    assert_eq!(reading(&app, &key.key).await, GOOD);
    let unknown = super::key(&site().await).await;
    assert_eq!(revoke(&stranger, &unknown.key).await, 200);
    let operator = app.client(&["mintage:tokens:revoke"]).await;
    assert_eq!(revoke(&operator, &key.key).await, 200);
    for bearer in [&key.key, &token] {
        assert_eq!(reading(&app, bearer).await, refused(401, "token_revoked"));
    }
    assert_eq!(super::shown(&app, &key.id).await["status"], "disabled");
    assert_eq!(revoke(&operator, &key.key).await, 200, "it is dead already");
    let (_, changes) = ask(&app, "GET", "audit?action=api_key.revoke", &Value::Null).await;
    assert!(changes.to_string().contains(&operator.id), "{changes}");
}
