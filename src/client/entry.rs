//! One token that is kept: handed out without waiting while it is valid, waited for together when it is not.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::clock::{Clock, Deadline, Rfc3339, Stopwatch};
use crate::crypto::entropy::Entropy;

use super::credentials::CredentialSource;
use super::endpoint::TokenEndpoint;
use super::token::Inner;
use super::{Error, Token, TokenRequest, refresher};

/// So many times in a row a token is fetched anew at once because a resource refused it. After that each time takes
/// longer: a resource that refuses whatever it is sent should not turn every request into two.
const FORCED_AT_ONCE: u32 = 3;
const FIRST_FORCED_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_FORCED_PAUSE: Duration = Duration::from_secs(60);
/// After so long without, a refused token is the first again.
const FORCED_FORGOTTEN: Duration = Duration::from_secs(300);

/// A token that is kept, and the task that renews it, which ends with this.
#[derive(Debug)]
pub(super) struct Entry {
    shared: Arc<Shared>,
    task: Mutex<Option<AbortHandle>>,
}

/// What callers and the task share. Only the task asks the endpoint: so there is one request at most, and a caller that
/// goes away takes nothing with it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) endpoint: Arc<TokenEndpoint>,
    pub(super) credentials: CredentialSource,
    pub(super) request: TokenRequest,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    slot: ArcSwapOption<Inner>,
    running: AtomicBool,
    /// Those for whom it is renewed whether somebody asks or not.
    kept: AtomicUsize,
    /// Asked for since it was fetched, or could not be.
    asked: AtomicBool,
    /// Callers that nothing at hand is good for.
    waiting: AtomicUsize,
    /// Told when there is one more of them.
    pub(super) wanted: Notify,
    /// A token that a resource refused; the task fetches another if it is still the one at hand.
    refused: ArcSwapOption<Inner>,
    forced: Mutex<Forced>,
    state: watch::Sender<State>,
    changes: watch::Sender<Option<Token>>,
}

/// How it goes.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Requests that have been answered, or failed.
    pub(super) attempts: u64,
    /// Those that brought a token.
    pub(super) fetched: u64,
    pub(super) busy: bool,
    /// Since the last token that was fetched.
    pub(super) failed: Option<Failed>,
}

/// A failure, and the point before which the endpoint is not asked again.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) count: u64,
    pub(super) not_before: Deadline,
}

#[derive(Debug, Default)]
struct Forced {
    in_a_row: u32,
    last: Option<Stopwatch>,
    /// The token that was counted last.
    token: Option<Token>,
}

/// How fetching a token goes, for a health route. Tells no secret.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Health {
    /// Whether there is a token that has not ended.
    pub valid: bool,
    /// When the token at hand was fetched.
    pub fetched_at: Option<Rfc3339>,
    /// When the token at hand ends.
    pub expires_at: Option<Rfc3339>,
    /// Tokens fetched so far.
    pub fetched: u64,
    /// Failures since the last token that was fetched.
    pub failures: u64,
    /// Why the last one failed; `None` once a token was fetched.
    pub last_error: Option<String>,
    /// In how many seconds the endpoint can be asked again after that failure.
    pub retry_in: Option<u64>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl Entry {
    pub(super) fn new(
        endpoint: Arc<TokenEndpoint>,
        credentials: CredentialSource,
        request: TokenRequest,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let shared = Arc::new(Shared {
            endpoint,
            credentials,
            request,
            clock,
            entropy,
            slot: ArcSwapOption::empty(),
            running: AtomicBool::new(false),
            kept: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
            refused: ArcSwapOption::empty(),
            forced: Mutex::default(),
            state: watch::Sender::new(State::default()),
            changes: watch::Sender::new(None),
        });
        Self { shared, task: Mutex::new(None) }
    }

    /// A valid token: the one at hand, without waiting, or the next.
    pub(super) async fn token(&self) -> Result<Token, Error> {
        if !self.shared.asked.load(Ordering::Relaxed) {
            self.shared.asked.store(true, Ordering::Relaxed);
        }
        if let Some(token) = self.shared.valid() {
            // The runtime that renewed it may have ended with the part of the program that it served.
            if !self.shared.running.load(Ordering::Relaxed) {
                self.ensure_running()?;
            }
            return Ok(token);
        }
        self.next(None).await
    }

    /// Another token than `refused`, which a resource did not take.
    pub(super) async fn replace(&self, refused: &Token) -> Result<Token, Error> {
        if let Some(token) = self.shared.valid().filter(|token| !token.is_same(refused)) {
            return Ok(token);
        }
        if !self.shared.may_force(refused) {
            return Ok(refused.clone());
        }
        self.next(Some(refused)).await
    }

    /// Waits for the outcome of the request that is in flight, or of one that is made now. While the endpoint is left
    /// alone after a failure, that failure is the answer.
    async fn next(&self, refused: Option<&Token>) -> Result<Token, Error> {
        let shared = &*self.shared;
        shared.asked.store(true, Ordering::Relaxed);
        let good = |token: &Token| refused.is_none_or(|refused| !token.is_same(refused));
        let mut state = shared.state.subscribe();
        let mut waiting_since = None;
        let _waits = Waits::begin(&shared.waiting);
        loop {
            let State { attempts, busy, failed, .. } = state.borrow_and_update().clone();
            if let Some(token) = shared.valid().filter(good) {
                return Ok(token);
            }
            match (waiting_since, failed) {
                (Some(since), Some(failed)) if attempts > since => return Err(failed.error),
                // One whose life was over when it came is still the best there is.
                (Some(since), None) if attempts > since => match shared.at_hand().filter(good) {
                    Some(token) => return Ok(token),
                    None => waiting_since = None,
                },
                (None, Some(failed)) if !busy && !failed.not_before.remaining().is_zero() => return Err(failed.error),
                (None, _) => {
                    waiting_since = Some(attempts);
                    if let Some(refused) = refused {
                        shared.refused.store(Some(refused.shared()));
                    }
                    shared.wanted.notify_one();
                }
                _ => {}
            }
            self.ensure_running()?;
            // Its sender is in `shared`.
            drop(state.changed().await);
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Token>> {
        self.shared.changes.subscribe()
    }

    pub(super) fn ensure_running(&self) -> Result<(), Error> {
        if self.shared.running.load(Ordering::Acquire) {
            return Ok(());
        }
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.shared.running.swap(true, Ordering::AcqRel) {
            let running = Running(Arc::clone(&self.shared));
            *task = Some(runtime.spawn(async move { refresher::run(&running.0).await }).abort_handle());
        }
        Ok(())
    }

    pub(super) fn health(&self) -> Health {
        let token = self.shared.at_hand();
        let state = self.shared.state.borrow();
        let failed = state.failed.as_ref();
        Health {
            valid: self.shared.valid().is_some(),
            fetched_at: token.as_ref().map(|token| Rfc3339(token.fetched_at())),
            expires_at: token.as_ref().map(|token| Rfc3339(token.expires_at())),
            fetched: state.fetched,
            failures: failed.map_or(0, |failed| failed.count),
            last_error: failed.map(|failed| failed.error.to_string()),
            retry_in: failed.map(|failed| failed.not_before.remaining().as_secs()),
        }
    }
}

/// An entry that is renewed for as long as this lives, whether somebody asks or not. The entry itself may live on in a
/// cache that others have as well.
#[derive(Debug)]
pub(super) struct Kept(Arc<Entry>);

impl Kept {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        entry.shared.kept.fetch_add(1, Ordering::Relaxed);
        Self(entry)
    }
}

impl Deref for Kept {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.shared.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One that waits, until it has its token or goes away.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Says when the task is gone, however it ends: with its runtime, before it was ever polled.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
        // Those who wait look again, and start another.
        self.0.state.send_modify(|state| state.busy = false);
    }
}

impl Shared {
    /// The token at hand, ended or not.
    pub(super) fn at_hand(&self) -> Option<Token> {
        self.slot.load_full().map(Token::from_shared)
    }

    pub(super) fn valid(&self) -> Option<Token> {
        let token = self.at_hand()?;
        token.is_valid(self.clock.now()).then_some(token)
    }

    /// Whether somebody waits for another token than the one at hand.
    pub(super) fn is_wanted(&self) -> bool {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return false;
        }
        let Some(token) = self.valid() else { return true };
        self.refused.load().as_ref().is_some_and(|refused| Token::from_shared(Arc::clone(refused)).is_same(&token))
    }

    /// Whether it is renewed before somebody asks again: one that nobody asked for during its whole life is not.
    pub(super) fn is_worth_renewing(&self) -> bool {
        self.is_kept() || self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed) > 0
    }

    pub(super) fn begin(&self) {
        self.state.send_modify(|state| state.busy = true);
    }

    /// A new entry takes the place of the old, and only then are those told who wait.
    pub(super) fn succeeded(&self, token: Token) {
        self.slot.store(Some(token.shared()));
        self.refused.store(None);
        self.asked.store(false, Ordering::Relaxed);
        self.changes.send_replace(Some(token));
        self.state.send_modify(|state| {
            *state = State { attempts: state.attempts + 1, fetched: state.fetched + 1, busy: false, failed: None };
        });
    }

    pub(super) fn failed(&self, error: Error, pause: Duration) {
        self.refused.store(None);
        self.asked.store(false, Ordering::Relaxed);
        self.state.send_modify(|state| {
            let count = state.failed.as_ref().map_or(0, |failed| failed.count) + 1;
            state.attempts += 1;
            state.busy = false;
            state.failed = Some(Failed { error, count, not_before: Deadline::after(pause) });
        });
    }

    pub(super) fn last_failure(&self) -> Option<Failed> {
        self.state.borrow().failed.clone()
    }

    fn may_force(&self, refused: &Token) -> bool {
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        // However many requests were refused with one token, it is one.
        if forced.token.as_ref().is_some_and(|token| token.is_same(refused)) {
            return true;
        }
        let since = forced.last.map(Stopwatch::elapsed);
        if since.is_none_or(|since| since > FORCED_FORGOTTEN) {
            forced.in_a_row = 0;
        }
        let doubled = forced.in_a_row.checked_sub(FORCED_AT_ONCE).map(|more| 1_u32 << more.min(16));
        let pause = doubled.map_or(Duration::ZERO, |times| (FIRST_FORCED_PAUSE * times).min(LONGEST_FORCED_PAUSE));
        if since.is_some_and(|since| since < pause) {
            return false;
        }
        forced.in_a_row = forced.in_a_row.saturating_add(1);
        forced.last = Some(Stopwatch::start());
        forced.token = Some(refused.clone());
        true
    }
}
