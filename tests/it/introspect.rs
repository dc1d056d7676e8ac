//! `POST /oauth/introspect` (RFC 7662), as section 2.4 of the contract has it.

use mintage::api::{ApiPatch, ClientStatus, NewClient};
use mintage::jose::CompactJws;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient, encode, header};
use crate::forged::{Forged, about, form, refused, whole};

const PATH: &str = "/oauth/introspect";
const ORDERS: &str = "https://orders.example";
const STOCK: &str = "urn:example:stock";
const INACTIVE: &str = "{\"active\":false}";

/// A service with two APIs, and a client that may introspect all of its organization's tokens.
async fn with_holder() -> (TestApp, TestClient) {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read", "orders:write"]).await;
    app.api(STOCK, &["stock:read"]).await;
    let holder = app.client(&["mintage:tokens:introspect"]).await;
    (app, holder)
}

/// A client that holds nothing, and introspects for these APIs.
async fn introspector(app: &TestApp, apis: &[&str]) -> TestClient {
    let client = app.client(&[]).await;
    for api in apis {
        let mut introspectors = app.service.api(api, &app.caller()).unwrap().value.introspectors;
        introspectors.push(client.id.clone());
        let patch = ApiPatch { introspectors: Some(introspectors), ..ApiPatch::default() };
        app.service.update_api(api, &patch, &app.caller()).await.unwrap();
    }
    client
}

/// What is said of a token: the body, byte for byte.
async fn told(app: &TestApp, caller: &TestClient, token: &str) -> String {
    let response = about(app, PATH, caller, token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(header(&response, "pragma"), Some("no-cache"));
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    response.text().await.unwrap()
}

async fn active(app: &TestApp, caller: &TestClient, token: &str) -> Value {
    let body: Value = serde_json::from_str(&told(app, caller, token).await).unwrap();
    assert_eq!(body["active"], true);
    body
}

async fn token_for(app: &TestApp, client: &TestClient, scope: &str) -> String {
    app.token_answer(client, &[("scope", scope)]).await["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_does_not_authenticate_is_told_nothing() {
    let (app, holder) = with_holder().await;
    let token = app.token(&holder).await;
    let other = TestClient { secret: app.client(&[]).await.secret, ..holder.clone() };
    let unknown = TestClient { id: "c_unknown".to_owned(), ..holder.clone() };
    let disabled = app.client(&["mintage:tokens:introspect"]).await;
    active(&app, &disabled, &token).await;
    let (status, caller) = (ClientStatus::Disabled, app.caller());
    app.service.set_client_status(&disabled.id, status, "client.disable", &caller).await.unwrap();
    let mut answers = Vec::new();
    for caller in [&other, &unknown, &disabled] {
        let mut body = refused(about(&app, PATH, caller, &token), 401, "invalid_client", "invalid_client").await;
        body["request_id"].take();
        answers.push(body);
        let (id, secret) = (caller.id.as_str(), caller.secret.as_str());
        let posted = form(&app, PATH, &[("client_id", id), ("client_secret", secret), ("token", &token)]);
        refused(posted, 401, "invalid_client", "invalid_client").await;
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let nobody = [
        form(&app, PATH, &[("token", &token)]),
        form(&app, PATH, &[("token", &token), ("client_id", &holder.id)]),
        form(&app, PATH, &[("token", &token), ("client_secret", &holder.secret)]),
        form(&app, PATH, &[("token", &token)]).header(AUTHORIZATION, format!("Bearer {token}")),
    ];
    for request in nobody {
        let body = refused(request, 401, "invalid_client", "invalid_client").await;
        assert!(!body.to_string().contains(&token), "{body}");
    }
}

#[tokio::test]
async fn a_caller_off_its_allowlist_is_told_why() {
    let (app, holder) = with_holder().await;
    let token = app.token(&holder).await;
    let named = |entry: &str| NewClient {
        scopes: vec!["mintage:tokens:introspect".to_owned()],
        ip_allowlist: vec![entry.to_owned()],
        ..NewClient::default()
    };
    let (near, far) = (app.client_with(named("127.0.0.0/8")).await, app.client_with(named("10.0.0.0/8")).await);
    active(&app, &near, &token).await;
    let body = refused(about(&app, PATH, &far, &token), 403, "access_denied", "ip_not_allowed").await;
    assert!(body["error_description"].as_str().unwrap().contains("127.0.0.1"), "{body}");
    let spoofed = about(&app, PATH, &far, &token).header("x-forwarded-for", "10.0.0.1");
    refused(spoofed, 403, "access_denied", "ip_not_allowed").await;
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_refused() {
    let (app, holder) = with_holder().await;
    let token = app.token(&holder).await;
    let (id, secret) = (holder.id.as_str(), holder.secret.as_str());
    let posted = form(&app, PATH, &[("token", &token), ("client_id", id), ("client_secret", secret)]);
    let posted: Value = posted.send().await.unwrap().json().await.unwrap();
    assert_eq!(posted["active"], true);
    for hint in ["access_token", "refresh_token", "something", ""] {
        let hinted = form(&app, PATH, &[("token_type_hint", hint), ("token", &token), ("unknown", "1")]);
        let hinted: Value = hinted.basic_auth(id, Some(secret)).send().await.unwrap().json().await.unwrap();
        assert_eq!(hinted["active"], true, "{hint}");
    }
    let by = |parameters: &[(&str, &str)]| form(&app, PATH, parameters).basic_auth(id, Some(secret));
    let query = |query: &str| {
        let request = app.http.post(app.url(&format!("{PATH}?{query}"))).basic_auth(id, Some(secret));
        request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(encode(&[("token", &token)]))
    };
    let in_json = app.http.post(app.url(PATH)).basic_auth(id, Some(secret));
    let bad = [
        by(&[]),
        by(&[("token", "")]),
        by(&[("Token", &token)]),
        by(&[("token", &token), ("token", &token)]),
        by(&[("token", &token), ("token", "other")]),
        by(&[("token", &token), ("token_type_hint", "a"), ("token_type_hint", "a")]),
        by(&[("token", &token), ("client_secret", secret)]),
        by(&[("token", &token), ("client_id", "other")]),
        by(&[("token", &token)]).basic_auth(id, Some(secret)),
        by(&[("token", &token)]).body(vec![b't', b'=', 0xff]),
        query(&encode(&[("token", &token)])),
        query("token="),
        query(&encode(&[("client_secret", secret)])),
        in_json.header(CONTENT_TYPE, "application/json").body(json!({ "token": token }).to_string()),
    ];
    for (number, request) in bad.into_iter().enumerate() {
        let body = refused(request, 400, "invalid_request", "malformed_request").await.to_string();
        assert!(!body.contains(&token) && !body.contains(secret), "{number}: {body}");
    }
    assert_eq!(by(&[("token", &"x".repeat(25 * 1024))]).send().await.unwrap().status(), 413);
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let url = app.url(&format!("{PATH}?{}", encode(&[("token", &token)])));
        let request = app.http.request(method.parse().unwrap(), url).basic_auth(id, Some(secret));
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, Some("POST")), "{method}");
        assert_eq!(header(&response, "cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn all_that_is_said_of_a_good_token() {
    let (app, holder) = with_holder().await;
    let client = app
        .client_with(NewClient {
            scopes: vec!["orders:read".to_owned(), "orders:write".to_owned(), "stock:read".to_owned()],
            ip_allowlist: vec!["127.0.0.0/8".to_owned(), "2001:db8::/32".to_owned()],
            ..NewClient::default()
        })
        .await;
    let token = app.token(&client).await;
    let claims = crate::app::claims(&token);
    let now = app.now().seconds();
    app.advance(10);
    let expected = json!({
        "active": true, "scope": "orders:read orders:write stock:read", "client_id": client.id,
        "token_type": "Bearer", "exp": now + 3600, "iat": now, "nbf": now, "sub": client.id,
        "aud": [ORDERS, STOCK], "iss": app.issuer, "jti": claims["jti"], "org": "default",
        "project": "default", "env": "live", "ip_allowlist": ["127.0.0.0/8", "2001:db8::/32"],
    });
    assert_eq!(active(&app, &holder, &token).await, expected);
    // The generation is the feed's business; who knows it can tell which secret was used.
    assert!(!told(&app, &holder, &token).await.contains(claims["gen"].as_str().unwrap()));
    let one = active(&app, &holder, &token_for(&app, &client, "stock:read").await).await;
    assert_eq!((&one["aud"], &one["scope"]), (&json!(STOCK), &json!("stock:read")));
    // Without scopes there is nothing to say of them: an empty string is no scope (RFC 6749 §3.3).
    let bare = active(&app, &holder, &app.token(&app.client(&[]).await).await).await;
    assert_eq!((bare.get("scope"), bare.get("ip_allowlist"), &bare["aud"]), (None, None, &json!(app.issuer)));
    // Its own token and one for our routes are among the organization's.
    let own = active(&app, &holder, &app.token(&holder).await).await;
    assert_eq!((&own["scope"], &own["aud"]), (&json!("mintage:tokens:introspect"), &json!(app.issuer)));
}

#[tokio::test]
async fn a_token_is_active_as_long_as_the_routes_take_it() {
    let (app, holder) = with_holder().await;
    let token = app.token(&holder).await;
    for (seconds, good) in [(3599, true), (1, true), (29, true), (1, false), (100_000, false)] {
        app.advance(seconds);
        assert_eq!(told(&app, &holder, &token).await != INACTIVE, good, "{seconds}");
        assert_eq!(app.get("/api/v1/whoami", Some(&token)).await.status() == 200, good, "{seconds}");
    }
    let mut early = Forged { nbf: app.now().seconds() + 31, ..Forged::of(&app, &holder, "early") };
    early.exp = early.nbf + 3600;
    assert_eq!(told(&app, &holder, &early.sign(&app)).await, INACTIVE);
    early.nbf -= 1;
    active(&app, &holder, &early.sign(&app)).await;
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_the_same() {
    let (app, holder) = with_holder().await;
    let (gateway, nobody) = (introspector(&app, &[ORDERS]).await, app.client(&["orders:read"]).await);
    let client = || app.client(&["orders:read"]);
    let (one, cut, by_key) = (client().await, client().await, client().await);
    let expired = app.token(&one).await;
    app.advance(3630);
    let by_jti = app.token(&one).await;
    let (by_client, fine) = (app.token(&cut).await, app.token(&one).await);
    let forged = Forged::of(&app, &one, "AAAAAAAAAAAAAAAAAAAAAA");
    let sign = |change: &dyn Fn(&mut Forged)| {
        let mut token = Forged { aud: vec![ORDERS.to_owned()], scope: "orders:read".to_owned(), ..forged.clone() };
        change(&mut token);
        token.sign(&app)
    };
    let good = sign(&|_| {});
    for caller in [&holder, &gateway] {
        for token in [&by_jti, &by_client, &fine, &good] {
            active(&app, caller, token).await;
        }
    }
    assert_eq!(about(&app, "/oauth/revoke", &one, &by_jti).send().await.unwrap().status(), 200);
    let (status, caller) = (ClientStatus::Disabled, app.caller());
    app.service.set_client_status(&cut.id, status, "client.revoke", &caller).await.unwrap();
    let parts: Vec<&str> = fine.split('.').collect();
    let mut dead = vec![
        "x".to_owned(),
        "a.b.c".to_owned(),
        holder.secret.clone(),
        "x".repeat(15_000),
        format!("{fine}x"),
        format!(" {fine}"),
        format!("Bearer {fine}"),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], good.rsplit_once('.').unwrap().1),
        expired,
        by_jti,
        by_client,
        sign(&|token| token.org = "other".to_owned()),
        sign(&|token| token.iss.push('/')),
        sign(&|token| token.jti.clear()),
        sign(&|token| token.exp = token.nbf - 3600),
    ];
    let ask = |caller: &TestClient, token: &str| {
        let request = about(&app, PATH, caller, token);
        async move { whole(request.send().await.unwrap()).await }
    };
    let like = ask(&holder, &dead[0]).await;
    assert_eq!((like.0, like.2.as_str()), (200, INACTIVE));
    for token in &dead {
        for caller in [&holder, &gateway, &nobody] {
            assert_eq!(ask(caller, token).await, like, "{token}");
        }
    }
    // Neither may a stranger know of a good one, not even of its own.
    for token in [&fine, &good, &app.token(&nobody).await] {
        assert_eq!(ask(&nobody, token).await, like);
    }
    let signed = app.token(&by_key).await;
    active(&app, &gateway, &signed).await;
    let kid = CompactJws::parse(&signed).unwrap().header["kid"].as_str().unwrap().to_owned();
    app.service.revoke_key(&kid, &app.caller()).await.unwrap();
    dead.extend([signed, fine]);
    for token in &dead {
        assert_eq!(ask(&holder, token).await, like, "{token}");
    }
    active(&app, &holder, &app.token(&by_key).await).await;
}

#[tokio::test]
async fn an_introspector_learns_of_its_own_apis_alone() {
    let (app, holder) = with_holder().await;
    let (of_orders, of_stock) = (introspector(&app, &[ORDERS]).await, introspector(&app, &[STOCK]).await);
    let of_both = introspector(&app, &[ORDERS, STOCK]).await;
    let client = app.client(&["orders:read", "orders:write", "stock:read", "mintage:projects:read"]).await;
    let both = token_for(&app, &client, "orders:read orders:write stock:read mintage:projects:read").await;
    for (caller, aud, scope, hidden) in [
        (&of_orders, json!(ORDERS), "orders:read orders:write", &[STOCK, "stock", "mintage:"][..]),
        (&of_stock, json!(STOCK), "stock:read", &[ORDERS, "orders", "mintage:"]),
        (&of_both, json!([ORDERS, STOCK]), "orders:read orders:write stock:read", &["mintage:"]),
        (&holder, json!([app.issuer, ORDERS, STOCK]), "mintage:projects:read orders:read orders:write stock:read", &[]),
    ] {
        let body = active(&app, caller, &both).await;
        let mut seen = body["aud"].clone();
        if let Some(several) = seen.as_array_mut() {
            several.sort_by_key(|one| (one != &json!(app.issuer), one.to_string()));
        }
        assert_eq!((&seen, &body["scope"]), (&aud, &json!(scope)));
        for text in hidden {
            assert!(!body.to_string().contains(text), "{text}: {body}");
        }
    }
    for (scope, knows, not) in [("orders:read", &of_orders, &of_stock), ("stock:read", &of_stock, &of_orders)] {
        let token = token_for(&app, &client, scope).await;
        assert_eq!(active(&app, knows, &token).await["scope"], scope);
        assert_eq!(told(&app, not, &token).await, INACTIVE, "{scope}");
    }
    let ours = token_for(&app, &client, "mintage:projects:read").await;
    for caller in [&of_orders, &of_both] {
        assert_eq!(told(&app, caller, &ours).await, INACTIVE);
    }
    // The audience decides, not a scope that stands in a token for somebody else; and it is compared byte for byte.
    let forged = |aud: &[&str], scope: &str| {
        let aud = aud.iter().map(|one| (*one).to_owned()).collect();
        Forged { aud, scope: scope.to_owned(), ..Forged::of(&app, &client, "forged") }.sign(&app)
    };
    for aud in [&[STOCK][..], &["https://orders.example/"], &["https://orders.exampl"], &["HTTPS://orders.example"]] {
        assert_eq!(told(&app, &of_orders, &forged(aud, "orders:read stock:read")).await, INACTIVE, "{aud:?}");
    }
    let foreign = active(&app, &of_orders, &forged(&[STOCK, ORDERS, ORDERS], "stock:read orders:delete")).await;
    assert!(foreign.get("scope").is_none() && !foreign.to_string().contains("stock"), "{foreign}");
}

#[tokio::test]
async fn the_right_to_introspect_is_read_at_each_request() {
    let (app, holder) = with_holder().await;
    let gateway = introspector(&app, &[ORDERS]).await;
    let client = app.client(&["orders:read"]).await;
    let token = app.token(&client).await;
    for caller in [&holder, &gateway] {
        active(&app, caller, &token).await;
    }
    let patch = mintage::api::ClientPatch { scopes: Some(Vec::new()), ..Default::default() };
    app.service.update_client(&holder.id, &patch, false, &app.caller()).await.unwrap();
    let patch = ApiPatch { introspectors: Some(Vec::new()), ..ApiPatch::default() };
    app.service.update_api(ORDERS, &patch, &app.caller()).await.unwrap();
    for caller in [&holder, &gateway] {
        assert_eq!(told(&app, caller, &token).await, INACTIVE);
    }
    // To ask about one's tokens is no right to revoke them, nor the other way round.
    let revoker = app.client(&["mintage:tokens:revoke"]).await;
    assert_eq!(told(&app, &revoker, &token).await, INACTIVE);
}
