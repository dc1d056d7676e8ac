//! Signing keys, as operators see and move them.

use std::sync::atomic::Ordering;

use crate::api;
use crate::clock::Rfc3339;
use crate::server::error::Error;
use crate::server::keys::KeyRingError;

use super::{Caller, Service};

impl Service {
    /// All keys.
    #[must_use]
    pub fn list_keys(&self) -> api::Page<api::Key> {
        let (records, activates_at) = self.keys.records();
        let items = records
            .iter()
            .map(|record| record.shown(activates_at.filter(|_| record.state == api::KeyState::Next)))
            .collect();
        api::Page { items, next_cursor: None }
    }

    /// Rotates, now or as soon as every verifier has had time to see the next key.
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is no next key, or what the store says.
    pub async fn rotate_keys(&self, request: &api::RotateKeys, caller: &Caller) -> Result<api::Rotation, Error> {
        let (rotated, at) = self.keys.rotate(request.now, caller.origin.clone()).await?;
        Ok(api::Rotation { rotated, activates_at: Rfc3339(at), keys: self.list_keys().items })
    }

    /// Takes a key out of use at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn revoke_key(&self, kid: &str, caller: &Caller) -> Result<api::Page<api::Key>, Error> {
        let revocation = self.keys.revoke(kid, caller.origin.clone()).await.inspect_err(|error| {
            if matches!(error, KeyRingError::Store(_)) {
                self.doubt.store(true, Ordering::Relaxed);
            }
        })?;
        self.revocations.add([revocation]);
        Ok(self.list_keys())
    }
}
