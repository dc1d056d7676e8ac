//! Requests with Digest credentials to routes of our own.

use mintage::api::NewClient;
use mintage::source_ip::Allowlist;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client_changes::ask;
use crate::raw::Answer;

use super::*;

/// That it is the one answer to all that fails, whatever fails about it.
fn assert_invalid(answer: &Answer, what: &str) {
    assert_eq!(answer.verdict(), invalid(), "{what}");
    let mut body = answer.json();
    body["request_id"].take();
    assert_eq!(
        body,
        json!({
            "type": body["type"], "title": "The Digest credentials do not verify", "status": 401,
            "detail": "the Digest credentials are wrong, or of nobody who may authenticate with them",
            "reason": "digest_invalid", "request_id": null,
        }),
        "{what}"
    );
    let found = challenges(answer);
    let of: Vec<_> = found.iter().map(|one| (one.algorithm.as_str(), one.stale)).collect();
    assert_eq!(of, [("SHA-256", false), ("SHA-512-256", false)], "{what}");
    assert_eq!(challenge_lines(answer).len(), 2, "{what}: no Bearer challenge");
    let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "date").collect();
    assert_eq!(
        names,
        ["content-type", "cache-control", "www-authenticate", "www-authenticate", "content-length"],
        "{what}"
    );
}

#[tokio::test]
async fn a_key_stands_for_its_client_with_either_algorithm() {
    let app = site().await;
    let pair = pair(&app).await;
    let asked = send(&app, "GET", WHOAMI, "").await;
    let offered = challenges(&asked);
    assert_eq!(challenge_lines(&asked).len(), 3, "{asked:?}");
    assert!(challenge_lines(&asked)[2].starts_with("Bearer realm=\"mintage\", resource_metadata="), "{asked:?}");
    for (at, challenge) in offered.iter().enumerate() {
        let answer = Login::new(&pair, challenge, "GET", WHOAMI).count(1 + at as u32).send(&app).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let claims = &answer.json()["claims"];
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(pair.client), &json!(pair.client)));
        assert_eq!((&claims["scope"], &claims["env"]), (&json!("mintage:projects:read orders:read"), &json!("live")));
        assert_eq!(claims["gen"], claims["jti"]);
    }
    let (_, keys) = ask(&app, "GET", &format!("clients/{}/digest-keys", pair.client), &Value::Null).await;
    assert!(
        keys["items"][0]["last_used_at"].is_string() && keys["items"][0]["last_used_from"] == "127.0.0.1",
        "{keys}"
    );
    // What the client may do, and no more.
    let projects = Login::new(&pair, &challenged(&app).await, "GET", "/api/v1/projects?limit=1");
    assert_eq!(projects.send(&app).await.status, 200);
    let clients = Login::new(&pair, &challenged(&app).await, "GET", "/api/v1/clients");
    assert_eq!(clients.send(&app).await.verdict(), refused(403, "insufficient_scope"));
    // Scopes are those that the client has now.
    ask(&app, "PATCH", &format!("clients/{}", pair.client), &json!({ "scopes": ["mintage:clients:read"] })).await;
    let clients = Login::new(&pair, &challenged(&app).await, "GET", "/api/v1/clients");
    assert_eq!(clients.send(&app).await.status, 200);
}

#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read"]).await;
    let pair = pair(&app).await;
    let asked = send(&app, "GET", WHOAMI, "").await;
    assert_eq!((asked.status, challenges(&asked).len(), challenge_lines(&asked).len()), (401, 0, 1));
    let challenge =
        Challenge { algorithm: "SHA-256".to_owned(), nonce: "n".to_owned(), opaque: "o".to_owned(), stale: false };
    for target in [WHOAMI, "/api/v1/projects", "/metrics", "/forward-auth?scope=orders:read"] {
        let answer = Login::new(&pair, &challenge, "GET", target).send(&app).await;
        assert_eq!(answer.verdict(), refused(400, "malformed_request"), "{target}");
        assert!(challenges(&answer).is_empty());
    }
    // Neither do these where the routes under /api/v1/ take it.
    let app = site().await;
    let pair = super::pair(&app).await;
    for target in ["/metrics", "/forward-auth?scope=orders:read"] {
        let answer = Login::new(&pair, &challenged(&app).await, "GET", target).send(&app).await;
        assert_eq!(answer.verdict(), refused(400, "malformed_request"), "{target}");
    }
    assert!(challenges(&send(&app, "GET", "/forward-auth?scope=orders:read", "").await).is_empty());
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_one() {
    let app = site().await;
    let pair = pair(&app).await;
    let other = super::pair(&app).await;
    let fresh = login(&app, &pair).await;
    type Wrong = fn(&mut Login, &Pair);
    let wrongs: [(&str, Wrong); 7] = [
        ("password", |login, _| login.password.push('x')),
        ("no password", |login, _| login.password.clear()),
        ("another's password", |login, other| login.password.clone_from(&other.password)),
        ("unknown user", |login, _| login.user = "nobody00".to_owned()),
        ("no user name", |login, _| login.user = "no body:".to_owned()),
        ("the client's id", |login, other| login.user.clone_from(&other.client)),
        ("realm", |login, _| login.realm = "elsewhere".to_owned()),
    ];
    for (what, wrong) in wrongs {
        let mut login = fresh.clone();
        wrong(&mut login, &other);
        // The second time the user is at hand.
        for _ in 0..2 {
            assert_invalid(&login.send(&app).await, what);
        }
    }
    let signed = fresh.header();
    let posted = Login::new(&pair, &fresh.challenge, "POST", WHOAMI).header();
    assert_invalid(&send(&app, "GET", WHOAMI, &posted).await, "method");
    assert_invalid(
        &send(&app, "GET", WHOAMI, &signed.replace("algorithm=SHA-256", "algorithm=SHA-512-256")).await,
        "algorithm",
    );
    assert_invalid(&send(&app, "GET", WHOAMI, &signed.replace("nc=00000001", "nc=00000002")).await, "nc");
    assert_invalid(&send(&app, "GET", WHOAMI, &signed.replace("0a4f113b", "0a4f113c")).await, "cnonce");
    assert_eq!(fresh.send(&app).await.verdict(), ok(), "none of it has used the count up");
    // Those that are not taken any more.
    let short = key_of(&app, &pair.client, json!({ "ttl": 60 })).await;
    assert_eq!(login(&app, &short).await.send(&app).await.verdict(), ok());
    app.advance(60);
    assert_invalid(&login(&app, &short).await.send(&app).await, "ended");
    let path = format!("clients/{}", pair.client);
    for (status, taken) in [("disabled", false), ("active", true)] {
        assert_eq!(ask(&app, "PATCH", &path, &json!({ "status": status })).await.0, 200);
        let answer = login(&app, &pair).await.send(&app).await;
        if taken { assert_eq!(answer.verdict(), ok()) } else { assert_invalid(&answer, status) }
    }
    assert_eq!(ask(&app, "DELETE", &format!("{path}/digest-keys/{}", pair.id), &Value::Null).await.0, 204);
    assert_invalid(&login(&app, &pair).await.send(&app).await, "deleted");
    assert_eq!(ask(&app, "DELETE", &format!("clients/{}", other.client), &Value::Null).await.0, 204);
    assert_invalid(&login(&app, &other).await.send(&app).await, "of a client that is gone");
}

#[tokio::test]
async fn what_is_signed_is_what_is_asked_for() {
    let app = site().await;
    let pair = pair(&app).await;
    let malformed = refused(400, "malformed_request");
    for (signed, sent) in [
        ("/api/v1/projects", "/api/v1/projects?limit=1"),
        ("/api/v1/projects?limit=1", "/api/v1/projects?limit=2"),
        ("/api/v1/projects?limit=1", "/api/v1/projects"),
        ("/api/v1/%70rojects", "/api/v1/projects"),
        ("http://x/api/v1/projects", "/api/v1/projects"),
        ("*", "/api/v1/projects"),
    ] {
        let login = Login::new(&pair, &challenged(&app).await, "GET", signed);
        assert_eq!(send(&app, "GET", sent, &login.header()).await.verdict(), malformed, "{signed} {sent}");
    }
    let signed = login(&app, &pair).await.header();
    for header in [
        signed.replace("algorithm=SHA-256", "algorithm=MD5"),
        signed.replace("qop=auth", "qop=auth-int"),
        signed.replace("nc=00000001, ", ""),
        "Authorization: Digest".to_owned(),
        "Authorization: Digest x".to_owned(),
        format!("{signed}\r\n{signed}"),
        format!("{signed}\r\nAuthorization: Bearer x"),
    ] {
        assert_eq!(send(&app, "GET", WHOAMI, &header).await.verdict(), malformed, "{header}");
    }
    assert_eq!(send(&app, "GET", WHOAMI, "Authorization: Basic eDp5").await.verdict(), malformed);
    assert_eq!(send(&app, "GET", WHOAMI, &signed).await.verdict(), ok());
}

#[tokio::test]
async fn the_address_has_to_be_the_clients() {
    let app = site_with(|config| config.network.trusted_proxies = Allowlist::parse(["127.0.0.1"]).unwrap()).await;
    let new = NewClient { ip_allowlist: vec!["10.0.0.0/8".to_owned()], ..NewClient::default() };
    let pair = pair_with(&app, new, json!({})).await;
    for (address, answer) in [("10.1.2.3", ok()), ("192.0.2.1", refused(403, "ip_not_allowed"))] {
        let header = login(&app, &pair).await.header();
        let sent = send(&app, "GET", WHOAMI, &format!("{header}\r\nX-Forwarded-For: {address}")).await;
        assert_eq!(sent.verdict(), answer);
        assert!(challenges(&sent).is_empty());
    }
}

#[tokio::test]
async fn guesses_are_counted_by_their_address() {
    let app = site_with(|config| {
        config.limits.failed_auth.per_minute = 3;
        config.network.trusted_proxies = Allowlist::parse(["127.0.0.1"]).unwrap();
    })
    .await;
    let made = pair(&app).await;
    let brought = json!({ "public_key": "legacy", "private_key": "0123456789abcdef" });
    let brought = key_of(&app, &made.client, brought).await;
    let from = async |address: &str, login: &Login| {
        let line = format!("{}\r\nX-Forwarded-For: {address}", login.header());
        send(&app, "GET", WHOAMI, &line).await
    };
    // What is right costs nothing, however often.
    let challenge = challenged(&app).await;
    for count in 0..10 {
        for (at, pair) in [&made, &brought].into_iter().enumerate() {
            let login = Login::new(pair, &challenge, "GET", WHOAMI).count(1 + 2 * count + at as u32);
            assert_eq!(from("192.0.2.1", &login).await.verdict(), ok());
        }
    }
    let strangers = Pair { user: "nobody00".to_owned(), ..made.clone() };
    for (address, pair) in [("192.0.2.1", &made), ("192.0.2.2", &brought), ("192.0.2.3", &strangers)] {
        let mut wrong = login(&app, pair).await;
        wrong.password.push('x');
        for _ in 0..3 {
            assert_eq!(from(address, &wrong).await.verdict(), invalid());
        }
        let answer = from(address, &wrong).await;
        assert_eq!(answer.verdict(), refused(429, "rate_limited"));
        assert!(answer.header("retry-after").is_some() && challenges(&answer).is_empty());
    }
    // What nobody can guess is served from there, too; what somebody has chosen is not, so that no guess is answered.
    let (made, brought) = (login(&app, &made).await, login(&app, &brought).await);
    assert_eq!(from("192.0.2.1", &made).await.verdict(), ok());
    assert_eq!(from("192.0.2.1", &brought).await.verdict(), refused(429, "rate_limited"));
    assert_eq!(from("192.0.2.9", &brought).await.verdict(), ok(), "elsewhere it is");
}
