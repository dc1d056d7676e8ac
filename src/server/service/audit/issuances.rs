//! Issued tokens, gathered in bounded memory and written in the background: issuing a token never waits for the store.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::UnixTime;
use crate::server::model::{Client, Gap, Issuance, Segment};
use crate::server::service::Service;

/// The most issuances that are held between two flushes; of more, only their number a client is kept.
const CAPACITY: usize = 20_000;

/// A token that was issued, at no more cost than issuing it may have.
#[derive(Clone, Debug)]
pub(in crate::server::service) struct Issued {
    pub(in crate::server::service) at: UnixTime,
    pub(in crate::server::service) client: Arc<Client>,
    pub(in crate::server::service) secret_id: String,
    pub(in crate::server::service) jti: String,
    pub(in crate::server::service) scope: String,
    pub(in crate::server::service) audience: Vec<String>,
    pub(in crate::server::service) source: IpAddr,
    pub(in crate::server::service) ttl: u64,
}

impl Issued {
    fn record(&self) -> Issuance {
        Issuance {
            at: self.at,
            client_id: self.client.client_id.to_string(),
            place: self.client.place(),
            secret_id: self.secret_id.clone(),
            jti: self.jti.clone(),
            scope: self.scope.clone(),
            audience: self.audience.clone(),
            source: self.source,
            ttl: self.ttl,
        }
    }
}

#[derive(Debug, Default)]
pub(in crate::server::service) struct Issuances {
    waiting: Mutex<Waiting>,
    /// One flush at a time: where nothing waits nothing is on its way, either.
    flushing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    held: Vec<Issued>,
    gap: Gap,
}

impl Waiting {
    fn note(&mut self, issued: Issued) {
        if self.held.len() < CAPACITY {
            self.held.push(issued);
        } else {
            self.gap.count(issued.client.client_id.as_str(), issued.at);
        }
    }
}

impl Issuances {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a token was issued.
    pub(in crate::server::service) fn note(&self, issued: Issued) {
        self.waiting().note(issued);
    }

    fn take(&self) -> Waiting {
        std::mem::take(&mut *self.waiting())
    }

    /// Puts back what could not be written, in front of what has come since.
    fn put_back(&self, taken: Waiting) {
        let mut waiting = self.waiting();
        let since = std::mem::replace(&mut *waiting, taken);
        waiting.gap.add(&since.gap);
        since.held.into_iter().for_each(|issued| waiting.note(issued));
    }
}

impl Service {
    /// Writes the tokens that were issued since the last time. Whether nothing waits any more.
    pub(in crate::server::service) async fn flush_issuances(&self) -> bool {
        let _turn = self.audit.issuances.flushing.lock().await;
        let waiting = self.audit.issuances.take();
        if waiting.held.is_empty() && waiting.gap.is_empty() {
            return true;
        }
        let records: Vec<_> = waiting.held.iter().map(Issued::record).collect();
        let written = match Segment::of(&records) {
            Ok(segment) => self.store.add_segment(segment, waiting.gap.clone(), self.clock.now()).await,
            Err(error) => Err(crate::server::store::StoreError::Corrupt(error.to_string())),
        };
        match written {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "issued tokens could not be recorded; they are kept for the next try");
                self.audit.issuances.put_back(waiting);
                false
            }
        }
    }
}
