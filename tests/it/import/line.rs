//! Slow checks side by side: what a stranger can tell from them, and what becomes of a flood.

use std::time::{Duration, Instant};

use super::{HASHES, secret, status, with_hash};
use crate::app::{TestApp, TestClient, header};

/// Runs all of them at once.
async fn join_all<T: Send + 'static>(all: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: Vec<_> = all.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

/// A failed authentication: what was answered, but for its name, and when.
async fn failure(app: &TestApp, id: &str, text: &str) -> (u16, String, Duration) {
    let client = TestClient { id: id.to_owned(), secret: text.to_owned() };
    let request = app.token_request(&client, &[]);
    let watch = Instant::now();
    let answer = request.send().await.unwrap();
    let took = watch.elapsed();
    let mut outline: Vec<_> =
        answer.headers().iter().filter(|(name, _)| *name != "date").map(|h| format!("{h:?}")).collect();
    outline.sort();
    let status = answer.status().as_u16();
    let mut body: serde_json::Value = answer.json().await.unwrap();
    body["request_id"] = serde_json::Value::Null;
    (status, format!("{outline:?} {body}"), took)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_tell_which_client_has_an_imported_secret() {
    let app = TestApp::start().await;
    let quick = app.client(&[]).await;
    let expired = app.client_with(mintage::api::NewClient { secret_ttl: Some(1), ..Default::default() }).await;
    let disabled = app.client(&[]).await;
    let disabling = mintage::api::ClientStatus::Disabled;
    app.service.set_client_status(&disabled.id, disabling, "client.disable", &app.caller()).await.unwrap();
    with_hash(&app, "slow", HASHES[1]).await;
    with_hash(&app, "pbkdf2", HASHES[2]).await;
    let used = with_hash(&app, "used", HASHES[0]).await;
    assert_eq!(status(&app, &used).await, 200);
    app.advance(5);
    // The first one cannot be foreseen; it sets the mark.
    failure(&app, "slow", "wrong-secret").await;
    let mark = app.service.slow_checks_take() + app.config.limits.failed_auth.delay.duration();
    assert!(mark > Duration::from_millis(100), "{mark:?}");
    let mut outlines = Vec::new();
    for _ in 0..4 {
        for (id, text) in [
            ("slow", "wrong-secret"),
            ("nobody", "wrong-secret"),
            (quick.id.as_str(), "wrong-secret"),
            ("pbkdf2", "wrong-secret"),
            ("used", "wrong-secret"),
            (expired.id.as_str(), expired.secret.as_str()),
            (disabled.id.as_str(), disabled.secret.as_str()),
        ] {
            let (status, outline, took) = failure(&app, id, text).await;
            assert_eq!(status, 401, "{id}");
            outlines.push(outline);
            let mark = app.service.slow_checks_take() + app.config.limits.failed_auth.delay.duration();
            assert!(took + Duration::from_millis(30) >= mark, "{id} after {took:?} of {mark:?}");
            assert!(took < mark + Duration::from_millis(400), "{id} after {took:?} of {mark:?}");
        }
    }
    outlines.dedup();
    assert_eq!(outlines.len(), 1, "{outlines:?}");
    // Who proves itself waits for nothing.
    let watch = Instant::now();
    assert_eq!(status(&app, &quick).await, 200);
    assert!(watch.elapsed() < mark, "{:?}", watch.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_turned_away_and_holds_nobody_up() {
    let app = TestApp::start().await;
    let quick = app.client(&[]).await;
    let costly = bcrypt::hash("costly-old-secret", 14).unwrap();
    for n in 0..4 {
        with_hash(&app, &format!("slow{n}"), ("costly-old-secret", &costly)).await;
    }
    let used = with_hash(&app, "used", HASHES[0]).await;
    assert_eq!(status(&app, &used).await, 200);
    let flood = |n: usize| {
        let client = TestClient { id: format!("slow{}", n % 4), secret: format!("wrong-secret-{n}") };
        let request = app.token_request(&client, &[]);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), header(&answer, "retry-after").map(str::to_owned))
        }
    };
    let watch = Instant::now();
    let flooding = tokio::spawn(join_all((0..200).map(flood).collect()));
    tokio::time::sleep(Duration::from_millis(600)).await;
    // Nobody can tell a stranger from a client of the flood; who is known to be right is not concerned.
    assert_eq!(failure(&app, "nobody", "wrong-secret").await.0, 503);
    assert_eq!(failure(&app, &quick.id, "wrong-secret").await.0, 503);
    for client in [&quick, &used] {
        let watch = Instant::now();
        assert_eq!(status(&app, client).await, 200);
        assert!(watch.elapsed() < Duration::from_secs(1), "{:?}", watch.elapsed());
    }
    let answers = flooding.await.unwrap();
    let turned_away = answers.iter().filter(|(status, retry)| *status == 503 && retry.as_deref() == Some("1")).count();
    let refused = answers.iter().filter(|(status, _)| *status == 401).count();
    assert!(turned_away + refused == 200 && turned_away > 50 && refused > 0, "{turned_away} {refused}");
    assert!(watch.elapsed() < Duration::from_secs(60), "{:?}", watch.elapsed());
    assert_eq!(failure(&app, "nobody", "wrong-secret").await.0, 401, "and then it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_of_one_client_costs_little_more_than_one_check() {
    let app = TestApp::start().await;
    let client = with_hash(&app, "c", HASHES[1]).await;
    let request = |_| {
        let request = app.token_request(&client, &[]);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let answers = join_all((0..20).map(request).collect()).await;
    assert!(answers.iter().all(|status| *status == 200 || *status == 503) && answers.contains(&200), "{answers:?}");
    assert_eq!(status(&app, &client).await, 200);
    let mut new = mintage::api::NewSecret { client_secret: secret("another one"), ..Default::default() };
    new.overlap = Some(0);
    app.service.add_secret("c", &new, &app.caller()).await.unwrap();
    assert_eq!(status(&app, &client).await, 401, "what is remembered is forgotten with the secret");
}
