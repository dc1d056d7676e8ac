//! `GET /oauth/revocations`, the feed that verifiers follow, as section 2.4 of the contract has it.

use std::time::Duration;

use mintage::api::{ClientStatus, RotateKeys};
use mintage::jose::CompactJws;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::app::{TestApp, TestClient, claims, encode, header};
use crate::forged::{Forged, about, feed, refused};

/// Longer than any answer takes that is not held back, and shorter than one that is.
pub const SOON: Duration = Duration::from_secs(20);
/// After this an answer that is not held back has long come.
pub const PENDING: Duration = Duration::from_millis(150);

/// A request for the feed that runs on its own, as if from the address that a proxy names.
pub struct Waiter(pub JoinHandle<reqwest::Result<Response>>);

impl Waiter {
    pub fn new(app: &TestApp, query: &str, forwarded_for: &str) -> Self {
        let request = app.http.get(app.url(&format!("/oauth/revocations?{query}")));
        // Longer than any wait: that it is broken off here is no answer.
        let request = request.timeout(Duration::from_secs(90)).header("x-forwarded-for", forwarded_for);
        Self(tokio::spawn(request.send()))
    }

    pub fn at(app: &TestApp, cursor: &str) -> Self {
        Self::new(app, &encode(&[("since", cursor), ("wait", "60")]), "192.0.2.1")
    }

    /// One that is held back.
    async fn pending(app: &TestApp, cursor: &str) -> Self {
        let waiter = Self::at(app, cursor);
        assert!(waiter.is_held().await, "it was answered at once");
        waiter
    }

    pub async fn is_held(&self) -> bool {
        tokio::time::sleep(PENDING).await;
        !self.0.is_finished()
    }

    async fn response(self) -> Response {
        let response = tokio::time::timeout(SOON, self.0).await.expect("nobody has told it").unwrap().unwrap();
        assert_eq!(response.status(), 200);
        response
    }

    pub async fn answer(self) -> Value {
        self.response().await.json().await.unwrap()
    }
}

pub fn cursor(feed: &Value) -> &str {
    feed["cursor"].as_str().unwrap()
}

async fn news(app: &TestApp, since: &str) -> Value {
    feed(app, &encode(&[("since", since)])).await
}

pub async fn revoke(app: &TestApp, client: &TestClient, token: &str) {
    assert_eq!(about(app, "/oauth/revoke", client, token).send().await.unwrap().status(), 200);
}

fn kid(token: &str) -> String {
    CompactJws::parse(token).unwrap().header["kid"].as_str().unwrap().to_owned()
}

/// What an answer has to be, but for its cursor.
pub fn entries(reset: bool, jtis: Value, generations: Value, kids: Value, cursor: &str) -> Value {
    json!({ "cursor": cursor, "reset": reset, "jtis": jtis, "generations": generations, "kids": kids })
}

#[tokio::test]
async fn the_feed_has_the_shape_of_the_contract() {
    let app = TestApp::start().await;
    let metadata: Value = app.get("/.well-known/oauth-authorization-server", None).await.json().await.unwrap();
    assert_eq!(metadata["revocation_feed"], json!(format!("{}/oauth/revocations", app.issuer)));
    let response = app.get("/oauth/revocations", None).await;
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(response.headers().get_all("mintage-jwks-etag").iter().count(), 1);
    let etag = header(&response, "mintage-jwks-etag").unwrap().to_owned();
    assert_eq!(header(&app.get("/.well-known/jwks.json", None).await, "etag"), Some(etag.as_str()));
    let first: Value = response.json().await.unwrap();
    assert!(!cursor(&first).is_empty());
    assert_eq!(first, entries(true, json!([]), json!([]), json!([]), cursor(&first)));
    let none = news(&app, cursor(&first)).await;
    assert_eq!(none, entries(false, json!([]), json!([]), json!([]), cursor(&first)));

    let (client, cut) = (app.client(&[]).await, app.client(&[]).await);
    let (token, of_cut) = (app.token(&client).await, app.token(&cut).await);
    let now = app.now().seconds();
    app.advance(100);
    revoke(&app, &client, &token).await;
    let jti = json!([{ "jti": claims(&token)["jti"], "until": now + 3630 }]);
    let one = news(&app, cursor(&first)).await;
    assert_eq!(one, entries(false, jti.clone(), json!([]), json!([]), cursor(&one)));
    let (status, caller) = (ClientStatus::Disabled, app.caller());
    app.service.set_client_status(&cut.id, status, "client.revoke", &caller).await.unwrap();
    let two = news(&app, cursor(&one)).await;
    let until = two["generations"][0]["until"].as_i64().unwrap();
    assert!((now + 3730..now + 2 * 3730).contains(&until), "{until}");
    let generation = json!([{ "gen": claims(&of_cut)["gen"], "until": until }]);
    assert_eq!(two, entries(false, json!([]), generation.clone(), json!([]), cursor(&two)));
    app.service.revoke_key(&kid(&token), &app.caller()).await.unwrap();
    let three = news(&app, cursor(&two)).await;
    let until = three["kids"][0]["until"].as_i64().unwrap();
    assert!((now + 3730..now + 3 * 3730).contains(&until), "{until}");
    let key = json!([{ "kid": kid(&token), "until": until }]);
    assert_eq!(three, entries(false, json!([]), json!([]), key.clone(), cursor(&three)));
    // From an older position all that came since, in one answer; from none all.
    let since = news(&app, cursor(&one)).await;
    assert_eq!(since, entries(false, json!([]), generation.clone(), key.clone(), cursor(&three)));
    assert_eq!(feed(&app, "").await, entries(true, jti, generation, key, cursor(&three)));
    let cursors = [&first, &one, &two, &three].map(cursor);
    assert!(cursors.iter().enumerate().all(|(n, one)| !cursors[..n].contains(one)), "{cursors:?}");
    // It tells nothing else of anybody.
    assert!(!feed(&app, "").await.to_string().contains(&client.id));
}

#[tokio::test]
async fn an_unknown_cursor_gets_the_whole_list() {
    let app = TestApp::start().await;
    let (client, other) = (app.client(&[]).await, TestApp::start().await);
    let (one, two) = (app.token(&client).await, app.token(&client).await);
    let empty = feed(&app, "").await;
    revoke(&app, &client, &one).await;
    let foreign = feed(&other, "").await;
    let here = feed(&app, "").await;
    let known = cursor(&here);
    let (run, numbers) = known.split_once('.').unwrap();
    let (entry, keys) = numbers.split_once('.').unwrap();
    let entry: u64 = entry.parse().unwrap();
    let mut unknown = vec![
        cursor(&foreign).to_owned(),
        format!("{run}.{}.{keys}", entry + 1),
        format!("{run}.{}.{keys}", u64::MAX),
        format!("{run}.{entry}.{}", keys.parse::<u64>().unwrap() + 1),
        format!("{run}.99999999999999999999999.{keys}"),
        format!("{run}.-1.{keys}"),
        format!("{run}.+{entry}.{keys}"),
        format!("{run}.{entry}"),
        format!("{run}.{entry}."),
        format!("{known}.0"),
        format!("{known} "),
        format!(".{entry}.{keys}"),
        format!("x{known}"),
        known.to_lowercase().replace(char::is_alphabetic, "a"),
        "0".to_owned(),
        "\0".to_owned(),
        "é".to_owned(),
        "x".repeat(5000),
    ];
    unknown.extend((1..known.len()).map(|length| known[..length].to_owned()).filter(|cut| !cut.ends_with(keys)));
    for cursor in unknown {
        // It would be held back where it was taken for known.
        let query = encode(&[("since", &cursor), ("wait", "60")]);
        let answer = tokio::time::timeout(SOON, feed(&app, &query)).await;
        assert_eq!(answer.unwrap_or_else(|_| panic!("{cursor:?} is held back")), here, "{cursor:?}");
    }
    let app = app.restart().await;
    revoke(&app, &client, &two).await;
    let after = feed(&app, "").await;
    let names: Vec<_> = after["jtis"].as_array().unwrap().iter().map(|entry| &entry["jti"]).collect();
    assert_eq!(names.len(), 2);
    assert!([&one, &two].iter().all(|token| names.contains(&&claims(token)["jti"])), "{after}");
    for before in [&empty, &here] {
        let answer = feed(&app, &encode(&[("since", cursor(before)), ("wait", "60")])).await;
        assert_eq!(answer, after, "a cursor of before the restart");
    }
    app.advance(3629);
    app.service.purge().await;
    assert_eq!(feed(&app, "").await["jtis"].as_array().unwrap().len(), 2, "not before its end");
    let known = news(&app, cursor(&after)).await;
    app.advance(1);
    app.service.purge().await;
    assert_eq!(feed(&app, "").await["jtis"], json!([]));
    assert_eq!(news(&app, cursor(&after)).await, known, "whoever has read it all is told nothing anew");
    let app = app.restart().await;
    assert_eq!(feed(&app, "").await["jtis"], json!([]));
}

#[tokio::test]
async fn an_answer_is_held_back_until_there_is_news() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    let start = feed(&app, "wait=60").await;
    let waiter = Waiter::pending(&app, cursor(&start)).await;
    revoke(&app, &client, &token).await;
    let mut last = waiter.answer().await;
    assert_eq!((&last["reset"], &last["jtis"][0]["jti"]), (&json!(false), &claims(&token)["jti"]));
    // Who has not read it yet does not wait for more.
    let late = Waiter::at(&app, cursor(&start)).answer().await;
    assert_eq!(late, last);
    for (status, action) in [
        (Some(ClientStatus::Disabled), "client.revoke"),
        (Some(ClientStatus::Disabled), "client.disable"),
        (None, "client.delete"),
    ] {
        let client = app.client(&[]).await;
        let token = app.token(&client).await;
        let waiter = Waiter::pending(&app, cursor(&last)).await;
        match status {
            Some(status) => {
                app.service.set_client_status(&client.id, status, action, &app.caller()).await.unwrap();
            }
            None => app.service.delete_client(&client.id, &app.caller()).await.unwrap(),
        }
        last = waiter.answer().await;
        assert_eq!(last["generations"].as_array().unwrap().len(), 1, "{action}: {last}");
        assert_eq!(last["generations"][0]["gen"], claims(&token)["gen"], "{action}");
    }
    let waiter = Waiter::pending(&app, cursor(&last)).await;
    // A change that revokes nothing is none; nor is what is revoked already.
    revoke(&app, &client, &token).await;
    app.client(&[]).await;
    assert!(waiter.is_held().await);
    app.service.revoke_key(&kid(&token), &app.caller()).await.unwrap();
    // The key set and the entry are two pieces of news, and may come one by one.
    let mut keys = waiter.answer().await;
    if keys["kids"] == json!([]) {
        keys = Waiter::at(&app, cursor(&keys)).answer().await;
    }
    assert_eq!(keys["kids"][0]["kid"], json!(kid(&token)));
}

#[tokio::test]
async fn another_key_set_is_news() {
    let app = TestApp::start().await;
    let etag = async || header(&app.get("/.well-known/jwks.json", None).await, "etag").unwrap().to_owned();
    let (start, before) = (feed(&app, "").await, etag().await);
    let waiter = Waiter::pending(&app, cursor(&start)).await;
    app.service.rotate_keys(&RotateKeys { now: true }, &app.caller()).await.unwrap();
    let response = waiter.response().await;
    let after = etag().await;
    assert_ne!(before, after);
    assert_eq!(header(&response, "mintage-jwks-etag"), Some(after.as_str()));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer, entries(false, json!([]), json!([]), json!([]), cursor(&answer)));
    assert_ne!(cursor(&answer), cursor(&start));
    // Who was away meanwhile hears of it at once, too; and then it is news no longer.
    assert_eq!(Waiter::at(&app, cursor(&start)).answer().await, answer);
    let waiter = Waiter::pending(&app, cursor(&answer)).await;
    // Rotation by itself: the next key has been seen by all, and is due.
    app.advance(91 * 24 * 3600);
    app.service.tick().await;
    assert_eq!(header(&waiter.response().await, "mintage-jwks-etag"), Some(etag().await.as_str()));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let app = TestApp::start().await;
    let start = feed(&app, "").await;
    let since = encode(&[("since", cursor(&start))]);
    for wait in ["61", "-1", "x", "1.5", "%2B5", "+5", "5+", "0x1", "1e1", "60s", "99999999999999999999", "%00", "٣"] {
        for query in [format!("wait={wait}"), format!("{since}&wait={wait}")] {
            let request = app.http.get(app.url(&format!("/oauth/revocations?{query}")));
            refused(request, 400, "invalid_request", "malformed_request").await;
        }
    }
    for query in
        ["wait=0&wait=0", "wait=1&wait=", "wait=&wait=", "since=a&since=b", "since=&since=", "since=%FF", "wait=%FF"]
    {
        let request = app.http.get(app.url(&format!("/oauth/revocations?{query}")));
        refused(request, 400, "invalid_request", "malformed_request").await;
    }
    // These are answered, and at once.
    for query in ["", "wait=60", "since=", "since=&wait=60", "wait=&other=1", "other=1&other=2", "wait=0", "wait=00"] {
        let answer = tokio::time::timeout(SOON, feed(&app, query)).await.expect(query);
        assert_eq!(answer, start, "{query}");
    }
    for wait in ["", "&wait=", "&wait=0"] {
        let answer = tokio::time::timeout(SOON, feed(&app, &format!("{since}{wait}"))).await.expect(wait);
        assert_eq!(answer["reset"], false, "{wait}");
    }
    // A wait that ends without news.
    let answer = tokio::time::timeout(SOON, feed(&app, &format!("{since}&wait=1"))).await.unwrap();
    assert_eq!(answer, entries(false, json!([]), json!([]), json!([]), cursor(&start)));
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let request = app.http.request(method.parse().unwrap(), app.url("/oauth/revocations"));
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, Some("GET,HEAD")), "{method}");
    }
}

#[tokio::test]
async fn the_service_stops_although_somebody_waits() {
    let app = TestApp::start().await;
    let start = feed(&app, "").await;
    let mut waiters = Vec::new();
    for _ in 0..3 {
        waiters.push(Waiter::pending(&app, cursor(&start)).await);
    }
    // Requests under way are given ten seconds; nobody should need them.
    tokio::time::timeout(Duration::from_secs(8), app.stop()).await.expect("it waits for them");
    for waiter in waiters {
        assert_eq!(waiter.answer().await["reset"], false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_misses_nothing_and_is_told_it_once() {
    let app = std::sync::Arc::new(TestApp::start().await);
    let client = app.client(&[]).await;
    let tokens: Vec<_> = (0..120).map(|n| Forged::of(&app, &client, &format!("jti-{n:03}")).sign(&app)).collect();
    let start = feed(&app, "").await;
    let followers: Vec<_> = (0..4)
        .map(|_| {
            let (app, mut last) = (std::sync::Arc::clone(&app), start.clone());
            tokio::spawn(async move {
                let mut seen: Vec<String> = Vec::new();
                while seen.len() < 120 {
                    last = Waiter::at(&app, cursor(&last)).answer().await;
                    let news = last["jtis"].as_array().unwrap();
                    seen.extend(news.iter().map(|one| one["jti"].as_str().unwrap().to_owned()));
                }
                seen.sort();
                seen
            })
        })
        .collect();
    let revokers: Vec<_> = tokens
        .chunks(10)
        .map(|chunk| {
            let (app, client, chunk) = (std::sync::Arc::clone(&app), client.clone(), chunk.to_vec());
            tokio::spawn(async move {
                for token in chunk {
                    revoke(&app, &client, &token).await;
                }
            })
        })
        .collect();
    for revoker in revokers {
        revoker.await.unwrap();
    }
    for follower in followers {
        let seen = follower.await.unwrap();
        assert_eq!(seen, (0..120).map(|n| format!("jti-{n:03}")).collect::<Vec<_>>());
    }
}
