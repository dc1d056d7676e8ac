//! Failed authentications, per source address.

use mintage::source_ip::Allowlist;
use reqwest::Response;
use serde_json::Value;

use super::{limited, number, standing};
use crate::app::{TestApp, TestClient, header};

async fn three_a_minute() -> TestApp {
    limited(|config| {
        config.limits.failed_auth.per_minute = 3;
        config.limits.failed_auth.delay = mintage::server::config::Span::from_millis(1);
        config.network.trusted_proxies = Allowlist::parse(["127.0.0.0/8"]).unwrap();
    })
    .await
}

async fn from(app: &TestApp, address: &str, client: &TestClient) -> Response {
    app.token_request(client, &[]).header("X-Forwarded-For", address).send().await.unwrap()
}

fn wrong(client: &TestClient) -> TestClient {
    TestClient { secret: format!("{}x", client.secret), ..client.clone() }
}

#[tokio::test]
async fn who_fails_too_often_is_refused_while_everybody_else_is_served() {
    let app = three_a_minute().await;
    let client = app.client(&[]).await;
    let guess = wrong(&client);
    for _ in 0..3 {
        assert_eq!(from(&app, "192.0.2.1", &guess).await.status(), 401);
    }
    let refused = from(&app, "192.0.2.1", &guess).await;
    assert_eq!((refused.status().as_u16(), standing(&refused), number(&refused, "retry-after")), (429, (3, 0), 20));
    assert_eq!(header(&refused, "www-authenticate"), None);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["reason"], "rate_limited");
    // The right secret is served, from there too, and costs the address nothing.
    for address in ["192.0.2.2", "192.0.2.1", "192.0.2.1"] {
        assert_eq!(from(&app, address, &client).await.status(), 200, "{address}");
    }
    assert_eq!(from(&app, "192.0.2.1", &guess).await.status(), 429);
    app.advance(19);
    assert_eq!(from(&app, "192.0.2.1", &guess).await.status(), 429);
    app.advance(1);
    assert_eq!(from(&app, "192.0.2.1", &guess).await.status(), 401);
    assert_eq!(from(&app, "192.0.2.1", &guess).await.status(), 429);
}

/// Whatever the guess is at, it is the same limit and the same answer.
#[tokio::test]
async fn every_way_to_fail_counts() {
    let app = three_a_minute().await;
    let client = app.client(&[]).await;
    let disabled = app.client(&[]).await;
    app.service
        .set_client_status(&disabled.id, mintage::api::ClientStatus::Disabled, "client.disable", &app.caller())
        .await
        .unwrap();
    let unknown = TestClient { id: "nobody".to_owned(), ..client.clone() };
    let mut answers = Vec::new();
    for (address, guess) in [("192.0.2.1", &wrong(&client)), ("192.0.2.2", &disabled), ("192.0.2.3", &unknown)] {
        for _ in 0..3 {
            assert_eq!(from(&app, address, guess).await.status(), 401, "{address}");
        }
        let refused = from(&app, address, guess).await;
        let mut headers: Vec<_> = refused.headers().iter().map(|(n, v)| (n.to_string(), v.clone())).collect();
        headers.retain(|(name, _)| name != "date");
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        let status = refused.status();
        let mut body: Value = refused.json().await.unwrap();
        body["request_id"].take();
        answers.push((status, headers, body));
    }
    assert_eq!(answers[0].0, 429);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    // At the other endpoints as well, and without credentials.
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let request = app.http.post(app.url(path)).header("X-Forwarded-For", "192.0.2.3").body("token=x");
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        assert_eq!(request.send().await.unwrap().status(), 429, "{path}");
    }
}

/// Whoever has a network of IPv6 addresses is one, and an IPv4 address is the same in IPv6.
#[tokio::test]
async fn addresses_of_one_network_fail_together() {
    let app = three_a_minute().await;
    let guess = wrong(&app.client(&[]).await);
    for address in ["2001:db8::1", "2001:db8::2:3", "2001:db8::ffff:ffff:ffff:ffff"] {
        assert_eq!(from(&app, address, &guess).await.status(), 401, "{address}");
    }
    assert_eq!(from(&app, "2001:db8::4", &guess).await.status(), 429);
    assert_eq!(from(&app, "2001:db8:0:1::1", &guess).await.status(), 401);
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"] {
        assert_eq!(from(&app, address, &guess).await.status(), 401, "{address}");
    }
    assert_eq!(from(&app, "::ffff:c000:201", &guess).await.status(), 429);
}

/// A flood from ever new addresses fills nothing: what is kept of each is small, and there is a bound.
#[tokio::test]
async fn many_addresses_are_kept_up_to_a_bound() {
    use mintage::limit::Limiter;
    let limiter: Limiter<u64> = Limiter::new(1000);
    for key in 0..50_000 {
        drop(limiter.of(&key));
    }
    assert!(limiter.held() <= 1100, "{}", limiter.held());
    // Who was seen last is the same still.
    let kept = limiter.of(&49_999);
    assert!(std::sync::Arc::ptr_eq(&kept, &limiter.of(&49_999)));
}

/// A good API key is taken at its first use, too, whoever else fails at its address.
#[tokio::test]
async fn an_api_key_that_is_not_at_hand_is_taken_where_others_fail() {
    let app = three_a_minute().await;
    let key = crate::api_keys::key_with(&app, serde_json::json!({})).await;
    let other = crate::api_keys::key_with(&app, serde_json::json!({})).await;
    app.service.delete_api_key(&other.id, &app.caller()).await.unwrap();
    let ask = async |key: &str| app.get("/api/v1/whoami", Some(key)).await.status().as_u16();
    let mut refused = Vec::new();
    for _ in 0..5 {
        refused.push(ask(&other.key).await);
    }
    assert_eq!(refused, [401, 401, 401, 429, 429]);
    assert_eq!(ask(&key.key).await, 200);
}
