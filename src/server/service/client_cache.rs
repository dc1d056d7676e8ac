//! Client records above the store, so that issuing a token asks no disk.
//!
//! A record goes in only if no client was changed since it was read: otherwise what a slow reader brings could hide a
//! change, or raise a deleted client from the dead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::ClientId;
use crate::server::model::Client;
use crate::server::store::{Store, StoreError};

/// The most records that are kept at hand.
const CAPACITY: u64 = 100_000;

#[derive(Debug)]
pub(super) struct ClientCache {
    store: Arc<dyn Store>,
    records: moka::sync::Cache<ClientId, Arc<Client>>,
    /// Counts changes. Held only to look at it and touch `records`, never while the store works.
    changes: Mutex<u64>,
}

impl ClientCache {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, records: moka::sync::Cache::new(CAPACITY), changes: Mutex::new(0) }
    }

    fn changes(&self) -> MutexGuard<'_, u64> {
        // A count cannot be left half changed.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client of this id.
    pub(super) async fn get(&self, id: &ClientId) -> Result<Option<Arc<Client>>, StoreError> {
        if let Some(known) = self.records.get(id) {
            return Ok(Some(known));
        }
        let before = *self.changes();
        let Some(client) = self.store.client(id).await?.map(Arc::new) else { return Ok(None) };
        let changes = self.changes();
        if *changes == before {
            self.records.insert(id.clone(), Arc::clone(&client));
        }
        drop(changes);
        Ok(Some(client))
    }

    /// The client of this id, if no store has to be asked.
    pub(super) fn at_hand(&self, id: &ClientId) -> Option<Arc<Client>> {
        self.records.get(id)
    }

    /// Forgets a client that was just changed, or may have been: the next to ask reads the store. Taking the new record
    /// in instead would let the slower of two changes hide the other.
    pub(super) fn forget(&self, id: &ClientId) {
        let mut changes = self.changes();
        *changes += 1;
        self.records.invalidate(id);
    }

    /// The same of all clients, where it is not known which of them were changed.
    pub(super) fn forget_all(&self) {
        let mut changes = self.changes();
        *changes += 1;
        self.records.invalidate_all();
    }
}
