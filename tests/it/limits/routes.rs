//! On Mintage's own routes and those that `/forward-auth` guards.

use mintage::server::config::{Guard, RequestFrom};
use mintage::source_ip::Allowlist;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{limited, number, says_nothing, standing};
use crate::app::{TestApp, header};

async fn place() -> (TestApp, String) {
    let app = limited(|config| {
        config.limits.routes.read.per_minute = 4;
        config.limits.routes.write.per_minute = 2;
        config.network.trusted_proxies = Allowlist::parse(["127.0.0.0/8"]).unwrap();
        let rule = json!({"path": "/{*rest}", "scopes": ["orders:read"]});
        let guard: Guard =
            serde_json::from_value(json!({"name": "orders", "request": "x-forwarded", "rule": [rule]})).unwrap();
        assert_eq!(guard.request, RequestFrom::XForwarded);
        config.guard.push(guard);
    })
    .await;
    app.api("https://orders.example", &["orders:read"]).await;
    let client = app.client(&["orders:read", "mintage:clients:read", "mintage:clients:write"]).await;
    let token = app.token_answer(&client, &[("scope", "orders:read mintage:clients:read mintage:clients:write")]).await;
    let token = token["access_token"].as_str().unwrap().to_owned();
    (app, token)
}

async fn send(app: &TestApp, token: &str, method: Method, path: &str, forwarded: Option<&str>) -> Response {
    let mut request = app.http.request(method, app.url(path)).bearer_auth(token);
    if let Some(method) = forwarded {
        request = request.header("X-Forwarded-Method", method).header("X-Forwarded-Uri", "/orders/1");
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn what_reads_and_what_writes_is_counted_apart_wherever_it_goes() {
    let (app, token) = place().await;
    let get = |path| send(&app, &token, Method::GET, path, None);
    // One allowance for all routes that read.
    assert_eq!(standing(&get("/api/v1/whoami").await), (4, 3));
    assert_eq!(standing(&get("/api/v1/clients").await), (4, 2));
    let forwarded = get("/forward-auth?scope=orders:read").await;
    assert_eq!((forwarded.status().as_u16(), standing(&forwarded)), (200, (4, 1)));
    let guarded = send(&app, &token, Method::GET, "/forward-auth/g/orders/", Some("HEAD")).await;
    assert_eq!((guarded.status().as_u16(), standing(&guarded)), (200, (4, 0)));
    for path in ["/api/v1/whoami", "/api/v1/clients", "/forward-auth?scope=orders:read"] {
        let refused = get(path).await;
        assert_eq!((refused.status().as_u16(), standing(&refused), number(&refused, "retry-after")), (429, (4, 0), 15));
        assert_eq!(header(&refused, "content-type"), Some("application/problem+json"));
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(
            (&problem["reason"], &problem["limit"], &problem["class"], &problem["retry_after"]),
            (&json!("rate_limited"), &json!("per_minute"), &json!("read"), &json!(15))
        );
    }
    // And another for what writes: what is refused for what it says counts as well.
    let made = send(&app, &token, Method::POST, "/api/v1/clients", None).await;
    assert_eq!((made.status().as_u16(), standing(&made)), (400, (2, 1)));
    let guarded = send(&app, &token, Method::GET, "/forward-auth/g/orders/", Some("DELETE")).await;
    assert_eq!((guarded.status().as_u16(), standing(&guarded)), (200, (2, 0)));
    let refused = send(&app, &token, Method::GET, "/forward-auth/g/orders/", Some("DELETE")).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "x-auth-reason")), (429, Some("rate_limited")));
    app.advance(15);
    assert_eq!(get("/api/v1/whoami").await.status(), 200);
}

/// Caddy and Traefik ask with GET, and say in a header what the caller sent; nginx asks with that itself, and its header
/// is the caller's own.
#[tokio::test]
async fn a_proxy_says_whether_it_was_a_read_or_a_write() {
    let (app, token) = place().await;
    let path = "/forward-auth?scope=orders:read";
    let for_nginx = &format!("{path}&status=nginx");
    for (method, path, forwarded, stands) in [
        (Method::GET, path, Some("POST"), (2, 1)),
        (Method::GET, path, Some("HEAD"), (4, 3)),
        (Method::GET, path, Some("no method"), (4, 2)),
        (Method::GET, for_nginx, Some("POST"), (4, 1)),
        (Method::POST, for_nginx, Some("GET"), (2, 0)),
    ] {
        let answer = send(&app, &token, method, path, forwarded).await;
        assert_eq!((answer.status().as_u16(), standing(&answer)), (200, stands), "{path} {forwarded:?}");
    }
    // Whoever is no proxy says nothing for anybody else.
    let app = limited(|config| config.limits.routes.read.per_minute = 4).await;
    app.api("https://orders.example", &["orders:read"]).await;
    let token = app.token(&app.client(&["orders:read"]).await).await;
    assert_eq!(standing(&send(&app, &token, Method::GET, path, Some("POST")).await), (4, 3));
}

/// nginx knows 401 and 403.
#[tokio::test]
async fn for_nginx_a_limit_is_a_403_that_says_what_it_was() {
    let (app, token) = place().await;
    let path = "/forward-auth?scope=orders:read&status=nginx";
    for _ in 0..4 {
        assert_eq!(send(&app, &token, Method::GET, path, None).await.status(), 200);
    }
    let refused = send(&app, &token, Method::GET, path, None).await;
    let said = ["x-auth-status", "x-auth-reason", "retry-after"].map(|name| header(&refused, name).unwrap().to_owned());
    assert_eq!((refused.status().as_u16(), said), (403, ["429", "rate_limited", "15"].map(str::to_owned)));
}

/// Neither strangers nor tokens that are not let in spend anything, and they are told nothing.
#[tokio::test]
async fn who_is_not_let_in_spends_nothing() {
    let (app, token) = place().await;
    for _ in 0..10 {
        assert!(says_nothing(&app.get("/api/v1/whoami", None).await));
        let half = token.split_at(token.len() / 2).0;
        assert!(says_nothing(&app.get("/api/v1/whoami", Some(half)).await));
    }
    assert_eq!(standing(&app.get("/api/v1/whoami", Some(&token)).await), (4, 3));
}

/// Another token of the same client is the same credential.
#[tokio::test]
async fn a_new_token_is_no_new_allowance() {
    let app = limited(|config| config.limits.routes.read.per_minute = 3).await;
    let client = app.client(&[]).await;
    for left in [2, 1, 0] {
        let token = app.token(&client).await;
        assert_eq!(standing(&app.get("/api/v1/whoami", Some(&token)).await), (3, left));
    }
    let token = app.token(&client).await;
    assert_eq!(app.get("/api/v1/whoami", Some(&token)).await.status(), 429);
    let other = app.token(&app.client(&[]).await).await;
    assert_eq!(app.get("/api/v1/whoami", Some(&other)).await.status(), 200);
}

/// Who asks one after the other never meets the limit on requests at once, however few these are.
#[tokio::test]
async fn the_limit_that_binds_is_the_one_that_is_used_up() {
    let app = limited(|config| {
        config.limits.routes.read.per_minute = 100;
        config.limits.routes.read.burst = Some(200);
        config.limits.routes.read.per_day = 150;
    })
    .await;
    let token = app.token(&app.client(&[]).await).await;
    for number in 1..=150 {
        let answer = app.get("/api/v1/whoami", Some(&token)).await;
        assert_eq!((answer.status().as_u16(), standing(&answer)), (200, (150, 150 - number)), "{number}");
        assert_eq!(header(&answer, "ratelimit-policy"), Some("\"per_day\";q=150;w=86400"));
    }
    let app = limited(|config| config.limits = mintage::server::config::Limits::default()).await;
    let token = app.token(&app.client(&[]).await).await;
    let answer = app.get("/api/v1/whoami", Some(&token)).await;
    assert_eq!(header(&answer, "ratelimit-policy"), Some("\"per_minute\";q=1000;w=60"), "by default");
    assert_eq!(standing(&answer), (1000, 999));
}

/// A number that does not divide a minute has a minute for its window, too.
#[tokio::test]
async fn a_window_is_a_minute() {
    let app = limited(|config| config.limits.routes.read.per_minute = 7).await;
    let token = app.token(&app.client(&[]).await).await;
    let answer = app.get("/api/v1/whoami", Some(&token)).await;
    assert_eq!(header(&answer, "ratelimit-policy"), Some("\"per_minute\";q=7;w=60"));
}

/// Metrics are a route of Mintage's own; who is let in by the address alone has no credential to be counted.
#[tokio::test]
async fn metrics_are_limited_where_a_token_reads_them() {
    let app = limited(|config| config.limits.routes.read.per_minute = 2).await;
    let client = app.client(&["mintage:metrics:read"]).await;
    let token = app.token(&client).await;
    for left in [1, 0] {
        assert_eq!(standing(&app.get("/metrics", Some(&token)).await), (2, left));
    }
    let refused = app.get("/metrics", Some(&token)).await;
    assert_eq!((refused.status().as_u16(), number(&refused, "retry-after")), (429, 30));
    assert_eq!(refused.json::<Value>().await.unwrap()["reason"], "rate_limited");
    for _ in 0..5 {
        assert_eq!(app.get("/metrics", None).await.status(), 200);
    }
}

/// So many at once, by default fifty, and a request that has ended is none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_once_are_limited_while_they_are_under_way() {
    let app = limited(|config| config.limits.routes.read.concurrent = Some(1)).await;
    let token = app.token(&app.client(&[]).await).await;
    for _ in 0..20 {
        let answer = app.get("/api/v1/whoami", Some(&token)).await;
        assert_eq!((answer.status().as_u16(), standing(&answer)), (200, (1, 0)));
        assert_eq!(header(&answer, "ratelimit-policy"), Some("\"concurrent\";q=1;qu=\"concurrent-requests\""));
    }
}
