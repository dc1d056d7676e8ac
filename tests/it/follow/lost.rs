//! An issuer that is away, or that nobody follows any longer.

use std::time::Duration;

use http::{HeaderMap, Uri};
use mintage::resource::{Guard, StaleRevocations, TokenError};

use super::{FEED, Fake, JWKS, Key, METADATA, Say, pass, set, until, verdict};

const STALE_KEYS: TokenError = TokenError::Undecidable("its keys");

/// The answer of a guard, with its status.
fn answer(guard: &Guard, token: &str) -> http::Response<String> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let refused = guard.decide(&Uri::from_static("/orders"), &headers, None).unwrap_err();
    guard.answer(refused, mintage::id::RequestId::generate(&mintage::crypto::entropy::SystemEntropy::new()))
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_issuer_is_no_matter_and_a_day_is_the_bound() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    let verifier = std::sync::Arc::new(fake.verifier().await);
    let (seen, unseen) = (fake.token(&key, "a"), fake.token(&key, "b"));
    assert_eq!(verdict(&verifier, &seen), Ok(()));
    fake.goes_down();
    pass(Duration::from_secs(3600)).await;
    fake.advance(3600);
    assert_eq!((verdict(&verifier, &seen), verdict(&verifier, &unseen)), (Ok(()), Ok(())));
    let health = verifier.health().unwrap();
    assert!(!health.is_good() && health.keys.usable && health.keys.age >= 3600, "{health:?}");
    assert!(health.keys.last_error.unwrap().contains("503"));
    let feed = health.revocations.unwrap();
    assert!(feed.usable && feed.age >= Some(3600) && feed.last_error.unwrap().contains("503"));
    // It was asked now and then, and neither given up nor hammered.
    let asked = fake.count(METADATA);
    assert!((60..2000).contains(&asked), "{asked} times in an hour");

    fake.advance(23 * 3600);
    assert_eq!(verdict(&verifier, &seen), Ok(()), "to the second");
    fake.advance(1);
    for token in [&seen, &unseen] {
        assert_eq!(verdict(&verifier, token), Err(STALE_KEYS));
    }
    assert!(!verifier.health().unwrap().keys.usable);
    let response = answer(&Guard::new(verifier.clone()), &seen);
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert!(!response.headers().contains_key("www-authenticate"));
    assert!(response.body().contains("\"reason\":\"unavailable\""), "{}", response.body());

    fake.comes_back(&[&key]);
    until("tokens are good again", || verdict(&verifier, &seen).is_ok() && verdict(&verifier, &unseen).is_ok()).await;
    until("all is well", || verifier.health().unwrap().is_good()).await;
}

/// A key that came while the issuer was away may be a good one: nobody can say that a token of it is not.
#[tokio::test(start_paused = true)]
async fn beyond_the_bound_a_token_of_a_key_that_is_not_known_is_not_called_bad() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    let verifier = fake.discover().max_stale_keys(Duration::from_secs(100)).build().await.unwrap();
    fake.goes_down();
    fake.advance(101);
    assert_eq!(verdict(&verifier, &fake.token(&Key::new(), "a")), Err(STALE_KEYS));
}

#[tokio::test(start_paused = true)]
async fn what_moved_while_the_issuer_was_away_is_found() {
    let (old, new) = (Key::new(), Key::new());
    let fake = Fake::with(&[&old]).await;
    let verifier = fake.verifier().await;
    fake.goes_down();
    until("it is noticed", || verifier.health().unwrap().keys.last_error.is_some()).await;
    let mut metadata = fake.metadata();
    metadata["jwks_uri"] = format!("{}/moved", fake.url).into();
    fake.says("/moved", Say::json(&set(&[&new])));
    fake.says(METADATA, Say::json(&metadata));
    until("the new key is known", || verdict(&verifier, &fake.token(&new, "a")).is_ok()).await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_moved_is_found_though_the_keys_stayed() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    let verifier = fake.verifier().await;
    let token = fake.token(&key, "a");
    assert_eq!(verdict(&verifier, &token), Ok(()));
    let mut metadata = fake.metadata();
    metadata["revocation_feed"] = format!("{}/moved", fake.url).into();
    fake.says(METADATA, Say::json(&metadata));
    fake.says(FEED, Say::status(404));
    let news = super::feed("1", true, &[("jti", "a".to_owned())]);
    fake.says("/moved", Say::json(&news));
    until("it is revoked", || verdict(&verifier, &token) == Err(TokenError::Revoked)).await;
}

#[tokio::test(start_paused = true)]
async fn a_verifier_that_is_dropped_asks_for_nothing_more() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    fake.says(JWKS, Say::json(&set(&[&key])).with("cache-control", "max-age=1"));
    let verifier = fake.verifier().await;
    pass(Duration::from_secs(20)).await;
    let all = || [METADATA, JWKS, FEED].map(|path| fake.count(path));
    let before = all();
    assert!(before[1] > 5 && before[2] > 1, "{before:?}");
    drop(verifier);
    pass(Duration::from_secs(1)).await;
    let after = all();
    pass(Duration::from_secs(3600)).await;
    assert_eq!(all(), after);
}

#[tokio::test(start_paused = true)]
async fn how_stale_a_feed_may_grow_is_a_setting() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    fake.revokes("jti", "revoked");
    let with = |policy| fake.discover().revocations(policy).build();
    let goes_on = with(StaleRevocations::GoOn).await.unwrap();
    let refuses = with(StaleRevocations::RefuseAfter(Duration::from_secs(60))).await.unwrap();
    let at_least_five = with(StaleRevocations::RefuseAfter(Duration::ZERO)).await.unwrap();
    let asked = fake.count(FEED);
    let ignores = with(StaleRevocations::NotFollowed).await.unwrap();
    assert!(asked >= 3);
    let (good, revoked) = (fake.token(&key, "good"), fake.token(&key, "revoked"));
    for verifier in [&goes_on, &refuses, &at_least_five] {
        assert_eq!(verdict(verifier, &good), Ok(()));
        assert_eq!(verdict(verifier, &revoked), Err(TokenError::Revoked));
    }
    assert_eq!(verdict(&ignores, &revoked), Ok(()), "a token is good until it expires");
    fake.says(FEED, Say::status(500));
    let all = [&goes_on, &refuses, &at_least_five];
    until("all of them notice", || {
        all.iter().all(|one| one.health().unwrap().revocations.unwrap().last_error.is_some())
    })
    .await;
    let stale = Err(TokenError::Undecidable("what is revoked"));
    for (seconds, expected) in [(5, [Ok(()), Ok(()), Ok(())]), (1, [Ok(()), Ok(()), stale.clone()])] {
        fake.advance(seconds);
        assert_eq!(all.map(|one| verdict(one, &good)), expected, "{seconds}");
    }
    fake.advance(54);
    assert_eq!(verdict(&refuses, &good), Ok(()));
    fake.advance(1);
    assert_eq!(verdict(&refuses, &good), stale);
    assert_eq!(verdict(&refuses, &revoked), Err(TokenError::Revoked), "what is known is said");
    assert_eq!((verdict(&goes_on, &good), verdict(&ignores, &good)), (Ok(()), Ok(())));
    let health = refuses.health().unwrap();
    assert!(!health.is_good() && health.keys.usable && !health.revocations.unwrap().usable);
    fake.says(FEED, Say::News);
    until("it is heard again", || all.iter().all(|one| verdict(one, &good).is_ok())).await;
    assert!(refuses.health().unwrap().revocations.unwrap().usable);
}
