//! Quotas and balances: whether there is enough left, and taking it.
//!
//! Counts are in memory, and written in the background. How much may be used and not be written yet is bounded; what
//! goes beyond waits until it is written, so that a crash grants no more than the bound a second time. A store that
//! cannot be written grants nothing beyond it either.

mod held;

use std::sync::Arc;

use crate::api::PeriodQuotas;
use crate::id::ClientId;
use crate::limit::{InsufficientBalance, QuotaExceeded};
use crate::resource::{AccessToken, Refusal};
use crate::server::error::Error;
use crate::server::model::{AccountId, Client, Measure};
use crate::server::store::StoreError;

use super::Service;

pub(super) use held::{Accounts, HeldAccount, Settled};
use held::{Party, take};

/// How many accounts are written in one transaction: a change that waits behind it waits for no more than that.
const AT_ONCE: usize = 500;

/// Why something is not granted.
#[derive(Debug)]
enum Short {
    Quota(Box<QuotaExceeded>),
    Balance(InsufficientBalance),
    Store(StoreError),
}

impl From<StoreError> for Short {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Short> for Error {
    fn from(short: Short) -> Self {
        match short {
            Short::Quota(exceeded) => Self::QuotaExceeded(exceeded),
            Short::Balance(short) => Self::InsufficientBalance(short),
            Short::Store(error) => error.into(),
        }
    }
}

impl From<Short> for Refusal {
    fn from(short: Short) -> Self {
        match short {
            Short::Quota(exceeded) => Self::QuotaExceeded(exceeded),
            Short::Balance(short) => Self::InsufficientBalance(short),
            Short::Store(error) => {
                tracing::error!(%error, "a request could not be counted, and was refused");
                Self::Unknowable
            }
        }
    }
}

impl Service {
    /// Takes what a request costs that a guard has let through, and that is within its limits, from its client and its
    /// project: from both or from neither.
    ///
    /// # Errors
    /// [`Refusal::QuotaExceeded`], [`Refusal::InsufficientBalance`], [`Refusal::Unknowable`] where the store does not
    /// answer.
    pub async fn charge(&self, token: &AccessToken, cost: u64) -> Result<(), Refusal> {
        let (Ok(id), true) = (ClientId::parse(token.client_id()), cost > 0) else { return Ok(()) };
        // A client that is gone has nothing left to be counted; its tokens are cut off.
        let Some(client) = self.clients.get(&id).await.map_err(Short::Store)? else { return Ok(()) };
        self.take(&client, Measure::Requests, cost).await.map_err(Refusal::from)
    }

    /// Takes a token from the quotas of its client and its project: from both or from neither.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`], or what the store says.
    pub(super) async fn charge_token(&self, client: &Client) -> Result<(), Error> {
        self.take(client, Measure::Tokens, 1).await.map_err(Error::from)
    }

    async fn take(&self, client: &Client, measure: Measure, units: u64) -> Result<(), Short> {
        let parties = self.parties(client, measure).await?;
        if parties.is_empty() {
            return Ok(());
        }
        let takings = take(&parties, measure, units, self.clock.now())?;
        let mut unwritten = Ok(());
        for (party, taking) in parties.iter().zip(&takings) {
            self.accounts.note(&party.account);
            if unwritten.is_ok() {
                unwritten = party.account.written_up_to(taking, &*self.store).await;
            }
        }
        if unwritten.is_err() {
            for (party, taking) in parties.iter().zip(&takings) {
                party.account.put_back(taking);
            }
        }
        Ok(unwritten?)
    }

    /// Who has something to say about what a client uses, the client first: accounts are locked in this order.
    async fn parties(&self, client: &Client, measure: Measure) -> Result<Vec<Party>, StoreError> {
        let of = |quotas: &crate::api::Quotas| match measure {
            Measure::Tokens => quotas.tokens,
            Measure::Requests => quotas.requests,
        };
        let paid_in = |paid_in: Option<i64>| paid_in.filter(|_| measure == Measure::Requests);
        let binds =
            |quotas: &PeriodQuotas, paid_in: Option<i64>| *quotas != PeriodQuotas::default() || paid_in.is_some();
        let mut parties = Vec::new();
        let (quotas, paid) = (of(&client.quotas), paid_in(client.paid_in));
        if binds(&quotas, paid) {
            parties.push(Party { account: self.account(client.account()).await?, quotas, paid_in: paid });
        }
        let project = self.catalog.now().project(&client.organization, &client.project).cloned();
        if let Some(project) = project {
            let (quotas, paid) = (of(&project.quotas), paid_in(project.paid_in));
            if binds(&quotas, paid) {
                parties.push(Party { account: self.account(project.account()).await?, quotas, paid_in: paid });
            }
        }
        Ok(parties)
    }

    /// The account of an owner, read from the store if it is not at hand.
    pub(super) async fn account(&self, id: AccountId) -> Result<Arc<HeldAccount>, StoreError> {
        self.accounts.of(id, &*self.store).await
    }

    /// The account of an owner whose quotas or balance are about to change, with all that was granted written.
    pub(super) async fn settled(&self, id: AccountId) -> Result<Settled, StoreError> {
        self.account(id).await?.settled(&*self.store).await
    }

    /// Writes what was used. What cannot be written is kept for the next try.
    pub(super) async fn flush_accounts(&self) -> Result<(), StoreError> {
        let accounts = self.accounts.unwritten();
        let mut outcome = Ok(());
        for some in accounts.chunks(AT_ONCE) {
            let (records, marks): (Vec<_>, Vec<_>) = some.iter().filter_map(|account| account.snapshot()).unzip();
            if outcome.is_ok() && !records.is_empty() {
                outcome = self.store.note_accounts(records).await;
            }
            match &outcome {
                Ok(()) => marks.iter().for_each(|mark| mark.is_written()),
                Err(_) => some.iter().for_each(|account| self.accounts.note(account)),
            }
        }
        drop(accounts);
        self.accounts.make_room();
        outcome
    }
}
