//! What is revoked, at hand for every token that is verified here.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::clock::UnixTime;
use crate::resource::RevocationSource;
use crate::server::model::{Revocation, RevokedTarget};
use crate::server::store::{Store, StoreError};

/// What is revoked. The locks are held for a look-up or an insertion, never across I/O.
#[derive(Debug, Default)]
pub struct Revocations {
    generations: RwLock<HashMap<String, UnixTime>>,
    kids: RwLock<HashMap<String, UnixTime>>,
}

fn holds(set: &RwLock<HashMap<String, UnixTime>>, name: &str) -> bool {
    set.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
}

impl Revocations {
    pub(super) async fn load(store: &dyn Store, now: UnixTime) -> Result<Self, StoreError> {
        let revocations = Self::default();
        revocations.add(store.revocations(now).await?);
        Ok(revocations)
    }

    /// Takes in what the store remembers as revoked.
    pub(super) fn add(&self, revoked: impl IntoIterator<Item = Revocation>) {
        for Revocation { target, until } in revoked {
            let (set, name) = match target {
                RevokedTarget::Generation(generation) => (&self.generations, generation),
                RevokedTarget::Kid(kid) => (&self.kids, kid),
            };
            set.write().unwrap_or_else(PoisonError::into_inner).insert(name, until);
        }
    }

    /// Forgets what no longer matters at `now`.
    pub(super) fn purge(&self, now: UnixTime) {
        for set in [&self.generations, &self.kids] {
            set.write().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
        }
    }
}

impl RevocationSource for Revocations {
    fn key_is_revoked(&self, kid: &str) -> bool {
        holds(&self.kids, kid)
    }

    fn token_is_revoked(&self, _token_id: &str, generation: Option<&str>) -> bool {
        generation.is_some_and(|generation| holds(&self.generations, generation))
    }
}
