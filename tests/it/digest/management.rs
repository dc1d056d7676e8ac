//! Making, listing and withdrawing Digest keys.

use mintage::api::NewProject;
use serde_json::{Value, json};

use crate::client_changes::{ask, audit, fields};
use crate::coverage::{operator, token_with};
use crate::operators::call;

use super::*;

#[tokio::test]
async fn the_private_key_is_in_one_answer_alone() {
    let app = site().await;
    let client = app.client(&["orders:read"]).await.id;
    let path = format!("clients/{client}/digest-keys");
    let made = made(&app, &path, json!({ "ttl": 3600 })).await;
    let (user, password) = (made["public_key"].as_str().unwrap(), made["private_key"].as_str().unwrap());
    assert!(user.len() == 8 && user.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{user}");
    assert!(password.starts_with("mtg_dk_live_") && password.len() == "mtg_dk_live_".len() + 49, "{password}");
    let (status, listed) = ask(&app, "GET", &path, &Value::Null).await;
    let (item, end) = (&listed["items"][0], made["expires_at"].as_str().unwrap());
    assert_eq!((status, &listed["next_cursor"]), (200, &Value::Null));
    assert_eq!(
        *item,
        json!({
            "id": made["id"], "public_key": user, "prefix": format!("{}…", &password[..16]),
            "created_at": made["created_at"], "expires_at": end, "last_used_at": null, "last_used_from": null,
        })
    );
    // A key that was brought along is not repeated, and nothing of it is shown.
    let given = json!({ "public_key": "Old.Key_1~-", "private_key": "a password with spaces" });
    let (status, brought) = ask(&app, "POST", &path, &given).await;
    assert_eq!((status, brought.get("private_key"), &brought["prefix"]), (201, None, &json!("…")), "{brought}");
    let shown = ask(&app, "GET", &format!("clients/{client}"), &Value::Null).await.1;
    assert_eq!((&shown["digest_keys"][0], shown["digest_keys"].as_array().unwrap().len()), (item, 2), "{shown}");
    let shown = shown.to_string();
    assert!(!shown.contains(password) && !shown.contains("private_key") && !shown.contains("sealed"), "{shown}");
    let records = audit(app).await;
    let said = serde_json::to_string(&records).unwrap();
    let actions: Vec<_> = records.iter().filter_map(|record| record["action"].as_str()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "client.digest_key.create").count(), 2, "{actions:?}");
    assert!(
        said.contains(user)
            && !said.contains(password)
            && !said.contains("a password with")
            && !said.contains("sealed")
    );
}

#[tokio::test]
async fn what_is_asked_for_is_checked() {
    let app = site().await;
    let pair = pair(&app).await;
    let path = format!("clients/{}/digest-keys", pair.client);
    let (long, short) = ("x".repeat(1025), "x".repeat(15));
    for (body, field) in [
        (json!({ "public_key": "legacy01" }), "private_key"),
        (json!({ "private_key": "0123456789abcdef" }), "public_key"),
        (json!({ "public_key": "a:b", "private_key": "0123456789abcdef" }), "public_key"),
        (json!({ "public_key": "", "private_key": "0123456789abcdef" }), "public_key"),
        (json!({ "public_key": "a b", "private_key": "0123456789abcdef" }), "public_key"),
        (json!({ "public_key": "x".repeat(129), "private_key": "0123456789abcdef" }), "public_key"),
        (json!({ "public_key": "legacy01", "private_key": short }), "private_key"),
        (json!({ "public_key": "legacy01", "private_key": long }), "private_key"),
        (json!({ "ttl": 0 }), "ttl"),
        (json!({ "ttl": 400_000_000 }), "ttl"),
    ] {
        assert_eq!(fields(&app, "POST", &path, body).await, [field]);
    }
    assert_eq!(ask(&app, "POST", &path, &json!({ "name": "x" })).await.0, 400);
    // A user name is one key's, whoever has it.
    let other = super::pair(&app).await;
    for client in [&pair.client, &other.client] {
        let taken = json!({ "public_key": pair.user, "private_key": "0123456789abcdef" });
        let (status, problem) = ask(&app, "POST", &format!("clients/{client}/digest-keys"), &taken).await;
        assert_eq!((status, &problem["reason"]), (409, &json!("conflict")), "{problem}");
    }
    // Five, of those that go on.
    for _ in 0..3 {
        key_of(&app, &pair.client, json!({})).await;
    }
    let ending = key_of(&app, &pair.client, json!({ "ttl": 60 })).await;
    assert_eq!(ask(&app, "POST", &path, &json!({})).await.0, 409);
    app.advance(60);
    let again = json!({ "public_key": ending.user, "private_key": "0123456789abcdef" });
    let again = key_of(&app, &pair.client, again).await;
    assert_eq!(login(&app, &again).await.send(&app).await.verdict(), ok(), "the name of one that has ended is free");
    assert_eq!(ask(&app, "POST", &path, &json!({})).await.0, 409);
    for (id, status) in [(&ending.id, 404), (&other.id, 404), (&again.id, 204), (&again.id, 404)] {
        assert_eq!(ask(&app, "DELETE", &format!("{path}/{id}"), &Value::Null).await.0, status);
    }
    assert_eq!(ask(&app, "GET", "clients/nobody/digest-keys", &Value::Null).await.0, 404);
    // With the client its names are free.
    assert_eq!(ask(&app, "DELETE", &format!("clients/{}", other.client), &Value::Null).await.0, 204);
    let inherited = json!({ "public_key": other.user, "private_key": "0123456789abcdef" });
    let inherited = key_of(&app, &pair.client, inherited).await;
    assert_eq!(login(&app, &inherited).await.send(&app).await.verdict(), ok());
    assert_eq!(login(&app, &other).await.send(&app).await.verdict(), invalid());
    // An API key has none.
    let (_, key) = ask(&app, "POST", "api-keys", &json!({ "name": "k" })).await;
    let path = format!("clients/{}/digest-keys", key["id"].as_str().unwrap());
    assert_eq!(ask(&app, "POST", &path, &json!({})).await.0, 404);
}

#[tokio::test]
async fn nobody_adds_one_to_a_client_that_holds_more() {
    let app = site().await;
    let shop = NewProject { id: "shop".to_owned(), ..NewProject::default() };
    app.service.create_project(shop, &app.caller()).await.unwrap();
    const WRITE: [&str; 2] = ["mintage:clients:read", "mintage:clients:write"];
    let manager = operator(&app, ("default", "default"), &WRITE, &[]).await;
    let reader = operator(&app, ("default", "default"), &WRITE[..1], &[]).await;
    let stronger = operator(&app, ("default", "default"), &["mintage:api-keys:write"], &[]).await;
    let away = operator(&app, ("default", "shop"), &[], &[]).await;
    let (manages, reads) = (token_with(&app, &manager, &WRITE).await, token_with(&app, &reader, &WRITE[..1]).await);
    for (token, client, status) in [
        (&manages, &reader, 201),
        (&manages, &manager, 201),
        (&manages, &stronger, 403),
        (&manages, &away, 404),
        (&reads, &reader, 403),
    ] {
        let path = format!("clients/{}/digest-keys", client.id);
        let (got, answer) = call(&app, token, "POST", &path, json!({})).await;
        assert_eq!(got, status, "{answer}");
    }
    let key = key_of(&app, &stronger.id, json!({})).await;
    let path = format!("clients/{}/digest-keys", stronger.id);
    assert_eq!(call(&app, &manages, "DELETE", &format!("{path}/{}", key.id), Value::Null).await.0, 403);
    assert_eq!(call(&app, &reads, "GET", &path, Value::Null).await.0, 200);
    // With a Digest key of its own the manager does what it may with a token.
    let own = key_of(&app, &manager.id, json!({})).await;
    let path = format!("/api/v1/clients/{}/digest-keys", reader.id);
    let signed = Login::new(&own, &challenged(&app).await, "POST", &path).header();
    let lines = format!("{signed}\r\nContent-Type: application/json\r\nContent-Length: 2");
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n{{}}");
    let answer = send_from(&app.base, Ipv4Addr::LOCALHOST, head).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn a_project_can_demand_that_they_end() {
    let app = site().await;
    let pair = pair(&app).await;
    let (path, policy) = (format!("clients/{}/digest-keys", pair.client), json!({ "require_expiry": true }));
    assert_eq!(ask(&app, "PATCH", "projects/default", &json!({ "secret_policy": policy })).await.0, 200);
    let (status, problem) = ask(&app, "POST", &path, &json!({})).await;
    assert_eq!((status, &problem["policy"]), (403, &json!("require_expiry")), "{problem}");
    key_of(&app, &pair.client, json!({ "ttl": 60 })).await;
    // What is there stays, and can be changed otherwise.
    assert_eq!(ask(&app, "PATCH", &format!("clients/{}", pair.client), &json!({ "name": "after" })).await.0, 200);
    let most = json!({ "secret_policy": { "max_ttl": 600 } });
    assert_eq!(ask(&app, "PATCH", "projects/default", &most).await.0, 200);
    assert_eq!(fields(&app, "POST", &path, json!({ "ttl": 601 })).await, ["ttl"]);
    let (_, made) = ask(&app, "POST", &path, &json!({})).await;
    assert!(made["expires_at"].is_string(), "{made}");
}

#[tokio::test]
async fn a_replayed_answer_has_no_private_key() {
    let app = site().await;
    let manager = operator(&app, ("default", "default"), &["mintage:clients:write"], &[]).await;
    let token = token_with(&app, &manager, &["mintage:clients:write"]).await;
    let url = app.url(&format!("/api/v1/clients/{}/digest-keys", manager.id));
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = app.http.post(&url).bearer_auth(&token).header("idempotency-key", "k");
        let response = request.header("content-type", "application/json").body("{}").send().await.unwrap();
        assert_eq!(response.status(), 201);
        answers.push(response.json::<Value>().await.unwrap());
    }
    let first = answers[0].as_object_mut().unwrap();
    assert!(first.remove("private_key").is_some());
    first.insert("secret_omitted".to_owned(), json!(true));
    assert_eq!(answers[0], answers[1]);
}
