//! Receipts: what makes of a request that is sent again the same one (`Idempotency-Key`).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::crypto::sha256;
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

fn place_of(shown: &Value) -> Option<Place> {
    let text = |name| shown.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Place { organization: text("organization")?, project: text("project") })
}

impl Service {
    /// The receipt of what `principal` asks of `route` under `key`.
    #[must_use]
    pub fn receipt_for(&self, principal: &str, route: &str, key: &str, body: &[u8]) -> Receipt {
        Receipt {
            name: hash(&[principal.as_bytes(), route.as_bytes(), key.as_bytes()]),
            fingerprint: hash(&[body]),
            until: self.clock.now().plus(KEPT),
        }
    }

    /// What the request was answered when it was carried out; none where it was not.
    ///
    /// # Errors
    /// [`Error::KeyReused`] where another body was sent under the key, [`Error::NotFound`] where the caller no longer
    /// reaches what was changed, [`Error::Conflict`] where the service was killed before the answer was known, or what
    /// the store says.
    pub async fn replay(&self, receipt: &Receipt, caller: &Caller) -> Result<Option<ReplayedAnswer>, Error> {
        let Some(kept) = self.store.receipt(&receipt.name, self.clock.now()).await? else { return Ok(None) };
        if kept.fingerprint != receipt.fingerprint {
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
        if let Err(error) = self.store.note_answer(receipt.clone(), answer).await {
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key could not be kept");
        }
    }
}
