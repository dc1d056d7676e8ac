//! The guards of the configuration: which rule covers a request, and what it needs.

use std::net::Ipv4Addr;

use figment::providers::Format;
use mintage::api;
use mintage::secret::Environment;
use mintage::server::config::Config;
use serde_json::Value;

use crate::app::{TestApp, TestClient};
use crate::raw::{Answer, send, send_from};

pub const SETS: [&str; 3] = ["envoy", "x-forwarded", "x-original"];

/// A service with the guards of this TOML, that trusts 127.0.0.1 and knows two APIs.
pub async fn start(guards: &str) -> TestApp {
    let text = format!("network.trusted_proxies = [\"127.0.0.1\"]\n{guards}");
    let read: Config = figment::Figment::from(figment::providers::Toml::string(&text)).extract().unwrap();
    let change = |config: &mut Config| {
        (config.guard, config.network, config.issuer) = (read.guard, read.network, read.issuer);
    };
    let app = TestApp::builder().config(change).start().await;
    app.api("https://orders.example", &["orders:read", "orders:write"]).await;
    app.api("urn:example:billing", &["billing:read"]).await;
    app
}

/// One guard for each set of headers, with these rules.
pub async fn start_sets(rules: &str) -> TestApp {
    let guard = |set: &str| format!("[[guard]]\nname = \"{set}\"\nrequest = \"{set}\"\n{rules}\n");
    start(&SETS.map(guard).concat()).await
}

/// What the proxy of a set asks about a request, with these further lines.
pub fn question(set: &str, method: &str, path: &[u8], lines: &[&str]) -> Vec<u8> {
    let names = match set {
        "envoy" => None,
        "x-forwarded" => Some(("X-Forwarded-Method", "X-Forwarded-Uri")),
        _ => Some(("X-Original-Method", "X-Original-URI")),
    };
    let mut request = match names {
        None => [format!("{method} /forward-auth/g/{set}").as_bytes(), path, b" HTTP/1.1\r\n"].concat(),
        Some((method_name, path_name)) => {
            let first = format!("GET /forward-auth/g/{set} HTTP/1.1\r\n{method_name}: {method}\r\n{path_name}: ");
            [first.as_bytes(), path, b"\r\n"].concat()
        }
    };
    request.extend(b"Host: auth.example\r\n");
    for line in lines {
        request.extend(format!("{line}\r\n").into_bytes());
    }
    request.extend(b"\r\n");
    request
}

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

async fn ask(app: &TestApp, set: &str, method: &str, path: &str, token: &str) -> Answer {
    send(&app.base, question(set, method, path.as_bytes(), &[&bearer(token)])).await
}

pub async fn token(app: &TestApp, scopes: &[&str]) -> String {
    app.token(&app.client(scopes).await).await
}

async fn test_token(app: &TestApp, scopes: &[&str]) -> String {
    let scopes = scopes.iter().map(|s| (*s).to_owned()).collect();
    let new = api::NewClient { scopes, environment: Environment::Test, ..api::NewClient::default() };
    app.token(&app.client_with(new).await).await
}

const RULES: &str = r#"
    rule = [
        { methods = ["GET"], path = "/orders", scopes = ["orders:read"] },
        { methods = ["POST"], path = "/orders", scopes = ["orders:write"] },
        { path = "/orders/{id}", scopes = ["orders:write"] },
        { methods = ["GET", "PATCH"], path = "/orders/{id}", scopes = ["orders:read"] },
        { path = "/orders/latest", scopes = ["orders:read"] },
        { path = "/orders/{id}/lines/{line}", scopes = ["orders:read"] },
        { path = "/files/{*rest}", scopes = ["orders:read"] },
        { path = "/files/secret", scopes = ["orders:write"] },
        { path = "/both", scopes = ["orders:read", "orders:write"] },
        { path = "/billing", scopes = ["billing:read"] },
        { path = "/audience", audience = "urn:example:billing" },
        { methods = ["BREW"], path = "/pot", scopes = ["orders:read"] },
        { methods = ["HEAD"], path = "/head", scopes = ["orders:read"] },
        { methods = ["GET"], path = "/", scopes = ["orders:read"] },
        { path = "/café", scopes = ["orders:read"] },
    ]
"#;

#[tokio::test]
async fn the_rule_for_method_and_path_says_what_is_needed() {
    let app = start_sets(RULES).await;
    let (reader, writer) = (token(&app, &["orders:read"]).await, token(&app, &["orders:write"]).await);
    let (both, billing) = (token(&app, &["orders:read", "orders:write"]).await, token(&app, &["billing:read"]).await);
    let (good, scope, rule) = ((200, ""), (403, "insufficient_scope"), (403, "no_rule_matches"));
    let invalid = (401, "token_invalid");
    let rows = [
        (&reader, "GET", "/orders", good),
        (&reader, "HEAD", "/orders", good),
        (&writer, "GET", "/orders", scope),
        (&writer, "HEAD", "/orders", scope),
        (&reader, "POST", "/orders", scope),
        (&writer, "POST", "/orders", good),
        (&both, "PUT", "/orders", rule),
        (&both, "OPTIONS", "/orders", rule),
        (&both, "POSTS", "/orders", rule),
        // A rule for the method goes before the one for any, whichever was written first.
        (&reader, "GET", "/orders/17", good),
        (&reader, "HEAD", "/orders/17", good),
        (&reader, "PATCH", "/orders/17", good),
        (&writer, "GET", "/orders/17", scope),
        (&reader, "DELETE", "/orders/17", scope),
        (&writer, "DELETE", "/orders/17", good),
        // A longer match goes before a parameter, even where the parameter's rule has the method.
        (&reader, "GET", "/orders/latest", good),
        (&reader, "DELETE", "/orders/latest", good),
        (&writer, "DELETE", "/orders/latest", scope),
        (&writer, "DELETE", "/orders/latest2", good),
        (&reader, "GET", "/orders/17/lines/3", good),
        (&reader, "GET", "/files/a", good),
        (&reader, "BREW", "/files/a/b/c", good),
        (&writer, "GET", "/files/a", scope),
        (&writer, "GET", "/files/secret", good),
        (&reader, "GET", "/files/secret", scope),
        (&reader, "GET", "/files/%73ecret", scope),
        (&reader, "GET", "/files/secret/x", good),
        (&both, "GET", "/both", good),
        (&reader, "GET", "/both", scope),
        (&billing, "GET", "/billing", good),
        (&reader, "GET", "/billing", invalid),
        (&billing, "GET", "/audience", good),
        (&reader, "GET", "/audience", invalid),
        (&reader, "BREW", "/pot", good),
        (&reader, "GET", "/pot", rule),
        (&reader, "HEAD", "/pot", rule),
        (&reader, "HEAD", "/head", good),
        (&reader, "GET", "/head", rule),
        (&reader, "GET", "/", good),
        (&reader, "GET", "/?a=b", good),
        (&reader, "POST", "/", rule),
        (&reader, "GET", "/caf%C3%A9", good),
        (&reader, "GET", "/%6Frders", good),
        (&reader, "GET", "/orders/a%20b", good),
        (&reader, "GET", "/Orders", rule),
        (&reader, "GET", "/orders/", rule),
        (&reader, "GET", "/orders/17/", rule),
        (&reader, "GET", "/orders/17/lines", rule),
        (&reader, "GET", "/orders/17/lines/3/4", rule),
        (&reader, "GET", "/orders/{id}", good),
        (&reader, "GET", "/files", rule),
        (&reader, "GET", "/nothing", rule),
        (&reader, "GET", "/orders%3Fx", rule),
        // The query belongs to the guarded service: it is not read.
        (&reader, "GET", "/orders?scope=orders:write&audience=x&status=nginx&scope=y", good),
        (&writer, "GET", "/orders?scope=orders:write", scope),
        (&reader, "GET", "/orders?access_token=y", good),
        (&reader, "GET", "/orders?x=/../%2e%2e/%2f%FF//", good),
        (&reader, "GET", "/orders??", good),
    ];
    for set in SETS {
        for (token, method, path, (status, reason)) in rows {
            let answer = ask(&app, set, method, path, token).await;
            // Of an answer to HEAD there is no body.
            let reason_sent = answer.header("x-auth-reason").unwrap_or_default();
            assert_eq!((answer.status, reason_sent), (status, reason), "{set} {method} {path}: {answer:?}");
            assert_eq!(answer.header("x-auth-status"), None);
            assert_eq!(answer.identity().len(), if status == 200 { 5 } else { 2 }, "{answer:?}");
            // Who has no good token is not told which paths have rules.
            if method != "HEAD" {
                let none = send(&app.base, question(set, method, path.as_bytes(), &[])).await;
                assert_eq!(none.verdict(), (401, "no_credentials".to_owned()), "{set} {method} {path}");
                let bad = ask(&app, set, method, path, "x").await;
                assert_eq!(bad.verdict(), (401, "token_invalid".to_owned()), "{set} {method} {path}");
            }
        }
    }
    let refused = ask(&app, "envoy", "PUT", "/orders/../x", &reader).await;
    assert_eq!(refused.status, 400);
    let refused = ask(&app, "x-original", "PUT", "/nothing/at%20all?x", &reader).await.json();
    assert_eq!(refused["detail"], "the guard has no rule for PUT /nothing/at all");
}

#[tokio::test]
async fn a_rule_goes_before_its_guard_and_the_guard_holds_where_no_rule_does() {
    let app = start(
        r#"
        [[guard]]
        name = "g"
        audience = "https://orders.example"
        environment = "live"
        allowlist = ["192.0.2.0/24"]
        rule = [
            { path = "/plain" },
            { path = "/scoped", scopes = ["orders:read"] },
            { path = "/billing", audience = "urn:example:billing" },
            { path = "/test", environment = "test" },
            { path = "/near", allowlist = ["198.51.100.0/24"] },
        ]
        "#,
    )
    .await;
    let live = token(&app, &["orders:read"]).await;
    let (billing, test) = (token(&app, &["billing:read"]).await, test_token(&app, &["orders:read"]).await);
    let writer = token(&app, &["orders:write"]).await;
    let (inside, near, outside) = ("192.0.2.1", "198.51.100.1", "203.0.113.7");
    let (good, address, environment) = ((200, ""), (403, "ip_not_allowed"), (403, "wrong_environment"));
    let (invalid, rule) = ((401, "token_invalid"), (403, "no_rule_matches"));
    for (path, token, from, (status, reason)) in [
        ("/plain", &live, inside, good),
        ("/plain", &live, outside, address),
        ("/plain", &test, inside, environment),
        ("/plain", &billing, inside, invalid),
        ("/scoped", &live, inside, good),
        ("/scoped", &writer, inside, (403, "insufficient_scope")),
        ("/billing", &billing, inside, good),
        ("/billing", &billing, outside, address),
        ("/billing", &live, inside, invalid),
        ("/test", &test, inside, good),
        ("/test", &live, inside, environment),
        ("/test", &test, outside, address),
        ("/near", &live, near, good),
        ("/near", &live, inside, address),
        ("/near", &test, near, environment),
        ("/none", &live, inside, rule),
        ("/none", &live, outside, address),
        ("/none", &test, inside, environment),
        ("/none", &billing, inside, invalid),
    ] {
        let from_line = format!("X-Forwarded-For: {from}");
        let lines = [&*bearer(token), &from_line];
        let request = question("envoy", "GET", path.as_bytes(), &lines);
        let request = String::from_utf8(request).unwrap().replace("/g/envoy", "/g/g");
        let answer = send(&app.base, request).await;
        assert_eq!(answer.verdict(), (status, reason.to_owned()), "{path} from {from}: {answer:?}");
        match reason {
            "ip_not_allowed" => {
                let problem = answer.json();
                assert_eq!((&problem["source_address"], &problem["allowlist"]), (&from.into(), &"route".into()));
            }
            "wrong_environment" => assert_eq!(answer.header("www-authenticate"), None),
            _ => {}
        }
    }
}

async fn revoked(app: &TestApp, scopes: &[&str]) -> String {
    let client: TestClient = app.client(scopes).await;
    let token = app.token(&client).await;
    let disabled = api::ClientStatus::Disabled;
    app.service.set_client_status(&client.id, disabled, "client.revoke", &app.caller()).await.unwrap();
    token
}

#[tokio::test]
async fn a_control_in_shadow_lets_through_and_the_others_do_not() {
    let guard = |name: &str, shadow: &str| {
        format!(
            "[[guard]]\nname = \"{name}\"\nshadow = [{shadow}]\nrule = [{{ path = \"/orders\", scopes = \
             [\"orders:write\"], environment = \"live\", allowlist = [\"192.0.2.0/24\"] }}]\n"
        )
    };
    let controls = ["scope", "address", "environment", "revocation"];
    let one = controls.map(|control| guard(control, &format!("\"{control}\"")));
    let all = guard("all", "\"scope\", \"address\", \"environment\", \"revocation\"");
    let app = start(&[one.concat(), all, guard("none", "")].concat()).await;
    let expired = token(&app, &["orders:write"]).await;
    app.advance(3630);
    let (writer, reader) = (token(&app, &["orders:write"]).await, token(&app, &["orders:read"]).await);
    let (test, dead) = (test_token(&app, &["orders:write"]).await, revoked(&app, &["orders:write"]).await);
    let billing = token(&app, &["billing:read"]).await;
    let (inside, outside) = ("192.0.2.1", "203.0.113.7");
    let rows = [
        ("", &writer, inside, (200, "")),
        ("scope", &reader, inside, (403, "insufficient_scope")),
        ("address", &writer, outside, (403, "ip_not_allowed")),
        ("environment", &test, inside, (403, "wrong_environment")),
        ("revocation", &dead, inside, (401, "token_revoked")),
        ("never", &expired, inside, (401, "token_expired")),
        ("never", &billing, inside, (401, "token_invalid")),
        ("never", &writer, "garbage", (400, "malformed_request")),
    ];
    for name in controls.into_iter().chain(["all", "none"]) {
        for (control, token, from, refusal) in rows {
            let shadowed = control == name || (name == "all" && control != "never");
            let (status, reason) = if shadowed { (200, "") } else { refusal };
            let lines = format!("{}\r\nX-Forwarded-For: {from}", bearer(token));
            let request = format!("GET /forward-auth/g/{name}/orders HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
            let answer = send(&app.base, &request).await;
            assert_eq!(answer.verdict(), (status, reason.to_owned()), "{name} in shadow, {control}: {answer:?}");
            let uncovered = send(&app.base, request.replace("/orders", "/nothing")).await;
            assert_ne!(uncovered.status, 200, "what no rule covers is let through by {name}");
        }
    }
}

#[tokio::test]
async fn a_scope_that_no_api_has_yet_is_a_mistake_until_one_does() {
    let app = start_sets("rule = [{ path = \"/new\", scopes = [\"new:read\"] }]").await;
    let before = token(&app, &["orders:read"]).await;
    for set in SETS {
        for lines in [vec![], vec![bearer(&before)]] {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let answer = send(&app.base, question(set, "GET", b"/new", &lines)).await;
            assert_eq!(answer.verdict(), (400, "malformed_request".to_owned()));
            assert!(answer.json()["detail"].as_str().unwrap().contains("new:read"), "{answer:?}");
        }
    }
    app.api("https://new.example", &["new:read"]).await;
    let after = token(&app, &["new:read"]).await;
    for set in SETS {
        assert_eq!(ask(&app, set, "GET", "/new", &after).await.status, 200);
        assert_eq!(ask(&app, set, "GET", "/new", &before).await.verdict(), (401, "token_invalid".to_owned()));
        let none = send(&app.base, question(set, "GET", b"/new", &[])).await;
        let challenge = none.header("www-authenticate").unwrap();
        assert!(challenge.contains("?resource=https%3A%2F%2Fnew.example\""), "{challenge}");
    }
}

/// What Envoy's HTTP authorization service sends with `path_prefix: /forward-auth/g/envoy`.
#[tokio::test]
async fn envoy_is_answered() {
    let rules = "rule = [{ methods = [\"POST\"], path = \"/orders/{id}\", scopes = [\"orders:write\"], allowlist = [\"203.0.113.0/24\"] }]";
    let app = start_sets(rules).await;
    let writer = token(&app, &["orders:write"]).await;
    let request = |from: &str| {
        format!(
            "POST /forward-auth/g/envoy/orders/17?expand=lines&scope=none HTTP/1.1\r\nhost: orders.internal\r\n\
             authorization: Bearer {writer}\r\nx-forwarded-for: {from}\r\nx-forwarded-proto: https\r\n\
             x-envoy-internal: true\r\nx-envoy-expected-rq-timeout-ms: 200\r\nx-envoy-original-path: /public\r\n\
             x-envoy-external-address: 6.6.6.6\r\nx-request-id: 6f9c2a\r\ncontent-length: 0\r\n\r\n"
        )
    };
    let answer = send(&app.base, request("203.0.113.7")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    assert_eq!(answer.header("x-auth-scope"), Some("orders:write"));
    let answer = send(&app.base, request("203.0.113.7, 192.0.2.1")).await;
    assert_eq!(answer.verdict(), (403, "ip_not_allowed".to_owned()));
    assert_eq!(answer.json()["source_address"], Value::from("192.0.2.1"));
    let get = request("203.0.113.7").replacen("POST", "GET", 1);
    assert_eq!(send(&app.base, get).await.verdict(), (403, "no_rule_matches".to_owned()));
    let answer = send_from(&app.base, Ipv4Addr::new(127, 0, 0, 2), request("203.0.113.7")).await;
    assert_eq!(answer.verdict(), (400, "malformed_request".to_owned()));
}
