//! Slow checks of secrets that were not made here: so many at once, so many in line, and what they found out.
//!
//! A secret that was right once is remembered by its SHA-256, in memory alone, so that a client pays once for each start
//! of the service. What it was kept under is then replaced by Argon2id, in the background.
//!
//! How long a check takes would tell a stranger which client has an imported secret. So failures of every cause are held
//! as long as checks have been found to take, and where no check would be taken into the line, none of them is answered
//! at all.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Semaphore, oneshot};

use crate::clock::Stopwatch;
use crate::crypto::entropy::Entropy;
use crate::crypto::{Sha256, SlowHash, sha256_parts};
use crate::id::ClientId;
use crate::secret::{ClientSecret, SecretHash};
use crate::server::error::Error;
use crate::server::model::{Change, Client, KeptHash, Origin, SecretRecord};
use crate::server::store::StoreError;

use super::held::Held;
use super::{Caller, Service};

/// The most checks that are under way or wait.
const MAX_IN_LINE: usize = 256;
/// The longest that a check may have to wait for its turn, as far as can be told.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How much longer than estimated checks are taken to last before one was seen, in percent.
const GUESS: u64 = 200;
/// The most of that: a machine that stands still for a moment is not slow for ever.
const MAX_PACE: u64 = 500;
/// The most secrets that are remembered to be right.
const REMEMBERED: u64 = 100_000;
/// The most better hashes that wait to be written. One that finds no room is made again after the next start.
const MAX_BETTER: usize = 10_000;
/// How many of them are written in one transaction, each second.
const WRITTEN_AT_ONCE: usize = 200;

/// The checks.
#[derive(Clone, Debug)]
pub(super) struct SlowChecks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    entropy: Arc<dyn Entropy>,
    at_once: usize,
    turns: Arc<Semaphore>,
    /// Hashes are made beside the checks, one at a time: who authenticates does not wait for them.
    making: Arc<Semaphore>,
    /// How many better hashes wait to be made.
    unmade: AtomicUsize,
    in_line: AtomicUsize,
    /// How long the checks in line take by estimate, in microseconds.
    ahead: AtomicU64,
    /// How long checks take of what was estimated, smoothed, in percent.
    pace: AtomicU64,
    held: Mutex<Held>,
    /// By client, secret and stored hash: what the secret is that was right.
    right: moka::sync::Cache<Sha256, SecretHash>,
    better: Mutex<Vec<Better>>,
}

/// A hash to put in the place of one that came from elsewhere.
#[derive(Clone, Debug)]
struct Better {
    client_id: ClientId,
    secret_id: String,
    before: SlowHash,
    after: SlowHash,
    secret: SecretHash,
}

/// A place in the line. It is given up when the check is over, or when nobody waits for it any more.
#[derive(Debug)]
struct InLine {
    shared: Arc<Shared>,
    estimate: u64,
}

impl InLine {
    fn enter(shared: &Arc<Shared>, hash: &SlowHash) -> Self {
        let estimate = micros(hash.estimate());
        shared.in_line.fetch_add(1, Ordering::Relaxed);
        shared.ahead.fetch_add(estimate, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), estimate }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.shared.in_line.fetch_sub(1, Ordering::Relaxed);
        self.shared.ahead.fetch_sub(self.estimate, Ordering::Relaxed);
    }
}

fn key(client_id: &ClientId, secret_id: &str, hash: &SlowHash) -> Sha256 {
    // None of them has a space in it.
    sha256_parts(&[client_id.as_str().as_bytes(), b" ", secret_id.as_bytes(), b" ", hash.as_str().as_bytes()])
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn broken_off<E>(_: E) -> Error {
    Error::Unavailable("the check of a secret was broken off".to_owned())
}

impl Shared {
    fn better(&self) -> MutexGuard<'_, Vec<Better>> {
        self.better.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more would wait no longer than is bearable.
    fn has_room(&self) -> bool {
        let in_line = self.in_line.load(Ordering::Relaxed);
        let ahead = self.ahead.load(Ordering::Relaxed).saturating_mul(self.pace.load(Ordering::Relaxed)) / 100;
        let wait = ahead / u64::try_from(self.at_once).unwrap_or(1);
        in_line < self.at_once || (in_line < MAX_IN_LINE && wait <= micros(MAX_WAIT))
    }

    /// A check took as long as this by itself.
    fn took(&self, span: Duration, hash: &SlowHash) {
        let percent = micros(span).saturating_mul(100) / micros(hash.estimate()).max(1);
        let before = self.pace.load(Ordering::Relaxed);
        self.pace.store((before * 3 + percent.clamp(1, MAX_PACE)) / 4, Ordering::Relaxed);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a secret; blocks. How long it took by itself.
    fn check(&self, subject: &Better, secret: &ClientSecret) -> (bool, Duration) {
        let watch = Stopwatch::start();
        let right = subject.before.is_of(secret.reveal().as_bytes());
        let span = watch.elapsed();
        self.took(span, &subject.before);
        if right {
            let key = key(&subject.client_id, &subject.secret_id, &subject.before);
            self.right.insert(key, subject.secret.clone());
        }
        (right, span)
    }

    /// Makes a hash, when its turn has come.
    async fn make(self: &Arc<Self>, secret: ClientSecret) -> Result<SlowHash, Error> {
        let turn = Arc::clone(&self.making).acquire_owned().await.map_err(broken_off)?;
        let shared = Arc::clone(self);
        let work = move || {
            let _turn = turn;
            SlowHash::make(secret.reveal().as_bytes(), &*shared.entropy)
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(broken_off)??)
    }

    /// Makes a better hash, if not too many wait for that.
    async fn make_better(self: Arc<Self>, subject: Better, secret: ClientSecret) {
        if self.unmade.fetch_add(1, Ordering::Relaxed) < MAX_BETTER {
            match self.make(secret).await {
                Ok(after) => self.put_better([Better { after, ..subject }]),
                Err(error) => {
                    tracing::warn!(error = error.cause(), "an imported secret stays under its hash for now");
                }
            }
        }
        self.unmade.fetch_sub(1, Ordering::Relaxed);
    }

    /// Those that are written next, the oldest first.
    fn take_better(&self) -> Vec<Better> {
        let mut better = self.better();
        let most = better.len().min(WRITTEN_AT_ONCE);
        better.drain(..most).collect()
    }

    fn put_better(&self, more: impl IntoIterator<Item = Better>) {
        let mut better = self.better();
        let room = MAX_BETTER.saturating_sub(better.len());
        better.extend(more.into_iter().take(room));
    }
}

impl SlowChecks {
    pub(super) fn new(entropy: Arc<dyn Entropy>) -> Self {
        // One core is left to everybody else.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = cores.saturating_sub(1).max(1);
        Self(Arc::new(Shared {
            entropy,
            at_once,
            turns: Arc::new(Semaphore::new(at_once)),
            making: Arc::new(Semaphore::new(SlowChecks::MADE_AT_ONCE)),
            unmade: AtomicUsize::new(0),
            in_line: AtomicUsize::new(0),
            ahead: AtomicU64::new(0),
            pace: AtomicU64::new(GUESS),
            held: Mutex::new(Held::new()),
            right: moka::sync::Cache::new(REMEMBERED),
            better: Mutex::default(),
        }))
    }

    /// How many slow hashes are made at once.
    pub(super) const MADE_AT_ONCE: usize = 1;

    /// Whether a check would be taken into the line.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(super) fn has_room(&self) -> Result<(), Error> {
        if self.0.has_room() {
            return Ok(());
        }
        Err(Error::Unavailable("too many imported secrets wait to be checked".to_owned()))
    }

    /// Whether `presented` is this secret of the client, where the right one was seen before.
    pub(super) fn knows(
        &self,
        client_id: &ClientId,
        secret: &SecretRecord,
        hash: &SlowHash,
        presented: &SecretHash,
    ) -> Option<bool> {
        Some(self.0.right.get(&key(client_id, &secret.id, hash))?.matches(presented))
    }

    /// The place of the slow secret that `presented` is. Each is checked once at most, and not at all where the right
    /// one was seen before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the line is full.
    pub(super) async fn matching(
        &self,
        client: &Client,
        presented: &ClientSecret,
        quick: &SecretHash,
    ) -> Result<Option<usize>, Error> {
        let watch = Stopwatch::start();
        let mut alone = Duration::ZERO;
        let mut found = None;
        for (index, secret) in client.secrets.iter().enumerate() {
            let Some(hash) = secret.hash.slow() else { continue };
            if self.knows(&client.client_id, secret, hash, quick).is_some() {
                continue;
            }
            let (right, span) = self.check(&client.client_id, secret, hash, presented, quick).await?;
            alone += span;
            if right {
                found = Some(index);
                break;
            }
        }
        if alone > Duration::ZERO {
            self.0.held().note(alone, watch.elapsed());
        }
        Ok(found)
    }

    async fn check(
        &self,
        client_id: &ClientId,
        secret: &SecretRecord,
        hash: &SlowHash,
        presented: &ClientSecret,
        quick: &SecretHash,
    ) -> Result<(bool, Duration), Error> {
        self.has_room()?;
        let place = InLine::enter(&self.0, hash);
        let turn = Arc::clone(&self.0.turns).acquire_owned().await.map_err(broken_off)?;
        // Somebody before may have had the same question.
        if let Some(known) = self.knows(client_id, secret, hash, quick) {
            return Ok((known, Duration::ZERO));
        }
        let subject = Better {
            client_id: client_id.clone(),
            secret_id: secret.id.clone(),
            before: hash.clone(),
            after: hash.clone(),
            secret: quick.clone(),
        };
        let (presented, shared) = (presented.clone(), Arc::clone(&self.0));
        let (reply, answer) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let (right, span) = shared.check(&subject, &presented);
            // Held until now by the work itself: a caller that goes away does not make room for another one. Whoever waits
            // is answered before a better hash is made, and counts no more by then: else the last in line would find it
            // full of itself.
            drop((turn, place));
            // Nobody may wait for it any more.
            let _ = reply.send((right, span));
            if right && !subject.before.is_current() {
                drop(runtime.spawn(shared.make_better(subject, presented)));
            }
        });
        answer.await.map_err(broken_off)
    }

    /// What is to be kept of a secret that may be weak.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(super) async fn make(&self, secret: &ClientSecret) -> Result<SlowHash, Error> {
        self.0.make(secret.clone()).await
    }
}

impl Service {
    /// How long slow checks of secrets have been found to take lately; zero where there was none. A failed
    /// authentication is answered as much later, whatever its cause.
    #[must_use]
    pub fn slow_checks_take(&self) -> Duration {
        self.slow.0.held().span()
    }

    /// Writes the better hashes of some of the imported secrets that were used, all in one; the rest waits.
    pub(super) async fn flush_better_hashes(&self) {
        let some = self.slow.0.take_better();
        if let Err(error) = self.keep_better_hashes(&some).await {
            tracing::warn!(%error, "imported secrets stay under their hashes until the next try");
            self.slow.0.put_better(some);
        }
    }

    async fn keep_better_hashes(&self, some: &[Better]) -> Result<(), StoreError> {
        let (mut rows, mut of) = (Vec::new(), Vec::new());
        for better in some {
            if let Some(row) = self.with_better_hash(better).await? {
                rows.push(row);
                of.push(better);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let done = self.store.replace_clients(rows).await;
        of.iter().for_each(|better| self.clients.forget(&better.client_id));
        // Where somebody else was faster, the next tick finds what they made of it.
        self.slow.0.put_better(done?.into_iter().zip(of).filter(|(done, _)| !done).map(|(_, better)| better.clone()));
        Ok(())
    }

    /// The client with one in its place, if what it was made for is still there. What is shown of the client does not
    /// change, but its record does: a change like any other, with a revision and an audit record.
    async fn with_better_hash(&self, better: &Better) -> Result<Option<(Client, u64, Change)>, StoreError> {
        let Some(mut client) = self.store.client(&better.client_id).await? else { return Ok(None) };
        let of_secret =
            |secret: &&mut SecretRecord| secret.id == better.secret_id && secret.hash.slow() == Some(&better.before);
        let Some(secret) = client.secrets.iter_mut().find(of_secret) else { return Ok(None) };
        secret.hash = KeptHash::Slow(better.after.clone());
        let expected = client.revision;
        client.revision += 1;
        let says = |hash: &SlowHash| json!({ "secret": better.secret_id, "kept_under": hash.scheme() });
        let caller = Caller::everything(Origin::SYSTEM);
        let (id, place) = (better.client_id.as_str(), Some(client.place()));
        let (before, after) = (says(&better.before), says(&better.after));
        let change = self.change(&caller, "client.secret.rehash", id, place, before, after);
        // Before it can be read: else the next request would pay for a check.
        self.slow.0.right.insert(key(&better.client_id, &better.secret_id, &better.after), better.secret.clone());
        Ok(Some((client, expected, change)))
    }
}
