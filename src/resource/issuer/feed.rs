//! The issuer's revocation feed: asked again as soon as it answers, and held back by the issuer until there is news.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::backoff::Backoff;
use crate::clock::{Deadline, UnixTime};
use crate::fetch::{FetchError, http_url, not_redirected, read_bounded};
use crate::oauth::feed::{JWKS_ETAG, RevocationFeed};

use super::{StaleRevocations, State};

/// How long the issuer is asked to hold an answer back. Shorter than what proxies allow an idle answer.
const WAIT: Duration = Duration::from_secs(25);
/// How much longer an answer may take.
const GRACE: Duration = Duration::from_secs(10);
/// The most that an answer may have, in bytes.
const MAX_FEED: usize = 64 * 1024 * 1024;
/// How long after it was asked an issuer is asked again that had nothing to say and did not wait.
const PACE: Duration = Duration::from_millis(500);
/// The same for one that had something to say: it may say it over and over.
const PACE_OF_NEWS: Duration = Duration::from_millis(50);
/// The same for one that gave the whole list.
const PACE_OF_LISTS: Duration = Duration::from_millis(200);
/// After how many failures the metadata is asked where the feed is now.
const ASK_WHERE_EVERY: u64 = 64;
/// How long to wait where no feed is known of.
const NO_FEED: Duration = Duration::from_secs(60);

/// What was heard, and when.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Unix seconds; 0 is never.
    at: AtomicI64,
    cursor: Mutex<Option<String>>,
    error: ArcSwapOption<String>,
    /// The key set that the feed named last.
    keys: Mutex<Option<String>>,
}

impl Heard {
    pub(super) fn at(&self) -> Option<UnixTime> {
        match self.at.load(Ordering::Relaxed) {
            0 => None,
            seconds => Some(UnixTime::from_seconds(seconds)),
        }
    }

    pub(super) fn cursor(&self) -> Option<String> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn error(&self) -> Option<String> {
        self.error.load().as_ref().map(|error| String::clone(error))
    }

    /// The feed names the key set that the issuer has now. Where that is another one than ours, the keys are asked for,
    /// once: a cache on the way may not have it yet. Whether it names another one than before.
    fn keys_are(&self, named: Option<String>, ours: &Option<String>, changed: &Notify) -> bool {
        let mut last = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if named.is_none() || named == *last {
            return false;
        }
        let bare = |etag: &Option<String>| etag.as_deref().map(|etag| etag.trim_start_matches("W/").to_owned());
        if bare(&named) != bare(ours) {
            changed.notify_one();
        }
        *last = named;
        true
    }

    pub(super) fn recall(&self, at: Option<UnixTime>, cursor: Option<String>) {
        self.at.store(at.map_or(0, UnixTime::seconds), Ordering::Relaxed);
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
    }
}

/// Follows the feed for as long as it is run.
pub(super) async fn follow(state: Arc<State>) {
    // The pauses stay short: an issuer that was started again should be heard within a second.
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let mut failures: u64 = 0;
    let wait = match state.settings.revocations {
        StaleRevocations::RefuseAfter(bound) => WAIT.min(bound / 3),
        StaleRevocations::GoOn | StaleRevocations::NotFollowed => WAIT,
    };
    loop {
        if state.endpoints.load().revocation_feed.is_none() {
            // The metadata may name one after an update of the issuer.
            Deadline::after(NO_FEED).reached().await;
            drop(state.rediscover().await);
            continue;
        }
        let [pace, pace_of_lists, pace_of_news] = [PACE, PACE_OF_LISTS, PACE_OF_NEWS].map(Deadline::after);
        match state.ask_feed(wait).await {
            Ok((news, other_keys)) => {
                backoff.reset();
                failures = 0;
                if news.reset {
                    pace_of_lists.reached().await;
                } else if news.is_empty() && !other_keys {
                    pace.reached().await;
                } else {
                    pace_of_news.reached().await;
                }
            }
            Err(error) => {
                state.feed_failed(&error);
                Deadline::after(backoff.next(&state.entropy)).reached().await;
                // Somebody is there, and the feed may have moved.
                if matches!(error, FetchError::Status { .. }) && failures.is_multiple_of(ASK_WHERE_EVERY) {
                    drop(state.rediscover().await);
                }
                failures += 1;
            }
        }
    }
}

impl State {
    /// Asks the feed once, and takes in what it says. The second value is whether it tells of another key set.
    pub(super) async fn ask_feed(&self, wait: Duration) -> Result<(RevocationFeed, bool), FetchError> {
        let Some(feed) = self.endpoints.load().revocation_feed.clone() else {
            return Ok((RevocationFeed::default(), false));
        };
        let mut url = http_url(&feed)?;
        // Only an issuer that was heard is asked to wait: the first answer is needed now.
        let wait = if self.heard.error.load().is_some() { Duration::ZERO } else { wait };
        if let Some(cursor) = self.heard.cursor() {
            url.query_pairs_mut().append_pair("since", &cursor);
        }
        url.query_pairs_mut().append_pair("wait", &wait.as_secs().to_string());
        let request = self.http.get(url.clone()).timeout(wait + GRACE);
        let response = request.send().await.map_err(|e| FetchError::unreachable(&url, &e))?;
        not_redirected(&url, &response)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::status(&url, &response));
        }
        let etag = response.headers().get(JWKS_ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let body = read_bounded(response, MAX_FEED).await?;
        let news: RevocationFeed = serde_json::from_slice(&body)
            .map_err(|_| FetchError::Discovery { url: url.to_string(), why: "is not a revocation feed".to_owned() })?;
        let other_keys = self.heard.keys_are(etag, &self.keys.load().etag, &self.keys_changed);
        self.take_in(&news).await;
        Ok((news, other_keys))
    }

    async fn take_in(&self, news: &RevocationFeed) {
        let now = self.now();
        if news.is_empty() {
            self.heard.recall(Some(now), Some(news.cursor.clone()));
        } else {
            let saving = self.saving.lock().await;
            // On disk first, so that what was refused once is refused after a restart; but a slow disk does not hold a
            // revocation back.
            self.save_with(Some(news), &saving).await;
            self.revoked.add(news);
            self.heard.recall(Some(now), Some(news.cursor.clone()));
        }
        let keys = self.keys.load_full();
        self.revoked.purge(now, |kid| keys.set.contains(kid));
        if self.heard.error.swap(None).is_some() {
            tracing::info!(issuer = self.settings.issuer, "the revocation feed is heard again");
        }
        self.show_feed();
    }

    pub(super) fn feed_failed(&self, error: &FetchError) {
        metrics::counter!("mintage_verifier_feed_failures_total", "issuer" => self.settings.issuer.clone())
            .increment(1);
        if self.heard.error.swap(Some(Arc::new(error.to_string()))).is_none() {
            tracing::warn!(%error, issuer = self.settings.issuer, "the revocation feed is not heard; going on with what is known");
        }
    }
}
