//! One token that is kept: handed out without waiting while it is valid, waited for together when it is not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::shared::{Health, Shared, State};
use super::{Error, Token, refresher};

/// So often a caller begins the task anew that ended without an outcome, before its runtime is taken as none.
const BEGINNINGS: u32 = 3;

/// For how long one who waits believes that the task will begin, and that a request will have an outcome.
const LONGEST_BEGINNING: Duration = Duration::from_secs(2);
const LONGEST_OUTCOME: Duration = Duration::from_secs(150);

/// A token that is kept, and the task that renews it, which ends with this.
#[derive(Debug)]
pub(super) struct Entry {
    shared: Arc<Shared>,
    task: Mutex<Option<AbortHandle>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Entry {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), task: Mutex::new(None) }
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
            if self.shared.running.load(Ordering::Relaxed) == 0 {
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
                    // What came in the meantime has unset it.
                    shared.asked.store(true, Ordering::Relaxed);
                    shared.awaited.fetch_max(attempts + 1, Ordering::AcqRel);
                    shared.wanted.notify_one();
                }
                _ => {}
            }
            self.begin_again(&mut beginnings)?;
            // Its sender is in `shared`.
            if beginnings > 0 {
                drop(state.changed().await);
                continue;
            }
            // Begun by another, on whose runtime it is: a task that is asked begins at once, unless nobody runs that.
            let within = if busy { LONGEST_OUTCOME } else { LONGEST_BEGINNING };
            if tokio::time::timeout(within, state.changed()).await.is_err() {
                self.take_over()?;
                beginnings += 1;
            }
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
        if *beginnings == BEGINNINGS && self.shared.running.load(Ordering::Acquire) == 0 {
            return Err(Error::NoRuntime);
        }
        if self.ensure_running()? {
            *beginnings += 1;
        }
        Ok(())
    }

    /// Whether the task had to be begun.
    fn ensure_running(&self) -> Result<bool, Error> {
        if self.shared.running.load(Ordering::Acquire) != 0 {
            return Ok(false);
        }
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = self.shared.running.load(Ordering::Acquire) == 0;
        if begins {
            *task = Some(self.begin(&runtime));
        }
        Ok(begins)
    }

    /// Begins a task in the place of one that does nothing.
    fn take_over(&self) -> Result<(), Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(idle) = task.take() {
            // Should its runtime go on one day, it ends there and then.
            idle.abort();
        }
        *task = Some(self.begin(&runtime));
        Ok(())
    }

    fn begin(&self, runtime: &Handle) -> AbortHandle {
        let number = self.shared.begun.fetch_add(1, Ordering::AcqRel) + 1;
        self.shared.running.store(number, Ordering::Release);
        let running = Running { shared: Arc::clone(&self.shared), number };
        runtime.spawn(async move { refresher::run(&running.shared).await }).abort_handle()
    }

    fn stop(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    pub(super) fn health(&self) -> Health {
        self.shared.health()
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
struct Running {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Unless another has taken its place.
        if self.shared.running.compare_exchange(self.number, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // Those who wait look again, and start another.
            self.shared.state.send_modify(|state| state.busy = false);
        }
    }
}
