//! What is said of a token is what a guarded route decides about it, and a refusal is found by its name.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use mintage::api;
use mintage::reason::Reason;
use mintage::resource::{Explanation, Guard, Outcome, RequireScopes};
use mintage::secret::Environment;
use mintage::source_ip::Allowlist;
use serde_json::Value;

use crate::app::TestApp;

const ORDERS: &str = "https://orders.example";

/// What `guard` decides, and what it says it would: the two agree, and the first check that failed is the reason.
fn agreed(app: &TestApp, guard: &Guard, token: &str, from: &str) -> (Option<Reason>, Explanation) {
    let from: IpAddr = from.parse().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    let decided = guard.decide(&"/".parse().unwrap(), &headers, Some(from)).err().map(|refused| refused.reason());
    let explained = guard.explain(token, Some(from), app.now());
    assert_eq!(explained.reason, decided, "{:#?}", explained.checks);
    assert_eq!(explained.let_through, decided.is_none());
    assert_eq!(explained.status, decided.map_or(200, |reason| reason.status().as_u16()));
    assert_eq!(explained.checks.iter().any(|check| check.outcome == Outcome::Failed), decided.is_some());
    (decided, explained)
}

fn failed(explained: &Explanation) -> Vec<&str> {
    explained.checks.iter().filter(|check| check.outcome == Outcome::Failed).map(|check| check.check).collect()
}

#[tokio::test]
async fn what_is_said_of_a_token_is_what_is_decided() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read", "orders:write"]).await;
    app.api("https://stock.example", &["stock:read"]).await;
    let client = app.client(&["orders:read", "stock:read"]).await;
    let near = app
        .client_with(api::NewClient {
            scopes: vec!["orders:read".to_owned()],
            ip_allowlist: vec!["127.0.0.0/8".to_owned()],
            environment: Environment::Test,
            ..Default::default()
        })
        .await;
    let orders = async |client| {
        let answer = app.token_answer(client, &[("resource", ORDERS)]).await;
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let good = orders(&client).await;
    let tested = orders(&near).await;
    let stock = app.token_answer(&client, &[("resource", "https://stock.example")]).await;
    let stock = stock["access_token"].as_str().unwrap();
    let base = Guard::new(Arc::clone(app.service.verifier())).audience(ORDERS);
    let read = base.clone().scopes(RequireScopes::all(["orders:read"]).unwrap());
    let write = base.clone().scopes(RequireScopes::all(["orders:write"]).unwrap());
    let live = read.clone().environment("live");
    let inside = read.clone().allowlist(Allowlist::parse(["10.0.0.0/8"]).unwrap());
    let forged = format!("{}A{}", &good[..good.len() - 30], &good[good.len() - 29..]);
    for (guard, token, from, reason, check) in [
        (&read, good.as_str(), "192.0.2.1", None, None),
        (&base, stock, "192.0.2.1", Some(Reason::TokenInvalid), Some("audience")),
        (&write, &good, "192.0.2.1", Some(Reason::InsufficientScope), Some("scope")),
        (&live, &good, "192.0.2.1", None, None),
        (&live, &tested, "127.0.0.1", Some(Reason::WrongEnvironment), Some("environment")),
        (&read, &tested, "127.0.0.1", None, None),
        (&read, &tested, "::ffff:127.9.9.9", None, None),
        (&read, &tested, "192.0.2.1", Some(Reason::IpNotAllowed), Some("address")),
        (&inside, &good, "10.1.2.3", None, None),
        (&inside, &good, "11.1.2.3", Some(Reason::IpNotAllowed), Some("address")),
        (&inside, &tested, "127.0.0.1", Some(Reason::IpNotAllowed), Some("address")),
        (&read, &forged, "192.0.2.1", Some(Reason::TokenInvalid), Some("signature")),
        (&read, "abc", "192.0.2.1", Some(Reason::TokenInvalid), Some("format")),
        (&read, "e30.e30.e30", "192.0.2.1", Some(Reason::TokenInvalid), Some("header")),
    ] {
        let (decided, explained) = agreed(&app, guard, token, from);
        assert_eq!(decided, reason);
        assert_eq!(failed(&explained).first().copied(), check);
    }
    // Several at once: all are named, the first is the reason.
    let (_, explained) = agreed(&app, &write.clone().environment("live"), &tested, "192.0.2.1");
    assert_eq!(failed(&explained), ["address", "environment", "scope"]);

    let caller = app.caller();
    app.service.set_client_status(&near.id, api::ClientStatus::Disabled, "client.revoke", &caller).await.unwrap();
    let (decided, explained) = agreed(&app, &read, &tested, "127.0.0.1");
    assert_eq!((decided, failed(&explained)), (Some(Reason::TokenRevoked), vec!["revocation"]));
    app.advance(3630);
    let (decided, explained) = agreed(&app, &read, &good, "192.0.2.1");
    assert_eq!((decided, failed(&explained)), (Some(Reason::TokenExpired), vec!["times"]));
    let kid = app.service.list_keys().items.iter().find(|key| key.state == api::KeyState::Active).unwrap().kid.clone();
    let fresh = orders(&client).await;
    app.service.revoke_key(&kid, &app.caller()).await.unwrap();
    let (decided, explained) = agreed(&app, &read, &fresh, "192.0.2.1");
    assert_eq!((decided, failed(&explained)), (Some(Reason::TokenRevoked), vec!["key"]));
}

#[tokio::test]
async fn another_time_and_no_address_can_be_looked_at() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read"]).await;
    let client = app
        .client_with(api::NewClient {
            scopes: vec!["orders:read".to_owned()],
            ip_allowlist: vec!["127.0.0.1".to_owned()],
            ..Default::default()
        })
        .await;
    let token = app.token(&client).await;
    let ask = |scopes: &[&str], at: Option<i64>| api::ExplainToken {
        token: token.clone(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        audience: None,
        environment: None,
        from: None,
        at: at.map(|seconds| {
            mintage::clock::Rfc3339(mintage::clock::UnixTime::from_seconds(app.now().seconds() + seconds))
        }),
    };
    let explained = app.service.explain_token(&ask(&["orders:read"], None)).unwrap();
    assert!(explained.let_through);
    let address = explained.checks.iter().find(|check| check.check == "address").unwrap();
    assert_eq!(address.outcome, Outcome::Skipped);
    assert!(address.detail.contains("127.0.0.1/32"), "{}", address.detail);
    for (at, reason) in
        [(3629, None), (3630, Some(Reason::TokenExpired)), (-30, None), (-31, Some(Reason::TokenInvalid))]
    {
        assert_eq!(app.service.explain_token(&ask(&[], Some(at))).unwrap().reason, reason, "at {at}");
    }
    assert!(app.service.explain_token(&ask(&["orders:red"], None)).unwrap_err().detail().contains("orders:read?"));
}

#[tokio::test]
async fn a_refusal_is_found_by_its_name() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    let name = async |response: reqwest::Response| {
        let body: Value = response.json().await.unwrap();
        body["request_id"].as_str().unwrap().to_owned()
    };
    let wrong = crate::app::TestClient { secret: "wrong".to_owned(), ..client.clone() };
    let nobody = crate::app::TestClient { id: "nobody".to_owned(), ..client.clone() };
    let basic = |client: &crate::app::TestClient, path: &str| {
        app.http
            .post(app.url(path))
            .basic_auth(&client.id, Some(&client.secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("token=x")
    };
    let in_body = app.http.get(app.url("/api/v1/whoami")).bearer_auth(&token);
    let in_body = in_body.header("content-type", "application/x-www-form-urlencoded").body("access_token=x");
    let cases = [
        (name(app.token_request(&wrong, &[]).send().await.unwrap()).await, "invalid_client", Some("wrong_secret")),
        (name(app.token_request(&nobody, &[]).send().await.unwrap()).await, "invalid_client", Some("unknown_client")),
        (name(basic(&wrong, "/oauth/introspect").send().await.unwrap()).await, "invalid_client", Some("wrong_secret")),
        (name(basic(&wrong, "/oauth/revoke").send().await.unwrap()).await, "invalid_client", Some("wrong_secret")),
        (name(app.get("/api/v1/projects", Some(&token)).await).await, "insufficient_scope", None),
        (name(app.get("/api/v1/whoami", None).await).await, "no_credentials", None),
        (name(in_body.send().await.unwrap()).await, "malformed_request", None),
        (name(app.get("/forward-auth?scope=mintage:keys:read", Some(&token)).await).await, "insufficient_scope", None),
    ];
    // Before it is written, after it, and after a restart.
    for round in 0..2 {
        for (request_id, reason, cause) in &cases {
            let found = app.service.explain_refusal(request_id).await.unwrap();
            assert_eq!((found.reason.as_str(), found.cause.as_deref()), (*reason, *cause), "round {round}");
            assert_eq!(found.source_address.as_deref(), Some("127.0.0.1"));
        }
        app.service.flush().await;
    }
    let found = app.service.explain_refusal(&cases[4].0).await.unwrap();
    assert_eq!(found.client_id.as_deref(), Some(client.id.as_str()));
    assert!(found.detail.unwrap().contains("mintage:projects:read"));
    let app = app.restart().await;
    assert_eq!(app.service.explain_refusal(&cases[1].0).await.unwrap().cause.as_deref(), Some("unknown_client"));
    assert!(app.service.explain_refusal("r_0000000000000000000000").await.is_err());
}

/// The operator is told what the caller was told, and who it was; but never what a stranger may have pasted.
#[tokio::test]
async fn a_refusal_keeps_our_own_words_and_the_client() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read"]).await;
    let client = app.client(&[]).await;
    for (scope, kept) in [("orders:read", Some("orders:read")), ("mtg_cs_live_pasted", None)] {
        let response = app.token_request(&client, &[("scope", scope)]).send().await.unwrap();
        let body: Value = response.json().await.unwrap();
        assert!(body["error_description"].as_str().unwrap().contains(scope));
        let found = app.service.explain_refusal(body["request_id"].as_str().unwrap()).await.unwrap();
        assert_eq!(found.client_id.as_deref(), Some(client.id.as_str()));
        assert_eq!(found.detail.is_some(), kept.is_some());
        assert!(found.detail.is_none_or(|detail| detail.contains(kept.unwrap())));
    }
    let response = app.get("/forward-auth?scope=orders:red", None).await;
    let body: Value = response.json().await.unwrap();
    let found = app.service.explain_refusal(body["request_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(found.detail.as_deref(), body["detail"].as_str());
    assert!(found.detail.unwrap().contains("did you mean orders:read?"));
}

/// People paste secrets where names belong.
#[tokio::test]
async fn what_a_stranger_sent_is_neither_kept_nor_logged() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    let client = app.client(&["orders:read"]).await;
    let pasted = "mtg_cs_live_pasted";
    let token = app.token(&client).await;
    let mut named = Vec::new();
    for form in [
        ("resource", format!("https://orders.example client_secret={pasted}")),
        ("resource", pasted.to_owned()),
        ("scope", format!("orders:read {pasted}")),
        ("audience", format!("no scope of {pasted}")),
    ] {
        let answer = app.token_request(&client, &[(form.0, &form.1)]).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{form:?}");
        named.push(answer.json::<Value>().await.unwrap());
    }
    for query in
        [format!("scope={pasted}"), format!("audience={pasted}"), format!("scope=orders:read&audience={pasted}")]
    {
        for credential in [None, Some(token.as_str())] {
            let answer = app.get(&format!("/forward-auth?{query}"), credential).await;
            assert!(answer.status().is_client_error(), "{query}");
            named.push(answer.json::<Value>().await.unwrap());
        }
    }
    app.service.flush().await;
    for answer in named {
        let found = app.service.explain_refusal(answer["request_id"].as_str().unwrap()).await.unwrap();
        let found = serde_json::to_string(&found).unwrap();
        assert!(!found.contains("pasted"), "{found}");
    }
    // What is registered is named, as ever.
    let answer = app.token_request(&client, &[("resource", "https://orders.example"), ("scope", "mintage:keys:read")]);
    let answer: Value = answer.send().await.unwrap().json().await.unwrap();
    app.service.flush().await;
    let found = app.service.explain_refusal(answer["request_id"].as_str().unwrap()).await.unwrap();
    assert!(found.detail.unwrap().contains("mintage:keys:read"));
}

/// Whatever an API key is refused for, the record names it; what is no key of ours is nobody's.
#[tokio::test]
async fn the_refusal_of_an_api_key_names_it() {
    use crate::api_keys::{key, key_with};
    use crate::client_changes::ask;
    use serde_json::json;
    let app = crate::api_keys::site().await;
    app.api("urn:example:other", &["other:read"]).await;
    let members = |more: Value| {
        let mut members = json!({ "scopes": ["orders:read", "mintage:projects:read"] });
        members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        members
    };
    let good = key_with(&app, members(json!({}))).await;
    let (ended, revoked) =
        (key_with(&app, members(json!({ "ttl": 60 }))).await, key_with(&app, members(json!({}))).await);
    let (replaced, deleted) = (key_with(&app, members(json!({}))).await, key_with(&app, members(json!({}))).await);
    let away = key_with(&app, members(json!({ "ip_allowlist": ["192.0.2.0/24"] }))).await;
    let orders = key(&app).await;
    app.advance(60);
    done(ask(&app, "POST", &format!("api-keys/{}/revoke", revoked.id), &json!({})).await);
    done(ask(&app, "POST", &format!("api-keys/{}/rotate", replaced.id), &json!({})).await);
    assert_eq!(ask(&app, "DELETE", &format!("api-keys/{}", deleted.id), &Value::Null).await.0, 204);
    let stranger = key(&crate::api_keys::site().await).await;
    let (scope, other) = ("/forward-auth?scope=orders:read", "/forward-auth?scope=other:read");
    let (write, route) = ("/forward-auth?scope=orders:write", "/api/v1/projects");
    for (path, key, reason, named) in [
        (scope, &ended, "token_expired", true),
        (route, &ended, "token_expired", true),
        (scope, &revoked, "token_revoked", true),
        (route, &revoked, "token_revoked", true),
        (scope, &replaced, "token_revoked", true),
        (route, &replaced, "token_revoked", true),
        (scope, &away, "ip_not_allowed", true),
        (route, &away, "ip_not_allowed", true),
        (other, &good, "insufficient_scope", true),
        (route, &orders, "insufficient_scope", true),
        (write, &good, "insufficient_scope", true),
        ("/api/v1/clients", &good, "insufficient_scope", true),
        (scope, &deleted, "token_invalid", false),
        (route, &stranger, "token_invalid", false),
    ] {
        let body: Value = app.get(path, Some(&key.key)).await.json().await.unwrap();
        assert_eq!(body["reason"], reason, "{path}: {body}");
        let found = app.service.explain_refusal(body["request_id"].as_str().unwrap()).await.unwrap();
        assert_eq!(found.client_id.as_deref(), named.then_some(key.id.as_str()), "{path} {reason}");
        assert_eq!((found.cause, found.public_key), (None, None), "the caller was told");
    }
    // A token is known by its signature, too, although it is for somebody else, or has expired.
    let client = app.client(&["orders:read"]).await;
    let token = app.token(&client).await;
    for reason in ["token_invalid", "token_expired"] {
        let path = if reason == "token_expired" { scope } else { other };
        let body: Value = app.get(path, Some(&token)).await.json().await.unwrap();
        assert_eq!(body["reason"], reason, "{body}");
        let found = app.service.explain_refusal(body["request_id"].as_str().unwrap()).await.unwrap();
        assert_eq!(found.client_id.as_deref(), Some(client.id.as_str()));
        app.advance(3700);
    }
}

fn done((status, answer): (u16, Value)) {
    assert!(matches!(status, 200 | 201), "{status} {answer}");
}
