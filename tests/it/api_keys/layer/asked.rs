//! How often the issuer is asked.

use std::time::Duration;

use mintage::crypto::entropy::SystemEntropy;
use mintage::secret::{ClientSecret, Environment, KeyPrefix};

use super::super::{key, site as site_elsewhere, site_with};
use super::{Site, asks, invalid, unavailable, until, verdict};

/// Waits until the issuer was asked so often.
async fn until_asked(site: &Site, times: usize) {
    let start = std::time::Instant::now();
    while site.front.asked() < times {
        assert!(start.elapsed() < Duration::from_secs(20), "asked {} times", site.front.asked());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_hundred_requests_make_one_question_a_minute() {
    let site = Site::new().await;
    let (guard, key) = (site.guard(), key(&site.app).await);
    for round in 1..=2 {
        site.front.hold(true);
        let requests: Vec<_> = (0..100)
            .map(|_| {
                let (guard, key) = (guard.clone(), key.key.clone());
                tokio::spawn(async move { verdict(&guard, &key).await })
            })
            .collect();
        until_asked(&site, round).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        site.front.hold(false);
        for request in requests {
            assert_eq!(request.await.unwrap(), None);
        }
        for _ in 0..100 {
            assert_eq!(verdict(&guard, &key.key).await, None);
        }
        assert_eq!(site.front.asked(), round);
        site.app.advance(60);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let site = Site::new().await;
    let (guard, key) = (site.guard(), key(&site.app).await);
    site.front.hold(true);
    let first = tokio::spawn({
        let (guard, key) = (guard.clone(), key.key.clone());
        async move { verdict(&guard, &key).await }
    });
    until_asked(&site, 1).await;
    let second = tokio::spawn(async move { (verdict(&guard, &key.key).await, guard, key) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    site.front.hold(false);
    let (found, guard, key) = second.await.unwrap();
    assert_eq!((found, verdict(&guard, &key.key).await, site.front.asked()), (None, None, 1));
}

#[tokio::test]
async fn an_answer_that_ages_is_asked_for_while_it_serves() {
    let site = Site::new().await;
    let (guard, key) = (site.guard(), key(&site.app).await);
    assert_eq!(verdict(&guard, &key.key).await, None);
    site.app.advance(44);
    assert_eq!(verdict(&guard, &key.key).await, None);
    assert_eq!(site.front.asked(), 1);
    site.app.advance(1);
    site.front.hold(true);
    for _ in 0..10 {
        assert_eq!(verdict(&guard, &key.key).await, None, "nobody waits");
    }
    until_asked(&site, 2).await;
    site.front.hold(false);
    // From here on the new answer serves, or comes within the old one's minute.
    tokio::time::sleep(Duration::from_millis(100)).await;
    site.app.advance(44);
    assert_eq!(verdict(&guard, &key.key).await, None);
    assert_eq!(site.front.asked(), 2);
}

#[tokio::test]
async fn garbage_asks_nobody() {
    let site = Site::new().await;
    let (guard, key) = (site.guard(), key(&site.app).await.key);
    let cut = &key[..key.len() - 1];
    let mistyped = key.replace("_live_", "_test_");
    let other = key.replace("mtg_sk", "acme");
    for bad in [cut, &mistyped, &other, "mtg_sk_", "mtg_sk_live_", "mtg_sk_live_a.b.c", "nothing", &site.own.secret] {
        assert_eq!(verdict(&guard, bad).await, invalid(), "{bad}");
    }
    let (_, _, problem) = asks(&guard, &mistyped).await.unwrap_err();
    assert!(problem["detail"].as_str().unwrap().contains("checksum"), "{problem}");
    assert_eq!(site.front.asked(), 0);
}

#[tokio::test]
async fn keys_begin_as_the_issuer_has_it() {
    let site = site_with(|config| config.api_keys.prefix = "acme".to_owned().try_into().unwrap()).await;
    let own = site.client(&[]).await;
    super::introspects(&site, &own).await;
    let verifier = super::follower(&site).await;
    let keys = || {
        let own = mintage::resource::Credentials::new(&own.id, &own.secret);
        mintage::resource::IntrospectedKeys::of(&verifier).credentials(own)
    };
    let key = key(&site).await;
    assert!(key.key.starts_with("acme_live_"));
    assert_eq!(verdict(&super::guard(&verifier, keys()), &key.key).await, invalid());
    assert_eq!(verdict(&super::guard(&verifier, keys().prefixes(["mtg_sk", "acme"])), &key.key).await, None);
}

#[tokio::test]
async fn that_there_is_no_such_key_is_known_for_five_seconds() {
    let site = Site::new().await;
    let guard = site.guard();
    let unknown = key(&site_elsewhere().await).await.key;
    for _ in 0..10 {
        assert_eq!(verdict(&guard, &unknown).await, invalid());
    }
    assert_eq!(site.front.asked(), 1);
    site.app.advance(5);
    assert_eq!(verdict(&guard, &unknown).await, invalid());
    assert_eq!(site.front.asked(), 2);
}

/// Made-up keys, with right checksums, that nobody answers for: those that are in use go on, and are asked about anew,
/// however long the line of the others is.
#[tokio::test]
async fn a_flood_of_strangers_holds_up_nobody_who_is_known() {
    let ours = Site::new().await;
    let (guard, known) = (ours.guard(), key(&ours.app).await);
    assert_eq!(verdict(&guard, &known.key).await, None);
    let (prefix, entropy) = (KeyPrefix::default(), SystemEntropy::new());
    ours.front.hold(true);
    let flood: Vec<_> = (0..1_100)
        .map(|_| {
            let stranger = ClientSecret::generate_key(&prefix, Environment::Live, &entropy).unwrap();
            let guard = guard.clone();
            tokio::spawn(async move { verdict(&guard, stranger.reveal()).await })
        })
        .collect();
    until_asked(&ours, 9).await;
    let start = std::time::Instant::now();
    while flood.iter().filter(|one| one.is_finished()).count() < 100 {
        assert!(start.elapsed() < Duration::from_secs(20), "the line is never full");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ours.front.asked(), 9, "eight strangers at once, and the one before");
    ours.app.advance(60);
    let anew = tokio::spawn(async move { (verdict(&guard, &known.key).await, guard, known) });
    until_asked(&ours, 10).await;
    ours.front.hold(false);
    assert_eq!(anew.await.unwrap().0, None);
    let mut turned_away = 0;
    for one in flood {
        let said = one.await.unwrap();
        assert!(said == invalid() || said == unavailable(), "{said:?}");
        turned_away += usize::from(said == unavailable());
    }
    assert!(turned_away >= 100, "{turned_away}");
}

#[tokio::test]
async fn an_issuer_that_wants_to_be_left_alone_is() {
    let site = Site::new().await;
    let (guard, known, fresh) = (site.guard(), key(&site.app).await, key(&site.app).await);
    assert_eq!(verdict(&guard, &known.key).await, None);
    site.front.says(429, "{}");
    let start = std::time::Instant::now();
    assert_eq!(verdict(&guard, &fresh.key).await, unavailable());
    site.front.says(0, "");
    let asked = site.front.asked();
    while start.elapsed() < Duration::from_millis(1800) {
        assert_eq!(verdict(&guard, &fresh.key).await, unavailable());
        assert_eq!(verdict(&guard, &known.key).await, None);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(site.front.asked(), asked, "it said two seconds");
    until(&guard, &fresh.key, &None).await;
}
