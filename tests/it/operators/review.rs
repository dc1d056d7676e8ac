//! What a review finds, and that the webhook is told of it: once, signed, and again until it has arrived.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use mintage::api::NewClient;
use mintage::crypto::HmacKey;
use mintage::server::config::{Sensitive, Span};
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client_changes::ask;
use crate::forged::form;

use super::{call, client_in, operator, world};

const DAY: u64 = 24 * 3600;

/// The findings of a review, as kind, client, and which of it.
async fn found(app: &TestApp, query: &str) -> Vec<(String, String, String)> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = ask(app, "GET", &format!("review?limit=2&{query}{cursor}"), &Value::Null).await;
        assert_eq!(status, 200, "{page}");
        for item in page["items"].as_array().unwrap() {
            let text = |member: &str| item[member].as_str().unwrap_or_default().to_owned();
            assert!(!text("detail").is_empty());
            let which = if item["scope"].is_null() { text("secret_id") } else { text("scope") };
            all.push((text("kind"), text("client_id"), which));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn outline(found: &[(String, String, String)]) -> Vec<(&str, &str)> {
    found.iter().map(|(kind, client, _)| (kind.as_str(), client.as_str())).collect()
}

#[tokio::test]
async fn a_review_finds_what_ends_and_what_nobody_uses() {
    let app = world().await;
    app.api("https://orders.example", &["orders:read", "orders:write"]).await;
    let named = |id: &str, ttl: Option<u64>| NewClient {
        client_id: Some(id.to_owned()),
        scopes: vec!["orders:read".to_owned(), "orders:write".to_owned()],
        secret_ttl: ttl,
        ..NewClient::default()
    };
    let busy = app.client_with(named("busy", None)).await;
    let ending = app.client_with(named("ending", Some(100 * DAY))).await;
    app.client_with(named("never", None)).await;
    let off = app.client_with(named("off", Some(DAY))).await;
    assert_eq!(ask(&app, "POST", &format!("clients/{}/revoke", off.id), &json!({})).await.0, 200);
    let rotated = app.client_with(named("rotated", Some(20 * DAY))).await;
    let (_, newest) = ask(&app, "POST", "clients/rotated/secrets", &json!({})).await;
    for client in [&busy, &ending, &rotated] {
        app.token(client).await;
    }
    assert_eq!(found(&app, "").await, [], "all is new");
    app.advance(8 * DAY);
    assert_eq!(outline(&found(&app, "").await), [("client_never_used", "never")]);
    app.advance(80 * DAY);
    let secret = newest["client_secret"].as_str().unwrap().to_owned();
    let rotated = crate::app::TestClient { id: "rotated".to_owned(), secret };
    for client in [&busy, &ending, &rotated] {
        app.token_answer(client, &[("scope", "orders:read")]).await;
    }
    app.service.flush().await;
    app.advance(3 * DAY);
    let all = found(&app, "").await;
    assert_eq!(
        outline(&all),
        [
            ("scope_unused", "busy"),
            ("secret_expiring", "ending"),
            ("scope_unused", "ending"),
            ("client_never_used", "never"),
            ("scope_unused", "rotated"),
        ],
        "a secret that another one outlives is on its way out, and a disabled client needs neither"
    );
    assert!(all.iter().filter(|(kind, ..)| kind == "scope_unused").all(|(.., scope)| scope == "orders:write"));
    assert_eq!(
        outline(&found(&app, "expiring_within=60").await).iter().filter(|f| f.0 == "secret_expiring").count(),
        0
    );
    assert_eq!(outline(&found(&app, "unused_for=86400").await).iter().filter(|f| f.0 == "client_unused").count(), 3);
    app.advance(10 * DAY);
    assert!(outline(&found(&app, "").await).contains(&("secrets_expired", "ending")));
    // A policy shows what is older than it.
    let policy = json!({"secret_policy": {"max_ttl": 3600}});
    assert_eq!(ask(&app, "PATCH", "projects/default", &policy).await.0, 200);
    assert!(outline(&found(&app, "").await).contains(&("secret_beyond_policy", "busy")));
    for query in ["unused_for=x", "unused_for=-1", "unused=1", "limit=0"] {
        assert_eq!(ask(&app, "GET", &format!("review?{query}"), &Value::Null).await.0, 400, "{query}");
    }
    // A project's operator sees their own.
    client_in(&app, "acme", "red", "red-one", json!({})).await;
    client_in(&app, "acme", "blue", "blue-one", json!({})).await;
    app.advance(8 * DAY);
    let token = operator(&app, "acme", "red", &["mintage:clients:read"], &[]).await;
    let (status, page) = call(&app, &token, "GET", "review?limit=1000", Value::Null).await;
    let clients: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| &item["client_id"]).collect();
    assert_eq!((status, clients), (200, vec![&json!("red-one")]));
}

#[tokio::test]
async fn a_client_that_is_always_refused_is_found_and_is_none_to_delete() {
    let app = world().await;
    let named = |id: &str, from: &str| NewClient {
        client_id: Some(id.to_owned()),
        scopes: vec!["mintage:tokens:introspect".to_owned()],
        ip_allowlist: vec![from.to_owned()],
        ..NewClient::default()
    };
    let barred = app.client_with(named("barred", "192.0.2.0/24")).await;
    let looker = app.client_with(named("looker", "127.0.0.0/8")).await;
    app.client_with(named("unheard", "192.0.2.0/24")).await;
    let introspect = async || {
        let request = form(&app, "/oauth/introspect", &[("token", "x")]);
        let answer = request.basic_auth(&looker.id, Some(&looker.secret)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    app.advance(8 * DAY);
    assert_ne!(app.token_request(&barred, &[]).send().await.unwrap().status(), 200);
    introspect().await;
    let never = [("client_never_used", "barred"), ("client_never_used", "unheard")];
    assert_eq!(outline(&found(&app, "").await), never, "who asks about tokens gets none, and is used");
    let details = async || {
        let (_, page) = ask(&app, "GET", "review", &Value::Null).await;
        let items = page["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| (item["detail"].to_string(), item["last_used_at"].clone())).collect::<Vec<_>>()
    };
    let said = details().await;
    assert!(said[0].0.contains("mintage client usage barred") && !said[0].1.is_null(), "{said:?}");
    assert!(said[1].0.contains("mintage client delete unheard") && said[1].1.is_null(), "{said:?}");
    app.service.flush().await;
    assert_eq!((outline(&found(&app, "").await), details().await), (never.to_vec(), said), "written, and as before");
    // Nobody has heard of it for long.
    app.advance(91 * DAY);
    introspect().await;
    let said = details().await;
    assert!(said[0].0.contains("mintage client delete barred"), "{said:?}");
    // Once it was let in; now it is not.
    let open = json!({"ip_allowlist": ["127.0.0.0/8"]});
    assert_eq!(ask(&app, "PATCH", "clients/barred", &open).await.0, 200);
    app.token(&barred).await;
    assert_eq!(ask(&app, "PATCH", "clients/barred", &json!({"ip_allowlist": ["192.0.2.0/24"]})).await.0, 200);
    app.advance(91 * DAY);
    assert_ne!(app.token_request(&barred, &[]).send().await.unwrap().status(), 200);
    introspect().await;
    let found = found(&app, "").await;
    assert!(outline(&found).contains(&("client_unused", "barred")), "{found:?}");
    let said = details().await;
    assert!(said[0].0.contains("mintage client usage barred"), "{said:?}");
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(HeaderMap, String)>>>);

impl Heard {
    fn all(&self) -> Vec<(HeaderMap, String)> {
        self.0.lock().unwrap().clone()
    }

    async fn so_many(&self, count: usize) -> Vec<(HeaderMap, String)> {
        for _ in 0..400 {
            if self.all().len() >= count {
                return self.all();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("only {} requests came", self.all().len());
    }
}

/// Refuses the first request.
async fn hear(State(heard): State<Heard>, headers: HeaderMap, body: String) -> StatusCode {
    let mut all = heard.0.lock().unwrap();
    all.push((headers, body));
    if all.len() == 1 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT }
}

#[tokio::test]
async fn the_webhook_is_told_once_signed_and_again_until_it_has_heard() {
    let heard = Heard::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let routes = Router::new().route("/hook", post(hear)).with_state(heard.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let key = STANDARD.encode([7u8; 32]);
    let app = TestApp::builder()
        .config(|config| {
            config.webhook.url = Some(Sensitive::from(url));
            config.webhook.secret = Some(Sensitive::from(format!("whsec_{key}")));
            config.review.every = Span::from_secs(1);
        })
        .start()
        .await;
    let client = app.client_with(NewClient { secret_ttl: Some(3 * DAY), ..NewClient::default() }).await;
    app.token(&client).await;
    let requests = heard.so_many(2).await;
    let (first, second) = (&requests[0], &requests[1]);
    assert_eq!(first.0["webhook-id"], second.0["webhook-id"], "it is the same one, sent again");
    for (headers, body) in &requests[..2] {
        let text = |name: &str| headers[name].to_str().unwrap();
        let signed = format!("{}.{}.{body}", text("webhook-id"), text("webhook-timestamp"));
        let tag = STANDARD.decode(text("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        assert!(HmacKey::sha256(&[7; 32]).verify(signed.as_bytes(), &tag));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["type"], &body["data"]["issuer"]), (&json!("mintage.review"), &json!(app.issuer)));
        let finding = &body["data"]["findings"][0];
        assert_eq!((&finding["kind"], &finding["client_id"]), (&json!("secret_expiring"), &json!(client.id)));
        assert!(!body.to_string().contains(&client.secret));
    }
    // It has been told, and is not told again; a restart forgets nothing.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(heard.all().len(), 2);
    let app = app.restart().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(heard.all().len(), 2);
    // Once more on the last day, and again after a week where it goes on.
    app.advance(2 * DAY + 60);
    let requests = heard.so_many(3).await;
    assert_ne!(requests[2].0["webhook-id"], requests[1].0["webhook-id"]);
    app.advance(DAY);
    let requests = heard.so_many(4).await;
    assert!(requests[3].1.contains("secrets_expired"), "{}", requests[3].1);
    app.advance(7 * DAY);
    assert!(heard.so_many(5).await[4].1.contains("secrets_expired"));
    // The figures are there for whoever watches.
    let metrics = app.get("/metrics", None).await.text().await.unwrap();
    assert!(metrics.lines().any(|line| line == "mintage_clients_without_live_secret 1"), "{metrics}");
    assert!(metrics.lines().any(|line| line == "mintage_secrets_expiring 0"), "{metrics}");
}

/// More than goes into one notice is told in several, each once, and is counted whoever hears it.
#[tokio::test(flavor = "multi_thread")]
async fn many_findings_are_told_notice_by_notice() {
    let app = TestApp::start().await;
    let clients = |n: usize| mintage::api::BulkItem(json!({"client_id": format!("c{n:04}"), "name": "x"}));
    let bulk = mintage::api::BulkClients { clients: (0..720).map(clients).collect() };
    app.service.import_clients(bulk, false, &app.caller()).await.unwrap();
    app.advance(8 * DAY);
    let review = async |tells: bool, only_count: bool| {
        let (mut run, mut sizes, mut told) = (app.service.begin_review(tells), Vec::new(), Vec::new());
        while let Some(notices) = app.service.review_on(&mut run).await.unwrap() {
            assert!(notices.len() <= 6, "no more than a step finds");
            for notice in notices {
                sizes.push(notice.findings.len());
                told.extend(notice.findings.iter().map(|finding| finding.client_id.clone()));
                app.service.told(&notice).await.unwrap();
                if only_count {
                    run.only_count();
                    break;
                }
            }
        }
        let found = app.get("/metrics", None).await.text().await.unwrap();
        assert!(found.lines().any(|line| line == "mintage_clients_never_used 720"), "{found}");
        told.sort();
        (sizes, told)
    };
    assert_eq!(review(false, false).await, (vec![], vec![]));
    let (sizes, first) = review(true, true).await;
    assert_eq!(sizes, [100], "nobody heard the others");
    let (sizes, others) = review(true, false).await;
    assert_eq!(sizes, [100, 100, 100, 100, 100, 100, 20]);
    assert!(first.iter().all(|one| !others.contains(one)));
    assert_eq!(review(true, false).await.0, [0; 0], "all were told");
    app.advance(31 * DAY);
    assert_eq!(review(true, false).await.1.len(), 720, "again, and what was told before is forgotten");
}

#[tokio::test]
async fn a_webhook_is_configured_with_a_secret_that_is_one() {
    for (url, secret) in [
        ("http://127.0.0.1:9/x", None),
        ("http://127.0.0.1:9/x", Some("short")),
        ("http://127.0.0.1:9/x", Some("whsec_***")),
        ("ftp://example.com", Some("whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = mintage::server::config::Config { listen: ([127, 0, 0, 1], 0).into(), ..Default::default() };
        config.store.url = format!("redb:{}", dir.path().join("s/m.redb").display());
        config.keys.dir = dir.path().join("keys");
        config.admin.socket = dir.path().join("s/a.sock");
        config.webhook.url = Some(Sensitive::from(url.to_owned()));
        config.webhook.secret = secret.map(|secret| Sensitive::from(secret.to_owned()));
        let error = mintage::server::Server::start(&config, mintage::server::Parts::default(), false).await;
        let error = error.expect_err("it is refused").to_string();
        assert!(error.contains("webhook."), "{error}");
        if let Some(secret) = secret {
            assert!(!error.contains(secret), "{error}");
        }
        assert!(!config.to_toml().contains("MDAwMD"), "it is shown as redacted");
    }
}
