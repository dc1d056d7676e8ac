//! A rotation with an overlap while both secrets are in use: no request fails before the second in which the old secret
//! ends, and every one of the old fails from then on; none of the new one ever does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mintage::clock::UnixTime;
use mintage::server::config::Span;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::app::{TestApp, TestClient};
use crate::client_changes::ask;

/// How long the old secret goes on, in seconds.
const OVERLAP: u64 = 8;
/// How many ask at once with each secret.
const CALLERS: usize = 4;
/// How many requests each secret has to make in each second.
const ENOUGH: u64 = 12;

/// A request: the second before it was sent, the one after it was answered, and its status.
type Asked = (UnixTime, UnixTime, u16);

/// Those who ask for tokens with one secret until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Vec<Asked>>>,
}

impl Load {
    fn start(app: &Arc<TestApp>, client: &TestClient) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let caller = |_| {
            let (app, client, stop, asked) = (app.clone(), client.clone(), stop.clone(), asked.clone());
            tokio::spawn(async move {
                let mut all = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let before = app.now();
                    let response = app.token_request(&client, &[]).send().await.unwrap();
                    let status = response.status().as_u16();
                    response.bytes().await.unwrap();
                    all.push((before, app.now(), status));
                    asked.fetch_add(1, Ordering::SeqCst);
                }
                all
            })
        };
        Self { callers: (0..CALLERS).map(caller).collect(), stop, asked }
    }

    /// Enough was asked since now; what was on its way may be of the second before.
    async fn goes_on(&self) {
        let until = self.asked.load(Ordering::SeqCst) + ENOUGH;
        while self.asked.load(Ordering::SeqCst) < until {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    async fn stop(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        for caller in self.callers {
            all.extend(caller.await.unwrap());
        }
        all
    }
}

/// How many of these were asked and answered within the second `at`, with their statuses.
fn within(all: &[Asked], at: UnixTime) -> Vec<u16> {
    all.iter().filter(|(before, after, _)| *before == at && *after == at).map(|(.., status)| *status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_fails_nothing_that_is_not_to_fail() {
    let app = Arc::new(
        TestApp::builder().config(|config| config.limits.failed_auth.delay = Span::from_millis(1)).start().await,
    );
    let old = app.client(&[]).await;
    let of_old = Load::start(&app, &old);
    of_old.goes_on().await;
    let made_at = app.now();
    let (status, made) =
        ask(&app, "POST", &format!("clients/{}/secrets", old.id), &json!({ "overlap": OVERLAP })).await;
    assert_eq!(status, 201, "{made}");
    let new = TestClient { id: old.id.clone(), secret: made["client_secret"].as_str().unwrap().to_owned() };
    let of_new = Load::start(&app, &new);
    for _ in 0..OVERLAP + 3 {
        of_old.goes_on().await;
        of_new.goes_on().await;
        app.advance(1);
    }
    of_old.goes_on().await;
    of_new.goes_on().await;
    let (of_old, of_new) = (of_old.stop().await, of_new.stop().await);

    let end = UnixTime::from_seconds(made_at.seconds() + OVERLAP as i64);
    let of_new: Vec<_> = of_new.iter().map(|(.., status)| *status).collect();
    assert!(of_new.iter().all(|status| *status == 200), "the new secret fails: {of_new:?}");
    for (before, after, status) in &of_old {
        if *after < end {
            assert_eq!(*status, 200, "the old secret fails at {before}, and ends at {end}");
        } else if *before >= end {
            assert_eq!(*status, 401, "the old secret is good at {before}, and ended at {end}");
        }
    }
    // It was asked in the last second of it, in the one that it ends in, and later.
    for offset in -1..=2 {
        let at = UnixTime::from_seconds(end.seconds() + offset);
        assert!(within(&of_old, at).len() > 1, "hardly anybody asked at {at}");
    }
}
