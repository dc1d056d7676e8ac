//! What a guard says of a key, and how soon it says otherwise.

use std::sync::Arc;
use std::time::Duration;

use mintage::resource::{Guard, IntrospectedKeys, NoIntrospection, Verifier};
use mintage::source_ip::Allowlist;
use serde_json::{Value, json};

use super::super::{Key, ORDERS, key, key_with};
use super::{Site, asks, invalid, says, until, verdict};
use crate::client_changes::ask;

#[tokio::test]
async fn a_key_passes_where_it_may() {
    let site = Site::new().await;
    let guard = site.guard();
    let good = key(&site.app).await;
    assert_eq!(asks(&guard, &good.key).await.unwrap(), good.id);
    let bare = key_with(&site.app, json!({ "scopes": ["orders:write"] })).await;
    assert_eq!(verdict(&guard, &bare.key).await, says(403, "insufficient_scope"));
    let elsewhere = key_with(&site.app, json!({ "scopes": ["orders:read"], "ip_allowlist": ["10.0.0.0/8"] })).await;
    let (status, reason, problem) = asks(&guard, &elsewhere.key).await.unwrap_err();
    assert_eq!((status, reason.as_str()), (403, "ip_not_allowed"));
    assert_eq!((&problem["source_address"], &problem["allowlist"]), (&json!("127.0.0.1"), &json!("token")));
    let here = key_with(&site.app, json!({ "scopes": ["orders:read"], "ip_allowlist": ["127.0.0.0/8"] })).await;
    assert_eq!(verdict(&guard, &here.key).await, None);
    let narrow = guard.clone().allowlist(Allowlist::parse(["10.0.0.0/8"]).unwrap());
    assert_eq!(verdict(&narrow, &good.key).await, says(403, "ip_not_allowed"));
    let test = key_with(&site.app, json!({ "scopes": ["orders:read"], "environment": "test" })).await;
    let live = guard.clone().environment("live");
    assert_eq!(verdict(&live, &test.key).await, says(403, "wrong_environment"));
    assert_eq!((verdict(&live, &good.key).await, verdict(&guard, &test.key).await), (None, None));
    // Tokens pass as before, and are no matter of introspection.
    let (asked, client) = (site.front.asked(), site.app.client(&["orders:read"]).await);
    assert_eq!(asks(&guard, &site.app.token(&client).await).await.unwrap(), client.id);
    assert_eq!(site.front.asked(), asked);
}

#[tokio::test]
async fn a_key_for_another_api_is_refused() {
    let site = Site::new().await;
    site.app.api("urn:example:other", &["other:read"]).await;
    let other = key_with(&site.app, json!({ "scopes": ["other:read"] })).await;
    assert_eq!(verdict(&site.guard(), &other.key).await, invalid(), "an introspector of one API is told nothing of it");
    // One who is told of all keys still lets in only those that are for this API.
    let all_knowing = site.app.client(&["mintage:tokens:introspect"]).await;
    let own = mintage::resource::Credentials::new(all_knowing.id, all_knowing.secret);
    let guard = site.guard_with(site.keys().credentials(own));
    assert_eq!(verdict(&guard, &other.key).await, says(403, "insufficient_scope"));
    assert_eq!(verdict(&guard, &key(&site.app).await.key).await, None);
    assert_eq!(verdict(&guard.audience("urn:example:other"), &other.key).await, says(403, "insufficient_scope"));
}

#[tokio::test]
async fn a_guard_that_was_not_told_to_takes_no_keys() {
    let site = Site::new().await;
    let guard = Guard::new(Arc::clone(&site.verifier));
    assert_eq!(verdict(&guard, &key(&site.app).await.key).await, invalid());
    assert_eq!(site.front.asked(), 0);
}

#[tokio::test]
async fn a_key_is_refused_within_a_second_of_its_end() {
    let site = Site::new().await;
    let guard = site.guard();
    for how in ["revoke", "rotate", "delete", "disable"] {
        let Key { id, key } = key(&site.app).await;
        assert_eq!(verdict(&guard, &key).await, None);
        let path = format!("api-keys/{id}");
        let (status, answer) = match how {
            "delete" => ask(&site.app, "DELETE", &path, &Value::Null).await,
            "disable" => ask(&site.app, "PATCH", &path, &json!({ "status": "disabled" })).await,
            _ => ask(&site.app, "POST", &format!("{path}/{how}"), &json!({})).await,
        };
        assert!(matches!(status, 200 | 204), "{how}: {answer}");
        let took = until(&guard, &key, &says(401, "token_revoked")).await;
        assert!(took < Duration::from_secs(1), "{how}: {took:?}");
        if how == "disable" {
            let (status, _) = ask(&site.app, "PATCH", &path, &json!({ "status": "active" })).await;
            assert_eq!(status, 200);
            site.app.advance(5);
            assert_eq!(verdict(&guard, &key).await, None, "it is good again");
        }
    }
}

#[tokio::test]
async fn a_key_that_may_do_less_goes_on_with_what_is_left() {
    let site = Site::new().await;
    let guard = site.guard();
    let both = key_with(&site.app, json!({ "scopes": ["orders:read", "orders:write"] })).await;
    let writes = guard.clone().scopes(mintage::resource::RequireScopes::all(["orders:write"]).unwrap());
    assert_eq!((verdict(&guard, &both.key).await, verdict(&writes, &both.key).await), (None, None));
    let less = json!({ "scopes": ["orders:read"] });
    let (status, answer) = ask(&site.app, "PATCH", &format!("api-keys/{}", both.id), &less).await;
    assert_eq!(status, 200, "{answer}");
    let start = std::time::Instant::now();
    while verdict(&writes, &both.key).await.is_none() {
        assert_eq!(verdict(&guard, &both.key).await, None, "what it still may do is never refused");
        assert!(start.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(verdict(&writes, &both.key).await, says(403, "insufficient_scope"));
    assert_eq!(verdict(&guard, &both.key).await, None);
}

#[tokio::test]
async fn a_key_ends_by_the_clock() {
    let site = Site::new().await;
    let guard = site.guard();
    let key = key_with(&site.app, json!({ "scopes": ["orders:read"], "ttl": 30 })).await;
    for seconds in [29, 1] {
        assert_eq!(verdict(&guard, &key.key).await, None);
        site.app.advance(seconds);
    }
    assert_eq!(verdict(&guard, &key.key).await, says(401, "token_expired"), "no longer than its end");
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start() {
    let site = Site::new().await;
    let bad = site.keys().prefixes(["mtg_cs"]).build().unwrap_err();
    assert!(matches!(bad, NoIntrospection::Prefix(_)), "{bad}");
    let given = Verifier::from_jwks(&site.app.issuer, ORDERS, b"{\"keys\":[]}").unwrap().build();
    let bad = IntrospectedKeys::of(&Arc::new(given)).build().unwrap_err();
    assert!(matches!(bad, NoIntrospection::NotFollowed), "{bad}");
    let builder = site.keys();
    let shown = format!("{builder:?} {:?}", site.keys().build().unwrap());
    assert!(!shown.contains(&site.own.secret), "{shown}");
}
