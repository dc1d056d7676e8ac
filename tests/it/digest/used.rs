//! A use of a Digest key is a use of its client, and a Digest key that ends is found by the review.

use mintage::api::NewClient;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client_changes::ask;

use super::*;

const DAY: u64 = 24 * 3600;

async fn get(app: &TestApp, path: &str) -> Value {
    let (status, answer) = ask(app, "GET", path, &Value::Null).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn listed(app: &TestApp, query: &str) -> Vec<String> {
    let page = get(app, &format!("clients?limit=1000{query}")).await;
    let ids = page["items"].as_array().unwrap().iter().map(|item| item["client_id"].as_str().unwrap().to_owned());
    ids.collect()
}

/// What a review finds of this client.
async fn findings(app: &TestApp, client: &str, query: &str) -> Vec<Value> {
    let page = get(app, &format!("review?limit=1000&{query}")).await;
    page["items"].as_array().unwrap().iter().filter(|item| item["client_id"] == client).cloned().collect()
}

fn kinds(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_use_is_one_of_the_client_everywhere() {
    let app = site().await;
    let pair = pair(&app).await;
    let other = key_of(&app, &pair.client, json!({})).await;
    let client = format!("clients/{}", pair.client);
    let shown = get(&app, &client).await;
    assert_eq!((&shown["last_used_at"], &shown["digest_keys"][0]["last_used_at"]), (&Value::Null, &Value::Null));
    // Whoever has not the private key uses nothing.
    let mut wrong = login(&app, &pair).await;
    wrong.password.push('x');
    assert_eq!(wrong.send(&app).await.verdict(), invalid());
    app.advance(8 * DAY);
    assert_eq!(kinds(&findings(&app, &pair.client, "").await), ["client_never_used"]);
    assert_eq!(get(&app, &client).await["last_used_at"], Value::Null);
    let used = app.now().to_string();
    assert_eq!(login(&app, &pair).await.send(&app).await.verdict(), ok());
    app.advance(60);
    let since = format!("&unused_since={used}");
    let mut app = app;
    // Before it is written, after it, and after a restart.
    for round in 0..3 {
        let shown = get(&app, &client).await;
        assert_eq!(shown["last_used_at"], used.as_str(), "round {round}: {shown}");
        let keys: Vec<_> = shown["digest_keys"].as_array().unwrap().iter().collect();
        assert_eq!((&keys[0]["id"], &keys[0]["public_key"]), (&json!(pair.id), &json!(pair.user)));
        assert_eq!((&keys[0]["last_used_at"], &keys[0]["last_used_from"]), (&json!(used), &json!("127.0.0.1")));
        assert_eq!((&keys[1]["id"], &keys[1]["last_used_at"]), (&json!(other.id), &Value::Null));
        let found = get(&app, "clients?limit=1000").await;
        let item = found["items"].as_array().unwrap().iter().find(|item| item["client_id"] == pair.client.as_str());
        assert_eq!(item.unwrap()["last_used_at"], used.as_str());
        assert!(!listed(&app, &since).await.contains(&pair.client));
        assert_eq!(get(&app, &format!("{client}/usage")).await["last_used_at"], used.as_str());
        assert_eq!(findings(&app, &pair.client, "never_used_for=0").await, [] as [Value; 0], "round {round}");
        match round {
            0 => app.service.flush().await,
            _ => app = app.restart().await,
        }
    }
    // It outlives the key that it was made with.
    app.service.delete_digest_key(&pair.client, &pair.id, &app.caller()).await.unwrap();
    assert_eq!(get(&app, &client).await["last_used_at"], used.as_str());
    // Unused it is found again, as one that can be disabled.
    app.advance(91 * DAY);
    assert!(listed(&app, &since.replace(&used, &app.now().to_string())).await.contains(&pair.client));
    let found = findings(&app, &pair.client, "").await;
    assert_eq!((kinds(&found), found[0]["last_used_at"].as_str()), (vec!["client_unused"], Some(used.as_str())));
    assert!(found[0]["detail"].as_str().unwrap().contains("mintage client disable"), "{found:?}");
}

#[tokio::test]
async fn nobody_knows_which_scopes_a_digest_key_was_used_for() {
    let app = site().await;
    let pair = pair(&app).await;
    app.advance(91 * DAY);
    assert_eq!(login(&app, &pair).await.send(&app).await.verdict(), ok());
    assert_eq!(findings(&app, &pair.client, "").await, [] as [Value; 0]);
    let bought = app.client(&["orders:read", "orders:write"]).await;
    app.advance(91 * DAY);
    app.token_answer(&bought, &[("scope", "orders:read")]).await;
    let found = findings(&app, &bought.id, "").await;
    assert_eq!((kinds(&found), &found[0]["scope"]), (vec!["scope_unused"], &json!("orders:write")), "of others it is");
}

#[tokio::test]
async fn one_that_ends_is_found_until_another_has_taken_its_place() {
    let app = site().await;
    let ending = pair_with(&app, NewClient::default(), json!({ "ttl": 30 * DAY })).await;
    let client = ending.client.as_str();
    assert_eq!(login(&app, &ending).await.send(&app).await.verdict(), ok());
    let used = app.now().to_string();
    assert_eq!(findings(&app, client, "").await, [] as [Value; 0], "it is not about to");
    assert_eq!(kinds(&findings(&app, client, &format!("expiring_within={}", 30 * DAY)).await), ["secret_expiring"]);
    app.advance(16 * DAY);
    let found = findings(&app, client, "").await;
    assert_eq!(kinds(&found), ["secret_expiring"]);
    assert_eq!((&found[0]["digest_key_id"], &found[0]["secret_id"]), (&json!(ending.id), &Value::Null));
    assert_eq!(found[0]["last_used_at"], used.as_str());
    let keys = get(&app, &format!("clients/{client}/digest-keys")).await;
    assert_eq!(found[0]["expires_at"], keys["items"][0]["expires_at"]);
    let (create, delete) = (
        format!("(mintage client digest-key create {client})"),
        format!("(mintage client digest-key delete {client} {})", ending.id),
    );
    let detail = found[0]["detail"].as_str().unwrap();
    assert!(detail.contains(&create) && detail.contains(&delete) && detail.contains(&ending.user), "{detail}");
    assert!(!detail.contains("rotate"), "{detail}");
    // It counts as the secrets and API keys that end.
    let mut run = app.service.begin_review(true);
    let mut told = Vec::new();
    while let Some(notices) = app.service.review_on(&mut run).await.unwrap() {
        told.extend(notices.into_iter().flat_map(|notice| notice.findings));
    }
    assert_eq!(told.iter().map(|one| one.digest_key_id.as_deref()).collect::<Vec<_>>(), [Some(ending.id.as_str())]);
    let metrics = app.get("/metrics", None).await.text().await.unwrap();
    assert!(metrics.lines().any(|line| line == "mintage_secrets_expiring 1"), "{metrics}");
    // One that ends sooner, and one that was there before, take no place; one that is made later does, until the old one
    // is used again.
    let short = key_of(&app, client, json!({ "ttl": DAY })).await;
    let found = findings(&app, client, "").await;
    assert_eq!(found.iter().map(|one| &one["digest_key_id"]).collect::<Vec<_>>(), [&ending.id, &short.id]);
    let later = key_of(&app, client, json!({})).await;
    assert_eq!(findings(&app, client, "").await, [] as [Value; 0]);
    app.advance(1);
    assert_eq!(login(&app, &ending).await.send(&app).await.verdict(), ok());
    let found = findings(&app, client, "").await;
    assert_eq!(found.iter().map(|one| &one["digest_key_id"]).collect::<Vec<_>>(), [&ending.id], "two programs");
    // As many as there can be: first there has to be room.
    for _ in 0..2 {
        key_of(&app, client, json!({ "ttl": 60 })).await;
    }
    let said = findings(&app, client, "").await[0]["detail"].to_string();
    assert!(said.contains(&format!("delete one that nobody uses (mintage client digest-key list {client}")), "{said}");
    // The advice, followed to its end.
    app.service.delete_digest_key(client, &ending.id, &app.caller()).await.unwrap();
    app.service.delete_digest_key(client, &later.id, &app.caller()).await.unwrap();
    app.advance(2 * DAY);
    let found = findings(&app, client, "").await;
    assert_eq!(kinds(&found), ["secrets_expired"], "all that are left have ended");
    let last = found[0]["digest_key_id"].as_str().unwrap().to_owned();
    assert!(found[0]["detail"].as_str().unwrap().contains(&format!("digest-key delete {client} {last}")), "{found:?}");
    key_of(&app, client, json!({})).await;
    assert_eq!(findings(&app, client, "").await, [] as [Value; 0]);
    // Who is disabled needs none.
    let off = pair_with(&app, NewClient::default(), json!({ "ttl": DAY })).await;
    assert_eq!(kinds(&findings(&app, &off.client, "").await), ["secret_expiring"]);
    assert_eq!(ask(&app, "PATCH", &format!("clients/{}", off.client), &json!({ "status": "disabled" })).await.0, 200);
    assert_eq!(findings(&app, &off.client, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn the_advice_is_within_the_policies() {
    let app = site().await;
    let key = pair_with(&app, NewClient::default(), json!({ "ttl": 10 * DAY })).await;
    let policy = json!({ "secret_policy": { "require_expiry": true } });
    assert_eq!(ask(&app, "PATCH", "projects/default", &policy).await.0, 200);
    let found = findings(&app, &key.client, "").await;
    let expected = format!("(mintage client digest-key create {} --ttl {}s)", key.client, 10 * DAY);
    assert!(found[0]["detail"].as_str().unwrap().contains(&expected), "{found:?}");
    // With an end that follows from the policy, none has to be said.
    let policy = json!({ "secret_policy": { "require_expiry": true, "max_ttl": 5 * DAY } });
    assert_eq!(ask(&app, "PATCH", "projects/default", &policy).await.0, 200);
    let found = findings(&app, &key.client, "").await;
    let of_key: Vec<_> = found.iter().filter(|one| one["digest_key_id"] == key.id.as_str()).collect();
    assert_eq!(
        of_key.iter().map(|one| one["kind"].as_str().unwrap()).collect::<Vec<_>>(),
        ["secret_expiring", "secret_beyond_policy"]
    );
    let expected = format!("(mintage client digest-key create {})", key.client);
    assert!(of_key.iter().all(|one| one["detail"].as_str().unwrap().contains(&expected)), "{of_key:?}");
    // A client whose secret has ended is not to be deleted while its Digest key goes on.
    let new = NewClient { secret_ttl: Some(60), ..NewClient::default() };
    let legacy = pair_with(&app, new, json!({})).await;
    app.advance(60);
    let found = findings(&app, &legacy.client, "expiring_within=0").await;
    assert_eq!(kinds(&found), ["secrets_expired"]);
    let said = found[0]["detail"].as_str().unwrap();
    assert!(said.contains("by its Digest keys alone") && !said.contains("delete"), "{said}");
}
