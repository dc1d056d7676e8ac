//! Receipts: what makes of a request that is sent again the same one (`Idempotency-Key`).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::crypto::{SlowHash, sha256};
use crate::secret::ClientSecret;
use crate::server::error::Error;
use crate::server::model::{Place, Receipt, ReplayedAnswer};

use super::{Caller, Service};

/// How long a request is remembered.
const KEPT: Duration = Duration::from_secs(24 * 3600);

fn hash(parts: &[&[u8]]) -> String {
    // Each with its length before it, so that nothing can be moved from one to the next.
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    URL_SAFE_NO_PAD.encode(sha256(&bytes))
}

/// The longest answer, in bytes, that is kept of a request that changed nothing.
const MAX_OF_NO_CHANGE: usize = 4096;

/// What a body with a given secret in it has somewhere; or an escape, behind which a name can hide.
const GIVEN: [&[u8]; 3] = [b"client_secret", b"private_key", b"\\u"];

/// The name of the receipt for what `principal` asks of `route` under `key`.
#[must_use]
pub fn receipt_name(principal: &str, route: &str, key: &str) -> String {
    hash(&[principal.as_bytes(), route.as_bytes(), key.as_bytes()])
}

/// Where what is shown belongs.
fn place_of(shown: &Value) -> Option<Place> {
    let text = |name| shown.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Place { organization: text("organization")?, project: text("project") })
}

impl Service {
    /// The receipt of this name for a request with this body. Where a secret may be in the body, a weak one perhaps, its
    /// fingerprint is as slow to guess at as what is kept of the secret.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where that hash cannot be made.
    pub async fn receipt(&self, name: &str, body: &[u8]) -> Result<Receipt, Error> {
        let digest = hash(&[body]);
        let has = |word: &&[u8]| body.windows(word.len()).any(|window| window == *word);
        let fingerprint = if GIVEN.iter().any(has) {
            self.slow.make(&ClientSecret::from(digest)).await?.as_str().to_owned()
        } else {
            digest
        };
        Ok(Receipt { name: name.to_owned(), fingerprint, until: self.clock.now().plus(KEPT) })
    }

    /// What the request of this name was answered when it was carried out; none where it was not.
    ///
    /// # Errors
    /// [`Error::KeyReused`] where another body was sent under the key, [`Error::NotFound`] where the caller no longer
    /// reaches what was changed, [`Error::Conflict`] where the service was killed before the answer was known, or what
    /// the store says.
    pub async fn replay(&self, name: &str, body: &[u8], caller: &Caller) -> Result<Option<ReplayedAnswer>, Error> {
        let Some(kept) = self.store.receipt(name, self.clock.now()).await? else { return Ok(None) };
        if !is_of(kept.fingerprint, hash(&[body])).await? {
            return Err(Error::KeyReused);
        }
        // Where nothing was changed, what was shown says where it belongs.
        let place = kept.place.clone().or_else(|| place_of(&kept.answer.as_ref()?.body));
        if place.is_some_and(|place| !caller.reaches(&place)) {
            return Err(Error::NotFound { what: "answer", name: "of this request within reach any more".to_owned() });
        }
        kept.answer.map(Some).ok_or_else(|| {
            Error::Conflict(format!(
                "this request was carried out, and what it was answered is lost; look at what is there: {}",
                kept.target
            ))
        })
    }

    /// Notes what the request was answered. Where that fails it is known that it was carried out, and no more.
    pub async fn note_answer(&self, receipt: &Receipt, answer: ReplayedAnswer) {
        if answer.body.to_string().len() > MAX_OF_NO_CHANGE
            && matches!(self.store.receipt(&receipt.name, self.clock.now()).await, Ok(None))
        {
            // It changed nothing: whoever sends it again changes nothing again.
            return;
        }
        if let Err(error) = self.store.note_answer(receipt.clone(), answer).await {
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key could not be kept");
        }
    }
}

/// Whether a fingerprint is that of the body of this digest.
async fn is_of(fingerprint: String, digest: String) -> Result<bool, Error> {
    let Ok(slow) = SlowHash::parse(&fingerprint) else { return Ok(fingerprint == digest) };
    let broken_off = |_| Error::Unavailable("the comparison with an earlier request was broken off".to_owned());
    tokio::task::spawn_blocking(move || slow.is_of(digest.as_bytes())).await.map_err(broken_off)
}
