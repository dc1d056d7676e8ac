//! What the issuer revokes, and how it is heard.

use std::time::Duration;

use mintage::resource::TokenError;
use serde_json::{Value, json};

use super::{FEED, Fake, JWKS, Key, METADATA, NOW, Say, feed, pass, set, until, verdict};

const REVOKED: Result<(), TokenError> = Err(TokenError::Revoked);

#[tokio::test]
async fn news_cut_off_a_remembered_token_at_once() {
    for kind in ["jti", "gen", "kid"] {
        let (key, other) = (Key::new(), Key::new());
        let fake = Fake::with(&[&key, &other]).await;
        let verifier = fake.verifier().await;
        let (token, neighbour) = (fake.token(&key, "a"), fake.token(&other, "b"));
        assert_eq!((verdict(&verifier, &token), verdict(&verifier, &neighbour)), (Ok(()), Ok(())));
        // It waits for news, which are told to whoever waits.
        until("it listens", || fake.seen(FEED).last().is_some_and(|seen| seen.query.contains("wait=25"))).await;
        // Names of another kind, or that only look alike, are nobody's.
        for kind in ["jti", "gen", "kid"] {
            for name in ["A", "", "a ", "of", &key.kid.to_lowercase()] {
                fake.revokes(kind, name);
            }
        }
        until("it was heard", || verifier.health().unwrap().revocations.unwrap().count == 15).await;
        assert_eq!(verdict(&verifier, &token), Ok(()), "{kind}");
        let asked = fake.count(FEED);
        let name = match kind {
            "jti" => "a",
            "gen" => "of a",
            _ => &key.kid,
        };
        fake.revokes(kind, name);
        until("it is revoked", || verdict(&verifier, &token) == REVOKED).await;
        assert!(fake.count(FEED) <= asked + 1, "it had to ask");
        assert_eq!(verdict(&verifier, &neighbour), Ok(()), "{kind}");
        // At first sight as well.
        let mut claims = fake.claims("a");
        claims["exp"] = json!(NOW + 1000);
        assert_eq!(verdict(&verifier, &key.token(&claims)), REVOKED, "{kind}");
    }
}

#[tokio::test]
async fn what_was_revoked_before_is_known_with_the_first_token() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    fake.revokes("jti", "a");
    let verifier = fake.verifier().await;
    assert_eq!(verdict(&verifier, &fake.token(&key, "a")), REVOKED);
    assert!(!fake.seen(FEED)[0].parameters().contains_key("since"));
}

/// What is in a list is added: nothing that is missing from it comes back to life.
#[tokio::test(start_paused = true)]
async fn nothing_that_was_revoked_comes_back() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    fake.revokes("jti", "a");
    let verifier = fake.verifier().await;
    let token = fake.token(&key, "a");
    assert_eq!(verdict(&verifier, &token), REVOKED);
    let before = fake.count(FEED);
    let only_b = feed("elsewhere", true, &[("jti", "b".to_owned())]);
    fake.says(FEED, Say::json(&only_b));
    until("it is heard", || fake.count(FEED) > before + 3).await;
    assert_eq!(verdict(&verifier, &token), REVOKED);
    assert_eq!(verdict(&verifier, &fake.token(&key, "b")), REVOKED);
    // But for the time that it was said for, after which the token has expired, and a while more.
    let until_soon = |jti: &str| {
        json!({"cursor": "c", "reset": true, "jtis": [{"jti": jti, "until": NOW + 100}], "generations": [],
            "kids": []})
    };
    fake.says(FEED, Say::json(&until_soon("c")));
    let short = fake.token(&key, "c");
    until("it is heard", || verdict(&verifier, &short) == REVOKED).await;
    fake.says(FEED, Say::json(&feed("c", false, &[])));
    fake.advance(129);
    pass(Duration::from_secs(5)).await;
    assert_eq!(verdict(&verifier, &short), REVOKED, "within the leeway");
    // And a day more, for a clock that ran ahead.
    fake.advance(24 * 3600 - 30);
    pass(Duration::from_secs(5)).await;
    assert_eq!(verifier.health().unwrap().revocations.unwrap().count, 3);
    fake.advance(1);
    until("it is forgotten", || verifier.health().unwrap().revocations.unwrap().count == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_cannot_be_read_changes_nothing_and_is_asked_again() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    fake.revokes("jti", "a");
    let verifier = fake.verifier().await;
    let (revoked, good) = (fake.token(&key, "a"), fake.token(&key, "b"));
    let mut entry_too_few = feed("9", true, &[]);
    entry_too_few.as_object_mut().unwrap().remove("kids");
    let bad_time = json!({"cursor": "9", "reset": false, "jtis": [{"jti": "b", "until": "soon"}],
        "generations": [], "kids": []});
    for say in [
        Say::text("<html>"),
        Say::text(""),
        Say::text("{\"cursor\":"),
        Say::json(&json!({})),
        Say::json(&json!([])),
        Say::json(&entry_too_few),
        Say::json(&bad_time),
        Say::This(200, Vec::new(), "\u{0}".repeat(1000)),
        Say::status(500),
        Say::status(204),
        Say::status(304),
        Say::status(404),
        Say::status(302).with("location", format!("{}/elsewhere", fake.url)),
        Say::Endless,
        Say::Hang,
    ] {
        let what = format!("{say:?}").chars().take(80).collect::<String>();
        fake.says(FEED, say);
        // So that it asks: otherwise it listens until its time is over.
        until("it is noticed", || verifier.health().unwrap().revocations.unwrap().last_error.is_some()).await;
        assert_eq!(verdict(&verifier, &revoked), REVOKED, "{what}");
        assert_eq!(verdict(&verifier, &good), Ok(()), "{what}");
        fake.says(FEED, Say::News);
        until("it is over", || verifier.health().unwrap().is_good()).await;
        assert_eq!(fake.seen(FEED).last().unwrap().parameters()["since"], "1", "{what}");
    }
    assert_eq!(fake.count("/elsewhere"), 0, "a redirect was followed");
    fake.revokes("jti", "b");
    until("it is heard again", || verdict(&verifier, &good) == REVOKED).await;
}

/// How often a feed that says this, at once, is asked in a minute.
async fn asked_in_a_minute(say: Say) -> usize {
    let fake = Fake::with(&[&Key::new()]).await;
    fake.says(FEED, say);
    let verifier = fake.verifier().await;
    pass(Duration::from_secs(5)).await;
    let before = fake.count(FEED);
    pass(Duration::from_secs(60)).await;
    drop(verifier);
    fake.count(FEED) - before
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_does_not_wait_is_not_asked_in_a_tight_loop() {
    let news = [("jti", "a".to_owned())];
    for (what, say, most) in [
        ("nothing", Say::json(&feed("1", false, &[])), 150),
        ("the whole list", Say::json(&feed("1", true, &news)), 400),
        ("an empty list", Say::json(&feed("1", true, &[])), 400),
        ("the same news", Say::json(&feed("1", false, &news)), 1500),
        ("garbage", Say::text("{"), 1000),
        ("500", Say::status(500), 1000),
    ] {
        let asked = asked_in_a_minute(say).await;
        assert!((10..=most).contains(&asked), "{what}: {asked} times in a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_goes_back_as_it_came() {
    let fake = Fake::with(&[&Key::new()]).await;
    let verifier = fake.verifier().await;
    for cursor in [
        "plain",
        "a&b=c",
        "a+b c",
        "%26%2B",
        "&since=other&wait=0",
        "#fragment",
        "ümläut/?;:@",
        "\"quoted\" \\ \n\t\u{0}",
        &"x".repeat(2000),
    ] {
        fake.says(FEED, Say::json(&feed(cursor, false, &[("jti", cursor.to_owned())])));
        until("it comes back", || {
            let seen = fake.seen(FEED);
            seen.last().unwrap().parameters().get("since").is_some_and(|since| since == cursor)
        })
        .await;
        // Each name once: nothing that is in a cursor becomes a parameter.
        let query = fake.seen(FEED).last().unwrap().query.clone();
        assert_eq!(query.split('&').count(), 2, "{query}");
    }
    drop(verifier);
    // The URL may have a query of its own.
    let mut metadata = fake.metadata();
    metadata["revocation_feed"] = format!("{}{FEED}?tenant=a%26b", fake.url).into();
    fake.says(METADATA, Say::json(&metadata));
    fake.says(FEED, Say::News);
    fake.verifier().await;
    assert_eq!(fake.seen(FEED).last().unwrap().parameters()["tenant"], "a&b");
}

#[tokio::test(start_paused = true)]
async fn the_feed_tells_of_new_keys() {
    let (old, new) = (Key::new(), Key::new());
    let fake = Fake::new().await;
    let lasting =
        |keys: &[&Key], etag: &str| Say::json(&set(keys)).with("cache-control", "max-age=20000").with("etag", etag);
    fake.says(JWKS, lasting(&[&old], "\"one\""));
    *fake.shared.etag.lock().unwrap() = Some("\"one\"".to_owned());
    let verifier = fake.verifier().await;
    pass(Duration::from_secs(300)).await;
    assert_eq!(fake.count(JWKS), 1, "nothing has changed");
    fake.says(JWKS, lasting(&[&old, &new], "\"two\""));
    *fake.shared.etag.lock().unwrap() = Some("\"two\"".to_owned());
    fake.revokes("jti", "a");
    // Before any token of the new key was seen.
    until("the keys are fetched", || verifier.health().unwrap().keys.count == 2).await;
    assert_eq!(fake.count(JWKS), 2);
    assert_eq!(verdict(&verifier, &fake.token(&new, "b")), Ok(()));
    pass(Duration::from_secs(300)).await;
    assert_eq!(fake.count(JWKS), 2);
    // A set that is served from some cache and is not that one is asked for with measure.
    *fake.shared.etag.lock().unwrap() = Some("\"three\"".to_owned());
    let before = fake.count(JWKS);
    pass(Duration::from_secs(600)).await;
    let asked = fake.count(JWKS) - before;
    assert!((1..100).contains(&asked), "{asked} times in ten minutes");
}

/// Keys that change again and again, as an operator may rotate them: the next change may come at once.
#[tokio::test(start_paused = true)]
async fn one_that_told_of_new_keys_is_asked_again_without_a_pause() {
    let fake = Fake::with(&[&Key::new()]).await;
    let tells = |etag: &str| fake.says(FEED, Say::json(&feed("1", false, &[])).with("mintage-jwks-etag", etag));
    tells("\"0\"");
    let _verifier = fake.verifier().await;
    pass(Duration::from_secs(5)).await;
    for n in 1..10 {
        let before = fake.count(FEED);
        tells(&format!("\"{n}\""));
        until("it is asked", || fake.count(FEED) > before).await;
        pass(Duration::from_millis(150)).await;
        assert!(fake.count(FEED) > before + 1, "it does not listen");
        pass(Duration::from_secs(1)).await;
        let asked = fake.count(FEED) - before;
        assert!(asked <= 6, "{asked} times in a second, and nothing is new");
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_without_a_feed_is_asked_for_one_now_and_then() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    let mut without: Value = fake.metadata();
    without.as_object_mut().unwrap().remove("revocation_feed");
    fake.says(METADATA, Say::json(&without));
    fake.revokes("jti", "a");
    let verifier = fake.verifier().await;
    let token = fake.token(&key, "a");
    assert_eq!(verdict(&verifier, &token), Ok(()));
    assert!(verifier.health().unwrap().revocations.is_none());
    pass(Duration::from_secs(300)).await;
    assert_eq!(fake.count(FEED), 0);
    fake.says(METADATA, Say::json(&fake.metadata()));
    until("the feed is found", || verdict(&verifier, &token) == REVOKED).await;
    assert!(fake.count(METADATA) < 20);
}
