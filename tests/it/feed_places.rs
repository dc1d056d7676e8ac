//! The feed's places for those who wait: so many for an address, and given back.

use mintage::source_ip::Allowlist;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::app::{TestApp, claims, encode};
use crate::feed::{PENDING, SOON, Waiter, cursor, entries, revoke};
use crate::forged::{feed, refused};

/// Fills all places of an address; each request says to come from another one.
async fn fill(app: &TestApp, since: &str, name: impl Fn(usize) -> String) -> Vec<Waiter> {
    let query = encode(&[("since", since), ("wait", "60")]);
    let mut waiters: Vec<_> = (0..64).map(|n| Waiter::new(app, &query, &name(n))).collect();
    for _ in 0..50 {
        tokio::time::sleep(PENDING).await;
        // When one more is answered at once all of them have come. One that came too early has taken a place.
        let probe = Waiter::new(app, &query, &name(64));
        let is_held = probe.is_held().await;
        probe.0.abort();
        let mut lost = waiters.iter_mut().filter(|waiter| waiter.0.is_finished()).peekable();
        if !is_held && lost.peek().is_none() {
            return waiters;
        }
        lost.for_each(|waiter| *waiter = Waiter::new(app, &query, &name(64)));
    }
    panic!("64 may wait, and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_bounded_by_address_whatever_they_say() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let start = feed(&app, "").await;
    let mut waiters = fill(&app, cursor(&start), |n| format!("10.0.0.{n}")).await;
    let more = Waiter::new(&app, &encode(&[("since", cursor(&start)), ("wait", "60")]), "192.0.2.1").answer().await;
    assert_eq!(more, entries(false, json!([]), json!([]), json!([]), cursor(&start)), "the 65th waits for nothing");
    // Others are served as ever, and one from elsewhere waits.
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let address = app.base.strip_prefix("http://").unwrap().parse().unwrap();
    let mut other = elsewhere.connect(address).await.unwrap();
    let query = encode(&[("since", cursor(&start)), ("wait", "60")]);
    let request = format!("GET /oauth/revocations?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    other.write_all(request.as_bytes()).await.unwrap();
    assert!(tokio::time::timeout(PENDING, other.readable()).await.is_err(), "it is answered at once");
    let token = app.token(&client).await;
    // Who hangs up gives the place back.
    waiters.pop().unwrap().0.abort();
    let mut again = Waiter::at(&app, cursor(&start));
    for _ in 0..100 {
        if again.is_held().await {
            break;
        }
        again = Waiter::at(&app, cursor(&start));
    }
    assert!(again.is_held().await, "the place is not given back");
    assert!(!Waiter::at(&app, cursor(&start)).is_held().await, "it is one place");
    waiters.push(again);
    revoke(&app, &client, &token).await;
    let mut answer = String::new();
    tokio::time::timeout(SOON, other.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains(claims(&token)["jti"].as_str().unwrap()), "{answer}");
    for waiter in waiters {
        assert_eq!(waiter.answer().await["jtis"][0]["jti"], claims(&token)["jti"]);
    }
    let now = feed(&app, "").await;
    fill(&app, cursor(&now), |_| String::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_address_has_its_places() {
    let trusted = |config: &mut mintage::server::config::Config| {
        config.network.trusted_proxies = Allowlist::parse(["127.0.0.1"]).unwrap();
    };
    let app = TestApp::builder().config(trusted).start().await;
    let start = feed(&app, "").await;
    let query = encode(&[("since", cursor(&start)), ("wait", "60")]);
    // One host has a whole network of 64 bits.
    let _waiters = fill(&app, cursor(&start), |n| format!("2001:db8:0:1::{n:x}")).await;
    for (name, held) in [
        ("2001:db8:0:1:ffff::1", false),
        ("2001:db8:0:2::1, 2001:db8:0:1::9", false),
        ("2001:db8:0:1::9, 2001:db8:0:2::1", true),
        ("10.0.0.1", true),
        ("", true),
    ] {
        assert_eq!(Waiter::new(&app, &query, name).is_held().await, held, "{name}");
    }
    let garbled = app.http.get(app.url(&format!("/oauth/revocations?{query}"))).header("x-forwarded-for", "nonsense");
    refused(garbled, 400, "invalid_request", "malformed_request").await;
}
