//! Backups of the store, while it is in use.

use crate::server::error::Error;
use crate::server::store::{BackupStream, StoreError};

use super::{Caller, Service};

/// A backup on its way, piece by piece. Only one that comes to its end without an error is whole.
pub type Backup = BackupStream;

impl Service {
    /// Begins a backup of all that the store has at this moment. Keys are no part of it: they are files.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another one is under way, or what the store says.
    pub async fn backup(&self, caller: &Caller) -> Result<Backup, Error> {
        // So that what was used until now is in it.
        self.flush().await;
        let backup = self.store.backup().await.map_err(|error| match error {
            StoreError::Conflict => Error::Conflict("another backup is under way; wait until it is done".to_owned()),
            other => other.into(),
        })?;
        tracing::info!(actor = ?caller.origin.actor, "a backup of the store was begun");
        Ok(backup)
    }
}
