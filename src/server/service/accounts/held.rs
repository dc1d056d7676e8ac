//! Accounts at hand: what is counted, what of it is written, and who waits for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::api::PeriodQuotas;
use crate::clock::UnixTime;
use crate::server::model::{Account, AccountId, Measure, Taken, most_unwritten};
use crate::server::store::{Store, StoreError};

use super::Short;

/// The most accounts that are kept at hand while nobody uses them.
const CAPACITY: usize = 100_000;
/// A request that waits longer until what it takes is written is refused: the disk hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an account is, once it is read.
type Slot = Arc<OnceCell<Arc<HeldAccount>>>;

/// The accounts at hand.
#[derive(Debug, Default)]
pub(in super::super) struct Accounts {
    held: RwLock<HashMap<AccountId, Slot>>,
    /// Those of which something is not written.
    unwritten: Mutex<Vec<Arc<HeldAccount>>>,
    /// Balances are changed one at a time: whoever changes one waits for no more than the others' transactions.
    pub(in super::super) changing: tokio::sync::Mutex<()>,
}

/// An account at hand. As long as somebody holds it there is no other of its owner.
#[derive(Debug)]
pub(in super::super) struct HeldAccount {
    id: AccountId,
    counts: Mutex<Counts>,
    /// One writes at a time, and all who wait are written with the next.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Counts {
    account: Account,
    tokens: Progress,
    requests: Progress,
    /// How many changes of quotas or balances are under way: until these are done, what is taken is written first.
    settling: u32,
    /// Whether it is among those of which something is not written.
    is_noted: bool,
}

/// How many units were taken since the account is at hand, and how many of these are written. What is put back stays
/// counted here: the record that is written knows of it.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    taken: u64,
    written: u64,
}

/// Somebody who has something to say about a request.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) account: Arc<HeldAccount>,
    pub(super) quotas: PeriodQuotas,
    pub(super) paid_in: Option<i64>,
}

/// What was taken from one account, and how much of the account has to be written before it is granted.
#[derive(Debug)]
pub(super) struct Taking {
    taken: Taken,
    measure: Measure,
    written: u64,
}

/// An account of which everything that was granted is written, and stays so until this is dropped: what was bounded by
/// quotas or a balance as they were is not lost under others.
#[derive(Debug)]
pub(in super::super) struct Settled {
    held: Arc<HeldAccount>,
    /// It, as it was written.
    pub(in super::super) account: Account,
}

impl Drop for Settled {
    fn drop(&mut self) {
        let mut counts = self.held.counts();
        counts.settling = counts.settling.saturating_sub(1);
    }
}

/// What was written of an account.
#[derive(Debug)]
pub(super) struct Mark<'a> {
    account: &'a HeldAccount,
    tokens: u64,
    requests: u64,
}

impl Counts {
    fn progress(&mut self, measure: Measure) -> &mut Progress {
        match measure {
            Measure::Tokens => &mut self.tokens,
            Measure::Requests => &mut self.requests,
        }
    }
}

impl Accounts {
    fn slot(&self, id: &AccountId) -> Slot {
        if let Some(known) = self.held.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Arc::clone(known);
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(held.entry(id.clone()).or_default())
    }

    /// The account of this owner, read from the store if it is not at hand.
    pub(super) async fn of(&self, id: AccountId, store: &dyn Store) -> Result<Arc<HeldAccount>, StoreError> {
        let slot = self.slot(&id);
        let read = async || {
            let account = store.account(&id).await?.unwrap_or_else(|| Account::of(&id));
            Ok(Arc::new(HeldAccount::of(id, account)))
        };
        slot.get_or_try_init(read).await.map(Arc::clone)
    }

    /// Forgets the account of an owner that is gone. Who gets its name later has another one.
    pub(in super::super) fn forget(&self, id: &AccountId) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn unwritten_now(&self) -> MutexGuard<'_, Vec<Arc<HeldAccount>>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something of this account may not be written.
    pub(super) fn note(&self, account: &Arc<HeldAccount>) {
        if !std::mem::replace(&mut account.counts().is_noted, true) {
            self.unwritten_now().push(Arc::clone(account));
        }
    }

    /// All accounts of which something may not be written, to be written now.
    pub(super) fn unwritten(&self) -> Vec<Arc<HeldAccount>> {
        let accounts = std::mem::take(&mut *self.unwritten_now());
        for account in &accounts {
            account.counts().is_noted = false;
        }
        accounts
    }

    /// Lets go of accounts that nobody uses and that are written, where there are many.
    pub(super) fn make_room(&self) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let mut too_many = held.len().saturating_sub(CAPACITY);
        if too_many > 0 {
            // Some more, so that not every flush has to look through all.
            too_many += CAPACITY / 10;
        }
        held.retain(|_, slot| {
            // Nobody can take hold of it meanwhile: that takes this lock.
            let is_used = Arc::strong_count(slot) > 1 || slot.get().is_some_and(|own| Arc::strong_count(own) > 1);
            let goes = too_many > 0 && !is_used;
            too_many -= usize::from(goes);
            !goes
        });
    }
}

/// Takes `units` from all accounts, or from none.
pub(super) fn take(parties: &[Party], measure: Measure, units: u64, now: UnixTime) -> Result<Vec<Taking>, Short> {
    // A request has one client and one project and locks them in this order, so that no two wait for each other.
    let mut all: Vec<_> = parties.iter().map(|party| (party, party.account.counts())).collect();
    for (party, counts) in &mut all {
        counts.account.roll(now);
        let whose = party.account.id.owner.as_str();
        let enough = counts.account.check_quotas(whose, measure, &party.quotas, units);
        enough.map_err(|exceeded| Short::Quota(Box::new(exceeded)))?;
    }
    for (party, counts) in &all {
        if let Some(paid_in) = party.paid_in {
            let whose = party.account.id.owner.as_str();
            counts.account.check_balance(whose, paid_in, units).map_err(Short::Balance)?;
        }
    }
    let takings = all.iter_mut().map(|(party, counts)| {
        let left = party.paid_in.map(|paid_in| counts.account.balance(paid_in));
        let may_wait = if counts.settling > 0 { 0 } else { most_unwritten(&party.quotas, left) };
        let taken = counts.account.take(measure, units, party.paid_in.is_some());
        let progress = counts.progress(measure);
        progress.taken = progress.taken.saturating_add(units);
        Taking { taken, measure, written: progress.taken.saturating_sub(may_wait) }
    });
    Ok(takings.collect())
}

impl HeldAccount {
    fn of(id: AccountId, account: Account) -> Self {
        let (tokens, requests) = (Progress::default(), Progress::default());
        let counts = Mutex::new(Counts { account, tokens, requests, settling: 0, is_noted: false });
        Self { id, counts, writing: tokio::sync::Mutex::new(()) }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing in there can be left half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is used of it at `now`.
    pub(in super::super) fn used(&self, now: UnixTime) -> Account {
        let mut counts = self.counts();
        counts.account.roll(now);
        counts.account.clone()
    }

    pub(super) fn put_back(&self, taking: &Taking) {
        self.counts().account.put_back(&taking.taken);
    }

    /// It, as it is now; and what is written once that is, if something is not.
    fn now(&self) -> (Account, Option<Mark<'_>>) {
        let counts = self.counts();
        let Progress { taken: tokens, written: tokens_written } = counts.tokens;
        let Progress { taken: requests, written: requests_written } = counts.requests;
        let mark = Mark { account: self, tokens, requests };
        (counts.account.clone(), Some(mark).filter(|_| tokens > tokens_written || requests > requests_written))
    }

    /// What is to be written, if something is; and what is written then.
    pub(super) fn snapshot(&self) -> Option<((AccountId, Account), Mark<'_>)> {
        let (account, mark) = self.now();
        mark.map(|mark| ((self.id.clone(), account), mark))
    }

    /// Waits until as much is written as has to be before what was taken is granted.
    pub(super) async fn written_up_to(&self, taking: &Taking, store: &dyn Store) -> Result<(), StoreError> {
        let is_written = || self.counts().progress(taking.measure).written >= taking.written;
        if is_written() { Ok(()) } else { self.write_unless(is_written, store).await }
    }

    /// Writes it as it is now, and all that is taken from now on before it is granted.
    pub(super) async fn settled(self: &Arc<Self>, store: &dyn Store) -> Result<Settled, StoreError> {
        let mut settled = {
            let mut counts = self.counts();
            counts.settling = counts.settling.saturating_add(1);
            Settled { held: Arc::clone(self), account: counts.account.clone() }
        };
        let write = async {
            let _turn = self.writing.lock().await;
            let (account, mark) = self.now();
            if let Some(mark) = mark {
                store.note_accounts(vec![(self.id.clone(), account.clone())]).await?;
                mark.is_written();
            }
            settled.account = account;
            Ok(())
        };
        let gave_up = |_| Err(StoreError::Unavailable("the disk does not answer".to_owned()));
        tokio::time::timeout(PATIENCE, write).await.unwrap_or_else(gave_up)?;
        Ok(settled)
    }

    async fn write_unless(&self, is_written: impl Fn() -> bool, store: &dyn Store) -> Result<(), StoreError> {
        let write = async {
            let _turn = self.writing.lock().await;
            if is_written() {
                return Ok(());
            }
            let Some((record, mark)) = self.snapshot() else { return Ok(()) };
            store.note_accounts(vec![record]).await?;
            mark.is_written();
            Ok(())
        };
        let gave_up = |_| Err(StoreError::Unavailable("the disk does not answer".to_owned()));
        tokio::time::timeout(PATIENCE, write).await.unwrap_or_else(gave_up)
    }
}

impl Mark<'_> {
    /// It is.
    pub(super) fn is_written(&self) {
        let mut counts = self.account.counts();
        counts.tokens.written = counts.tokens.written.max(self.tokens);
        counts.requests.written = counts.requests.written.max(self.requests);
    }
}
