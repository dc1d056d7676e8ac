//! The end of a rotation: `POST /api/v1/clients/{id}/secrets/retire`.

use std::sync::Arc;

use mintage::api::{NewSecret, RetireSecrets, UNUSED_FOR};
use mintage::server::error::Error;
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient};
use crate::client_changes::{ask, audit};
use crate::forged::about;
use crate::gated_store::GatedStore;

const HOUR: u64 = 3600;

/// Another secret of a client, the older ones going on.
async fn rotated(app: &TestApp, client: &TestClient) -> TestClient {
    let made = app.service.add_secret(&client.id, &NewSecret::default(), &app.caller()).await.unwrap();
    TestClient { id: client.id.clone(), secret: made.value.client_secret.unwrap() }
}

/// The ids of a client's secrets, the oldest first.
async fn secrets(app: &TestApp, client: &TestClient) -> Vec<String> {
    app.service
        .client(&client.id, &app.caller())
        .await
        .unwrap()
        .value
        .secrets
        .into_iter()
        .map(|secret| secret.id)
        .collect()
}

async fn retire(app: &TestApp, client: &TestClient, body: Value) -> (u16, Value) {
    ask(app, "POST", &format!("clients/{}/secrets/retire", client.id), &body).await
}

/// The detail of a refusal, after which everything has to be as it was.
async fn refused(app: &TestApp, client: &TestClient, body: Value) -> String {
    let before = app.service.client(&client.id, &app.caller()).await.unwrap().value;
    let (status, problem) = retire(app, client, body.clone()).await;
    assert_eq!((status, &problem["reason"]), (409, &json!("conflict")), "{body}: {problem}");
    let after = app.service.client(&client.id, &app.caller()).await.unwrap().value;
    assert_eq!(json!(before), json!(after));
    let detail = problem["detail"].as_str().unwrap();
    for secret in before.secrets {
        assert!(detail.contains(&secret.id), "{} is not named: {detail}", secret.id);
    }
    assert!(detail.contains("force"), "{detail}");
    detail.to_owned()
}

/// The ids that are left of the client's secrets.
async fn done(app: &TestApp, client: &TestClient, body: Value) -> Vec<String> {
    let (status, shown) = retire(app, client, body.clone()).await;
    assert_eq!(status, 200, "{body}: {shown}");
    assert_eq!(shown["client_id"], client.id.as_str());
    assert!(shown.get("client_secret").is_none() && !shown.to_string().contains(&client.secret), "{shown}");
    shown["secrets"].as_array().unwrap().iter().map(|secret| secret["id"].as_str().unwrap().to_owned()).collect()
}

async fn status(app: &TestApp, client: &TestClient) -> u16 {
    app.token_request(client, &[]).send().await.unwrap().status().as_u16()
}

async fn whoami(app: &TestApp, token: &str) -> u16 {
    app.get("/api/v1/whoami", Some(token)).await.status().as_u16()
}

/// A client with two secrets: the old one was used before the new one was made, and the new one just now.
async fn moved(app: &TestApp) -> (TestClient, TestClient) {
    let old = app.client(&[]).await;
    app.token(&old).await;
    app.advance(5 * HOUR);
    let new = rotated(app, &old).await;
    app.token(&new).await;
    (old, new)
}

#[tokio::test]
async fn the_newest_stays_and_the_tokens_of_the_others_live_on() {
    let app = TestApp::start().await;
    let first = app.client(&[]).await;
    let second = rotated(&app, &first).await;
    let third = rotated(&app, &first).await;
    let tokens = [app.token(&first).await, app.token(&second).await, app.token(&third).await];
    let ids = secrets(&app, &first).await;
    app.advance(30 * 60);
    assert_eq!(done(&app, &first, json!({"unused_for": 30 * 60})).await, ids[2..]);
    assert_eq!((status(&app, &first).await, status(&app, &second).await, status(&app, &third).await), (401, 401, 200));
    let app = app.restart().await;
    assert_eq!((status(&app, &first).await, status(&app, &second).await, status(&app, &third).await), (401, 401, 200));
    for token in &tokens {
        assert_eq!(whoami(&app, token).await, 200, "it lives on");
    }
    // And stays within reach.
    let (status, _) = ask(&app, "POST", &format!("clients/{}/revoke", first.id), &json!({})).await;
    assert_eq!(status, 200);
    for token in &tokens {
        assert_eq!(whoami(&app, token).await, 401);
    }
    let id = first.id;
    let records: Vec<_> = audit(app).await.into_iter().filter(|record| record["target"] == id.as_str()).collect();
    let retired: Vec<_> = records.iter().filter(|record| record["action"] == "client.secret.retire").collect();
    assert_eq!(retired.len(), 1, "{records:?}");
    let ids_in = |side: &Value| side["secrets"].as_array().unwrap().iter().map(|s| s["id"].clone()).collect::<Vec<_>>();
    assert_eq!(json!(ids_in(&retired[0]["before"])), json!(ids));
    assert_eq!(json!(ids_in(&retired[0]["after"])), json!(ids[2..]));
}

#[tokio::test]
async fn an_older_one_that_was_used_lately_is_kept() {
    let app = TestApp::start().await;
    let (old, new) = moved(&app).await;
    let ids = secrets(&app, &old).await;
    app.token(&old).await;
    let at = app.now();
    app.advance(60);
    app.token(&new).await;
    let said = refused(&app, &old, json!({})).await;
    for part in [
        format!("{} was last used at {at} from 127.0.0.1", ids[0]),
        format!("{}, the newest, was last used at {} from 127.0.0.1", ids[1], app.now()),
        "14400".to_owned(),
    ] {
        assert!(said.contains(&part), "{part} is not in {said}");
    }
    // To the second, whether the uses are written by then or not.
    for (after, flushed) in [(60, false), (UNUSED_FOR - 1, true)] {
        app.advance(after - app.now().since(at).as_secs());
        if flushed {
            app.service.flush().await;
        }
        refused(&app, &old, json!({})).await;
        refused(&app, &old, json!({"unused_for": after + 1})).await;
        refused(&app, &old, json!({"unused_for": u64::MAX})).await;
    }
    app.advance(1);
    assert_eq!(done(&app, &old, json!({})).await, ids[1..]);

    let (old, new) = moved(&app).await;
    app.token(&old).await;
    let ids = secrets(&app, &old).await;
    refused(&app, &old, json!({"unused_for": 1})).await;
    assert_eq!(done(&app, &old, json!({"unused_for": 0})).await, ids[1..], "of no time at all it was unused");
    assert_eq!(status(&app, &new).await, 200);
}

#[tokio::test]
async fn a_newest_that_nobody_has_used_takes_the_place_of_nothing() {
    let app = TestApp::start().await;
    let old = app.client(&[]).await;
    let unproven = rotated(&app, &old).await;
    let ids = secrets(&app, &old).await;
    app.advance(365 * 24 * HOUR);
    for body in [json!({}), json!({"unused_for": 0}), json!({"force": false})] {
        let said = refused(&app, &old, body).await;
        assert!(said.contains(&format!("{}, the newest, has never been used", ids[1])), "{said}");
        assert!(said.contains(&format!("{} has never been used", ids[0])), "{said}");
        assert!(!said.contains("unused_for"), "that is not what is in the way: {said}");
    }
    // A wrong secret, or one that failed, is no use of it.
    let wrong = TestClient { secret: format!("{}x", unproven.secret), ..unproven.clone() };
    assert_eq!(status(&app, &wrong).await, 401);
    refused(&app, &old, json!({})).await;
    app.token(&unproven).await;
    assert_eq!(done(&app, &old, json!({})).await, ids[1..]);
}

#[tokio::test]
async fn force_ends_them_all_the_same() {
    let app = TestApp::start().await;
    let mut newest = app.client(&[]).await;
    let first = newest.clone();
    let mut tokens = vec![app.token(&first).await];
    for _ in 0..4 {
        newest = rotated(&app, &first).await;
    }
    tokens.push(app.token(&first).await);
    let ids = secrets(&app, &first).await;
    assert_eq!(ids.len(), 5);
    refused(&app, &first, json!({})).await;
    assert_eq!(done(&app, &first, json!({"force": true})).await, ids[4..]);
    assert_eq!((status(&app, &first).await, status(&app, &newest).await), (401, 200));
    assert_eq!((whoami(&app, &tokens[0]).await, whoami(&app, &tokens[1]).await), (200, 200));
}

#[tokio::test]
async fn with_one_live_secret_there_is_nothing_to_do_and_nothing_is_recorded() {
    let app = TestApp::start().await;
    let alone = app.client(&[]).await;
    let none = app.client(&[]).await;
    let only = secrets(&app, &none).await.remove(0);
    app.service.withdraw_secret(&none.id, &only, false, &app.caller()).await.unwrap();
    // The other has ended, and is still listed.
    let ended = app.client(&[]).await;
    let end = NewSecret { overlap: Some(60), ..Default::default() };
    app.service.add_secret(&ended.id, &end, &app.caller()).await.unwrap();
    // The newest has ended, and the older one goes on: it is the newest of those that do.
    let outlived = app.client(&[]).await;
    let short = NewSecret { secret_ttl: Some(Some(60)), ..Default::default() };
    app.service.add_secret(&outlived.id, &short, &app.caller()).await.unwrap();
    app.advance(60);
    for (client, left) in [(&alone, 1), (&none, 0), (&ended, 2), (&outlived, 2)] {
        let before = json!(app.service.client(&client.id, &app.caller()).await.unwrap().value);
        for body in [json!({}), json!({"force": true}), json!({"unused_for": 0})] {
            let (status, shown) = retire(&app, client, body).await;
            assert_eq!((status, &shown), (200, &before));
            assert_eq!(shown["secrets"].as_array().unwrap().len(), left);
        }
    }
    assert_eq!(status(&app, &outlived).await, 200);
    let records = audit(app).await;
    assert!(records.iter().all(|record| record["action"] != "client.secret.retire"));
}

#[tokio::test]
async fn ended_secrets_stand_in_nobodys_way() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let short = NewSecret { secret_ttl: Some(Some(60)), ..Default::default() };
    let made = app.service.add_secret(&client.id, &short, &app.caller()).await.unwrap();
    let ended = TestClient { id: client.id.clone(), secret: made.value.client_secret.unwrap() };
    app.advance(5 * HOUR - 60);
    let newest = rotated(&app, &client).await;
    app.token(&newest).await;
    let ids = secrets(&app, &client).await;
    assert_eq!(ids.len(), 2, "making one takes out what has ended");
    assert_eq!(status(&app, &ended).await, 401);
    assert_eq!(done(&app, &client, json!({})).await, ids[1..]);
}

#[tokio::test]
async fn what_cannot_be_read_changes_nothing() {
    let app = TestApp::start().await;
    let (old, _) = moved(&app).await;
    for body in [
        json!({"unused_for": "4h"}),
        json!({"unused_for": -1}),
        json!({"unused_for": 1.5}),
        json!({"unused_for": null}),
        json!({"force": null}),
        json!({"force": "true"}),
        json!({"force": 1}),
        json!({"forced": true}),
        json!({"overlap": 0}),
        Value::Null,
    ] {
        let (status, problem) = retire(&app, &old, body.clone()).await;
        assert_eq!((status, &problem["reason"]), (400, &json!("malformed_request")), "{body}: {problem}");
    }
    for id in ["nobody", "mtg_cs_live_pasted", "a%2Fb"] {
        let (status, problem) = ask(&app, "POST", &format!("clients/{id}/secrets/retire"), &json!({})).await;
        assert_eq!((status, &problem["reason"]), (404, &json!("not_found")), "{id}: {problem}");
        assert!(!problem.to_string().contains("pasted"), "{problem}");
    }
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let (status, _) = ask(&app, method, &format!("clients/{}/secrets/retire", old.id), &json!({})).await;
        assert_eq!(status, 405, "{method}");
    }
    assert_eq!(app.get(&format!("/api/v1/clients/{}/secrets/retire", old.id), None).await.status(), 405, "in public");
    assert_eq!(secrets(&app, &old).await.len(), 2);
}

/// A client that only introspects or revokes uses its secret, too: it must not lose it unawares.
#[tokio::test]
async fn every_use_of_a_secret_counts() {
    let app = TestApp::start().await;
    let token = app.token(&app.client(&[]).await).await;
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let (old, new) = moved(&app).await;
        let ids = secrets(&app, &old).await;
        let answer = about(&app, path, &old, &token).send().await.unwrap();
        assert!(answer.status() != 401, "{path}: {}", answer.status());
        let said = refused(&app, &old, json!({})).await;
        assert!(said.contains(&format!("{} was last used at {} from 127.0.0.1", ids[0], app.now())), "{path}: {said}");
        app.advance(UNUSED_FOR);
        assert_eq!(
            about(&app, path, &TestClient { secret: "wrong".into(), ..old.clone() }, &token)
                .send()
                .await
                .unwrap()
                .status(),
            401
        );
        assert_eq!(done(&app, &old, json!({})).await, ids[1..], "a failed one is none");
        assert_eq!(status(&app, &new).await, 200);
    }
}

async fn gated() -> (TestApp, Arc<GatedStore>) {
    let mut gate = None;
    let app = TestApp::builder().start_on(|store| gate.insert(GatedStore::new(store)).clone()).await;
    (app, gate.unwrap())
}

fn is_refused<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Conflict(detail)) if detail.contains("no secret was retired"))
}

/// Between the moment when uses are taken out of memory and the one when the store has them, they are in neither.
#[tokio::test]
async fn a_use_that_is_being_written_is_seen() {
    let (app, gate) = gated().await;
    let (old, _) = moved(&app).await;
    app.service.flush().await;
    app.token(&old).await;
    let how = RetireSecrets::default();
    let is_seen = async || {
        assert!(is_refused(&app.service.retire_secrets(&old.id, &how, &app.caller()).await));
        let shown = app.service.client(&old.id, &app.caller()).await.unwrap().value;
        assert_eq!(shown.secrets[0].last_used_at.unwrap().0, app.now());
    };
    gate.hold_verb("note_usage");
    let service = Arc::clone(&app.service);
    let flush = tokio::spawn(async move { service.flush().await });
    gate.arrival().await;
    is_seen().await;
    // It fails, and is kept for the next try.
    gate.set_down(true);
    gate.let_one_pass();
    flush.await.unwrap();
    gate.set_down(false);
    is_seen().await;
    // It is used again while that is being written: the later use counts, and is written next, in the same flush.
    let service = Arc::clone(&app.service);
    let flush = tokio::spawn(async move { service.flush().await });
    gate.arrival().await;
    app.advance(10);
    app.token(&old).await;
    is_seen().await;
    gate.let_one_pass();
    gate.let_one_pass();
    flush.await.unwrap();
    is_seen().await;
    gate.hold_nothing();
    app.service.flush().await;
    is_seen().await;
    app.advance(UNUSED_FOR);
    assert_eq!(app.service.retire_secrets(&old.id, &how, &app.caller()).await.unwrap().value.secrets.len(), 1);
}

/// A use that is written between the two looks, at memory and at the store, is in one of them.
#[tokio::test]
async fn a_use_that_is_written_during_the_look_is_seen() {
    for answered in [false, true] {
        let (app, gate) = gated().await;
        let (old, _) = moved(&app).await;
        app.service.flush().await;
        app.token(&old).await;
        if answered {
            gate.hold_answer("secret_uses");
        } else {
            gate.hold_verb("secret_uses");
        }
        let (service, id, caller) = (Arc::clone(&app.service), old.id.clone(), app.caller());
        let asked = tokio::spawn(async move { service.retire_secrets(&id, &RetireSecrets::default(), &caller).await });
        gate.arrival().await;
        app.service.flush().await;
        gate.hold_nothing();
        gate.let_one_pass();
        assert!(is_refused(&asked.await.unwrap()), "{answered}");
    }
}

/// A look at one revision decides nothing about the next.
#[tokio::test]
async fn what_changes_meanwhile_is_looked_at_anew() {
    let how = RetireSecrets::default;
    for forced in [false, true] {
        let (app, gate) = gated().await;
        let (old, _) = moved(&app).await;
        gate.hold_verb("save_client");
        let (service, id, caller) = (Arc::clone(&app.service), old.id.clone(), app.caller());
        let how = RetireSecrets { force: forced, ..how() };
        let asked = tokio::spawn(async move { service.retire_secrets(&id, &how, &caller).await });
        gate.arrival().await;
        gate.hold_nothing();
        // Nobody has this one yet, so that without the others nobody could authenticate.
        let newest = rotated(&app, &old).await;
        gate.let_one_pass();
        let answer = asked.await.unwrap();
        let left = secrets(&app, &old).await;
        if forced {
            assert_eq!(answer.unwrap().value.secrets.len(), 1);
            assert_eq!((left.len(), status(&app, &newest).await), (1, 200), "the newest there is");
        } else {
            assert!(is_refused(&answer), "{answer:?}");
            assert_eq!(left.len(), 3);
        }
    }
    // A use that came before the try that succeeds counts.
    let (app, gate) = gated().await;
    let (old, _) = moved(&app).await;
    gate.hold_verb("save_client");
    let (service, id, caller) = (Arc::clone(&app.service), old.id.clone(), app.caller());
    let asked = tokio::spawn(async move { service.retire_secrets(&id, &how(), &caller).await });
    gate.arrival().await;
    gate.hold_nothing();
    app.token(&old).await;
    let patch = serde_json::from_value(json!({"description": "x"})).unwrap();
    app.service.update_client(&old.id, &patch, false, &app.caller()).await.unwrap();
    gate.let_one_pass();
    assert!(is_refused(&asked.await.unwrap()));
}

/// What is promised of a use that comes after the look, and before the change: its token lives on, and is the last.
#[tokio::test]
async fn a_use_after_the_look_gets_a_token_that_lives_on() {
    let (app, gate) = gated().await;
    let (old, new) = moved(&app).await;
    gate.hold_verb("save_client");
    let (service, id, caller) = (Arc::clone(&app.service), old.id.clone(), app.caller());
    let asked = tokio::spawn(async move { service.retire_secrets(&id, &RetireSecrets::default(), &caller).await });
    gate.arrival().await;
    let late = app.token(&old).await;
    gate.let_one_pass();
    assert_eq!(asked.await.unwrap().unwrap().value.secrets.len(), 1);
    assert_eq!((whoami(&app, &late).await, status(&app, &old).await, status(&app, &new).await), (200, 401, 200));
}

#[tokio::test]
async fn a_store_that_is_down_decides_nothing() {
    let (app, gate) = gated().await;
    let (old, new) = moved(&app).await;
    for verb in ["client", "secret_uses", "save_client"] {
        gate.hold_verb(verb);
        let (service, id, caller) = (Arc::clone(&app.service), old.id.clone(), app.caller());
        let asked = tokio::spawn(async move { service.retire_secrets(&id, &RetireSecrets::default(), &caller).await });
        gate.arrival().await;
        gate.set_down(true);
        gate.hold_nothing();
        gate.let_one_pass();
        assert!(matches!(asked.await.unwrap(), Err(Error::Unavailable(_))), "{verb}");
        gate.set_down(false);
    }
    assert_eq!((status(&app, &old).await, status(&app, &new).await), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_come_to_one_end() {
    let app = TestApp::start().await;
    let (old, new) = moved(&app).await;
    let ids = secrets(&app, &old).await;
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (service, id, caller) = (Arc::clone(&app.service), old.id.clone(), app.caller());
            tokio::spawn(async move { service.retire_secrets(&id, &RetireSecrets::default(), &caller).await })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap().value.secrets.len(), 1);
    }
    assert_eq!(secrets(&app, &old).await, ids[1..]);
    assert_eq!(status(&app, &new).await, 200);
    let retired = audit(app).await.into_iter().filter(|record| record["action"] == "client.secret.retire").count();
    assert_eq!(retired, 1);
}
