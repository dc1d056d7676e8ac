//! The verbs of accounts: what is used of quotas and balances. What was paid in is in the record of its owner.

use crate::server::model::{Account, AccountId};

use super::StoreError;

/// What is used of quotas and balances.
#[async_trait::async_trait]
pub trait AccountStore: std::fmt::Debug + Send + Sync {
    /// What this owner has used; none where nothing is written, or only of another one that had its name before.
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError>;

    /// Writes what was used, in one transaction. Counts never fall, so that it does not matter which of two is written
    /// first. Of an owner that is gone nothing is kept.
    async fn note_accounts(&self, accounts: Vec<(AccountId, Account)>) -> Result<(), StoreError>;
}
