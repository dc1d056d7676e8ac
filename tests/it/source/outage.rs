//! Refusals, which are not asked for in a loop nor kept for good; and an issuer that goes down and comes up.

use std::sync::Arc;
use std::time::Duration;

use mintage::client::TokenSource;
use mintage::crypto::entropy::SeededEntropy;

use super::faults::{allowed, side_by_side};
use super::{Endpoint, Say, Time, at_once, settle, until};

const REFUSALS: [(u16, &str); 5] = [
    (400, "invalid_scope"),
    (400, "unauthorized_client"),
    (401, "invalid_client"),
    (403, "access_denied"),
    (403, "no word of OAuth"),
];

fn refusals() -> impl Iterator<Item = Say> {
    REFUSALS.into_iter().map(|(status, error)| match error.contains(' ') {
        true => Say::status(status),
        false => Say::refused(status, error),
    })
}

#[test]
fn a_refusal_that_nobody_asks_about_is_one_request() {
    side_by_side(refusals().map(|say| {
        move || async move {
            let (time, endpoint) = (Time::stands(), Endpoint::new(say.clone()));
            let source = endpoint.source(&time).build().unwrap();
            source.token().await.unwrap_err();
            for _ in 0..180 {
                time.advance(Duration::from_secs(60)).await;
                endpoint.quiet(&source).await;
            }
            assert_eq!(endpoint.asked(), 1, "{say:?}");
            // And where it is the renewal that is refused.
            endpoint.says(Say::lives(3600));
            source.token().await.unwrap();
            endpoint.says(say.clone());
            for _ in 0..180 {
                time.advance(Duration::from_secs(60)).await;
                endpoint.quiet(&source).await;
            }
            assert_eq!(endpoint.asked(), 3, "{say:?}");
        }
    }));
}

#[test]
fn a_refusal_is_asked_about_every_half_minute_and_forgotten_with_it() {
    side_by_side(refusals().map(|say| {
        move || async move {
            let (time, endpoint) = (Time::stands(), Endpoint::new(say.clone()));
            let source = endpoint.source(&time).build().unwrap();
            let callers = |many: usize| {
                (0..many).for_each(|_| {
                    let source = source.clone();
                    drop(tokio::spawn(async move { source.token().await }));
                });
            };
            let minutes = 10;
            for _ in 0..minutes * 20 {
                callers(20);
                time.advance(Duration::from_secs(3)).await;
                endpoint.quiet(&source).await;
            }
            let asked = endpoint.asked();
            assert!(asked > minutes && asked <= 1 + minutes * 2, "{say:?}: {asked}");
            endpoint.says(Say::lives(3600));
            let mut seconds = 0;
            while at_once(source.token()).is_none_or(|answer| answer.is_err()) {
                seconds += 1;
                assert!(seconds <= 30, "{say:?}");
                callers(1);
                time.advance(Duration::from_secs(1)).await;
                endpoint.quiet(&source).await;
            }
            assert_eq!(endpoint.asked(), asked + 1);
            // A renewal that is refused takes the token from nobody.
            endpoint.says(say.clone());
            let first = source.token().await.unwrap();
            time.advance(Duration::from_secs(3200)).await;
            for _ in 0..39 {
                assert!(at_once(source.token()).expect("it waits").unwrap().is_same(&first), "{say:?}");
                time.advance(Duration::from_secs(10)).await;
                endpoint.quiet(&source).await;
            }
            assert!(source.health().valid && source.health().failures == 1 && endpoint.asked() == asked + 2);
            time.advance(Duration::from_secs(10)).await;
            source.token().await.unwrap_err();
            endpoint.says(Say::lives(3600));
            time.advance(Duration::from_secs(30)).await;
            source.token().await.unwrap();
        }
    }));
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_for_the_next_token_has_a_refusal_asked_about_as_well() {
    let time = Time::stands();
    let endpoint = Endpoint::new(Say::refused(401, "invalid_client"));
    let source = endpoint.source(&time).build().unwrap();
    let mut changes = source.changes();
    let waits = tokio::spawn(async move { changes.changed().await.map(|token| token.expires_at()) });
    // After 30 s, a minute, two minutes and so on: at 0, 30, 90, 210, 450, 930, 1530.
    let mut asked = Vec::new();
    for _ in 0..180 {
        time.advance(Duration::from_secs(10)).await;
        endpoint.quiet(&source).await;
        asked.push(endpoint.asked());
    }
    assert_eq!((asked[1], asked[12], asked[24], asked[179]), (1, 3, 4, 7), "{asked:?}");
    endpoint.says(Say::lives(3600));
    for _ in 0..61 {
        time.advance(Duration::from_secs(10)).await;
        endpoint.quiet(&source).await;
    }
    assert!(waits.is_finished());
    waits.await.unwrap().unwrap();
}

#[test]
fn nobody_notices_an_issuer_that_is_away_for_longer_than_the_lead() {
    // From when to when it is down, and what a token lives.
    side_by_side([(3600, 3000, 3530), (3600, 3290, 3535), (600, 300, 560), (60, 25, 50)].map(|(lives, down, up)| {
        move || async move {
            let (time, mut endpoint) = (Time::stands(), Endpoint::new(Say::lives(lives)));
            let source = endpoint.source(&time).build().unwrap();
            let first = source.token().await.unwrap();
            time.advance(Duration::from_secs(down)).await;
            endpoint.goes_down();
            let step = (lives / 300).max(1);
            let mut second = down;
            let mut most = 0;
            while second < lives {
                if second >= up && source.health().failures > 0 {
                    most = source.health().failures;
                    endpoint.comes_up();
                    while source.health().failures > 0 {
                        assert!(at_once(source.token()).expect("it waits").is_ok(), "{lives}: {second}");
                        time.advance(Duration::from_secs(1)).await;
                        endpoint.quiet(&source).await;
                        second += 1;
                    }
                    break;
                }
                assert!(at_once(source.token()).expect("it waits").unwrap().is_same(&first), "{lives}: {second}");
                time.advance(Duration::from_secs(step)).await;
                endpoint.quiet(&source).await;
                second += step;
            }
            assert!(source.health().failures == 0 && !source.token().await.unwrap().is_same(&first), "{lives}");
            assert!(most > 0 && most <= allowed(up - down) as u64 && endpoint.asked() == 2, "{lives}: {most}");
            // Not so long that the token ends before it is up; where it is, those who ask are told, until it is.
            endpoint.goes_down();
            time.advance(Duration::from_secs(lives)).await;
            endpoint.quiet(&source).await;
            assert!(source.token().await.unwrap_err().is_retryable());
            endpoint.comes_up();
            for _ in 0..14 {
                time.advance(Duration::from_secs(5)).await;
                endpoint.quiet(&source).await;
            }
            assert!(at_once(source.token()).unwrap().is_ok() && source.health().fetched > 2, "{lives}");
        }
    }));
}

/// So many sources of one process, each of a service of its own.
fn many(endpoint: &Endpoint, time: &Time, many: u64) -> Vec<TokenSource> {
    let seeded = |seed| endpoint.source(time).entropy(Arc::new(SeededEntropy::new(seed))).build().unwrap();
    (0..many).map(seeded).collect()
}

/// When each of them came, in seconds from now.
async fn come_back(time: &Time, endpoint: &Endpoint, sources: &[TokenSource], within: u64) -> Vec<u64> {
    let (before, mut came) = (endpoint.asked(), Vec::new());
    for second in 1..=within {
        time.advance(Duration::from_secs(1)).await;
        settle().await;
        came.resize(endpoint.asked() - before, second);
    }
    assert!(sources.iter().all(|source| source.health().valid && source.health().failures == 0));
    assert_eq!(came.len(), sources.len());
    came
}

fn most_at_once(came: &[u64]) -> usize {
    came.iter().map(|second| came.iter().filter(|other| *other == second).count()).max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_hundred_that_lost_the_issuer_together_do_not_come_back_together() {
    let (time, mut endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    let sources = many(&endpoint, &time, 200);
    for source in &sources {
        source.token().await.unwrap();
    }
    endpoint.goes_down();
    time.advance(Duration::from_secs(3300)).await;
    for _ in 0..20 {
        time.advance(Duration::from_secs(10)).await;
        settle().await;
    }
    let failures: Vec<_> = sources.iter().map(|source| source.health().failures).collect();
    assert!(failures.iter().all(|failures| *failures > 3 && *failures <= allowed(230) as u64), "{failures:?}");
    endpoint.comes_up();
    let came = come_back(&time, &endpoint, &sources, 60).await;
    assert!(most_at_once(&came) <= 15, "{came:?}");
    assert!(came[20] < 15 && came[180] > 35, "{came:?}");
}

#[tokio::test(start_paused = true)]
async fn fifty_that_are_told_one_moment_do_not_come_at_that_moment() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::status(503).with("retry-after", "300")));
    let sources = many(&endpoint, &time, 50);
    for source in &sources {
        source.token().await.unwrap_err();
    }
    endpoint.says(Say::lives(3600));
    time.advance(Duration::from_secs(299)).await;
    assert_eq!(endpoint.asked(), 50);
    let came = come_back(&time, &endpoint, &sources, 31).await;
    assert!(most_at_once(&came) <= 8, "{came:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ahead_of_its_time_does_not_cost_the_renewal() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    let source = endpoint.source(&time).build().unwrap();
    let first = source.token().await.unwrap();
    time.advance(Duration::from_secs(1000)).await;
    endpoint.says_first(Say::refused(403, "access_denied"));
    source.replace(&first).await.unwrap_err();
    time.advance(Duration::from_secs(2301)).await;
    until("it is renewed", || endpoint.asked() == 3).await;
}
