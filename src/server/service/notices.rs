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
/// How much of it is looked at in one transaction.
const FORGOTTEN_AT_ONCE: usize = 10_000;
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

/// A review of all clients on its way: no more of it is in memory than one step finds.
#[derive(Debug)]
pub struct ReviewRun {
    tells: bool,
    counts: BTreeMap<FindingKind, u64>,
    waiting: Vec<(String, Finding)>,
    after: Option<String>,
    is_over: bool,
}

impl ReviewRun {
    /// From now on it only counts: nobody can be told.
    pub fn only_count(&mut self) {
        self.tells = false;
        self.waiting.clear();
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
        finding.secret_id.as_deref().or(finding.digest_key_id.as_deref()).unwrap_or_default(),
        finding.scope.as_deref().unwrap_or_default(),
        if last_call { "last call" } else { "" },
    ];
    parts.join("\u{1}")
}

impl Service {
    /// Begins a review of all clients. Without `tells` it is only counted what there is.
    #[must_use]
    pub fn begin_review(&self, tells: bool) -> ReviewRun {
        let counts = FindingKind::ALL.map(|kind| (kind, 0)).into();
        ReviewRun { tells, counts, waiting: Vec::new(), after: None, is_over: false }
    }

    /// Looks at the next clients, and gives what is to be told of those up to there: what was not told before, or not for
    /// a week. Nothing counts as told before [`Self::told`]. None once all were looked at.
    ///
    /// # Errors
    /// What the store says.
    pub async fn review_on(&self, run: &mut ReviewRun) -> Result<Option<Vec<Notice>>, Error> {
        if run.is_over {
            self.forget_told().await?;
            return Ok(None);
        }
        let search = ClientSearch { after: run.after.take(), limit: STEP, ..ClientSearch::default() };
        let (findings, next) = self.look_at(search, self.settings.review).await?;
        for finding in &findings {
            *run.counts.entry(finding.kind).or_default() += 1;
        }
        if run.tells {
            run.waiting.extend(self.not_told(findings).await?);
        }
        (run.is_over, run.after) = (next.is_none(), next);
        let mut notices = Vec::new();
        while run.waiting.len() >= MAX_FINDINGS || (run.is_over && !run.waiting.is_empty()) {
            let most = run.waiting.len().min(MAX_FINDINGS);
            notices.push(notice(run.waiting.drain(..most).collect(), self.clock.now()));
        }
        if run.is_over {
            self.last_review.set(std::mem::take(&mut run.counts));
        }
        Ok(Some(notices))
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
        Ok(self.store.note_told(notice.keys.clone(), self.clock.now()).await?)
    }

    /// Forgets what was told long ago, some of it at a time.
    async fn forget_told(&self) -> Result<(), Error> {
        let past = UnixTime::from_seconds(self.clock.now().seconds().saturating_sub_unsigned(KEPT.as_secs()));
        let mut after = None;
        loop {
            after = self.store.forget_told(past, after, FORGOTTEN_AT_ONCE).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

fn notice(found: Vec<(String, Finding)>, now: UnixTime) -> Notice {
    let (keys, findings): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let id =
        URL_SAFE_NO_PAD.encode(sha256(format!("{now}\n{}", keys.join("\n")).as_bytes()).get(..16).unwrap_or_default());
    Notice { id: format!("n_{id}"), findings, keys }
}
