//! Last uses of secrets, gathered in memory and written in the background: issuing a token never waits for the store.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::server::model::SecretUse;
use crate::server::store::StoreError;
use crate::source_ip::SourceAddress;

use super::{Authenticated, Service};

/// The most secrets whose use is held between two flushes; beyond it, the use of a secret not yet held goes unnoted.
const CAPACITY: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<Uses>);

#[derive(Debug, Default)]
struct Uses {
    held: HashMap<String, SecretUse>,
    /// On their way to the store, and perhaps not there yet: whoever asks has to be told of them.
    writing: HashMap<String, SecretUse>,
}

impl Uses {
    fn no_longer_writes(&mut self, uses: &[(String, SecretUse)]) {
        for (secret, used) in uses {
            // A later use may be on its way by now.
            if self.writing.get(secret) == Some(used) {
                self.writing.remove(secret);
            }
        }
    }
}

impl Usage {
    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a secret was used.
    pub(super) fn note(&self, secret: &str, used: SecretUse) {
        let held = &mut self.uses().held;
        if let Some(last) = held.get_mut(secret) {
            *last = used;
        } else if held.len() < CAPACITY {
            held.insert(secret.to_owned(), used);
        }
    }

    /// The last use of a secret, if it is not written yet.
    pub(super) fn pending(&self, secret: &str) -> Option<SecretUse> {
        let uses = self.uses();
        uses.held.get(secret).or_else(|| uses.writing.get(secret)).copied()
    }

    /// Takes out what is to be written. It stays pending until it is said to be [`written`](Self::written) or
    /// [`put back`](Self::put_back).
    pub(super) fn take(&self) -> Vec<(String, SecretUse)> {
        let mut uses = self.uses();
        let taken: Vec<_> = std::mem::take(&mut uses.held).into_iter().collect();
        uses.writing.extend(taken.iter().cloned());
        taken
    }

    /// What was taken out is in the store.
    pub(super) fn written(&self, uses: &[(String, SecretUse)]) {
        self.uses().no_longer_writes(uses);
    }

    /// Puts back what could not be written, unless it has been used again since.
    pub(super) fn put_back(&self, taken: Vec<(String, SecretUse)>) {
        let mut uses = self.uses();
        uses.no_longer_writes(&taken);
        for (secret, used) in taken {
            if uses.held.len() >= CAPACITY {
                break;
            }
            uses.held.entry(secret).or_insert(used);
        }
    }
}

impl Service {
    /// Notes that a client has used its secret.
    pub(super) fn note_use(&self, authenticated: &Authenticated, source: SourceAddress) {
        if let Some(secret) = authenticated.secret() {
            self.usage.note(&secret.id, SecretUse { at: self.clock.now(), from: source.ip });
        }
    }

    /// The last uses of these secrets, written or not.
    pub(super) async fn last_uses(&self, secrets: Vec<String>) -> Result<HashMap<String, SecretUse>, StoreError> {
        // What waits is looked at first: what no longer waits is in the store by then. The other way round a use that is
        // written in between would be in neither.
        let waiting: Vec<_> = secrets.iter().map(|secret| self.usage.pending(secret)).collect();
        let mut uses = self.store.secret_uses(secrets.clone()).await?;
        for (secret, used) in secrets.into_iter().zip(waiting).filter_map(|(secret, used)| Some((secret, used?))) {
            if uses.get(&secret).is_none_or(|written| written.at <= used.at) {
                uses.insert(secret, used);
            }
        }
        Ok(uses)
    }
}
