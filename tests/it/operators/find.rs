//! Looking for clients: every filter, alone and together, page by page; and what the store does for it.

use mintage::clock::Rfc3339;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client_changes::ask;

use super::{client_in, ids, made, world};

/// All ids that a query finds, in pages of `limit`, and how many pages that took.
async fn found(app: &TestApp, query: &str, limit: usize) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = ask(app, "GET", &format!("clients?limit={limit}&{query}{cursor}"), &Value::Null).await;
        assert_eq!(status, 200, "{query}: {page}");
        assert!(ids(&page).len() <= limit);
        all.extend(ids(&page).iter().map(|id| (*id).to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn text(app: &TestApp, seconds: u64) -> String {
    let at = Rfc3339(app.now().plus(std::time::Duration::from_secs(seconds)));
    json!(at).as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_filter_finds_what_it_says() {
    let app = world().await;
    made(&app, "apis", json!({"identifier": "https://a.example", "organization": "acme", "scopes": [{"name": "a:r"}]}))
        .await;
    made(&app, "roles", json!({"name": "R", "organization": "acme", "scopes": ["a:r"]})).await;
    client_in(&app, "acme", "red", "c1", json!({"name": "alpha", "scopes": ["a:r"]})).await;
    client_in(&app, "acme", "red", "c2", json!({"name": "alphabet", "environment": "test", "roles": ["R"]})).await;
    client_in(&app, "acme", "blue", "c3", json!({"name": "alpha", "secret_ttl": 3600, "roles": ["R"]})).await;
    client_in(&app, "other", "red", "c4", json!({"name": "beta", "secret_ttl": 7200, "environment": "test"})).await;
    client_in(&app, "other", "red", "c5", json!({"name": "al*", "scopes": []})).await;
    assert_eq!(ask(&app, "PATCH", "clients/c5", &json!({"status": "disabled"})).await.0, 200);
    let soon = text(&app, 3601);
    let later = text(&app, 100_000);
    for (query, expected) in [
        (String::new(), &["c1", "c2", "c3", "c4", "c5"][..]),
        ("organization=acme".to_owned(), &["c1", "c2", "c3"]),
        ("organization=acme&project=red".to_owned(), &["c1", "c2"]),
        ("name=alpha".to_owned(), &["c1", "c3"]),
        ("name=alpha*".to_owned(), &["c1", "c3", "c2"]),
        ("name=Alpha".to_owned(), &[]),
        ("name=alpha&organization=acme&project=blue".to_owned(), &["c3"]),
        ("status=disabled".to_owned(), &["c5"]),
        ("status=active".to_owned(), &["c1", "c2", "c3", "c4"]),
        ("environment=test".to_owned(), &["c2", "c4"]),
        ("environment=live".to_owned(), &["c1", "c3", "c5"]),
        ("environment=test&organization=acme".to_owned(), &["c2"]),
        ("scope=a:r".to_owned(), &["c1"]),
        ("role=R&organization=acme".to_owned(), &["c2", "c3"]),
        ("role=R&organization=other".to_owned(), &[]),
        (format!("expiring_before={soon}"), &["c3"]),
        (format!("expiring_before={later}"), &["c3", "c4"]),
        (format!("expiring_before={later}&environment=test"), &["c4"]),
    ] {
        for limit in [1, 2, 1000] {
            assert_eq!(found(&app, &query, limit).await, expected, "{query} by {limit}");
        }
    }
    for (query, field) in [
        ("status=gone", "status"),
        ("environment=prod", "environment"),
        ("expiring_before=tomorrow", "expiring_before"),
        ("unused_since=2026", "unused_since"),
        ("nmae=x", "nmae"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("name=a&name=b", "name"),
    ] {
        let (status, problem) = ask(&app, "GET", &format!("clients?{query}"), &Value::Null).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!(field)), "{query}: {problem}");
    }
    // A cursor belongs to the question that it was given for.
    let (_, page) = ask(&app, "GET", "clients?limit=1&name=alpha", &Value::Null).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let (status, problem) = ask(&app, "GET", &format!("clients?limit=1&cursor={cursor}"), &Value::Null).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("cursor")));
    assert_eq!(ask(&app, "GET", &format!("apis?cursor={cursor}"), &Value::Null).await.0, 400);
}

#[tokio::test]
async fn unused_clients_are_found_by_when_they_were_used() {
    let app = TestApp::start().await;
    let (idle, busy) = (app.client(&[]).await, app.client(&[]).await);
    app.token(&idle).await;
    app.token(&busy).await;
    app.advance(1000);
    app.token(&busy).await;
    app.service.flush().await;
    let fresh = app.client(&[]).await;
    let now = text(&app, 0);
    assert_eq!(found(&app, &format!("unused_since={now}"), 10).await, [idle.id.as_str()]);
    app.advance(10);
    let mut all = found(&app, &format!("unused_since={}", text(&app, 0)), 10).await;
    all.sort();
    let mut expected = [idle.id, busy.id, fresh.id];
    expected.sort();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn what_is_changed_is_found_as_it_is_now() {
    let app = world().await;
    client_in(&app, "acme", "red", "c1", json!({"name": "old", "secret_ttl": 3600})).await;
    let (status, _) = ask(&app, "PATCH", "clients/c1", &json!({"name": "new", "status": "disabled"})).await;
    assert_eq!(status, 200);
    let before = format!("expiring_before={}", text(&app, 4000));
    assert_eq!(found(&app, "name=old", 10).await, [""; 0]);
    assert_eq!(found(&app, "name=new", 10).await, ["c1"]);
    assert_eq!(found(&app, "status=disabled", 10).await, ["c1"]);
    assert_eq!(found(&app, &before, 10).await, ["c1"]);
    let app = app.restart().await;
    assert_eq!(found(&app, "name=new", 10).await, ["c1"]);
    assert_eq!(ask(&app, "DELETE", "clients/c1", &Value::Null).await.0, 204);
    for query in ["name=new", "status=disabled", &before, "organization=acme&project=red"] {
        assert_eq!(found(&app, query, 10).await, [""; 0], "{query}");
    }
}
