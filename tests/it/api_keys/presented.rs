//! API keys as bearer credentials: at forward-auth and on Mintage's own routes.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client_changes::ask;
use crate::guards;
use crate::raw::send;

use super::{GOOD, ORDERS, forwarded_from, key, key_with, reading, refused, shown, site, site_with};

/// What a guarded route of the service's own says.
async fn whoami(app: &TestApp, bearer: &str) -> (u16, Value) {
    let response = app.get("/api/v1/whoami", Some(bearer)).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_key_is_let_through_and_its_use_is_noted() {
    let app = site().await;
    let key = key(&app).await;
    let answer = forwarded_from(&app, [127, 0, 0, 1], &[("scope", "orders:read")], &key.key).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let identity = [
        ("x-auth-client-id", key.id.as_str()),
        ("x-auth-env", "live"),
        ("x-auth-org", "default"),
        ("x-auth-project", "default"),
        ("x-auth-scope", "orders:read"),
    ];
    assert_eq!(answer.identity(), identity);
    let used = shown(&app, &key.id).await;
    assert_eq!(used["last_used_from"], "127.0.0.1", "{used}");
    assert!(used["last_used_at"].is_string());
    let write = forwarded_from(&app, [127, 0, 0, 1], &[("scope", "orders:write")], &key.key).await;
    assert_eq!((write.status, write.header("x-auth-reason")), (403, Some("insufficient_scope")));
    app.api("urn:example:other", &["other:read"]).await;
    let other = forwarded_from(&app, [127, 0, 0, 1], &[("scope", "other:read")], &key.key).await;
    // Nobody can ask for a key with another audience: what it lacks is the scope.
    assert_eq!((other.status, other.header("x-auth-reason")), (403, Some("insufficient_scope")));
    // Where no scope is asked for, it is the audience after all.
    let other = forwarded_from(&app, [127, 0, 0, 1], &[("audience", "urn:example:other")], &key.key).await;
    assert_eq!((other.status, other.header("x-auth-reason")), (401, Some("token_invalid")));
}

#[tokio::test]
async fn what_is_no_key_is_refused_as_a_bad_token() {
    let app = site().await;
    let key = key(&app).await.key;
    let cut = &key[..key.len() - 1];
    let mistyped = key.replace("_live_", "_test_");
    let unknown = super::key(&site().await).await.key;
    for bad in [cut, &mistyped, &unknown, "mtg_sk_live_", "nothing"] {
        assert_eq!(reading(&app, bad).await, refused(401, "token_invalid"), "{bad}");
    }
    // A client's secret is no API key, although it looks like one.
    let client = app.client(&["orders:read"]).await;
    assert_eq!(reading(&app, &client.secret).await, refused(401, "token_invalid"));
}

#[tokio::test]
async fn whoami_says_what_a_key_stands_for() {
    let app = site().await;
    let key = key_with(&app, json!({ "scopes": ["orders:read", "mintage:projects:read"], "ttl": 600 })).await;
    let (status, body) = whoami(&app, &key.key).await;
    assert_eq!(status, 200, "{body}");
    let claims = &body["claims"];
    assert_eq!(claims["sub"], key.id);
    assert_eq!(claims["client_id"], key.id);
    assert_eq!(claims["iss"], app.issuer);
    assert_eq!(claims["scope"], "mintage:projects:read orders:read");
    assert_eq!(claims["env"], "live");
    assert_eq!(claims["jti"], claims["gen"]);
    assert_eq!(claims["exp"], app.now().seconds() + 600);
    let audience: Vec<_> = claims["aud"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(audience.contains(&ORDERS) && audience.contains(&app.issuer.as_str()), "{audience:?}");
    assert_eq!(body["expires_in"], 600);
    assert_eq!(app.get("/api/v1/projects", Some(&key.key)).await.status(), 200);
    assert_eq!(app.get("/api/v1/clients", Some(&key.key)).await.status(), 403);
    // It is for somebody's API alone.
    let (status, body) = whoami(&app, &super::key(&app).await.key).await;
    assert_eq!((status, &body["reason"]), (401, &json!("token_invalid")), "{body}");
    let bare = key_with(&app, json!({})).await;
    assert_eq!(whoami(&app, &bare.key).await.0, 200);
}

#[tokio::test]
async fn a_test_key_passes_no_route_of_live() {
    let rule = "[[guard.rule]]\npath = \"/{*rest}\"\nscopes = [\"orders:read\"]\n";
    let app = guards::start(&format!("[[guard]]\nname = \"envoy\"\nenvironment = \"live\"\n{rule}")).await;
    for (environment, expected) in [("test", refused(403, "wrong_environment")), ("live", GOOD)] {
        let key = key_with(&app, json!({ "scopes": ["orders:read"], "environment": environment })).await;
        let question = guards::question("envoy", "GET", b"/orders", &[&guards::bearer(&key.key)]);
        let answer = send(&app.base, question).await;
        let got = (answer.status, answer.header("x-auth-reason").map(str::to_owned));
        assert_eq!(got, expected, "{environment}: {answer:?}");
    }
}

#[tokio::test]
async fn the_allowlist_holds() {
    let app = site().await;
    let key = key_with(&app, json!({ "scopes": ["orders:read"], "ip_allowlist": ["127.0.0.2"] })).await;
    let scope = [("scope", "orders:read")];
    let inside = forwarded_from(&app, [127, 0, 0, 2], &scope, &key.key).await;
    assert_eq!(inside.status, 200, "{inside:?}");
    let outside = forwarded_from(&app, [127, 0, 0, 1], &scope, &key.key).await;
    assert_eq!((outside.status, outside.header("x-auth-reason")), (403, Some("ip_not_allowed")));
    assert_eq!(outside.json()["source_address"], "127.0.0.1");
    let (_, widened) = ask(&app, "PATCH", &format!("api-keys/{}", key.id), &json!({ "ip_allowlist": [] })).await;
    assert_eq!(widened["ip_allowlist"], json!([]));
    assert_eq!(reading(&app, &key.key).await, GOOD);
}

#[tokio::test]
async fn it_ends_by_the_clock() {
    let app = site().await;
    let key = key_with(&app, json!({ "scopes": ["orders:read"], "ttl": 60 })).await;
    assert_eq!(reading(&app, &key.key).await, GOOD);
    app.advance(59);
    assert_eq!(reading(&app, &key.key).await, GOOD);
    app.advance(1);
    assert_eq!(reading(&app, &key.key).await, refused(401, "token_expired"));
    // Nobody at hand, and no less over.
    let app = app.restart().await;
    assert_eq!(reading(&app, &key.key).await, refused(401, "token_expired"));
}

#[tokio::test]
async fn a_rotation_overlaps_as_long_as_it_is_told() {
    let app = site().await;
    let key = key(&app).await;
    let rotate = async |body: Value| {
        let (status, answer) = ask(&app, "POST", &format!("api-keys/{}/rotate", key.id), &body).await;
        assert_eq!(status, 200, "{answer}");
        super::Key::of(&answer)
    };
    let second = rotate(json!({ "overlap": 60 })).await;
    assert_eq!(second.id, key.id);
    for text in [&key.key, &second.key] {
        assert_eq!(reading(&app, text).await, GOOD);
    }
    app.advance(61);
    assert_eq!(reading(&app, &key.key).await, refused(401, "token_expired"));
    assert_eq!(reading(&app, &second.key).await, GOOD);
    // Without an overlap the old one is cut off.
    let third = rotate(json!({})).await;
    assert_eq!(reading(&app, &second.key).await, refused(401, "token_revoked"));
    assert_eq!(reading(&app, &third.key).await, GOOD);
    let fourth = rotate(json!({ "ttl": 30 })).await;
    assert_eq!(reading(&app, &third.key).await, refused(401, "token_revoked"));
    assert_eq!(reading(&app, &second.key).await, refused(401, "token_invalid"), "it is long gone");
    app.advance(30);
    assert_eq!(reading(&app, &fourth.key).await, refused(401, "token_expired"));
    for (body, field) in [(json!({ "ttl": 0 }), "ttl"), (json!({ "overlap": 400_000_000 }), "overlap")] {
        let fields = crate::client_changes::fields(&app, "POST", &format!("api-keys/{}/rotate", key.id), body).await;
        assert_eq!(fields, [field]);
    }
}

#[tokio::test]
async fn guesses_are_bounded_and_good_keys_are_not() {
    let app = site_with(|config| {
        config.limits.failed_auth.per_minute = 2;
    })
    .await;
    let (known, fresh) = (key(&app).await, key(&app).await);
    assert_eq!(reading(&app, &known.key).await, GOOD);
    let other = site().await;
    for n in 0..5 {
        let guess = key(&other).await;
        let expected = if n < 2 { refused(401, "token_invalid") } else { refused(429, "rate_limited") };
        assert_eq!(reading(&app, &guess.key).await, expected, "guess {n}");
    }
    // Good ones are taken all the same, at hand or not.
    assert_eq!(reading(&app, &known.key).await, GOOD);
    assert_eq!(reading(&app, &fresh.key).await, GOOD);
    app.advance(60);
    // And take nothing of it.
    for _ in 0..5 {
        assert_eq!(reading(&app, &fresh.key).await, GOOD);
    }
    assert_eq!(reading(&app, &key(&other).await.key).await, refused(401, "token_invalid"));
}

/// Guesses are answered no sooner than those at the token endpoint, and what is right at once.
#[tokio::test]
async fn what_fails_is_answered_after_the_delay() {
    const DELAY: std::time::Duration = std::time::Duration::from_millis(400);
    let app = site_with(|config| {
        config.limits.failed_auth.delay = mintage::server::config::Span::from_millis(400);
        config.limits.failed_auth.per_minute = 2;
    })
    .await;
    let good = key(&app).await;
    let elsewhere = key(&site().await).await.key;
    for (bearer, status, late) in [
        (&*good.key, 200, false),
        (&*elsewhere, 401, true),
        ("mtg_sk_live_short", 401, true),
        (&*elsewhere, 401, true),
        (&*elsewhere, 429, true),
        (&*good.key, 200, false),
    ] {
        let start = std::time::Instant::now();
        let found = reading(&app, bearer).await.0;
        let took = start.elapsed();
        assert_eq!(found, status);
        assert!(if late { took >= DELAY } else { took < DELAY }, "{status} after {took:?}");
    }
}
