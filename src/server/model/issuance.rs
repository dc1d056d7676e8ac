//! The records of issued tokens: compact, in segments whose hashes are in the chain.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::UnixTime;

use super::{AuditHead, Change, Origin, Place};

/// A token that was issued. Never the token: its `jti` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuance {
    /// When.
    pub at: UnixTime,
    /// To whom.
    pub client_id: String,
    /// Where the client belongs.
    #[serde(flatten)]
    pub place: Place,
    /// The id of the secret that was used.
    pub secret_id: String,
    /// The token's `jti`.
    pub jti: String,
    /// Its scopes, with spaces between them.
    pub scope: String,
    /// Its audiences.
    pub audience: Vec<String>,
    /// Where the request came from.
    pub source: IpAddr,
    /// How long it lives, in seconds.
    pub ttl: u64,
}

/// Issuances as they are kept: one line of JSON each. Once written it is never changed.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// How many issuances there are.
    pub count: u64,
    from: UnixTime,
    to: UnixTime,
}

impl Segment {
    /// What the chain calls the record of a segment.
    pub const ACTION: &'static str = "audit.segment";

    /// The segment of these issuances; none of none.
    ///
    /// # Errors
    /// serde_json's, where a value cannot be written, which none here is.
    pub fn of(issuances: &[Issuance]) -> Result<Option<Self>, serde_json::Error> {
        let times = || issuances.iter().map(|issuance| issuance.at);
        let (Some(from), Some(to)) = (times().min(), times().max()) else { return Ok(None) };
        let mut bytes = Vec::with_capacity(issuances.len() * 256);
        for issuance in issuances {
            serde_json::to_writer(&mut bytes, issuance)?;
            bytes.push(b'\n');
        }
        Ok(Some(Self { bytes, count: issuances.len() as u64, from, to }))
    }

    /// The lines of a segment's bytes.
    pub fn lines(bytes: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
    }

    /// When the first issuance of a segment was; none where that is not readable.
    #[must_use]
    pub fn begins_at(bytes: &[u8]) -> Option<UnixTime> {
        let first: Issuance = serde_json::from_slice(Self::lines(bytes).next()?).ok()?;
        Some(first.at)
    }

    /// The record that puts the segment of this number into the chain.
    #[must_use]
    pub fn change(&self, number: u64, at: UnixTime) -> Change {
        of_the_audit(
            at,
            Self::ACTION,
            number.to_string(),
            json!({ "hash": AuditHead::hash_of(&self.bytes), "count": self.count, "from": self.from, "to": self.to }),
        )
    }
}

/// The most clients whose missing issuances are counted apart; of all others together there is one number.
pub const MAX_COUNTED: usize = 1000;

/// Issuances of which there are no records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    clients: BTreeMap<String, u64>,
    others: u64,
    from: Option<UnixTime>,
}

impl Gap {
    /// What the chain calls the record of a gap.
    pub const ACTION: &'static str = "audit.gap";

    /// Counts one more.
    pub fn count(&mut self, client_id: &str, at: UnixTime) {
        self.from = Some(self.from.map_or(at, |from| from.min(at)));
        self.count_of(client_id, 1);
    }

    fn count_of(&mut self, client_id: &str, more: u64) {
        let has_room = self.clients.len() < MAX_COUNTED;
        match self.clients.get_mut(client_id) {
            Some(count) => *count += more,
            None if has_room => {
                self.clients.insert(client_id.to_owned(), more);
            }
            None => self.others += more,
        }
    }

    /// Takes in what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.from = self.from.into_iter().chain(other.from).min();
        self.others += other.others;
        for (client_id, more) in &other.clients {
            self.count_of(client_id, *more);
        }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.others == 0
    }

    /// The record of more issuances at once than are held.
    #[must_use]
    pub fn change(&self, at: UnixTime) -> Change {
        let from = self.from.unwrap_or(at);
        let after =
            json!({ "cause": "overflow", "from": from, "to": at, "clients": self.clients, "others": self.others });
        of_the_audit(at, Self::ACTION, "issuances".to_owned(), after)
    }

    /// The record of a run that was not stopped but broke off: what was issued behind `from`, the last moment of which
    /// there is a record, and not written yet is lost. It is a second's worth at most.
    #[must_use]
    pub fn of_a_crash(from: UnixTime, at: UnixTime) -> Change {
        let after = json!({ "cause": "unclean_stop", "from": from, "to": at });
        of_the_audit(at, Self::ACTION, "issuances".to_owned(), after)
    }
}

/// How long the audit log is kept; none is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The records of changes.
    pub changes: Option<Duration>,
    /// The segments of issuances.
    pub issuances: Option<Duration>,
}

/// A record that the log makes of itself.
pub(super) fn of_the_audit(at: UnixTime, action: &'static str, target: String, after: Value) -> Change {
    Change { at, origin: Origin::SYSTEM, action, target, place: None, before: Value::Null, after }
}
