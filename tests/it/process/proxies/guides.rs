//! Who gets in, and what the app and the caller are told.

use serde_json::json;

use super::{Answer, CALLER, Front, Site, curl, envoy_policy};

const IDENTITY: [&str; 5] = ["x-auth-client-id", "x-auth-scope", "x-auth-org", "x-auth-project", "x-auth-env"];
const OTHER: &str = "127.0.0.3";

/// A refusal says why, in its status, its challenge, its body and a header.
fn refused(answer: &Answer, status: u16, reason: &str, challenge: Option<&str>) {
    let said = answer.header("www-authenticate");
    assert_eq!((answer.status, said.is_some()), (status, challenge.is_some()), "{reason}: {}", answer.body);
    assert!(said.unwrap_or_default().starts_with(challenge.unwrap_or_default()), "{reason}: {said:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{reason}");
    assert_eq!(answer.header("x-auth-reason"), Some(reason));
    let body = answer.json();
    assert_eq!((&body["reason"], &body["status"]), (&json!(reason), &json!(status)), "{body}");
    assert!(body["request_id"].as_str().unwrap().starts_with("r_"), "{body}");
}

/// What has to hold behind every proxy. /orders/ID of the app needs orders:read, or orders:write to change.
fn guards(site: &Site, front: &Front) {
    let (id, reader) = site.client(&["reader", "--scope", "orders:read"]);
    let spoofs = IDENTITY.map(|name| [format!("{name}: admin"), format!("{}: admin", name.replace('-', "_"))]);
    let others = ["X-Auth-Reason: admin", "X-Auth-Status: admin", "X-Auth-Request-Id: admin", "X-Auth_Scope: admin"];
    let spoofs: Vec<_> = spoofs.as_flattened().iter().map(String::as_str).chain(others).collect();

    // Let through, and the app knows who it is.
    let answer = front.get("/orders/7?full=1", &[&[reader.as_str()], &spoofs[..]].concat());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json()["request"].as_str().unwrap().starts_with("GET /orders/7?full=1 "), "{}", answer.body);
    let values = [id.as_str(), "orders:read", "default", "default", "live"];
    for (name, value) in IDENTITY.into_iter().zip(values) {
        assert_eq!(answer.seen(name), [value], "{name}");
    }
    assert!(!answer.body.contains("admin"), "{}", answer.body);

    // What is public tells the app nothing, and passes on nothing that the caller said of itself.
    let answer = front.get("/healthz", &spoofs);
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("admin") && !answer.body.contains("x-auth-"), "{}", answer.body);

    // Refused.
    let invalid = Some("Bearer error=\"invalid_token\"");
    refused(&front.get("/orders/7", &[]), 401, "no_credentials", Some("Bearer realm=\""));
    refused(&front.get("/orders/7", &spoofs), 401, "no_credentials", Some("Bearer realm=\""));
    refused(&front.get("/orders/7", &["Authorization: Bearer garbage"]), 401, "token_invalid", invalid);
    let malformed = Some("Bearer error=\"invalid_request\"");
    refused(&front.get("/orders/7", &["Authorization: Basic eDp5"]), 400, "malformed_request", malformed);
    // By Mintage, or by the proxy itself.
    assert_eq!(front.get("/orders/7", &[&reader, &reader]).status, 400);
    let (_, writer) = site.client(&["writer", "--scope", "orders:write"]);
    let insufficient = Some("Bearer error=\"insufficient_scope\", scope=\"orders:read\"");
    refused(&front.get("/orders/7", &[&writer]), 403, "insufficient_scope", insufficient);

    // A body reaches the app whole, and the decision is that for its method.
    let body = "0123456789abcdef".repeat(20_000);
    let file = site.place.write("body", &body);
    let data = format!("@{}", file.display());
    let post = |token: &str| {
        let args = ["-H", token, "-H", "Content-Type: text/plain", "--data-binary", &data];
        curl(CALLER, &format!("{}/orders/7", front.url), &args)
    };
    let answer = post(&writer);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json()["request"].as_str().unwrap().starts_with("POST /orders/7 "));
    assert!(answer.json()["body"] == body.as_str(), "{} bytes came", answer.json()["body"].as_str().unwrap().len());
    refused(&post(&reader), 403, "insufficient_scope", Some("Bearer error=\"insufficient_scope\""));

    // The address is the caller's own, whatever it says.
    let (_, bound) = site.client(&["bound", "--scope", "orders:read", "--allow-ip", CALLER]);
    for (from, said) in [(CALLER, "192.0.2.1"), (OTHER, CALLER)] {
        let [forwarded, real] = ["X-Forwarded-For", "X-Real-IP"].map(|name| format!("{name}: {said}"));
        let standard = format!("Forwarded: for={said}");
        for headers in [&[bound.as_str()][..], &[&bound, &forwarded], &[&bound, &forwarded, &standard, &real]] {
            let answer = front.get_from(from, "/orders/7", headers);
            if from == CALLER {
                assert_eq!(answer.status, 200, "{headers:?}: {}", answer.body);
            } else {
                refused(&answer, 403, "ip_not_allowed", None);
            }
        }
    }

    // Last, since it ends the client.
    site.place.text(&["client", "revoke", &id]);
    refused(&front.get("/orders/7", &[&reader]), 401, "token_revoked", invalid);
}

/// What has to hold where the policy is in the proxy's configuration.
fn places(site: &Site, front: &Front) {
    // A token without scopes: nothing stands in the place of the empty header.
    let (id, bare) = site.client(&["bare"]);
    let answer = front.get("/hello", &[&bare, "X-Auth-Scope: admin", "X_Auth_Scope: admin"]);
    assert_eq!((answer.status, answer.seen("x-auth-client-id")), (200, vec![id]), "{}", answer.body);
    assert!(answer.seen("x-auth-scope").iter().all(String::is_empty), "{}", answer.body);
    // Who it is is all that the app learns: what the caller proved it with stays at the proxy.
    assert_eq!(answer.seen("authorization"), [""; 0], "{}", answer.body);
    let answer = front.get("/orders/7", &[&site.client(&["r", "--scope", "orders:read"]).1]);
    assert_eq!((answer.status, answer.seen("authorization")), (200, Vec::new()), "{}", answer.body);

    // A folder, for whoever has both scopes.
    let (_, reader) = site.client(&["half", "--scope", "orders:read"]);
    let (_, both) = site.client(&["both", "--scope", "orders:read", "--scope", "reports:read"]);
    let answer = front.get("/reports/march.txt", &[&both]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "the report of March\n"));
    let insufficient = Some("Bearer error=\"insufficient_scope\", scope=\"orders:read reports:read\"");
    refused(&front.get("/reports/march.txt", &[&reader]), 403, "insufficient_scope", insufficient);
    refused(&front.get("/reports/march.txt", &[]), 401, "no_credentials", Some("Bearer realm=\""));
}

/// A token may have as many scopes as its size allows: the app gets them all.
fn many_scopes(policy: &str, start: impl Fn(&Site) -> Option<Front>) {
    let wide: Vec<_> = (0..100).map(|n| format!("wide:{n:0>105}")).collect();
    let wide: Vec<_> = wide.iter().map(String::as_str).collect();
    let site = Site::with_scopes(policy, &wide);
    let Some(front) = start(&site) else { return };
    for count in [35, 45, 60, 100] {
        let scopes: Vec<_> =
            ["orders:read"].iter().chain(&wide[..count]).flat_map(|scope| ["--scope", scope]).collect();
        let (_, token) = site.client(&[&[format!("wide-{count}").as_str()], &scopes[..]].concat());
        let answer = front.get("/orders/7", &[&token]);
        assert_eq!(answer.status, 200, "{count} scopes, a token of {} bytes: {}", token.len(), answer.body);
        assert_eq!(answer.seen("x-auth-scope")[0].split(' ').count(), count + 1);
    }
}

#[test]
fn nginx_passes_many_scopes_on() {
    many_scopes("", Site::nginx);
}

#[test]
fn caddy_passes_many_scopes_on() {
    many_scopes("", Site::caddy);
}

#[test]
fn envoy_passes_many_scopes_on() {
    many_scopes(&envoy_policy(), Site::envoy);
}

#[test]
fn nginx_lets_through_whom_mintage_does() {
    let site = Site::new("");
    let Some(front) = site.nginx() else { return };
    guards(&site, &front);
    places(&site, &front);
    assert_eq!(front.get("/_mintage", &[]).status, 404, "the way to Mintage is open to callers");
    // Without Mintage nobody gets in.
    drop(site.mintage);
    assert_eq!(front.get("/orders/7", &[]).status, 500);
}

#[test]
fn caddy_lets_through_whom_mintage_does() {
    let site = Site::new("");
    let Some(front) = site.caddy() else { return };
    guards(&site, &front);
    places(&site, &front);
    // Its refusals are Mintage's own, to the last member.
    let body = front.get("/orders/7", &[]).json();
    assert!(body["type"].as_str().unwrap().ends_with("/errors/no_credentials") && body["detail"].is_string(), "{body}");
    // Without Mintage nobody gets in.
    drop(site.mintage);
    assert_eq!(front.get("/orders/7", &[]).status, 502);
}

#[test]
fn envoy_lets_through_whom_mintage_does() {
    let site = Site::new(&envoy_policy());
    let Some(front) = site.envoy() else { return };
    guards(&site, &front);
    // A path that no rule names, and other spellings of one that a rule does.
    let (_, writer) = site.client(&["both", "--scope", "orders:read", "--scope", "orders:write"]);
    for path in ["/", "/orders", "/orders/7/lines", "/elsewhere/7"] {
        assert_eq!(front.get(path, &[&writer]).status, 403, "{path}");
    }
    assert_eq!(front.get("/healthz/..%2forders/7", &[]).status, 400);
    assert_eq!(front.get("//orders//7", &[&writer]).status, 200);
    // Without Mintage nobody gets in.
    drop(site.mintage);
    assert_eq!(front.get("/orders/7", &[]).status, 503);
}
