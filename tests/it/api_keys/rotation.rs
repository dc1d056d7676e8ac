//! Rotations: how long what replaces a key or a secret lives, what is said of those that go on, and that they end with a
//! revocation.

use mintage::clock::{Rfc3339, UnixTime};
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient};
use crate::client_changes::{ask, fields};
use crate::forged::about;
use crate::store_registry::secret;

use super::exchange::exchanged;
use super::{GOOD, Key, forwarded_from, key, key_with, reading, refused, shown, site};

const DAY: u64 = 24 * 3600;

fn moment(value: &Value) -> UnixTime {
    serde_json::from_value::<Rfc3339>(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}")).0
}

/// How long from now; none is for ever.
fn left(app: &TestApp, value: &Value) -> Option<u64> {
    (!value.is_null()).then(|| moment(value).since(app.now()).as_secs())
}

async fn rotated(app: &TestApp, id: &str, body: Value) -> Value {
    let (status, answer) = ask(app, "POST", &format!("api-keys/{id}/rotate"), &body).await;
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

async fn policy(app: &TestApp, policy: Value) {
    let (status, answer) = ask(app, "PATCH", "projects/default", &json!({ "secret_policy": policy })).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_key_lives_as_long_as_the_one_that_it_replaces() {
    let app = site().await;
    let key = key_with(&app, json!({ "scopes": ["orders:read"], "ttl": 10 * DAY })).await;
    for (body, expected) in [
        (json!({}), Some(10 * DAY)),
        (json!({ "overlap": 3600 }), Some(10 * DAY)),
        // The one before ends in an hour, and was not made to.
        (json!({ "overlap": 60 }), Some(10 * DAY)),
        (json!({ "overlap": 20 * DAY }), Some(10 * DAY)),
        (json!({ "ttl": 90 }), Some(90)),
        (json!({ "overlap": 5 }), Some(90)),
        (json!({ "ttl": null }), None),
        (json!({}), None),
        (json!({ "overlap": 60, "ttl": null }), None),
        (json!({ "ttl": 60 }), Some(60)),
    ] {
        app.advance(7);
        let answer = rotated(&app, &key.id, body.clone()).await;
        assert_eq!(left(&app, &answer["expires_at"]), expected, "{body}: {answer}");
        let bearer = Key::of(&answer).key;
        assert_eq!(reading(&app, &bearer).await, GOOD, "{body}");
    }
    // One that has ended by itself is replaced by one that lives as long from now on, whoever has restarted meanwhile.
    app.advance(3600);
    let app = app.restart().await;
    let answer = rotated(&app, &key.id, json!({})).await;
    assert_eq!(left(&app, &answer["expires_at"]), Some(60), "{answer}");
    app.advance(59);
    assert_eq!(reading(&app, &Key::of(&answer).key).await, GOOD);
    app.advance(1);
    assert_eq!(reading(&app, &Key::of(&answer).key).await, refused(401, "token_expired"));
    for bad in [json!({ "ttl": 0 }), json!({ "ttl": 400_000_000 })] {
        assert_eq!(fields(&app, "POST", &format!("api-keys/{}/rotate", key.id), bad).await, ["ttl"]);
    }
    for bad in [json!({ "ttl": "none" }), json!({ "ttl": -1 }), json!({ "ttl": 1.5 })] {
        assert_eq!(ask(&app, "POST", &format!("api-keys/{}/rotate", key.id), &bad).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn what_is_inherited_is_cut_to_the_policy_and_what_is_asked_for_is_refused() {
    let app = site().await;
    let ends = key_with(&app, json!({ "ttl": 10 * DAY })).await;
    let never = key(&app).await;
    let client = app.client(&[]).await;
    let secrets = format!("clients/{}/secrets", client.id);
    let ten = json!({ "overlap": 60, "secret_ttl": 10 * DAY });
    assert_eq!(ask(&app, "POST", &secrets, &ten).await.0, 201);
    policy(&app, json!({ "max_ttl": DAY })).await;
    for id in [&ends.id, &never.id] {
        let answer = rotated(&app, id, json!({ "overlap": 60 })).await;
        assert_eq!(left(&app, &answer["expires_at"]), Some(DAY), "{answer}");
        let answer = rotated(&app, id, json!({ "ttl": null })).await;
        assert_eq!(left(&app, &answer["expires_at"]), Some(DAY), "never is as long as may be: {answer}");
        let path = format!("api-keys/{id}/rotate");
        assert_eq!(fields(&app, "POST", &path, json!({ "ttl": DAY + 1 })).await, ["ttl"]);
    }
    let (status, answer) = ask(&app, "POST", &secrets, &json!({ "overlap": 60 })).await;
    assert_eq!((status, left(&app, &newest(&answer)["expires_at"])), (201, Some(DAY)), "{answer}");
    assert_eq!(fields(&app, "POST", &secrets, json!({ "overlap": 60, "secret_ttl": DAY + 1 })).await, ["secret_ttl"]);
    // What was cut was made so short: a looser policy does not lengthen it again.
    policy(&app, json!({ "max_ttl": 30 * DAY })).await;
    let answer = rotated(&app, &ends.id, json!({})).await;
    assert_eq!(left(&app, &answer["expires_at"]), Some(DAY), "{answer}");
    policy(&app, json!({ "max_ttl": null, "require_expiry": true })).await;
    let answer = rotated(&app, &ends.id, json!({})).await;
    assert_eq!(left(&app, &answer["expires_at"]), Some(DAY), "it has an end: {answer}");
    let (status, problem) = ask(&app, "POST", &format!("api-keys/{}/rotate", ends.id), &json!({ "ttl": null })).await;
    assert_eq!((status, &problem["policy"]), (403, &json!("require_expiry")), "{problem}");
}

fn newest(client: &Value) -> &Value {
    client["secrets"].as_array().unwrap().last().unwrap()
}

#[tokio::test]
async fn a_secret_lives_as_long_as_the_newest_when_that_is_rotated() {
    let app = site().await;
    let (_, made) = ask(&app, "POST", "clients", &json!({ "name": "n", "secret_ttl": 10 * DAY })).await;
    let id = made["client_id"].as_str().unwrap().to_owned();
    let add = async |app: &TestApp, body: Value| {
        let (status, answer) = ask(app, "POST", &format!("clients/{id}/secrets"), &body).await;
        assert_eq!(status, 201, "{body}: {answer}");
        answer
    };
    for (body, expected) in [
        (json!({ "overlap": 3600 }), Some(10 * DAY)),
        (json!({ "overlap": 0 }), Some(10 * DAY)),
        // The hash of one that is there already is kept no longer than one that is made.
        (json!({ "overlap": 0, "client_secret": "correct horse battery staple" }), Some(10 * DAY)),
        (json!({ "overlap": 60, "secret_ttl": 90 }), Some(90)),
        (json!({ "overlap": 0 }), Some(90)),
        (json!({ "overlap": 0, "secret_ttl": null }), None),
        (json!({ "overlap": 0 }), None),
        (json!({ "secret_ttl": 90 }), Some(90)),
        // Nothing is replaced, so nothing is inherited.
        (json!({}), None),
        (json!({ "overlap": 0, "secret_ttl": 90 }), Some(90)),
        (json!({ "secret_ttl": null }), None),
    ] {
        app.advance(3);
        let answer = add(&app, body.clone()).await;
        assert_eq!(left(&app, &newest(&answer)["expires_at"]), expected, "{body}: {answer}");
    }
    // The newest is taken away before anybody had it, as where its answer was lost: the one before was made for 5 days, and
    // ends in a minute.
    add(&app, json!({ "overlap": 0, "secret_ttl": 5 * DAY })).await;
    let lost = add(&app, json!({ "overlap": 60 })).await;
    let app = app.restart().await;
    let path = format!("clients/{id}/secrets/{}", newest(&lost)["id"].as_str().unwrap());
    let (status, answer) = ask(&app, "DELETE", &path, &Value::Null).await;
    assert_eq!((status, left(&app, &newest(&answer)["expires_at"])), (200, Some(60)), "{answer}");
    let answer = add(&app, json!({ "overlap": 60 })).await;
    assert_eq!(left(&app, &newest(&answer)["expires_at"]), Some(5 * DAY), "{answer}");
    // All have ended by themselves.
    app.advance(6 * DAY);
    let answer = add(&app, json!({ "overlap": 60 })).await;
    assert_eq!(answer["secrets"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(left(&app, &newest(&answer)["expires_at"]), Some(5 * DAY), "{answer}");
    for (bad, field) in [(json!({ "secret_ttl": 0 }), "secret_ttl"), (json!({ "overlap": 400_000_000 }), "overlap")] {
        assert_eq!(fields(&app, "POST", &format!("clients/{id}/secrets"), bad).await, [field]);
    }
}

/// A record from before lives were remembered says how long it was made to live until an overlap comes.
#[test]
fn an_overlap_takes_nothing_from_the_life_that_is_remembered() {
    let at = UnixTime::from_seconds;
    for (ends, life) in [(Some(600), Some(600)), (None, None)] {
        let mut old = secret("a", ends);
        assert_eq!(old.life(), life);
        for (end, expected) in [(700, ends.unwrap_or(700)), (300, 300), (400, 300), (5, 5)] {
            old.end_by(at(end));
            assert_eq!((old.expires_at, old.life()), (Some(at(expected)), life), "{end}");
        }
        let kept = serde_json::to_value(&old).unwrap();
        let read: mintage::server::model::SecretRecord = serde_json::from_value(kept).unwrap();
        assert_eq!((read.expires_at, read.life()), (Some(at(5)), life));
    }
}

#[tokio::test]
async fn those_that_go_on_are_shown_with_their_end_and_their_last_use() {
    let app = site().await;
    let first = key(&app).await;
    let path = format!("api-keys/{}", first.id);
    assert_eq!(shown(&app, &first.id).await["retiring"], json!([]));
    let created = [app.now(), {
        app.advance(10);
        app.now()
    }];
    let second = rotated(&app, &first.id, json!({ "overlap": 600 })).await;
    let ends = Rfc3339(UnixTime::from_seconds(app.now().seconds() + 600));
    let mut of_first = json!({
        "prefix": format!("{}…", &first.key[..16]), "created_at": Rfc3339(created[0]), "expires_at": ends,
        "last_used_at": null, "last_used_from": null,
    });
    assert_eq!(second["retiring"], json!([of_first]), "the answer that makes the new one says so, too");
    let second = Key::of(&second);
    assert_eq!(reading(&app, &second.key).await, GOOD);
    let now = shown(&app, &first.id).await;
    assert_eq!((&now["retiring"], &now["last_used_from"]), (&json!([of_first]), &json!("127.0.0.1")), "of the new one");
    app.advance(5);
    let (used, scope) = (app.now(), [("scope", "orders:read")]);
    assert_eq!(forwarded_from(&app, [127, 0, 0, 7], &scope, &first.key).await.status, 200);
    of_first["last_used_at"] = json!(Rfc3339(used));
    of_first["last_used_from"] = json!("127.0.0.7");
    // Two go on, the oldest first; the second ends before the first.
    let third = rotated(&app, &first.id, json!({ "overlap": 60 })).await;
    of_first["expires_at"] = json!(Rfc3339(UnixTime::from_seconds(app.now().seconds() + 60)));
    let retiring = third["retiring"].as_array().unwrap();
    assert_eq!((retiring.len(), &retiring[0]), (2, &of_first), "{third}");
    assert_eq!(retiring[1]["prefix"], format!("{}…", &second.key[..16]));
    assert_eq!(retiring[1]["created_at"], json!(Rfc3339(created[1])));
    assert_eq!(third["prefix"], format!("{}…", &Key::of(&third).key[..16]));
    let app = app.restart().await;
    let mut once = third.clone();
    once.as_object_mut().unwrap().remove("api_key");
    assert_eq!(shown(&app, &first.id).await, once);
    let (_, list) = ask(&app, "GET", "api-keys", &Value::Null).await;
    assert_eq!(list["items"], json!([once]));
    // A change says of them what was so before and what is so after.
    app.advance(60);
    assert_eq!(shown(&app, &first.id).await["retiring"], json!([]), "they have ended");
    let (_, patched) = ask(&app, "PATCH", &path, &json!({ "description": "d" })).await;
    assert_eq!(patched["retiring"], json!([]));
    let fourth = rotated(&app, &first.id, json!({})).await;
    assert_eq!(fourth["retiring"], json!([]), "without an overlap none goes on");
    let (_, changes) = ask(&app, "GET", "audit?kind=changes&limit=100", &Value::Null).await;
    let of = |action: &str, side: &str| -> Vec<usize> {
        let items = changes["items"].as_array().unwrap().iter();
        let own = items.filter(|one| one["action"] == action && one["target"] == first.id.as_str());
        let mut counts: Vec<_> = own.map(|one| one[side]["retiring"].as_array().unwrap().len()).collect();
        counts.sort_unstable();
        counts
    };
    assert_eq!((of("api_key.rotate", "after"), of("api_key.rotate", "before")), (vec![0, 1, 2], vec![0, 0, 1]));
    assert_eq!((of("api_key.update", "after"), of("api_key.update", "before")), (vec![0], vec![0]));
}

#[tokio::test]
async fn a_revocation_ends_those_that_go_on_for_good() {
    for how in ["revoke", "disable", "disable with more", "newest found", "oldest found"] {
        let app = site().await;
        let first = key(&app).await;
        let path = format!("api-keys/{}", first.id);
        let second = Key::of(&rotated(&app, &first.id, json!({ "overlap": DAY })).await);
        let third = Key::of(&rotated(&app, &first.id, json!({ "overlap": DAY })).await);
        let token = exchanged(&app, &first.key, &[]).await["access_token"].as_str().unwrap().to_owned();
        for bearer in [&first.key, &second.key, &third.key, &token] {
            assert_eq!(reading(&app, bearer).await, GOOD);
        }
        let (status, answer) = match how {
            "revoke" => ask(&app, "POST", &format!("{path}/revoke"), &json!({})).await,
            "disable" => ask(&app, "PATCH", &path, &json!({ "status": "disabled" })).await,
            "disable with more" => ask(&app, "PATCH", &path, &json!({ "status": "disabled", "owner": "o" })).await,
            found => {
                let operator: TestClient = app.client(&["mintage:tokens:revoke"]).await;
                let text = if found == "newest found" { &third.key } else { &first.key };
                let response = about(&app, "/oauth/revoke", &operator, text).send().await.unwrap();
                (response.status().as_u16(), shown(&app, &first.id).await)
            }
        };
        assert_eq!((status, &answer["status"], &answer["retiring"]), (200, &json!("disabled"), &json!([])), "{how}");
        let all = [&first.key, &second.key, &third.key, &token];
        for bearer in all {
            assert_eq!(reading(&app, bearer).await, refused(401, "token_revoked"), "{how}");
        }
        // Again, as whoever is not sure does.
        assert_eq!(ask(&app, "POST", &format!("{path}/revoke"), &json!({})).await.0, 200);
        let (_, active) = ask(&app, "PATCH", &path, &json!({ "status": "active" })).await;
        assert_eq!((&active["status"], &active["retiring"]), (&json!("active"), &json!([])), "{how}: {active}");
        assert_eq!(active["expires_at"], Value::Null, "{how}: the newest lives on");
        let app = app.restart().await;
        assert_eq!(reading(&app, &third.key).await, GOOD, "{how}");
        for bearer in [&first.key, &second.key, &token] {
            assert_eq!(reading(&app, bearer).await, refused(401, "token_revoked"), "{how}");
        }
        for bearer in [&first.key, &second.key] {
            let holder = app.client(&["mintage:tokens:introspect"]).await;
            let about = about(&app, "/oauth/introspect", &holder, bearer).send().await.unwrap();
            assert_eq!(about.json::<Value>().await.unwrap(), json!({ "active": false }), "{how}");
        }
        // When revocations are forgotten they are no less dead, and they count for nothing of what goes on.
        app.advance(2 * 3600);
        let app = app.restart().await;
        for bearer in [&first.key, &second.key] {
            assert_eq!(reading(&app, bearer).await, refused(401, "token_expired"), "{how}");
        }
        for _ in 0..4 {
            rotated(&app, &first.id, json!({ "overlap": 60 })).await;
        }
        for bearer in [&first.key, &second.key] {
            assert_eq!(reading(&app, bearer).await, refused(401, "token_invalid"), "{how}: long gone");
        }
        assert_eq!(reading(&app, &third.key).await, GOOD, "{how}");
    }
}

#[tokio::test]
async fn what_takes_from_a_key_leaves_those_that_go_on() {
    let app = site().await;
    let first = key_with(&app, json!({ "scopes": ["orders:read", "orders:write"] })).await;
    let second = Key::of(&rotated(&app, &first.id, json!({ "overlap": DAY })).await);
    let (_, narrowed) =
        ask(&app, "PATCH", &format!("api-keys/{}", first.id), &json!({ "scopes": ["orders:read"] })).await;
    assert_eq!(narrowed["retiring"].as_array().unwrap().len(), 1, "{narrowed}");
    for bearer in [&first.key, &second.key] {
        assert_eq!(reading(&app, bearer).await, GOOD);
    }
}

#[tokio::test]
async fn refusals_speak_in_the_units_that_people_type() {
    let app = site().await;
    let key = key(&app).await;
    let detail = async |method: &str, path: &str, body: Value| {
        let (status, problem) = ask(&app, method, path, &body).await;
        assert!(matches!(status, 400 | 403), "{body}: {problem}");
        let of_field = problem["errors"][0]["detail"].as_str();
        of_field.or(problem["detail"].as_str()).unwrap().to_owned()
    };
    let rotate = format!("api-keys/{}/rotate", key.id);
    let most = "3660d (316224000 seconds)";
    assert_eq!(detail("POST", &rotate, json!({ "overlap": 316_224_001 })).await, format!("at most {most}"));
    assert_eq!(detail("POST", &rotate, json!({ "ttl": 0 })).await, format!("1s to {most}"));
    let long = json!({ "secret_policy": { "max_ttl": 316_224_001 } });
    assert_eq!(detail("PATCH", "projects/default", long).await, format!("1s to {most}"));
    assert!(
        detail("POST", "clients", json!({ "name": "n", "token_ttl": 86_400 })).await.starts_with("1s to 1h (3600 ")
    );
    for (max_ttl, said) in [(90 * DAY, "90d (7776000 seconds)"), (DAY + 5400, "1d 1h 30m (91800 seconds)")] {
        policy(&app, json!({ "max_ttl": max_ttl })).await;
        let said = format!("at most {said}: the secret_policy of the project or its organization says so");
        assert_eq!(detail("POST", &rotate, json!({ "ttl": 100 * DAY })).await, said);
        assert_eq!(detail("POST", "api-keys", json!({ "name": "n", "ttl": 100 * DAY })).await, said);
        assert_eq!(detail("POST", "clients", json!({ "name": "n", "secret_ttl": 100 * DAY })).await, said);
    }
    for (max_keys, said) in [
        (1, "a project has 1 API key at most, and this one has it"),
        (2, "a project has 2 API keys at most, and this one has them"),
    ] {
        policy(&app, json!({ "max_keys": max_keys })).await;
        let detail = detail("POST", "api-keys", json!({ "name": "n" })).await;
        assert!(detail.contains(said), "{detail}");
        policy(&app, json!({ "max_keys": null })).await;
        super::key(&app).await;
    }
}
