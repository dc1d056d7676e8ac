//! `/metrics`: what it counts, and who may read it.

use std::collections::BTreeMap;

use mintage::source_ip::Allowlist;
use reqwest::StatusCode;

use crate::app::{TestApp, header};

/// The samples of the text, by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

async fn read(app: &TestApp) -> String {
    let response = app.get("/metrics", None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(header(&response, "content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    response.text().await.unwrap()
}

#[tokio::test]
async fn what_happens_is_counted_for_each_service_by_itself() {
    let (app, other) = (TestApp::start().await, TestApp::start().await);
    app.api("https://orders.example", &["orders:read"]).await;
    let client = app.client(&["orders:read"]).await;
    let before = samples(&read(&app).await);
    assert_eq!(before["mintage_tokens_issued_total"], 0.0);
    assert_eq!(before["mintage_usage_not_noted_total"], 0.0);
    let token = app.token(&client).await;
    app.token(&client).await;
    let refused = app.token_request(&client, &[("scope", "orders:write")]).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let wrong = crate::app::TestClient { secret: "wrong".to_owned(), ..client.clone() };
    assert_eq!(app.token_request(&wrong, &[]).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.get("/api/v1/whoami", Some(&token)).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.get("/api/v1/whoami", None).await.status(), StatusCode::UNAUTHORIZED);
    let text = read(&app).await;
    let counted = samples(&text);
    for (name, value) in [
        ("mintage_tokens_issued_total", 2.0),
        (r#"mintage_oauth_requests_refused_total{endpoint="token",reason="invalid_scope"}"#, 1.0),
        (r#"mintage_oauth_requests_refused_total{endpoint="token",reason="invalid_client"}"#, 1.0),
        (r#"mintage_client_authentication_failures_total{cause="wrong_secret"}"#, 1.0),
        (r#"mintage_guarded_requests_refused_total{reason="token_invalid"}"#, 1.0),
        (r#"mintage_guarded_requests_refused_total{reason="no_credentials"}"#, 1.0),
        ("mintage_token_request_duration_seconds_count", 4.0),
        (r#"mintage_keys{state="active"}"#, 1.0),
        (r#"mintage_keys{state="next"}"#, 1.0),
        ("mintage_flush_failures_total", 0.0),
        ("mintage_revocations_held", 0.0),
    ] {
        assert_eq!(counted.get(name), Some(&value), "{name} in:\n{text}");
    }
    assert!(counted["mintage_key_next_rotation_seconds"] > 80.0 * 86400.0);
    assert!(text.contains("mintage_build_info{version="));
    for secret in [&client.id, &client.secret, &token] {
        assert!(!text.contains(secret.as_str()), "{text}");
    }
    assert_eq!(samples(&read(&other).await)["mintage_tokens_issued_total"], 0.0);
}

#[tokio::test]
async fn who_is_not_on_the_list_needs_a_token_with_the_scope() {
    let builder = TestApp::builder();
    let app = builder.config(|config| config.limits.metrics_allow = Allowlist::default()).start().await;
    let (reader, other) = (app.client(&["mintage:metrics:read"]).await, app.client(&["mintage:keys:read"]).await);
    let refused = app.get("/metrics", None).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(header(&refused, "www-authenticate").unwrap().starts_with("Bearer realm="));
    assert_eq!(app.get("/metrics", Some(&app.token(&other).await)).await.status(), StatusCode::FORBIDDEN);
    let token = app.token(&reader).await;
    assert_eq!(app.get("/metrics", Some(&token)).await.status(), StatusCode::OK);
    // What the client holds now counts, not what its token says.
    app.service.delete_client(&reader.id, &app.caller()).await.unwrap();
    assert_ne!(app.get("/metrics", Some(&token)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_comes_through_a_proxy_on_this_machine_is_not_from_this_machine() {
    let proxied = TestApp::builder().config(|config| {
        config.network.trusted_proxies = Allowlist::parse(["127.0.0.0/8"]).unwrap();
        config.limits.metrics_allow = Allowlist::parse(["127.0.0.0/8", "10.0.0.0/8"]).unwrap();
    });
    let app = proxied.start().await;
    let from = async |address: &str| {
        let request = app.http.get(app.url("/metrics")).header("x-forwarded-for", address);
        request.send().await.unwrap().status()
    };
    assert_eq!(from("203.0.113.9").await, StatusCode::UNAUTHORIZED);
    assert_eq!(from("127.0.0.1, 203.0.113.9").await, StatusCode::UNAUTHORIZED);
    assert_eq!(from("10.1.2.3").await, StatusCode::OK);
    // What cannot be read says nothing of where it came from.
    assert_eq!(from("garbage").await, StatusCode::UNAUTHORIZED);
    // Without a proxy that is trusted, the header says nothing.
    let direct = TestApp::start().await;
    let asked = direct.http.get(direct.url("/metrics")).header("x-forwarded-for", "203.0.113.9").send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::OK);
}
