//! The issuer's keys: fetched ahead of their end, and again for a key that is not known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CACHE_CONTROL, ETAG, HeaderMap, IF_NONE_MATCH};
use serde_json::Value;
use tokio::sync::Notify;

use crate::backoff::{Backoff, fraction};
use crate::clock::{Deadline, UnixTime};
use crate::crypto::{Sha256, sha256};
use crate::fetch::{FetchError, TIMEOUT, http_url, not_redirected, read_bounded};
use crate::jose::{Algorithm, KeySet, jwk};

use super::{Settings, State};

/// The most that a key set may have, in bytes.
const MAX_JWKS: usize = 512 * 1024;
/// How long a key set is good where its answer does not say (`keys.jwks_max_age` of an issuer of ours).
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
/// However long an answer says: a withdrawn key should be noticed within a working day without any feed.
const LONGEST_MAX_AGE: Duration = Duration::from_secs(6 * 3600);
/// For how long a key that was not found is not looked for again.
const ABSENT_FOR: Duration = Duration::from_secs(30);
/// The most keys that are remembered as absent, or asked for at once.
const MAX_UNKNOWN: usize = 1000;

/// A key set as it was fetched.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    pub(super) set: KeySet,
    /// Its text, for the snapshot.
    pub(super) document: Value,
    pub(super) etag: Option<String>,
    pub(super) fetched_at: UnixTime,
    max_age: Duration,
}

impl FetchedKeys {
    /// The keys of a JWK Set (RFC 7517 §5). A member that cannot be used is left out, not the set refused.
    pub(super) fn read(document: Value, algorithms: &[Algorithm], fetched_at: UnixTime) -> Result<Self, String> {
        let Some(Value::Array(members)) = document.get("keys") else {
            return Err("it is not a JWK Set: a JSON object with a \"keys\" array (RFC 7517, 5)".to_owned());
        };
        let parsed: Vec<_> = members.iter().filter_map(jwk::from_jwk).collect();
        let set = KeySet::from_jwks(parsed, algorithms);
        // A set without members is what the issuer says: it has withdrawn them all.
        if set.is_empty() && !members.is_empty() {
            return Err("none of its keys has a kid and serves an accepted algorithm".to_owned());
        }
        Ok(Self { set, document, etag: None, fetched_at, max_age: DEFAULT_MAX_AGE })
    }
}

/// Keys that tokens named and the set has not. A flood of made-up names costs one fetch per cooldown.
#[derive(Debug)]
pub(super) struct UnknownKeys {
    wanted: Notify,
    asked: Mutex<Vec<Sha256>>,
    absent: moka::sync::Cache<Sha256, ()>,
}

impl Default for UnknownKeys {
    fn default() -> Self {
        let absent = moka::sync::Cache::builder().max_capacity(MAX_UNKNOWN as u64).time_to_live(ABSENT_FOR).build();
        Self { wanted: Notify::new(), asked: Mutex::default(), absent }
    }
}

impl UnknownKeys {
    pub(super) fn ask_for(&self, kid: &str) {
        // A hash: what a stranger sent is not kept at its length.
        let kid = sha256(kid.as_bytes());
        if self.absent.contains_key(&kid) {
            return;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < MAX_UNKNOWN && !asked.contains(&kid) {
            asked.push(kid);
        }
        drop(asked);
        self.wanted.notify_one();
    }

    /// What has been asked for since the last time.
    fn asked(&self) -> Vec<Sha256> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It has been looked for. A name that turned out good is never asked for again anyway.
    fn looked(&self, asked: Vec<Sha256>) {
        for kid in asked {
            self.absent.insert(kid, ());
        }
    }
}

/// Fetches the key set; where it is still `known`, that one is good for another while.
pub(super) async fn fetch(
    http: &reqwest::Client,
    uri: &str,
    known: Option<&FetchedKeys>,
    settings: &Settings,
) -> Result<FetchedKeys, FetchError> {
    let url = http_url(uri)?;
    let mut request = http.get(url.clone()).timeout(TIMEOUT);
    if let Some(etag) = known.and_then(|known| known.etag.as_deref()) {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let response = request.send().await.map_err(|e| FetchError::unreachable(&url, &e))?;
    not_redirected(&url, &response)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let fetched_at = settings.clock.now();
    let mut keys = match (status, known) {
        (StatusCode::NOT_MODIFIED, Some(known)) => FetchedKeys {
            set: known.set.clone(),
            document: known.document.clone(),
            etag: known.etag.clone(),
            fetched_at,
            max_age: known.max_age,
        },
        (StatusCode::OK, _) => {
            let body = read_bounded(response, MAX_JWKS).await?;
            let bad = |why| FetchError::Discovery { url: url.to_string(), why };
            let document = serde_json::from_slice(&body).map_err(|_| bad("is not JSON".to_owned()))?;
            let mut keys = FetchedKeys::read(document, &settings.algorithms, fetched_at).map_err(bad)?;
            keys.etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
            keys
        }
        _ => return Err(FetchError::status(&url, &response)),
    };
    keys.max_age = max_age(&headers).unwrap_or(keys.max_age);
    Ok(keys)
}

/// `max-age` of `Cache-Control` (RFC 9111 §5.2.2.1), within reason.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let seconds = lines
        .flat_map(|line| line.split(','))
        .find_map(|directive| directive.trim().to_ascii_lowercase().strip_prefix("max-age=")?.parse().ok())?;
    Some(Duration::from_secs(seconds).clamp(Duration::from_secs(1), LONGEST_MAX_AGE))
}

/// Keeps the keys fresh for as long as it is run.
pub(super) async fn follow(state: Arc<State>) {
    let mut cooldown = Deadline::after(Duration::ZERO);
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    let mut failing = state.keys_error.load().is_some();
    let mut pause = if failing { Duration::ZERO } else { state.refresh_ahead() };
    loop {
        let due = Deadline::after(pause);
        let unknown = async {
            cooldown.reached().await;
            state.unknown.wanted.notified().await;
        };
        let for_unknown = tokio::select! {
            () = due.reached() => false,
            () = state.keys_changed.notified() => false,
            () = unknown => true,
        };
        if for_unknown {
            cooldown = Deadline::after(state.settings.unknown_key_cooldown);
        }
        pause = match state.fetch_keys().await {
            Ok(()) => {
                if failing {
                    tracing::info!(issuer = state.settings.issuer, "the issuer's keys are fetched again");
                }
                failing = false;
                backoff.reset();
                state.refresh_ahead()
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, issuer = state.settings.issuer, "the issuer's keys could not be fetched; going on with those at hand");
                }
                failing = true;
                metrics::counter!("mintage_verifier_key_fetch_failures_total", "issuer" => state.settings.issuer.clone()).increment(1);
                state.keys_error.store(Some(Arc::new(error.to_string())));
                backoff.next(&state.entropy)
            }
        };
    }
}

impl State {
    /// How long until the keys are fetched again: well before they have to be, and not all verifiers at once.
    fn refresh_ahead(&self) -> Duration {
        let max_age = self.keys.load().max_age.min(self.settings.max_stale_keys);
        max_age.mul_f64(0.75).saturating_sub(fraction(max_age / 10, &self.entropy))
    }

    async fn fetch_keys(&self) -> Result<(), FetchError> {
        let known = self.keys.load_full();
        // Taken now: what is asked for from here on may have been published too late for this answer.
        let asked = self.unknown.asked();
        if self.keys_error.load().is_some() {
            self.rediscover().await?;
        }
        let uri = self.endpoints.load().jwks_uri.clone();
        let fetched = fetch(&self.http, &uri, Some(&known), &self.settings).await?;
        let changed = fetched.document != known.document;
        self.keys.store(Arc::new(fetched));
        self.show_keys();
        self.keys_error.store(None);
        self.unknown.looked(asked);
        if changed {
            tracing::info!(
                issuer = self.settings.issuer,
                keys = self.keys.load().set.len(),
                "the issuer has other keys"
            );
            self.save().await;
        } else {
            self.save_now_and_then().await;
        }
        Ok(())
    }
}
