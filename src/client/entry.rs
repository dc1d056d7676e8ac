//! One token that is kept: handed out without waiting while it is valid, waited for together when it is not.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::clock::{Clock, Deadline, Rfc3339};
use crate::crypto::entropy::Entropy;

use super::credentials::CredentialSource;
use super::endpoint::TokenEndpoint;
use super::forced::Forced;
use super::token::Inner;
use super::{Error, Token, TokenRequest, refresher};

/// So often a caller begins the task anew that ended without an outcome, before its runtime is taken as none.
const BEGINNINGS: u32 = 3;

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
    /// For how many it is renewed whether somebody asks or not.
    kept: AtomicUsize,
    /// Asked for since it was fetched.
    asked: AtomicBool,
    /// Callers that nothing at hand is good for.
    waiting: AtomicUsize,
    /// Which request the latest of them waits for, by [`State::attempts`].
    awaited: AtomicU64,
    /// Those who wait for the next token, whatever there is at hand.
    watching: AtomicUsize,
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

/// How fetching a token goes, for a health route. Tells no secret.
#[derive(Clone, Debug, serde::Serialize)]
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
        self.stop();
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
            awaited: AtomicU64::new(0),
            watching: AtomicUsize::new(0),
            wanted: Notify::new(),
            refused: ArcSwapOption::empty(),
            forced: Mutex::default(),
            state: watch::Sender::new(State::default()),
            changes: watch::Sender::new(None),
        });
        Self { shared, task: Mutex::new(None) }
    }

    /// Has it renewed for one more, whether somebody asks or not.
    pub(super) fn keep(&self) {
        self.shared.kept.fetch_add(1, Ordering::AcqRel);
    }

    /// The other way round. Who asks for it after the last of them begins the task anew.
    pub(super) fn let_go(&self) {
        if self.shared.kept.fetch_sub(1, Ordering::AcqRel) == 1 && self.shared.waiting.load(Ordering::Acquire) == 0 {
            self.stop();
        }
    }

    /// A valid token: the one at hand, without waiting, or the next.
    pub(super) async fn token(&self) -> Result<Token, Error> {
        if !self.shared.asked.load(Ordering::Relaxed) {
            self.shared.asked.store(true, Ordering::Relaxed);
        }
        if let Some(token) = self.shared.valid() {
            // The runtime that renewed it may have ended with the part of the program that it served.
            if !self.shared.running.load(Ordering::Relaxed) {
                // Where there is no other either, the token is as good.
                drop(self.ensure_running());
            }
            return Ok(token);
        }
        self.next(None).await
    }

    /// Another token than `refused`, which a resource did not take.
    pub(super) async fn replace(&self, refused: &Token) -> Result<Token, Error> {
        match self.shared.valid() {
            Some(token) if token.is_same(refused) => self.next(Some(refused)).await,
            Some(token) => Ok(token),
            None => self.next(None).await,
        }
    }

    /// Waits for the outcome of the request that is in flight, or of one that is made now. While the endpoint is left
    /// alone after a failure, that failure is the answer.
    async fn next(&self, refused: Option<&Token>) -> Result<Token, Error> {
        let shared = &*self.shared;
        shared.asked.store(true, Ordering::Relaxed);
        let good = |token: &Token| refused.is_none_or(|refused| !token.is_same(refused));
        let mut state = shared.state.subscribe();
        let (mut waiting_since, mut beginnings) = (None, 0);
        let _waits = Counted::among(&shared.waiting);
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
                    None => {
                        waiting_since = None;
                        continue;
                    }
                },
                (None, Some(failed)) if !busy && !failed.not_before.remaining().is_zero() => return Err(failed.error),
                (None, _) => {
                    if let Some(refused) = refused
                        && !busy
                        && !shared.may_force(refused)
                    {
                        return Ok(refused.clone());
                    }
                    waiting_since = Some(attempts);
                    shared.awaited.fetch_max(attempts + 1, Ordering::AcqRel);
                    shared.wanted.notify_one();
                }
                _ => {}
            }
            self.begin_again(&mut beginnings)?;
            // Its sender is in `shared`.
            drop(state.changed().await);
        }
    }

    /// The next token that `receiver` has not seen.
    pub(super) async fn changed(&self, receiver: &mut watch::Receiver<Option<Token>>) -> Result<Token, Error> {
        let mut state = self.shared.state.subscribe();
        let mut beginnings = 0;
        let _watches = Counted::among(&self.shared.watching);
        loop {
            self.begin_again(&mut beginnings)?;
            // Their senders are in `shared`.
            tokio::select! {
                biased;
                changed = receiver.changed() => drop(changed),
                // The task may be gone, with its runtime.
                changed = state.changed() => {
                    drop(changed);
                    continue;
                }
            }
            if let Some(token) = receiver.borrow_and_update().clone() {
                return Ok(token);
            }
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Token>> {
        self.shared.changes.subscribe()
    }

    /// Where a task ends whenever it is begun, the runtime is shutting down, or cannot do what the task needs.
    fn begin_again(&self, beginnings: &mut u32) -> Result<(), Error> {
        if *beginnings == BEGINNINGS && !self.shared.running.load(Ordering::Acquire) {
            return Err(Error::NoRuntime);
        }
        if self.ensure_running()? {
            *beginnings += 1;
        }
        Ok(())
    }

    /// Whether the task had to be begun.
    fn ensure_running(&self) -> Result<bool, Error> {
        if self.shared.running.load(Ordering::Acquire) {
            return Ok(false);
        }
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = !self.shared.running.swap(true, Ordering::AcqRel);
        if begins {
            let running = Running(Arc::clone(&self.shared));
            *task = Some(runtime.spawn(async move { refresher::run(&running.0).await }).abort_handle());
        }
        Ok(begins)
    }

    fn stop(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
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

/// One that waits, until it has its token or goes away.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn among(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Counted<'_> {
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
        // Those whose request has been answered may not have looked yet.
        if self.waiting.load(Ordering::Acquire) == 0
            || self.awaited.load(Ordering::Acquire) <= self.state.borrow().attempts
        {
            return false;
        }
        let Some(token) = self.valid() else { return true };
        self.has_refused(&token)
    }

    /// Whether somebody waits for the next token.
    pub(super) fn is_watched(&self) -> bool {
        self.watching.load(Ordering::Acquire) > 0
    }

    fn has_refused(&self, token: &Token) -> bool {
        self.refused.load_full().is_some_and(|refused| Token::from_shared(refused).is_same(token))
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

    /// Whether `refused` is fetched anew, for the first who comes with it and for all after.
    fn may_force(&self, refused: &Token) -> bool {
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        let may = self.has_refused(refused) || forced.once_more();
        if may {
            self.refused.store(Some(refused.shared()));
        }
        may
    }
}
