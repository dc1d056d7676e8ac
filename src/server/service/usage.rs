//! Last uses of secrets, gathered in memory and written in the background: issuing a token never waits for the store.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::server::model::SecretUse;

/// The most secrets whose use is held between two flushes; beyond it, the use of a secret not yet held goes unnoted.
const CAPACITY: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<HashMap<String, SecretUse>>);

impl Usage {
    fn held(&self) -> MutexGuard<'_, HashMap<String, SecretUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a secret was used.
    pub(super) fn note(&self, secret: &str, used: SecretUse) {
        let mut held = self.held();
        if let Some(last) = held.get_mut(secret) {
            *last = used;
        } else if held.len() < CAPACITY {
            held.insert(secret.to_owned(), used);
        }
    }

    /// The last use of a secret, if it is not written yet.
    pub(super) fn pending(&self, secret: &str) -> Option<SecretUse> {
        self.held().get(secret).copied()
    }

    /// Takes out what is to be written.
    pub(super) fn take(&self) -> Vec<(String, SecretUse)> {
        std::mem::take(&mut *self.held()).into_iter().collect()
    }

    /// Puts back what could not be written, unless it has been used again since.
    pub(super) fn put_back(&self, uses: Vec<(String, SecretUse)>) {
        let mut held = self.held();
        for (secret, used) in uses {
            if held.len() >= CAPACITY {
                break;
            }
            held.entry(secret).or_insert(used);
        }
    }
}
