//! Balances, and what is used of quotas.
//!
//! What was paid in is in the record of its owner, and changes with a record in the audit log; what was spent is in its
//! account, and only grows. A balance is the difference, so that paying in and spending do not wait for each other.

use serde_json::{Value, json};

use crate::api;
use crate::api::{MAX_UNITS, PeriodQuotas, PeriodUses, QuotaUse, QuotaUses, Quotas};
use crate::clock::Rfc3339;
use crate::limit::Period;
use crate::server::error::{Error, FieldError};
use crate::server::model::{Account, AccountId, Kind, Project, Used};
use crate::server::store::{Entry, StoreError};

use super::entries::Tagged;
use super::{Caller, MAX_TRIES, Service};

/// The longest note, in bytes.
const MAX_NOTE: usize = 512;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Add(i64),
    Set(Option<i64>),
}

/// A change of what was paid in.
struct Adjustment {
    paid_in: Option<i64>,
    was: Option<i64>,
    is: Option<i64>,
}

impl Asked {
    fn read(change: &api::BalanceChange) -> Result<Self, Error> {
        let mut errors = Vec::new();
        let mut bounded = |field: &str, units: i64| {
            if units.unsigned_abs() > MAX_UNITS {
                errors.push(FieldError::new(field, format!("-{MAX_UNITS} to {MAX_UNITS}")));
            }
        };
        let asked = match (change.add, change.set) {
            (Some(units), None) => {
                bounded("add", units);
                Some(Self::Add(units))
            }
            (None, Some(set)) => {
                bounded("set", set.unwrap_or(0));
                Some(Self::Set(set))
            }
            _ => None,
        };
        if change.note.as_ref().is_some_and(|note| note.len() > MAX_NOTE) {
            errors.push(FieldError::new("note", format!("at most {MAX_NOTE} bytes")));
        }
        if asked.is_none() {
            errors.push(FieldError::new("add", "send either add or set"));
        }
        match asked {
            Some(asked) if errors.is_empty() => Ok(asked),
            _ => Err(Error::InvalidFields(errors)),
        }
    }

    /// What this makes of a balance of which `paid_in` was paid in, when as much is spent as the account says.
    fn adjust(self, paid_in: Option<i64>, account: &Account) -> Result<Adjustment, Error> {
        let was = paid_in.map(|paid_in| account.balance(paid_in));
        let is = match self {
            Self::Set(set) => set.map(i128::from),
            Self::Add(units) => Some(i128::from(was.unwrap_or(0)) + i128::from(units)),
        };
        let of = |is: i128| {
            let paid_in = is + i128::from(account.spent);
            let bounded = is.unsigned_abs() <= u128::from(MAX_UNITS);
            i64::try_from(is).ok().zip(i64::try_from(paid_in).ok()).filter(|_| bounded).ok_or_else(|| {
                Error::Conflict(format!("the balance would be {is}, and is kept from -{MAX_UNITS} to {MAX_UNITS}"))
            })
        };
        let (is, paid_in) = is.map(of).transpose()?.unzip();
        Ok(Adjustment { paid_in, was, is })
    }
}

/// What the audit log says a balance was, or is.
fn shown(balance: Option<i64>, note: Option<&str>) -> Value {
    match note {
        Some(note) => json!({ "balance": balance, "note": note }),
        None => json!({ "balance": balance }),
    }
}

fn uses(quotas: &PeriodQuotas, used: &Used) -> PeriodUses {
    let of = |period: Period, quota: Option<u64>| {
        let (used, resets_at) = used.of(period);
        let remaining = quota.map(|quota| quota.saturating_sub(used));
        QuotaUse { quota, used, remaining, resets_at: resets_at.map(Rfc3339) }
    };
    PeriodUses {
        day: of(Period::Day, quotas.day),
        month: of(Period::Month, quotas.month),
        total: of(Period::Total, quotas.total),
    }
}

impl Service {
    async fn quota_uses(&self, id: AccountId, quotas: &Quotas, paid_in: Option<i64>) -> Result<QuotaUses, Error> {
        let account = self.account(id).await?.used(self.clock.now());
        Ok(QuotaUses {
            tokens: uses(&quotas.tokens, &account.tokens),
            requests: uses(&quotas.requests, &account.requests),
            balance: paid_in.map(|paid_in| account.balance(paid_in)),
        })
    }

    /// What a client or an API key has used of its quotas, and its balance.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn client_quotas(&self, kind: Kind, id: &str, caller: &Caller) -> Result<QuotaUses, Error> {
        let client = self.existing(kind, id, caller).await?;
        self.quota_uses(client.account(), &client.quotas, client.paid_in).await
    }

    /// What the clients of a project have used of its quotas together, and its balance.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn project_quotas(
        &self,
        organization: Option<&str>,
        id: &str,
        caller: &Caller,
    ) -> Result<QuotaUses, Error> {
        let project = self.project_named(organization, id, caller)?;
        self.quota_uses(project.account(), &project.quotas, project.paid_in).await
    }

    /// Changes the balance of a client or an API key. It takes the reach of its organization.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], [`Error::BeyondCaller`], [`Error::Stale`], or what the store says.
    pub async fn change_client_balance(
        &self,
        kind: Kind,
        id: &str,
        change: &api::BalanceChange,
        caller: &Caller,
    ) -> Result<Tagged<api::Balance>, Error> {
        let asked = Asked::read(change)?;
        let _turn = self.accounts.changing.lock().await;
        for _ in 0..MAX_TRIES {
            let mut client = self.changeable(kind, id, caller).await?;
            caller.check_organization("changing a balance")?;
            let settled = self.settled(client.account()).await?;
            let Adjustment { paid_in, was, is } = asked.adjust(client.paid_in, &settled.account)?;
            if was == is {
                return Ok(Tagged { tag: client.tag(), value: api::Balance { balance: is } });
            }
            let expected = client.revision;
            client.paid_in = paid_in;
            client.updated_at = self.clock.now();
            client.revision += 1;
            let (place, after) = (Some(client.place()), shown(is, change.note.as_deref()));
            let name = client.client_id.as_str();
            let action = match kind {
                Kind::Client => "client.balance",
                Kind::ApiKey => "api_key.balance",
            };
            let record = self.change(caller, action, name, place, shown(was, None), after);
            let answer = Tagged { tag: client.tag(), value: api::Balance { balance: is } };
            let client_id = client.client_id.clone();
            let done = self.store.save_client(client, expected, Vec::new(), record).await;
            self.clients.forget(&client_id);
            self.settle(&done, []);
            match done {
                Ok(()) => return Ok(answer),
                Err(StoreError::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Changes the balance of a project. It takes the reach of its organization.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], [`Error::BeyondCaller`], [`Error::Stale`], or what the store says.
    pub async fn change_project_balance(
        &self,
        organization: Option<&str>,
        id: &str,
        change: &api::BalanceChange,
        caller: &Caller,
    ) -> Result<Tagged<api::Balance>, Error> {
        let asked = Asked::read(change)?;
        let _turn = self.accounts.changing.lock().await;
        for _ in 0..MAX_TRIES {
            let before = self.project_named(organization, id, caller)?;
            caller.check_tag(&before.tag())?;
            caller.check_organization("changing a balance")?;
            let settled = self.settled(before.account()).await?;
            let Adjustment { paid_in, was, is } = asked.adjust(before.paid_in, &settled.account)?;
            if was == is {
                return Ok(Tagged { tag: before.tag(), value: api::Balance { balance: is } });
            }
            let after = Project { paid_in, revision: before.revision + 1, ..Project::clone(&before) };
            let note = shown(is, change.note.as_deref());
            let record = self.change(caller, "project.balance", id, Some(after.place()), shown(was, None), note);
            let answer = Tagged { tag: after.tag(), value: api::Balance { balance: is } };
            if self.save_entry(Entry::Project(after), Some(before.revision), None, record).await? {
                return Ok(answer);
            }
        }
        Err(StoreError::Conflict.into())
    }
}
