//! What of a record's bytes the chain itself needs to know.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::server::model::issuance::of_the_audit;
use crate::server::model::{AuditHead, Change, Segment};

use super::signed::{AuditSigner, KnownKeys, PRUNE_TYPE, Wrong};

/// Numbers, as ranges without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Takes in a number that is higher than all before.
    pub fn push(&mut self, number: u64) {
        match self.0.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => self.0.push((number, number)),
        }
    }

    /// Takes in others.
    pub fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in this one and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Vec<(u64, u64)> {
        let mut left = self.0.clone();
        for (from, to) in &other.0 {
            let cut = |(first, last): (u64, u64)| {
                let before = (first < *from).then(|| (first, last.min(from.saturating_sub(1))));
                let behind = (last > *to).then(|| (first.max(to.saturating_add(1)), last));
                before.into_iter().chain(behind)
            };
            left = left.into_iter().flat_map(cut).collect();
        }
        left
    }
}

/// What a record of pruned records and segments says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRecord {
    /// The last record that is gone: the one that the oldest of the others follows. None where none is gone yet.
    pub checkpoint: Option<AuditHead>,
    /// How many records went this time.
    pub records: u64,
    /// The segments that went this time.
    pub segments: Ranges,
    /// What was written before is forgotten by the service alone: its signature for all of that, and for the place of
    /// the record in the chain.
    #[serde(default)]
    pub signed: Option<String>,
}

impl PruneRecord {
    /// What the chain calls it.
    pub const ACTION: &'static str = "audit.prune";

    /// What is signed of it.
    fn says(&self, at: UnixTime, follows: &AuditHead) -> Value {
        json!({
            "at": at,
            "follows": follows,
            "checkpoint": self.checkpoint,
            "records": self.records,
            "segments": self.segments,
        })
    }

    /// It, to be put into the chain behind `follows`; none where it cannot be signed.
    #[must_use]
    pub fn change(mut self, at: UnixTime, follows: &AuditHead, signer: &AuditSigner) -> Option<Change> {
        self.signed = Some(signer.sign(PRUNE_TYPE, &self.says(at, follows))?);
        Some(of_the_audit(at, Self::ACTION, "audit".to_owned(), json!(self)))
    }
}

/// A record of a pruning, in its place.
#[derive(Debug)]
pub(super) struct PlacedPrune {
    number: u64,
    signed: Option<String>,
    says: Value,
}

impl PlacedPrune {
    /// What is wrong with its signature.
    pub(super) fn problem(&self, keys: &KnownKeys) -> Option<(u64, String)> {
        let why = match self.signed.as_deref().map(|signed| keys.verify(signed, PRUNE_TYPE)) {
            Some(Ok(says)) if says == self.says => return None,
            None => "it is not signed".to_owned(),
            Some(Ok(_) | Err(Wrong::Bad)) => "its signature is not good".to_owned(),
            Some(Err(Wrong::Unknown(kid))) => format!("it is signed with the key {kid}, which has never signed here"),
            Some(Err(Wrong::OfTheStore(kid))) => {
                format!("it is signed with the key {kid}, and only the store says that it has signed here")
            }
        };
        Some((
            self.number,
            format!("record {} says that something was pruned, and the service did not write it: {why}", self.number),
        ))
    }
}

/// What the record of a segment says of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct SegmentFacts {
    pub(super) hash: String,
    pub(super) count: u64,
}

/// What of a record's bytes the chain itself needs to know.
#[derive(Debug, Deserialize)]
pub struct RecordFacts {
    /// Its number.
    pub sequence: u64,
    /// The hash of the one before.
    pub previous: String,
    /// When it was made.
    pub at: UnixTime,
    action: String,
    target: String,
    #[serde(default)]
    after: Value,
}

impl RecordFacts {
    /// Reads them; none where the bytes are no record.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The number of the segment whose record it is.
    #[must_use]
    pub fn segment(&self) -> Option<u64> {
        (self.action == Segment::ACTION).then(|| self.target.parse().ok()).flatten()
    }

    pub(super) fn segment_facts(&self) -> Option<SegmentFacts> {
        serde_json::from_value(self.after.clone()).ok()
    }

    /// What was pruned, if it is the record of that, and what is to be signed of it.
    pub(super) fn prune(&self) -> Option<(PruneRecord, PlacedPrune)> {
        let prune: PruneRecord =
            (self.action == PruneRecord::ACTION).then(|| serde_json::from_value(self.after.clone()).ok()).flatten()?;
        let follows = AuditHead { sequence: self.sequence.saturating_sub(1), hash: self.previous.clone() };
        let (says, signed) = (prune.says(self.at, &follows), prune.signed.clone());
        Some((prune, PlacedPrune { number: self.sequence, signed, says }))
    }
}

/// A record in words: its number, and its action and target as far as they can be read.
pub(super) fn name(number: u64, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let member = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
        let value: String = rest.chars().take_while(|c| *c != '"').take(200).collect();
        Some(value.replace(char::is_control, "?"))
    };
    let known = RecordFacts::read(bytes).map(|facts| (Some(facts.action), Some(facts.target)));
    match known.unwrap_or_else(|| (member("action"), member("target"))) {
        (Some(action), Some(target)) => format!("record {number} ({action} of {target})"),
        (Some(action), None) => format!("record {number} ({action})"),
        _ => format!("record {number} (which cannot be read)"),
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn ranges_are_taken_from_each_other() {
        let of = |numbers: &[u64]| {
            let mut ranges = Ranges::default();
            numbers.iter().for_each(|n| ranges.push(*n));
            ranges
        };
        let all = of(&[1, 2, 3, 4, 7, 8]);
        assert_eq!(all.without(&Ranges::default()), [(1, 4), (7, 8)]);
        assert_eq!(all.without(&of(&[1, 2, 7])), [(3, 4), (8, 8)]);
        assert_eq!(all.without(&of(&[2, 3, 8, 9])), [(1, 1), (4, 4), (7, 7)]);
        assert_eq!(all.without(&of(&[5, 6])), [(1, 4), (7, 8)]);
        assert!(all.without(&of(&[0, 1, 2, 3, 4, 5, 6, 7, 8])).is_empty());
    }
}
