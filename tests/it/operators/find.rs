//! Looking for clients: every filter, alone and together, page by page; and what the store does for it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mintage::clock::Rfc3339;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client_changes::ask;

use super::{call, client_in, ids, made, operator, world};

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
        ("organization=acme".to_owned(), &["c3", "c1", "c2"]),
        ("organization=acme&project=red".to_owned(), &["c1", "c2"]),
        ("name=alpha".to_owned(), &["c3", "c1"]),
        ("name=alpha*".to_owned(), &["c3", "c1", "c2"]),
        ("name=Alpha".to_owned(), &[]),
        ("name=alpha&organization=acme&project=blue".to_owned(), &["c3"]),
        ("status=disabled".to_owned(), &["c5"]),
        ("status=active".to_owned(), &["c1", "c2", "c3", "c4"]),
        ("environment=test".to_owned(), &["c2", "c4"]),
        ("environment=live".to_owned(), &["c1", "c3", "c5"]),
        ("environment=test&organization=acme".to_owned(), &["c2"]),
        ("scope=a:r".to_owned(), &["c1"]),
        ("role=R&organization=acme".to_owned(), &["c3", "c2"]),
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
        ("name=c*1", "name"),
        ("name=**", "name"),
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

/// Whoever looks for clients of their own project learns nothing of others, neither by what is found nor by the cursors.
#[tokio::test]
async fn a_projects_operator_learns_nothing_of_other_projects() {
    let app = world().await;
    let api = json!({"identifier": "https://a.example", "organization": "acme", "scopes": [{"name": "a:r"}]});
    made(&app, "apis", api).await;
    made(&app, "roles", json!({"name": "R", "organization": "acme", "scopes": ["a:r"]})).await;
    for n in 0..4 {
        for (project, id) in [("blue", "foreign"), ("red", "own")] {
            let id = format!("{id}-{n}");
            let more = json!({
                "name": format!("x-{id}"), "scopes": ["a:r"], "roles": ["R"], "environment": "test", "secret_ttl": 3600,
            });
            client_in(&app, "acme", project, &id, more).await;
            assert_eq!(ask(&app, "PATCH", &format!("clients/{id}"), &json!({"status": "disabled"})).await.0, 200);
        }
        client_in(&app, "other", "red", &format!("stranger-{n}"), json!({"name": format!("x-stranger-{n}")})).await;
    }
    let token = operator(&app, "acme", "red", &["mintage:clients:read"], &[]).await;
    app.advance(10);
    let (later, now) = (text(&app, 100_000), text(&app, 0));
    let filters = [
        "scope=a:r".to_owned(),
        "role=R".to_owned(),
        "name=x-*".to_owned(),
        "status=disabled".to_owned(),
        "environment=test".to_owned(),
        format!("expiring_before={later}"),
        format!("unused_since={now}&status=disabled"),
        "project=red&status=disabled&scope=a:r&name=x*".to_owned(),
    ];
    for filter in &filters {
        let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let path = format!("clients?limit=1&{filter}{cursor}");
            let (status, page) = call(&app, &token, "GET", &path, Value::Null).await;
            assert_eq!((status, ids(&page).len()), (200, 1), "{filter}: no page is empty");
            all.extend(ids(&page).iter().map(|id| (*id).to_owned()));
            pages += 1;
            let Some(next) = page["next_cursor"].as_str() else { break };
            let bytes = URL_SAFE_NO_PAD.decode(next).unwrap();
            // Names long enough that a sealed cursor does not hold them by chance.
            for told in ["foreign", "stranger", "x-own-", "own-0", "own-1", "own-2", "own-3"] {
                let is_in = bytes.windows(told.len()).any(|window| window == told.as_bytes());
                assert!(!is_in, "{filter}: {told}");
            }
            // The same place has the same cursor, and nobody else opens it.
            assert_eq!(call(&app, &token, "GET", &path, Value::Null).await.1["next_cursor"], next);
            let mut changed = bytes.clone();
            changed[bytes.len() / 2] ^= 1;
            for bad in [URL_SAFE_NO_PAD.encode(changed), URL_SAFE_NO_PAD.encode(&bytes[..5]), "-".to_owned()] {
                let (status, problem) =
                    call(&app, &token, "GET", &format!("clients?limit=1&{filter}&cursor={bad}"), Value::Null).await;
                assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("cursor")), "{filter}");
            }
            cursor = format!("&cursor={next}");
        }
        assert_eq!((all, pages), ((0..4).map(|n| format!("own-{n}")).collect(), 4), "{filter}");
    }
    for nothing in ["project=blue", "organization=other", "scope=a:r&project=blue"] {
        let (status, page) = call(&app, &token, "GET", &format!("clients?{nothing}"), Value::Null).await;
        assert_eq!((status, page["next_cursor"].as_str(), ids(&page).len()), (200, None, 0), "{nothing}");
    }
}

/// A use counts as soon as it is made, and whatever becomes of the secret.
#[tokio::test]
async fn a_use_counts_before_it_is_written_and_after_a_rotation() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    app.advance(1000);
    let since = format!("unused_since={}", text(&app, 0));
    assert_eq!(found(&app, &since, 10).await, [client.id.as_str()]);
    app.token(&client).await;
    assert_eq!(found(&app, &since, 10).await, [""; 0]);
    app.service.flush().await;
    let (status, shown) = ask(&app, "POST", &format!("clients/{}/secrets", client.id), &json!({})).await;
    assert_eq!(status, 201, "{shown}");
    let old = shown["secrets"][0]["id"].as_str().unwrap();
    assert_eq!(ask(&app, "DELETE", &format!("clients/{}/secrets/{old}", client.id), &Value::Null).await.0, 200);
    assert_eq!(found(&app, &since, 10).await, [""; 0], "its secret is another one, the client is not");
}

/// What has ended does not end once more.
#[tokio::test]
async fn a_secret_that_has_ended_is_not_about_to() {
    let app = world().await;
    client_in(&app, "acme", "red", "c1", json!({"secret_ttl": 3600})).await;
    let (status, _) = ask(&app, "POST", "clients/c1/secrets", &json!({"secret_ttl": 7200})).await;
    assert_eq!(status, 201);
    let (first, both) = (text(&app, 3601), text(&app, 7201));
    for limit in [1, 10] {
        assert_eq!(found(&app, &format!("expiring_before={first}"), limit).await, ["c1"]);
        assert_eq!(found(&app, &format!("expiring_before={both}"), limit).await, ["c1"], "once");
    }
    app.advance(3601);
    assert_eq!(found(&app, &format!("expiring_before={first}"), 10).await, [""; 0]);
    assert_eq!(found(&app, &format!("expiring_before={both}"), 10).await, ["c1"]);
    app.advance(3600);
    assert_eq!(found(&app, &format!("expiring_before={both}"), 10).await, [""; 0]);
}
