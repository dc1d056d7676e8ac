//! Days, months and for good; clients and projects; what routes cost.

use std::sync::Arc;

use mintage::clock::UnixTime;
use mintage::server::model::Kind;
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient};
use crate::guards::{bearer, question, start};
use crate::raw::send;

use super::{
    ask, ask_at, at_once, client, client_in, exceeded, patch_client, patch_project, project, requests, tokens, used,
};

/// Moves the clock to this moment.
async fn at(app: &TestApp, moment: &str) {
    let moment: jiff::Timestamp = moment.parse().unwrap();
    app.advance(UnixTime::from_seconds(moment.as_second()).since(app.now()).as_secs());
    app.service.tick().await;
}

/// The answer to a token request: its status, its reason, and when a quota begins anew.
async fn fetch(app: &TestApp, client: &TestClient, scope: &str) -> (u16, Value, Value) {
    let response = app.token_request(client, &[("scope", scope)]).send().await.unwrap();
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["reason"].clone(), body["resets_at"].clone())
}

#[tokio::test]
async fn days_and_months_are_those_of_the_calendar_in_utc() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    let client = client(&app, tokens(Some(2), Some(3), None)).await;
    at(&app, "2031-12-30T23:59:50Z").await;
    let ok = (200, Value::Null, Value::Null);
    let refused = async |until: &str| {
        let answer = fetch(&app, &client, "orders:read").await;
        assert_eq!((answer.0, answer.1), (403, json!("quota_exceeded")));
        let uses = app.service.client_quotas(Kind::Client, &client.id, &app.caller()).await.unwrap().tokens;
        let used = [uses.day, uses.month].into_iter().find(|one| one.remaining == Some(0)).unwrap();
        assert_eq!(used.resets_at.unwrap().0.to_string(), until);
    };
    assert_eq!(fetch(&app, &client, "orders:read").await, ok);
    // What is refused for anything else takes nothing.
    for _ in 0..5 {
        assert_eq!(fetch(&app, &client, "orders:write").await.1, "invalid_scope");
    }
    assert_eq!(fetch(&app, &client, "orders:read").await, ok);
    refused("2031-12-31T00:00:00Z").await;
    app.advance(9);
    refused("2031-12-31T00:00:00Z").await;
    app.advance(1);
    assert_eq!(fetch(&app, &client, "orders:read").await, ok);
    refused("2032-01-01T00:00:00Z").await;
    at(&app, "2031-12-31T23:59:59Z").await;
    refused("2032-01-01T00:00:00Z").await;
    app.advance(1);
    assert_eq!(fetch(&app, &client, "orders:read").await, ok);
    assert_eq!(fetch(&app, &client, "orders:read").await, ok);
    refused("2032-01-02T00:00:00Z").await;
}

#[tokio::test]
async fn nothing_is_nothing_and_null_is_no_end() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    let client = client(&app, requests(None, None, Some(0))).await;
    let token = app.token(&client).await;
    let refused = ask(&app, &token).await;
    exceeded(&refused, "client", "total", 0, 0);
    assert_eq!(refused.json()["resets_at"], Value::Null);
    // A guarded route of our own counts as well; the token's scopes and the rest of the guard come first.
    assert_eq!(ask_at(&app, "/forward-auth?scope=mintage:clients:read", &token).await.status, 401);
    patch_client(&app, &client.id, json!({ "requests": { "total": null } })).await;
    assert_eq!(ask(&app, &token).await.status, 200);
    patch_client(&app, &client.id, json!({ "requests": { "day": 1 }, "tokens": { "day": 7 } })).await;
    assert_eq!(ask(&app, &token).await.status, 200, "what was asked for without a quota was not counted");
    exceeded(&ask(&app, &token).await, "client", "day", 1, 1);
    let shown = app.service.client(&client.id, &app.caller()).await.unwrap().value.quotas;
    let other = json!({ "day": null, "month": null, "total": null });
    assert_eq!(json!(shown.requests), json!({ "day": 1, "month": null, "total": null }));
    patch_client(&app, &client.id, json!({ "requests": null })).await;
    let shown = app.service.client(&client.id, &app.caller()).await.unwrap().value.quotas;
    assert_eq!((json!(shown.requests), shown.tokens.day), (other, Some(7)));
    patch_client(&app, &client.id, Value::Null).await;
    assert!(app.service.client(&client.id, &app.caller()).await.unwrap().value.quotas.is_empty());
}

#[tokio::test]
async fn a_request_of_our_own_routes_counts_too() {
    let app = TestApp::start().await;
    let new = mintage::api::NewClient {
        scopes: vec!["mintage:projects:read".to_owned()],
        quotas: requests(Some(2), None, None),
        ..mintage::api::NewClient::default()
    };
    let token = app.token(&app.client_with(new).await).await;
    for path in ["/api/v1/whoami", "/api/v1/projects"] {
        assert_eq!(app.get(path, Some(&token)).await.status(), 200, "{path}");
    }
    for path in ["/api/v1/whoami", "/api/v1/projects"] {
        exceeded(&ask_at(&app, path, &token).await, "client", "day", 2, 2);
    }
}

const GUARD: &str = r#"
    [[guard]]
    name = "envoy"
    cost = 3
    rule = [
        { path = "/usual", scopes = ["orders:read"] },
        { path = "/dear", scopes = ["orders:read"], cost = 5 },
        { path = "/free", scopes = ["orders:read"], cost = 0 },
    ]
"#;

#[tokio::test]
async fn a_rule_says_what_a_request_costs() {
    let app = start(GUARD).await;
    let client = client(&app, requests(None, None, Some(10))).await;
    let token = app.token(&client).await;
    let ask = async |path: &str| send(&app.base, question("envoy", "GET", path.as_bytes(), &[&bearer(&token)])).await;
    assert_eq!(ask("/dear").await.status, 200);
    assert_eq!(ask("/usual").await.status, 200);
    // What the guard refuses takes nothing.
    assert_eq!(ask("/nowhere").await.verdict(), (403, "no_rule_matches".to_owned()));
    let refused = ask("/usual").await;
    exceeded(&refused, "client", "total", 10, 8);
    assert_eq!((&refused.json()["cost"], refused.header("x-auth-reason")), (&json!(3), Some("quota_exceeded")));
    assert_eq!(used(&app, &client.id).await, (8, Some(2)));
    for _ in 0..2 {
        assert_eq!(super::ask(&app, &token).await.status, 200);
    }
    exceeded(&super::ask(&app, &token).await, "client", "total", 10, 10);
    assert_eq!(ask("/free").await.status, 200, "what costs nothing needs nothing");
    assert_eq!(used(&app, &client.id).await, (10, Some(0)));
}

#[tokio::test]
async fn a_request_is_within_the_quota_of_its_project_too() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    project(&app, "shop", requests(Some(5), None, None)).await;
    let one = client_in(&app, "shop", requests(None, None, Some(3))).await;
    let (first, second) =
        (app.token(&one).await, app.token(&client_in(&app, "shop", requests(None, None, None)).await).await);
    for _ in 0..3 {
        assert_eq!(ask(&app, &first).await.status, 200);
    }
    // Refused by one, it takes nothing from the other.
    for _ in 0..4 {
        exceeded(&ask(&app, &first).await, "client", "total", 3, 3);
    }
    for _ in 0..2 {
        assert_eq!(ask(&app, &second).await.status, 200);
    }
    exceeded(&ask(&app, &second).await, "project", "day", 5, 5);
    patch_client(&app, &one.id, json!({ "requests": { "total": 10 } })).await;
    exceeded(&ask(&app, &first).await, "project", "day", 5, 5);
    assert_eq!(used(&app, &one.id).await, (3, Some(7)));
    patch_project(&app, "shop", json!({ "requests": { "day": 6 } })).await;
    assert_eq!(ask(&app, &first).await.status, 200);
    assert_eq!(used(&app, &one.id).await, (4, Some(6)));
    let project = app.service.project_quotas(None, "shop", &app.caller()).await.unwrap();
    assert_eq!((project.requests.day.used, project.requests.day.remaining, project.balance), (6, Some(0), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_exactly_as_many_are_granted() {
    let app = Arc::new(TestApp::start().await);
    app.api("https://orders.example", &["orders:read"]).await;
    for (own, of_project) in [(Some(50), None), (Some(50), Some(1000)), (None, Some(50)), (Some(150), Some(130))] {
        let id = format!("p{}-{}", own.unwrap_or(0), of_project.unwrap_or(0));
        let quotas =
            |total| mintage::api::Quotas { tokens: tokens(None, None, total).tokens, ..requests(None, total, None) };
        project(&app, &id, quotas(of_project)).await;
        let client = client_in(&app, &id, quotas(own)).await;
        let least = [own, of_project].into_iter().flatten().min().unwrap() as usize;
        let token = app.token(&client).await;
        let granted = at_once(160, 403, |_| {
            let (app, token) = (Arc::clone(&app), token.clone());
            async move { ask(&app, &token).await.status }
        });
        assert_eq!(granted.await, least, "requests, {id}");
        let granted = at_once(160, 403, |_| {
            let request = app.token_request(&client, &[]);
            async move { request.send().await.unwrap().status().as_u16() }
        });
        assert_eq!(granted.await, least - 1, "tokens, {id}");
    }
}
