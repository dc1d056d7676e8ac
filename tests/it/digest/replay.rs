//! Nonces: each count of one is good once, for five minutes, in the run that made it.

use std::sync::Arc;

use super::*;

#[tokio::test]
async fn a_count_is_good_once() {
    let app = site().await;
    let pair = pair(&app).await;
    let first = login(&app, &pair).await;
    assert_eq!(first.send(&app).await.verdict(), ok());
    let again = first.send(&app).await;
    assert_eq!(again.verdict(), stale(), "the same bytes");
    assert!(challenges(&again).iter().all(|challenge| challenge.stale && challenge.nonce != first.challenge.nonce));
    assert_eq!(challenge_lines(&again).len(), 2);
    let renewed = Login::new(&pair, &challenges(&again)[0], "GET", WHOAMI);
    assert_eq!(renewed.send(&app).await.verdict(), ok(), "the new challenge is good");
    let with_another_cnonce = Login { cnonce: "other".to_owned(), ..first.clone() };
    assert_eq!(with_another_cnonce.send(&app).await.verdict(), stale());
    for (count, answer) in
        [(5, ok()), (3, ok()), (5, stale()), (3, stale()), (1, stale()), (2, ok()), (500, ok()), (4, stale())]
    {
        assert_eq!(first.clone().count(count).send(&app).await.verdict(), answer, "{count}");
    }
    // With the other algorithm, too.
    let other = Challenge { algorithm: "SHA-512-256".to_owned(), ..first.challenge.clone() };
    assert_eq!(Login::new(&pair, &other, "GET", WHOAMI).count(500).send(&app).await.verdict(), stale());
}

#[tokio::test]
async fn a_nonce_ends_and_is_its_makers() {
    let app = site().await;
    let pair = pair(&app).await;
    let first = login(&app, &pair).await;
    app.advance(299);
    assert_eq!(first.send(&app).await.verdict(), ok());
    let late = first.clone().count(2);
    app.advance(1);
    let answer = late.send(&app).await;
    assert_eq!(answer.verdict(), stale());
    assert!(challenges(&answer)[0].stale);
    // That it is stale is told only to who has the password.
    let wrong = Login { password: "wrong".to_owned(), ..late };
    let answer = wrong.send(&app).await;
    assert_eq!(answer.verdict(), invalid());
    assert!(!challenges(&answer)[0].stale);
    // One that nobody has made, and one that was made before the service was started anew.
    let fresh = login(&app, &pair).await;
    for challenge in [
        Challenge { nonce: "bm9uY2U".to_owned(), ..fresh.challenge.clone() },
        Challenge { opaque: "other".to_owned(), ..fresh.challenge.clone() },
    ] {
        assert_eq!(Login::new(&pair, &challenge, "GET", WHOAMI).send(&app).await.verdict(), stale());
    }
    let app = app.restart().await;
    assert_eq!(fresh.send(&app).await.verdict(), stale());
    assert_eq!(login(&app, &pair).await.send(&app).await.verdict(), ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_nonce() {
    let app = Arc::new(site().await);
    let pair = pair(&app).await;
    let first = login(&app, &pair).await;
    let all_at_once = async |counts: Vec<u32>| {
        let requests: Vec<_> = counts
            .into_iter()
            .map(|count| {
                let (app, login) = (Arc::clone(&app), first.clone().count(count));
                tokio::spawn(async move { login.send(&app).await.verdict() })
            })
            .collect();
        let mut answers = Vec::new();
        for request in requests {
            answers.push(request.await.unwrap());
        }
        answers
    };
    let once_each = all_at_once((1..=60).collect()).await;
    assert!(once_each.iter().all(|answer| *answer == ok()), "{once_each:?}");
    let the_same = all_at_once(vec![61; 40]).await;
    assert_eq!(the_same.iter().filter(|answer| **answer == ok()).count(), 1, "{the_same:?}");
    assert_eq!(the_same.iter().filter(|answer| **answer == stale()).count(), 39);
}
