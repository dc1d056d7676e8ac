//! What those who ask for a token and the task that fetches it have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

use crate::clock::{Clock, Deadline, Rfc3339};
use crate::credentials::CredentialSource;
use crate::crypto::entropy::Entropy;

use super::endpoint::TokenEndpoint;
use super::forced::Forced;
use super::token::Inner;
use super::{Error, Token, TokenRequest};

/// A refusal is tried again this often where nobody asks, but somebody waits for the next token. At first it is more often.
const LONGEST_UNASKED: Duration = Duration::from_secs(600);

/// What callers and the task share. Only the task asks the endpoint: so there is one request at most, and a caller that
/// goes away takes nothing with it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) endpoint: Arc<TokenEndpoint>,
    pub(super) credentials: CredentialSource,
    pub(super) request: TokenRequest,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) slot: ArcSwapOption<Inner>,
    /// Which task renews it; 0 where there is none.
    pub(super) running: AtomicU64,
    /// The number of the last task that was begun.
    pub(super) begun: AtomicU64,
    /// For how many it is renewed whether somebody asks or not.
    pub(super) kept: AtomicUsize,
    /// Asked for since it was fetched, or could not be.
    pub(super) asked: AtomicBool,
    /// Callers that nothing at hand is good for.
    pub(super) waiting: AtomicUsize,
    /// Which request the latest of them waits for, by [`State::attempts`].
    pub(super) awaited: AtomicU64,
    /// Those who wait for the next token, whatever there is at hand.
    pub(super) watching: AtomicUsize,
    /// Told when there is one more of them.
    pub(super) wanted: Notify,
    /// A token that a resource refused; the task fetches another if it is still the one at hand.
    pub(super) refused: ArcSwapOption<Inner>,
    pub(super) forced: Mutex<Forced>,
    pub(super) state: watch::Sender<State>,
    pub(super) changes: watch::Sender<Option<Token>>,
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
    /// After a refusal: the point before which nobody asks but callers.
    pub(super) unasked: Deadline,
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

impl Shared {
    pub(super) fn new(
        endpoint: Arc<TokenEndpoint>,
        credentials: CredentialSource,
        request: TokenRequest,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            endpoint,
            credentials,
            request,
            clock,
            entropy,
            slot: ArcSwapOption::empty(),
            running: AtomicU64::new(0),
            begun: AtomicU64::new(0),
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
        }
    }

    pub(super) fn health(&self) -> Health {
        let token = self.at_hand();
        let state = self.state.borrow();
        let failed = state.failed.as_ref();
        Health {
            valid: self.valid().is_some(),
            fetched_at: token.as_ref().map(|token| Rfc3339(token.fetched_at())),
            expires_at: token.as_ref().map(|token| Rfc3339(token.expires_at())),
            fetched: state.fetched,
            failures: failed.map_or(0, |failed| failed.count),
            last_error: failed.map(|failed| failed.error.to_string()),
            retry_in: failed.map(|failed| failed.not_before.remaining().as_secs()),
        }
    }

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

    /// Whether somebody waits for the next token, and the last refusal is long ago.
    pub(super) fn is_due_after_refusal(&self) -> bool {
        self.watching.load(Ordering::Acquire) > 0
            && self.last_failure().is_none_or(|failed| failed.unasked.remaining().is_zero())
    }

    /// Whether the last failure was of this side: no credentials.
    pub(super) fn lacks_credentials(&self) -> bool {
        self.last_failure().is_some_and(|failed| matches!(failed.error, Error::Credentials(_)))
    }

    fn has_refused(&self, token: &Token) -> bool {
        self.refused.load_full().is_some_and(|refused| Token::from_shared(refused).is_same(token))
    }

    /// Whether it is renewed before somebody asks again: one that nobody asked for during its whole life is not.
    pub(super) fn is_worth_renewing(&self) -> bool {
        self.is_kept() || self.is_wanted() || self.asked.load(Ordering::Relaxed)
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
        // Nobody who has given up has it tried again.
        self.asked.store(false, Ordering::Relaxed);
        self.state.send_modify(|state| {
            let count = state.failed.as_ref().map_or(0, |failed| failed.count) + 1;
            state.attempts += 1;
            state.busy = false;
            let unasked = Deadline::after((pause * (1 << (count - 1).min(5))).min(LONGEST_UNASKED));
            state.failed = Some(Failed { error, count, not_before: Deadline::after(pause), unasked });
        });
    }

    pub(super) fn last_failure(&self) -> Option<Failed> {
        self.state.borrow().failed.clone()
    }

    /// Whether `refused` is fetched anew, for the first who comes with it and for all after.
    pub(super) fn may_force(&self, refused: &Token) -> bool {
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        let may = self.has_refused(refused) || forced.once_more();
        if may {
            self.refused.store(Some(refused.shared()));
        }
        may
    }
}
