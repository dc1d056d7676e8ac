//! Refused token requests, gathered in bounded memory and written into a bounded ring: a stranger can fill neither.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::RequestId;
use crate::server::error::Error;
use crate::server::model::RefusalRecord;
use crate::source_ip::SourceAddress;

use super::Service;

/// The most refusals that wait for the flush each second; more are counted, and neither written nor logged.
const WAITING: usize = 200;
/// The most refusals that the ring keeps.
const KEPT: u64 = 10_000;

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<RefusalRecord>,
    unrecorded: u64,
}

impl Refusals {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Notes that a token request was refused, and gives the name by which the operator finds it.
    #[must_use]
    pub fn note_refusal(&self, error: &Error, source: Option<SourceAddress>) -> RequestId {
        let request_id = self.request_id();
        let cause = error.cause();
        let client_id = match error {
            Error::Unauthenticated(failure) => failure.client_id.as_ref().map(ToString::to_string),
            _ => None,
        };
        let reason = error.reason().as_str();
        let mut waiting = self.refusals.waiting();
        if waiting.records.len() < WAITING {
            let unrecorded = std::mem::take(&mut waiting.unrecorded);
            tracing::info!(%request_id, reason, cause, client_id, unrecorded, "token refused");
            waiting.records.push(RefusalRecord {
                at: self.clock.now(),
                request_id: Some(request_id.as_str().to_owned()),
                reason: reason.to_owned(),
                cause: cause.map(str::to_owned),
                client_id,
                source: source.map(|source| source.ip),
                unrecorded,
            });
        } else {
            waiting.unrecorded += 1;
        }
        request_id
    }

    pub(super) async fn flush_refusals(&self) {
        let records = std::mem::take(&mut self.refusals.waiting().records);
        if records.is_empty() {
            return;
        }
        let lost = records.len();
        if let Err(error) = self.store.note_refusals(records, KEPT).await {
            tracing::warn!(%error, "refusals could not be written; they are in the log alone");
            self.refusals.waiting().unrecorded += lost as u64;
        }
    }
}
