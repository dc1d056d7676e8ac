//! At the token endpoint.

use serde_json::Value;

use super::{limited, number, says_nothing, standing};
use crate::app::{TestApp, TestClient, encode, header};

async fn five_a_minute() -> (TestApp, TestClient) {
    let app = limited(|config| {
        config.limits.token.per_minute = 5;
        config.limits.token.per_day = 12;
    })
    .await;
    app.api("https://orders.example", &["orders:read"]).await;
    let client = app.client(&["orders:read"]).await;
    (app, client)
}

#[tokio::test]
async fn every_answer_to_a_client_says_how_it_stands() {
    let (app, client) = five_a_minute().await;
    let first = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!((first.status().as_u16(), standing(&first)), (200, (5, 4)));
    assert_eq!(number(&first, "x-ratelimit-reset"), u64::try_from(app.now().seconds()).unwrap() + 12);
    assert_eq!(header(&first, "ratelimit-policy"), Some("\"per_minute\";q=5;w=60"));
    assert_eq!(header(&first, "ratelimit"), Some("\"per_minute\";r=4;t=12"));
    // What is refused once it is known who asks counts, too.
    let refused = app.token_request(&client, &[("scope", "orders:delete")]).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), standing(&refused)), (400, (5, 3)));
}

#[tokio::test]
async fn one_too_many_is_429_and_succeeds_when_it_was_told_to_come_back() {
    let (app, client) = five_a_minute().await;
    for _ in 0..5 {
        app.token(&client).await;
    }
    let refused = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), standing(&refused)), (429, (5, 0)));
    let wait = number(&refused, "retry-after");
    assert_eq!((wait, header(&refused, "cache-control")), (12, Some("no-store")));
    let body: Value = refused.json().await.unwrap();
    assert_eq!((&body["error"], &body["reason"]), (&"temporarily_unavailable".into(), &"rate_limited".into()));
    assert!(body["request_id"].as_str().unwrap().starts_with("r_"), "{body}");

    app.advance(wait - 1);
    let early = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!((early.status().as_u16(), number(&early, "retry-after")), (429, 1));
    app.advance(1);
    app.token(&client).await;
    assert_eq!(app.token_request(&client, &[]).send().await.unwrap().status(), 429);

    // The other limit binds by now: twelve a day, of which six are taken.
    app.advance(60);
    for left in (1..=5).rev() {
        let answer = app.token_request(&client, &[]).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), standing(&answer).1), (200, left - 1));
    }
    app.advance(60);
    let last = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!((last.status().as_u16(), standing(&last)), (200, (12, 0)));
    let refused = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!(header(&refused, "ratelimit-policy"), Some("\"per_day\";q=12;w=86400"));
    let wait = number(&refused, "retry-after");
    assert!((86_300..=88_200).contains(&wait), "{wait}");
    app.advance(wait - 1);
    assert_eq!(app.token_request(&client, &[]).send().await.unwrap().status(), 429);
    app.advance(1);
    app.token(&client).await;
}

#[tokio::test]
async fn nobody_spends_the_allowance_of_somebody_else() {
    let (app, client) = five_a_minute().await;
    let other = app.client(&["orders:read"]).await;
    // Whoever does not know the secret, whoever comes from elsewhere, and whatever looks like the id.
    let wrong = TestClient { id: client.id.clone(), secret: other.secret.clone() };
    for _ in 0..20 {
        let answer = app.token_request(&wrong, &[]).send().await.unwrap();
        assert!(answer.status() == 401 && says_nothing(&answer), "{:?}", answer.headers());
    }
    for id in [client.id.to_uppercase(), format!("{} ", client.id), format!(" {}", client.id)] {
        let alike = TestClient { id, secret: client.secret.clone() };
        assert_eq!(app.token_request(&alike, &[]).send().await.unwrap().status(), 401);
    }
    for _ in 0..5 {
        app.token(&other).await;
    }
    assert_eq!(app.token_request(&other, &[]).send().await.unwrap().status(), 429);
    let first = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!((first.status().as_u16(), standing(&first)), (200, (5, 4)));
}

/// Ids that differ in case alone are two clients, with an allowance each.
#[tokio::test]
async fn ids_that_differ_in_case_share_nothing() {
    let (app, _) = five_a_minute().await;
    let named = |id: &str| mintage::api::NewClient { client_id: Some(id.to_owned()), ..Default::default() };
    let (upper, lower) = (app.client_with(named("Billing")).await, app.client_with(named("billing")).await);
    for left in (0..5).rev() {
        for client in [&upper, &lower] {
            let answer = app.token_request(client, &[]).send().await.unwrap();
            assert_eq!((answer.status().as_u16(), standing(&answer).1), (200, left), "{}", client.id);
        }
    }
}

/// A client that asks from where it may not is refused for that, and spends nothing: a secret that was stolen does not
/// lock its owner out.
#[tokio::test]
async fn an_address_off_the_allowlist_spends_nothing() {
    let app = limited(|config| {
        config.limits.token.per_minute = 1;
        config.network.trusted_proxies = mintage::source_ip::Allowlist::parse(["127.0.0.0/8"]).unwrap();
    })
    .await;
    let away = mintage::api::NewClient { ip_allowlist: vec!["10.0.0.0/8".to_owned()], ..Default::default() };
    let client = app.client_with(away).await;
    let from = |address: &str| app.token_request(&client, &[]).header("X-Forwarded-For", address).send();
    for _ in 0..3 {
        let refused = from("192.0.2.1").await.unwrap();
        assert!(refused.status() == 403 && says_nothing(&refused), "{:?}", refused.headers());
    }
    assert_eq!(from("10.0.0.1").await.unwrap().status(), 200);
    assert_eq!(from("10.0.0.1").await.unwrap().status(), 429);
}

/// A rotation and other changes of a client give it no second allowance.
#[tokio::test]
async fn a_change_of_the_client_begins_nothing_anew() {
    let (app, client) = five_a_minute().await;
    for _ in 0..5 {
        app.token(&client).await;
    }
    let patch = mintage::api::ClientPatch { name: Some("new".to_owned()), ..Default::default() };
    app.service.update_client(&client.id, &patch, false, &app.caller()).await.unwrap();
    assert_eq!(app.token_request(&client, &[]).send().await.unwrap().status(), 429);
}

/// 64 connections at once are granted exactly what the limit has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_granted_what_the_limit_has_and_no_more() {
    let app = limited(|config| {
        config.limits.token.per_minute = 60;
        config.limits.token.burst = Some(100);
    })
    .await;
    let client = app.client(&[]).await;
    let body = encode(&[("grant_type", "client_credentials")]);
    for granted in [100, 30, 100] {
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (http, url, client, body) = (app.http.clone(), app.url("/oauth/token"), client.clone(), body.clone());
            crowd.spawn(async move {
                let mut good = 0;
                for _ in 0..8 {
                    let request = http.post(&url).basic_auth(&client.id, Some(&client.secret)).body(body.clone());
                    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
                    match request.send().await.unwrap().status().as_u16() {
                        200 => good += 1,
                        429 => {}
                        other => panic!("{other}"),
                    }
                }
                good
            });
        }
        assert_eq!(crowd.join_all().await.into_iter().sum::<u32>(), granted);
        // Half a minute has 30; what is beyond the burst is not saved up.
        app.advance(if granted == 100 { 30 } else { 200 });
    }
}

/// What a limit in shadow would have refused is counted, and nothing of it is said to callers.
#[tokio::test]
async fn a_limit_in_shadow_counts_alone() {
    let app = limited(|config| {
        config.limits.token.per_minute = 2;
        config.limits.token.per_day = 4;
        config.limits.token.shadow = vec![mintage::limit::Limit::PerMinute, mintage::limit::Limit::PerDay];
        config.limits.failed_auth.per_minute = 1;
        config.limits.failed_auth.shadow = vec![mintage::limit::Limit::PerMinute];
    })
    .await;
    let client = app.client(&[]).await;
    for _ in 0..5 {
        let answer = app.token_request(&client, &[]).send().await.unwrap();
        assert!(answer.status() == 200 && says_nothing(&answer));
    }
    let wrong = TestClient { secret: "wrong".to_owned(), ..client };
    for _ in 0..4 {
        assert_eq!(app.token_request(&wrong, &[]).send().await.unwrap().status(), 401);
    }
    let metrics = app.get("/metrics", None).await.text().await.unwrap();
    assert!(metrics.contains("mintage_shadow_refusals_total{control=\"per_minute\"} 6\n"), "{metrics}");
    assert!(metrics.contains("mintage_shadow_refusals_total{control=\"per_day\"} 1\n"), "{metrics}");
}
