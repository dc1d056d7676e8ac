//! Notices: what a review finds, told to whoever is configured, once and again while it goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::api::{Finding, FindingKind};
use crate::clock::UnixTime;
use crate::crypto::sha256;
use crate::server::error::Error;
use crate::server::store::ClientSearch;

use super::Service;

/// How many clients are looked at in one go.
const STEP: usize = 500;
/// The most findings that go into one notice; more go into the next.
const MAX_FINDINGS: usize = 100;
/// After how long what goes on is told again.
const AGAIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long it is remembered what was told.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long before its end a secret is told of once more.
const LAST_CALL: Duration = Duration::from_secs(24 * 3600);

/// How much of each kind the last review of all clients found.
#[derive(Debug, Default)]
pub(super) struct LastReview(Mutex<Option<BTreeMap<FindingKind, u64>>>);

impl LastReview {
    /// How much of each kind was found; none before the first review.
    pub(super) fn counts(&self) -> Option<BTreeMap<FindingKind, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, counts: BTreeMap<FindingKind, u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(counts);
    }
}

/// What is to be told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Names it: the same however often it is sent.
    pub id: String,
    /// What was found.
    pub findings: Vec<Finding>,
    keys: Vec<String>,
}

/// What a finding is remembered by, once it was told.
fn key(finding: &Finding, now: UnixTime) -> String {
    let last_call = finding.kind == FindingKind::SecretExpiring
        && finding.expires_at.is_some_and(|end| end.0.since(now) <= LAST_CALL);
    let parts = [
        finding.kind.as_str(),
        &finding.client_id,
        finding.secret_id.as_deref().unwrap_or_default(),
        finding.scope.as_deref().unwrap_or_default(),
        if last_call { "last call" } else { "" },
    ];
    parts.join("\u{1}")
}

impl Service {
    /// Looks at all clients, and gives what is to be told: what was not told before, or not for a week. Nothing counts as
    /// told before [`Self::told`].
    ///
    /// # Errors
    /// What the store says.
    pub async fn review_all(&self) -> Result<Vec<Notice>, Error> {
        let mut counts: BTreeMap<_, u64> = FindingKind::ALL.map(|kind| (kind, 0)).into();
        let mut notices = Vec::new();
        let mut waiting = Vec::new();
        let mut after = None;
        loop {
            let search = ClientSearch { after, limit: STEP, ..ClientSearch::default() };
            let (findings, next) = self.look_at(search, self.settings.review).await?;
            for finding in &findings {
                *counts.entry(finding.kind).or_default() += 1;
            }
            waiting.extend(self.not_told(findings).await?);
            while waiting.len() >= MAX_FINDINGS {
                notices.push(notice(waiting.drain(..MAX_FINDINGS).collect(), self.clock.now()));
            }
            after = next;
            if after.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if !waiting.is_empty() {
            notices.push(notice(waiting, self.clock.now()));
        }
        self.last_review.set(counts);
        Ok(notices)
    }

    async fn not_told(&self, findings: Vec<Finding>) -> Result<Vec<(String, Finding)>, Error> {
        let now = self.clock.now();
        let keyed: Vec<_> = findings.into_iter().map(|finding| (key(&finding, now), finding)).collect();
        let told = self.store.told(keyed.iter().map(|(key, _)| key.clone()).collect()).await?;
        let is_due = |key: &String| told.get(key).is_none_or(|at| now.since(*at) >= AGAIN);
        Ok(keyed.into_iter().filter(|(key, _)| is_due(key)).collect())
    }

    /// A notice has arrived where it was to go.
    ///
    /// # Errors
    /// What the store says.
    pub async fn told(&self, notice: &Notice) -> Result<(), Error> {
        let now = self.clock.now();
        let past = UnixTime::from_seconds(now.seconds().saturating_sub_unsigned(KEPT.as_secs()));
        Ok(self.store.note_told(notice.keys.clone(), now, past).await?)
    }
}

fn notice(found: Vec<(String, Finding)>, now: UnixTime) -> Notice {
    let (keys, findings): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let id =
        URL_SAFE_NO_PAD.encode(sha256(format!("{now}\n{}", keys.join("\n")).as_bytes()).get(..16).unwrap_or_default());
    Notice { id: format!("n_{id}"), findings, keys }
}
