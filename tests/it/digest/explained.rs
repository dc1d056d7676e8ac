//! The operator is told why a login failed, whose it was, and with which key; the caller is told nothing of it.

use mintage::api::{AuditEntry, AuditKind, Refusal};
use mintage::server::service::{AuditFilter, PageRequest};
use serde_json::json;

use crate::app::TestApp;
use crate::client_changes::ask;
use crate::raw::Answer;

use super::*;

/// What was recorded of a refusal, by the name that its answer has.
async fn recorded(app: &TestApp, answer: &Answer) -> Refusal {
    let request_id = answer.json()["request_id"].as_str().unwrap().to_owned();
    app.service.explain_refusal(&request_id).await.unwrap()
}

/// Cause, client and public key.
async fn told(app: &TestApp, answer: &Answer) -> (String, Option<String>, Option<String>) {
    let found = recorded(app, answer).await;
    assert_eq!(found.source_address.as_deref(), Some("127.0.0.1"));
    (found.cause.unwrap_or_default(), found.client_id, found.public_key)
}

fn of(cause: &str, pair: &Pair) -> (String, Option<String>, Option<String>) {
    (cause.to_owned(), Some(pair.client.clone()), Some(pair.user.clone()))
}

fn of_nobody(cause: &str) -> (String, Option<String>, Option<String>) {
    (cause.to_owned(), None, None)
}

#[tokio::test]
async fn the_cause_is_recorded_and_whose_key_it_was() {
    let app = site().await;
    let pair = pair(&app).await;
    let fresh = login(&app, &pair).await;
    let with = |change: fn(&mut Login)| {
        let mut login = fresh.clone();
        change(&mut login);
        login
    };
    let pasted = "mtg_dk_live_pasted-by-mistake";
    let paste = with(|login| login.user = "mtg_dk_live_pasted-by-mistake".to_owned());
    for (login, expected) in [
        (with(|login| login.password.push('x')), of("wrong_response", &pair)),
        (with(|login| login.method = "POST".to_owned()), of("wrong_response", &pair)),
        (with(|login| login.realm = "elsewhere".to_owned()), of("wrong_realm", &pair)),
        (with(|login| login.user = "nobody00".to_owned()), of_nobody("unknown_public_key")),
        (with(|login| login.user = "no body:".to_owned()), of_nobody("unknown_public_key")),
        (paste, of_nobody("unknown_public_key")),
    ] {
        // The second time the user is at hand.
        for _ in 0..2 {
            let answer = send(&app, "GET", WHOAMI, &login.header()).await;
            assert_eq!((answer.verdict(), told(&app, &answer).await), (invalid(), expected.clone()));
            let body = answer.json().to_string();
            assert!(!body.contains(&expected.0) && !body.contains(&pair.client), "{body}");
        }
    }
    // Who has the private key is told of the nonce alone.
    assert_eq!(fresh.send(&app).await.verdict(), ok());
    let other = |nonce: &str, opaque: &str| {
        let challenge = Challenge { nonce: nonce.to_owned(), opaque: opaque.to_owned(), ..fresh.challenge.clone() };
        Login::new(&pair, &challenge, "GET", WHOAMI)
    };
    let (nonce, opaque) = (fresh.challenge.nonce.clone(), fresh.challenge.opaque.clone());
    for (login, cause) in [
        (fresh.clone(), "used_nonce"),
        (other("bm9uY2U", &opaque), "unknown_nonce"),
        (other(&nonce, "other"), "unknown_nonce"),
    ] {
        let answer = login.send(&app).await;
        assert_eq!((answer.verdict(), told(&app, &answer).await), (stale(), of(cause, &pair)));
    }
    app.advance(300);
    let answer = fresh.clone().count(2).send(&app).await;
    assert_eq!((answer.verdict(), told(&app, &answer).await), (stale(), of("expired_nonce", &pair)));
    // Those that are not taken any more; where the response is wrong, that is what is said.
    let short = key_of(&app, &pair.client, json!({ "ttl": 60 })).await;
    app.advance(60);
    let answer = login(&app, &short).await.send(&app).await;
    assert_eq!((answer.verdict(), told(&app, &answer).await), (invalid(), of("expired_digest_key", &short)));
    assert_eq!(ask(&app, "PATCH", &format!("clients/{}", pair.client), &json!({ "status": "disabled" })).await.0, 200);
    let disabled = login(&app, &pair).await;
    let answer = disabled.send(&app).await;
    assert_eq!((answer.verdict(), told(&app, &answer).await), (invalid(), of("disabled_client", &pair)));
    let mut wrong = disabled.clone();
    wrong.password.push('x');
    let answer = wrong.send(&app).await;
    assert_eq!((answer.verdict(), told(&app, &answer).await), (invalid(), of("wrong_response", &pair)));
    // It is there after a restart, is found by the client, and nobody's user name is anywhere.
    let app = app.restart().await;
    let last = recorded(&app, &answer).await;
    assert_eq!((last.cause.as_deref(), last.public_key.as_deref()), (Some("wrong_response"), Some(&*pair.user)));
    let filter = AuditFilter { client: Some(pair.client.clone()), ..AuditFilter::default() };
    let page = PageRequest { limit: Some(1000), cursor: None };
    let listed = app.service.list_audit(AuditKind::Refusals, &filter, None, &page).await.unwrap();
    let causes = listed.items.iter().filter_map(|entry| match entry {
        AuditEntry::Refusal(refusal) => Some((refusal.cause.clone()?, refusal.public_key.clone()?)),
        _ => None,
    });
    let causes: Vec<_> = causes.collect();
    assert_eq!(causes.len(), 13, "{causes:?}");
    assert!(causes.contains(&("expired_digest_key".to_owned(), short.user.clone())), "{causes:?}");
    let dir = app.stop().await;
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(dir.path().join("data")).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    let has = |needle: &str| kept.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(has("unknown_public_key") && has(&pair.user), "what looks for it can find something");
    assert!(!has(pasted) && !has("nobody00") && !has("no body:"));
}

#[tokio::test]
async fn that_it_cannot_be_opened_is_recorded() {
    let app = site().await;
    let pair = pair(&app).await;
    let file = app.config.keys.dir.join("digest.key");
    let aside = file.with_extension("aside");
    let app = app.restart_after(|| std::fs::rename(&file, &aside).unwrap()).await;
    let answer = login(&app, &pair).await.send(&app).await;
    assert_eq!((answer.verdict(), told(&app, &answer).await), (invalid(), of("sealing_key_missing", &pair)));
    app.service.delete_digest_key(&pair.client, &pair.id, &app.caller()).await.unwrap();
    let new = key_of(&app, &pair.client, json!({})).await;
    let app = app.restart_after(|| std::fs::rename(&aside, &file).unwrap()).await;
    let answer = login(&app, &new).await.send(&app).await;
    assert_eq!((answer.verdict(), told(&app, &answer).await), (invalid(), of("sealed_with_another_key", &new)));
    let answer = login(&app, &pair).await.send(&app).await;
    assert_eq!((answer.verdict(), told(&app, &answer).await), (invalid(), of_nobody("unknown_public_key")), "deleted");
}

#[tokio::test]
async fn what_a_good_one_may_not_do_is_its_clients() {
    let app = site_with(|config| config.limits.failed_auth.per_minute = 2).await;
    let pair = pair(&app).await;
    let answer = Login::new(&pair, &challenged(&app).await, "GET", "/api/v1/clients").send(&app).await;
    assert_eq!(answer.verdict(), refused(403, "insufficient_scope"));
    assert_eq!(recorded(&app, &answer).await.client_id, Some(pair.client.clone()));
    // Too many guesses at a pair that was brought along are guesses at somebody's.
    let brought = json!({ "public_key": "legacy", "private_key": "0123456789abcdef" });
    let brought = key_of(&app, &pair.client, brought).await;
    let mut wrong = login(&app, &brought).await;
    wrong.password.push('x');
    for _ in 0..2 {
        assert_eq!(wrong.send(&app).await.verdict(), invalid());
    }
    let answer = wrong.send(&app).await;
    assert_eq!((answer.verdict(), told(&app, &answer).await), (refused(429, "rate_limited"), of("", &brought)));
}
