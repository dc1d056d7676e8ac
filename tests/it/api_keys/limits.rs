//! What an API key may do in a minute, what it was granted, and what was paid for it.

use serde_json::{Value, json};

use super::{GOOD, key, key_with, reading, refused, shown, site, site_with};
use crate::app::encode;
use crate::client_changes::ask;

#[tokio::test]
async fn a_key_has_limits_of_its_own() {
    let app = site_with(|config| config.limits.routes.read.per_minute = 3).await;
    let limits = json!({"routes": {"read": {"per_minute": 1}}});
    let own = key_with(&app, json!({"scopes": ["orders:read"], "limits": limits})).await;
    let plain = key(&app).await;
    assert_eq!(shown(&app, &own.id).await["limits"], limits);
    assert_eq!(reading(&app, &own.key).await, GOOD);
    assert_eq!(reading(&app, &own.key).await, refused(429, "rate_limited"));
    for _ in 0..3 {
        assert_eq!(reading(&app, &plain.key).await, GOOD);
    }
    assert_eq!(reading(&app, &plain.key).await, refused(429, "rate_limited"));
    // What is taken away comes back as its project has it, less what was used.
    let (status, _) = ask(&app, "PATCH", &format!("api-keys/{}", own.id), &json!({"limits": null})).await;
    assert_eq!(status, 200);
    app.advance(60);
    for _ in 0..3 {
        assert_eq!(reading(&app, &own.key).await, GOOD);
    }
}

#[tokio::test]
async fn what_was_granted_and_paid_for_is_counted() {
    let app = site().await;
    let quotas = json!({"requests": {"total": 2}, "tokens": {"total": 1}});
    let made = key_with(&app, json!({"scopes": ["orders:read"], "quotas": quotas})).await;
    for _ in 0..2 {
        assert_eq!(reading(&app, &made.key).await, GOOD);
    }
    assert_eq!(reading(&app, &made.key).await, refused(403, "quota_exceeded"));
    let path = format!("api-keys/{}", made.id);
    let (_, uses) = ask(&app, "GET", &format!("{path}/quotas"), &Value::Null).await;
    assert_eq!((&uses["requests"]["total"]["used"], &uses["requests"]["total"]["remaining"]), (&json!(2), &json!(0)));

    // Exchanging it is a token of its quota.
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &made.key),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    let ask_for = || {
        let request = app.http.post(app.url("/oauth/token")).body(encode(&exchange));
        request.header("Content-Type", "application/x-www-form-urlencoded").send()
    };
    assert_eq!(ask_for().await.unwrap().status(), 200);
    let spent = ask_for().await.unwrap();
    assert_eq!(spent.status(), 403);
    assert_eq!(spent.json::<Value>().await.unwrap()["reason"], "quota_exceeded");

    ask(&app, "PATCH", &path, &json!({"quotas": null})).await;
    let (status, balance) = ask(&app, "POST", &format!("{path}/balance"), &json!({"set": 1})).await;
    assert_eq!((status, balance), (200, json!({"balance": 1})));
    assert_eq!(reading(&app, &made.key).await, GOOD);
    assert_eq!(reading(&app, &made.key).await, refused(402, "insufficient_balance"));
    // No client has an id of a key, and the other way round.
    for absent in ["quotas", "balance"] {
        let (method, body) = if absent == "quotas" { ("GET", Value::Null) } else { ("POST", json!({"add": 1})) };
        assert_eq!(ask(&app, method, &format!("clients/{}/{absent}", made.id), &body).await.0, 404, "{absent}");
    }
}
