//! One request however many callers, and nobody waits while there is a valid token.

use std::time::Duration;

use mintage::client::{Credentials, TokenSource};

use super::{Endpoint, Say, Time, at_once, until};
use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_tasks_on_a_cold_source_are_one_request_to_the_real_service() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    let client = app.client(&["orders:read"]).await;
    let source = TokenSource::discover(&app.issuer)
        .credentials(Credentials::new(&client.id, &client.secret))
        .scopes(["orders:read"])
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(async move { source.token().await.unwrap().reveal().to_owned() })
        })
        .collect();
    let mut tokens = std::collections::BTreeSet::new();
    for task in tasks {
        tokens.insert(task.await.unwrap());
    }
    // Each request brings a token of its own, so one token is one request.
    assert_eq!(tokens.len(), 1);
    assert_eq!(source.health().fetched, 1);
}

#[tokio::test(start_paused = true)]
async fn while_a_token_is_valid_nobody_waits_for_the_next() {
    let time = Time::stands();
    let endpoint = Endpoint::new(Say::lives(3600));
    let source = endpoint.source(&time).build().unwrap();
    let first = source.token().await.unwrap();
    endpoint.hold(true);
    time.advance(Duration::from_secs(3301)).await;
    until("the renewal is on its way", || endpoint.asked() == 2).await;
    for _ in 0..1000 {
        assert!(at_once(source.token()).expect("it waits").unwrap().is_same(&first));
    }
    endpoint.hold(false);
    until("the new token is there", || !at_once(source.token()).unwrap().unwrap().is_same(&first)).await;
    assert_eq!(endpoint.asked(), 2);
}
