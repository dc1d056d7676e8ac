//! Refused token requests, gathered in bounded memory and written into a bounded ring: a stranger can fill neither.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::{ClientId, RequestId};
use crate::reason::Reason;
use crate::resource::{LogRefusals, Refusal, RefusalObserver, Refused};
use crate::scope::Scope;
use crate::server::error::Error;
use crate::server::model::{Place, RefusalRecord};

use super::Service;

/// The most refusals that wait for the flush each second, or a few more where several come at once; further ones are
/// counted, and neither written nor logged.
const WAITING: usize = 200;
/// The most refusals that the ring keeps.
const KEPT: u64 = 10_000;

/// What refusals of scopes and resources are worded with; any other word in them was sent, or is registered.
const OWN_WORDS: [&str; 28] = [
    "API",
    "another",
    "belongs",
    "client",
    "granted",
    "has",
    "holds",
    "identifier",
    "is",
    "names",
    "no",
    "none",
    "not",
    "of",
    "requested",
    "resource",
    "scope",
    "scopes",
    "than",
    "that",
    "the",
    "this",
    "to",
    "ask",
    "fewer",
    "for",
    "a",
    "any",
];

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<RefusalRecord>,
    /// On their way to the store, and perhaps not there yet: whoever asks has to be told of them.
    writing: Vec<RefusalRecord>,
    /// What goes unrecorded, by reason: there are only so many of them.
    unrecorded: BTreeMap<String, u64>,
}

impl Waiting {
    /// Notes in `record` what went unrecorded before it.
    fn aggregate(&mut self, record: &mut RefusalRecord) {
        record.unrecorded_by_reason = std::mem::take(&mut self.unrecorded);
        record.unrecorded = record.unrecorded_by_reason.values().sum();
    }
}

impl Refusals {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a refusal for this reason can be recorded; one that cannot is counted, and that is all it costs: a flood
    /// is answered no slower for it.
    fn have_room(&self, reason: Reason) -> bool {
        let mut waiting = self.waiting();
        if waiting.records.len() < WAITING {
            return true;
        }
        match waiting.unrecorded.get_mut(reason.as_str()) {
            Some(count) => *count += 1,
            None => drop(waiting.unrecorded.insert(reason.as_str().to_owned(), 1)),
        }
        false
    }
}

impl Service {
    /// Notes that the request of this name was refused, and of whom, where that is known.
    pub fn note_refusal_of(
        &self,
        request_id: &RequestId,
        error: &Error,
        client_id: Option<&ClientId>,
        source: Option<IpAddr>,
    ) {
        // What is not recorded is not logged either: strangers fill neither.
        if !self.refusals.have_room(error.reason()) {
            return;
        }
        let attempted = match error {
            Error::Unauthenticated(failure) | Error::BadSubjectToken(failure) => failure.client_id.as_ref(),
            _ => None,
        };
        let client_id = client_id.or(attempted).map(ToString::to_string);
        let detail = self.own_words(error);
        let (reason, cause) = (error.reason(), error.cause());
        let unrecorded = self.record_refusal(RefusalRecord {
            at: self.clock.now(),
            request_id: Some(request_id.as_str().to_owned()),
            reason: reason.as_str().to_owned(),
            cause: cause.map(str::to_owned),
            detail: detail.clone(),
            place: self.place_at_hand(client_id.as_deref()),
            client_id: client_id.clone(),
            public_key: None,
            source,
            unrecorded: 0,
            unrecorded_by_reason: BTreeMap::new(),
        });
        let reason_name = reason.as_str();
        match reason {
            Reason::Unavailable | Reason::InternalError => {
                tracing::error!(%request_id, reason = reason_name, cause, unrecorded, "failed");
            }
            // Anybody can ask for what is not there, as often as they like.
            Reason::NotFound | Reason::MethodNotAllowed => {
                tracing::debug!(%request_id, reason = reason_name, unrecorded, "refused");
            }
            _ => tracing::info!(%request_id, reason = reason_name, cause, detail, client_id, unrecorded, "refused"),
        }
    }

    /// What the caller is told, as far as it is in our own words or names what is registered here: what a stranger
    /// sent, a secret perhaps, is neither kept nor logged.
    fn own_words(&self, error: &Error) -> Option<String> {
        let catalog = self.catalog.now();
        let registered =
            |word: &str| catalog.api(word).is_some() || Scope::parse(word).is_ok_and(|scope| catalog.defines(&scope));
        match error {
            Error::AddressNotAllowed(_)
            | Error::UnsupportedGrantType
            | Error::NotTheirToken
            | Error::TooManyRevoked { .. }
            | Error::ScopeLost(_)
            | Error::BeyondCaller { .. }
            | Error::Stale
            | Error::KeyReused
            | Error::RateLimited(_)
            | Error::QuotaExceeded(_)
            | Error::InsufficientBalance(_)
            | Error::PolicyViolated { .. }
            | Error::BadSubjectToken(_)
            | Error::Malformed(_) => Some(error.detail()),
            Error::InvalidScope(detail) | Error::InvalidTarget(detail) => {
                let is_known = |word: &str| OWN_WORDS.contains(&word) || registered(word);
                detail.split(' ').all(is_known).then(|| detail.clone())
            }
            // Who is told nothing is to be told nothing here either; the cause says it.
            Error::Unauthenticated(_) | Error::Unavailable(_) | Error::Internal(_) => None,
            Error::InvalidFields(_) | Error::NotFound { .. } | Error::Conflict(_) => None,
            Error::MethodNotAllowed | Error::BodyTooLarge { .. } | Error::HeadTooLarge | Error::Timeout => {
                Some(error.detail())
            }
        }
    }

    /// Where the client of this id belongs, if it is at hand.
    fn place_at_hand(&self, client_id: Option<&str>) -> Option<Place> {
        let id = ClientId::parse(client_id?).ok()?;
        Some(self.clients.at_hand(&id)?.place())
    }

    /// How many went unrecorded before this one.
    fn record_refusal(&self, mut record: RefusalRecord) -> u64 {
        let mut waiting = self.refusals.waiting();
        waiting.aggregate(&mut record);
        let unrecorded = record.unrecorded;
        waiting.records.push(record);
        unrecorded
    }

    /// The record of the refused request of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, or none any more, or what the store says.
    pub async fn refusal(&self, request_id: &str) -> Result<RefusalRecord, Error> {
        let is_it = |record: &RefusalRecord| record.request_id.as_deref() == Some(request_id);
        let waits = {
            let waiting = self.refusals.waiting();
            waiting.records.iter().chain(&waiting.writing).find(|record| is_it(record)).cloned()
        };
        if let Some(record) = waits {
            return Ok(record);
        }
        let kept = self.store.refusals(usize::try_from(KEPT).unwrap_or(usize::MAX)).await?;
        kept.into_iter().find(is_it).ok_or_else(|| Error::NotFound {
            what: "refusal",
            name: format!(
                "{request_id}: the last {KEPT} of this service are kept, and in a flood not all; what another service \
                 refuses is in that one's log"
            ),
        })
    }
}

/// Refusals of guarded routes.
impl RefusalObserver for Service {
    fn request_refused(&self, request_id: &RequestId, refused: &Refused) {
        self.metrics.guarded_request_refused(refused.reason());
        if !self.refusals.have_room(refused.reason()) {
            return;
        }
        // The path is the caller's text.
        let own_words = !matches!(refused.refusal, Refusal::NoRule { .. });
        self.record_refusal(RefusalRecord {
            at: self.clock.now(),
            request_id: Some(request_id.as_str().to_owned()),
            reason: refused.reason().as_str().to_owned(),
            cause: refused.cause().map(str::to_owned),
            detail: own_words.then(|| refused.refusal.detail()),
            place: self.place_at_hand(refused.client_id.as_deref()),
            client_id: refused.client_id.as_deref().map(str::to_owned),
            public_key: refused.untold.as_ref().and_then(|untold| untold.public_key.clone()),
            source: refused.ip(),
            unrecorded: 0,
            unrecorded_by_reason: BTreeMap::new(),
        });
        LogRefusals.request_refused(request_id, refused);
    }
}

impl Service {
    pub(super) async fn flush_refusals(&self) {
        let mut records = self.take_refusals();
        if records.is_empty() {
            return;
        }
        for record in records.iter_mut().filter(|record| record.place.is_none()) {
            record.place = self.place_of(record).await;
        }
        let written = self.store.note_refusals(records.clone(), KEPT).await;
        let mut waiting = self.refusals.waiting();
        // What was taken first is written first.
        waiting.writing.drain(..records.len());
        if let Err(error) = written {
            self.metrics.flush_failed();
            tracing::warn!(%error, "refusals could not be written; they are in the log alone");
            for record in records {
                for (reason, count) in record.unrecorded_by_reason {
                    *waiting.unrecorded.entry(reason).or_default() += count;
                }
                if record.request_id.is_some() {
                    *waiting.unrecorded.entry(record.reason).or_default() += 1;
                }
            }
        }
    }

    /// Where the client of a refusal belongs that was not at hand: if it was there before.
    async fn place_of(&self, record: &RefusalRecord) -> Option<Place> {
        let id = ClientId::parse(record.client_id.as_deref()?).ok()?;
        let client = self.clients.get(&id).await.ok().flatten()?;
        (client.created_at < record.at).then(|| client.place())
    }

    /// What waits; at its end, where some went unrecorded since, a record of how many, and why they were refused.
    fn take_refusals(&self) -> Vec<RefusalRecord> {
        let mut waiting = self.refusals.waiting();
        let mut records = std::mem::take(&mut waiting.records);
        let most = waiting.unrecorded.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| reason.clone());
        if let Some(reason) = most {
            let mut record = RefusalRecord {
                at: self.clock.now(),
                request_id: None,
                reason,
                cause: None,
                detail: None,
                client_id: None,
                public_key: None,
                place: None,
                source: None,
                unrecorded: 0,
                unrecorded_by_reason: BTreeMap::new(),
            };
            waiting.aggregate(&mut record);
            tracing::info!(unrecorded = record.unrecorded, by_reason = ?record.unrecorded_by_reason, "refused, too many at once to record each");
            records.push(record);
        }
        waiting.writing.extend_from_slice(&records);
        records
    }
}
