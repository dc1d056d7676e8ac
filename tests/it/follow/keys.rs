//! Keys that come, go, and are asked for.

use std::time::Duration;

use mintage::resource::StaleRevocations;
use serde_json::json;

use super::{Fake, JWKS, Key, Say, pass, set, unknown_key, until, verdict};

const COOLDOWN: Duration = Duration::from_secs(10);
/// Of virtual time; enough for whatever can be done at once.
const MOMENT: Duration = Duration::from_millis(100);

/// An answer that is good for so long that nobody asks again by itself.
fn lasting(keys: &[&Key]) -> Say {
    Say::json(&set(keys)).with("cache-control", "public, max-age=20000")
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_fetched_once_per_cooldown_and_in_the_background() {
    let (old, new) = (Key::new(), Key::new());
    let fake = Fake::new().await;
    fake.says(JWKS, lasting(&[&old]));
    let verifier = fake.verifier().await;
    let (good, fresh) = (fake.token(&old, "a"), fake.token(&new, "b"));
    fake.says(JWKS, lasting(&[&old, &new]));
    fake.hold(true);
    // Not one of these waits: they are answered while the issuer is not.
    for _ in 0..100 {
        assert_eq!(verdict(&verifier, &fresh), unknown_key());
    }
    until("the key set is asked for", || fake.count(JWKS) == 2).await;
    assert_eq!(verdict(&verifier, &fresh), unknown_key());
    assert_eq!(verdict(&verifier, &good), Ok(()));
    fake.hold(false);
    until("the new key is known", || verdict(&verifier, &fresh).is_ok()).await;
    assert_eq!(fake.count(JWKS), 2);
    // It was asked for again meanwhile; once more at most.
    pass(COOLDOWN * 5).await;
    assert!(fake.count(JWKS) <= 3);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_costs_one_fetch_per_cooldown_and_forgets_nothing() {
    let key = Key::new();
    let fake = Fake::new().await;
    fake.says(JWKS, lasting(&[&key]));
    let verifier = fake.verifier().await;
    let good: Vec<String> = (0..50).map(|n| fake.token(&key, &format!("good-{n}"))).collect();
    assert!(good.iter().all(|token| verdict(&verifier, token).is_ok()));
    let stranger = Key::new();
    let claims = fake.claims("flood");
    let template = stranger.token(&claims);
    let (_, rest) = template.split_once('.').unwrap();
    let forged = |n: usize| {
        use base64::Engine;
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("made-up-{n}")}).to_string();
        format!("{}.{rest}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header))
    };
    for round in 0..4 {
        for n in 0..10_000 {
            assert_eq!(verdict(&verifier, &forged(round * 10_000 + n)), unknown_key());
        }
        pass(COOLDOWN + MOMENT).await;
        let fetches = fake.count(JWKS) - 1;
        // The first is at once, and so is the second begun within the first cooldown's end.
        assert!((1..=round + 2).contains(&fetches), "{fetches} fetches in {} cooldowns", round + 1);
    }
    // What is remembered of the good ones is still there, and the keys are.
    let remembered = format!("{verifier:?}");
    assert!(good.iter().all(|token| verdict(&verifier, token).is_ok()));
    assert!((0..50).all(|n| remembered.contains(&format!("good-{n}"))), "a verified token was forgotten");
    assert!(!remembered.contains("flood"), "something of a forged token is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_known_to_be_absent_is_not_looked_for() {
    let key = Key::new();
    let fake = Fake::new().await;
    fake.says(JWKS, lasting(&[&key]));
    let verifier = fake.discover().unknown_key_cooldown(Duration::from_millis(50)).build().await.unwrap();
    let absent = fake.token(&Key::new(), "a");
    assert_eq!(verdict(&verifier, &absent), unknown_key());
    until("it is looked for", || fake.count(JWKS) == 2).await;
    pass(MOMENT).await;
    for _ in 0..100 {
        assert_eq!(verdict(&verifier, &absent), unknown_key());
        pass(MOMENT).await;
    }
    assert_eq!(fake.count(JWKS), 2);
    assert_eq!(verdict(&verifier, &fake.token(&Key::new(), "b")), unknown_key());
    until("another one is", || fake.count(JWKS) == 3).await;
}

/// It was asked for after the answer was made in which it is not.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_asked_for_during_a_fetch_is_not_taken_as_absent() {
    let (old, new) = (Key::new(), Key::new());
    let fake = Fake::new().await;
    fake.says(JWKS, lasting(&[&old]));
    let verifier = fake.verifier().await;
    fake.hold(true);
    assert!(verdict(&verifier, &fake.token(&Key::new(), "a")).is_err());
    // The answer that is held back has the old key alone.
    until("the key set is asked for", || fake.count(JWKS) == 2).await;
    fake.says(JWKS, lasting(&[&old, &new]));
    let fresh = fake.token(&new, "b");
    assert_eq!(verdict(&verifier, &fresh), unknown_key());
    fake.hold(false);
    pass(COOLDOWN + MOMENT).await;
    assert_eq!(verdict(&verifier, &fresh), Ok(()), "a good token is refused long after its key was published");
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_without_end_is_one() {
    let key = Key::new();
    let fake = Fake::new().await;
    fake.says(JWKS, Say::json(&set(&[&key])).with("cache-control", "max-age=100"));
    let verifier = fake.discover().unknown_key_cooldown(Duration::MAX).build().await.unwrap();
    for n in 0..3 {
        assert!(verdict(&verifier, &fake.token(&Key::new(), &format!("{n}"))).is_err());
        pass(MOMENT).await;
    }
    assert_eq!(fake.count(JWKS), 2);
    pass(Duration::from_secs(100)).await;
    assert_eq!(fake.count(JWKS), 3, "the keys are no longer kept fresh");
}

#[tokio::test(start_paused = true)]
async fn keys_are_refreshed_ahead_of_their_end() {
    let (old, new) = (Key::new(), Key::new());
    let fake = Fake::new().await;
    let hundred = |keys: &[&Key]| Say::json(&set(keys)).with("cache-control", "public, max-age=100, must-revalidate");
    fake.says(JWKS, hundred(&[&old]));
    let verifier = fake.verifier().await;
    fake.says(JWKS, hundred(&[&new]));
    let (from_old, from_new) = (fake.token(&old, "a"), fake.token(&new, "b"));
    assert_eq!(verdict(&verifier, &from_old), Ok(()));
    pass(Duration::from_secs(50)).await;
    assert_eq!((fake.count(JWKS), verdict(&verifier, &from_old)), (1, Ok(())));
    pass(Duration::from_secs(40)).await;
    assert_eq!(fake.count(JWKS), 2);
    // Gone from the set is gone, also for a token that is remembered.
    assert_eq!(verdict(&verifier, &from_old), unknown_key());
    assert_eq!(verdict(&verifier, &from_new), Ok(()));
    // One that asks for no storing at all is not asked without pause.
    fake.says(JWKS, Say::json(&set(&[&old])).with("cache-control", "no-store, max-age=0"));
    pass(Duration::from_secs(100)).await;
    let before = fake.count(JWKS);
    pass(Duration::from_secs(10)).await;
    let asked = fake.count(JWKS) - before;
    assert!((5..=20).contains(&asked), "{asked} times in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_goes_to_another_key_takes_nothing_with_it() {
    let (first, second) = (Key::named("one name"), Key::named("one name"));
    let fake = Fake::new().await;
    let short = |key: &Key| Say::json(&set(&[key])).with("cache-control", "max-age=10");
    fake.says(JWKS, short(&first));
    let verifier = fake.verifier().await;
    let (from_first, from_second) = (fake.token(&first, "a"), fake.token(&second, "b"));
    assert_eq!(verdict(&verifier, &from_first), Ok(()));
    assert!(verdict(&verifier, &from_second).is_err());
    fake.says(JWKS, short(&second));
    pass(Duration::from_secs(10)).await;
    assert!(verdict(&verifier, &from_first).is_err(), "a remembered token outlived its key");
    assert_eq!(verdict(&verifier, &from_second), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_not_sent_again() {
    let (old, new) = (Key::new(), Key::new());
    let fake = Fake::new().await;
    let tagged = |keys: &[&Key], tag: &str| Say::json(&set(keys)).with("etag", tag).with("cache-control", "max-age=10");
    fake.says(JWKS, tagged(&[&old], "\"one\""));
    let verifier = fake.discover().revocations(StaleRevocations::NotFollowed).build().await.unwrap();
    let token = fake.token(&old, "a");
    fake.advance(100);
    pass(Duration::from_secs(60)).await;
    let seen = fake.seen(JWKS);
    assert!(seen.len() > 3, "{seen:?}");
    assert!(seen[0].if_none_match.is_none());
    assert!(seen[1..].iter().all(|seen| seen.if_none_match.as_deref() == Some("\"one\"")), "{seen:?}");
    assert_eq!(verdict(&verifier, &token), Ok(()));
    let health = verifier.health().unwrap();
    assert!(health.keys.age == 0 && health.is_good(), "not modified is as good as fetched: {health:?}");
    fake.says(JWKS, tagged(&[&new], "\"two\""));
    until("the new key is known", || verdict(&verifier, &fake.token(&new, "b")).is_ok()).await;
    assert_eq!(verdict(&verifier, &token), unknown_key());
    pass(Duration::from_secs(20)).await;
    assert_eq!(fake.seen(JWKS).last().unwrap().if_none_match.as_deref(), Some("\"two\""));
}

#[tokio::test(start_paused = true)]
async fn a_set_that_becomes_unusable_does_not_replace_a_good_one() {
    let key = Key::new();
    let fake = Fake::new().await;
    let lasts_a_second = |say: Say| say.with("cache-control", "max-age=1");
    fake.says(JWKS, lasts_a_second(Say::json(&set(&[&key]))));
    let verifier = fake.verifier().await;
    let token = fake.token(&key, "a");
    for say in [
        Say::text("{"),
        Say::text(" ".repeat(1024 * 1024)),
        Say::json(&json!({"keys": [{"kty": "new"}]})),
        Say::status(500),
        Say::status(404),
        Say::status(302).with("location", "/elsewhere"),
        Say::Endless,
        Say::Hang,
    ] {
        let before = fake.count(JWKS);
        let what = format!("{say:?}").chars().take(80).collect::<String>();
        fake.says(JWKS, say);
        until("it is asked", || fake.count(JWKS) > before).await;
        until("it is noticed", || verifier.health().unwrap().keys.last_error.is_some()).await;
        assert_eq!(verdict(&verifier, &token), Ok(()), "{what}");
        fake.says(JWKS, lasts_a_second(Say::json(&set(&[&key]))));
        until("it is over", || verifier.health().unwrap().is_good()).await;
    }
    assert_eq!(fake.count("/elsewhere"), 0);
    // An empty one is what the issuer says: it has withdrawn them all.
    fake.says(JWKS, lasts_a_second(Say::json(&json!({"keys": []}))));
    until("they are withdrawn", || verdict(&verifier, &token) == unknown_key()).await;
}
