//! Whether the chain is whole: a walk along it, from what was pruned to its end.
//!
//! Responsible for: what a record, a segment or a head that is not what it was shows. Never: reading them; the store
//! does, and shows them in order. What is found is named, and the walk goes on: one damage does not hide another.

mod facts;
mod head;
mod signed;

use serde_json::Value;

use super::{AuditHead, Segment};

pub use facts::{PruneRecord, Ranges, RecordFacts};
pub use head::{BadHead, ClaimedHead, HEAD_TYPE, HeadClaims};
pub use signed::{AuditKey, AuditSigner, ENDORSEMENTS};

use facts::{PlacedPrune, SegmentFacts, name};
use signed::KnownKeys;

/// The most problems that are told one by one.
const MAX_PROBLEMS: usize = 100;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The record that it was found at, if it was one.
    pub record: Option<u64>,
    /// The segment, if it was one.
    pub segment: Option<u64>,
    /// What is wrong, in words.
    pub detail: String,
}

/// What a walk came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How many records there are.
    pub records: u64,
    /// How many segments there are.
    pub segments: u64,
    /// The end of the chain, as the store notes it.
    pub head: AuditHead,
    /// The last record that was pruned.
    pub checkpoint: Option<AuditHead>,
    /// Whether no key was known from elsewhere than the store.
    pub keys_are_the_stores: bool,
    /// What is not as it was written; of very many the first alone.
    pub problems: Vec<Problem>,
}

impl Verdict {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The record that was shown last.
#[derive(Debug)]
struct Last {
    sequence: u64,
    hash: String,
    name: String,
    /// Whether it is known that it was altered.
    is_told: bool,
}

/// A walk along the chain. Shown in this order: where it begins and ends, each record (and behind it the segment that
/// it names), and the keys.
#[derive(Debug)]
pub struct ChainWalk {
    against: Option<ClaimedHead>,
    /// The public keys that are known from elsewhere than the store.
    keys: Vec<Value>,
    /// The hash of the record that the head given names.
    found_hash: Option<String>,
    head: AuditHead,
    checkpoint: Option<AuditHead>,
    last: Option<Last>,
    /// The record before the last, where the last does not follow it: one of the two was altered.
    suspect: Option<(u64, String)>,
    wanted: Option<SegmentFacts>,
    missing: Ranges,
    pruned: Ranges,
    prunes: Vec<PlacedPrune>,
    named_checkpoint: Option<AuditHead>,
    records: u64,
    segments: u64,
    problems: Vec<Problem>,
    untold: u64,
}

impl ChainWalk {
    /// A walk that holds the chain against a signed head, if one is given, and signatures against these public keys, and
    /// those of the store that they vouch for. Where there are none the store's own have to do.
    #[must_use]
    pub fn new(against: Option<ClaimedHead>, keys: Vec<Value>) -> Self {
        Self {
            against,
            keys,
            found_hash: None,
            head: AuditHead::default(),
            checkpoint: None,
            last: None,
            suspect: None,
            wanted: None,
            missing: Ranges::default(),
            pruned: Ranges::default(),
            prunes: Vec::new(),
            named_checkpoint: None,
            records: 0,
            segments: 0,
            problems: Vec::new(),
            untold: 0,
        }
    }

    /// Notes something that is not as it was written.
    pub fn problem(&mut self, record: Option<u64>, segment: Option<u64>, detail: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { record, segment, detail });
        } else {
            self.untold += 1;
        }
    }

    /// Where the chain begins and ends, as the store notes it.
    pub fn begin(&mut self, checkpoint: Option<AuditHead>, head: AuditHead) {
        (self.checkpoint, self.head) = (checkpoint, head);
    }

    /// What the next record has to be, and the hash that it has to name.
    fn expected(&self) -> (u64, String) {
        let before = match &self.last {
            Some(last) => (last.sequence, last.hash.clone()),
            None => self
                .checkpoint
                .clone()
                .map_or_else(|| (0, AuditHead::default().hash), |checkpoint| (checkpoint.sequence, checkpoint.hash)),
        };
        (before.0.saturating_add(1), before.1)
    }

    /// The record that is kept under `number`. Where it names a segment, that is to be shown next.
    pub fn record(&mut self, number: u64, bytes: &[u8]) -> Option<u64> {
        let (expected, previous) = self.expected();
        let name = name(number, bytes);
        let hash = AuditHead::hash_of(bytes);
        self.records += 1;
        if self.against.as_ref().is_some_and(|against| against.head.sequence == number) {
            self.found_hash = Some(hash.clone());
        }
        if number > expected {
            self.settle_suspect(false);
            let why = if self.last.is_none() { ", and no checkpoint says that they were pruned" } else { "" };
            let detail = format!("{} gone{why}", range("record", expected, number - 1));
            self.problem(Some(expected), None, detail);
        } else if number < expected {
            self.problem(Some(number), None, format!("{name} is there although it was pruned"));
        }
        let facts = RecordFacts::read(bytes);
        let altered = match &facts {
            None => Some(format!("{name} was altered: it is no record any more")),
            Some(facts) if facts.sequence != number => {
                Some(format!("{name} was altered or moved: it says that it is number {}", facts.sequence))
            }
            Some(_) => None,
        };
        let is_told = match (altered, &facts) {
            (Some(detail), _) => {
                self.settle_suspect(false);
                self.problem(Some(number), None, detail);
                true
            }
            (None, Some(facts)) if number == expected => self.link(number, &name, facts.previous == previous),
            _ => false,
        };
        self.last = Some(Last { sequence: number, hash, name, is_told });
        let facts = facts?;
        if let Some((prune, placed)) = facts.prune() {
            self.prunes.push(placed);
            self.pruned.add(&prune.segments);
            self.named_checkpoint = prune.checkpoint;
        }
        let segment = facts.segment()?;
        self.wanted = facts.segment_facts();
        Some(segment)
    }

    /// Whether a record follows the one before it. Where it does not, one of the two was altered: which, the next link
    /// tells, since a record that its own follower knows is as it was.
    /// Whether it is told already that this one was altered.
    fn link(&mut self, number: u64, name: &str, is_whole: bool) -> bool {
        self.settle_suspect(is_whole);
        if is_whole {
            return false;
        }
        match &self.last {
            Some(last) => {
                if !last.is_told {
                    self.suspect = Some((last.sequence, last.name.clone()));
                }
                false
            }
            None => {
                let or = if self.checkpoint.is_some() { ", or the checkpoint before it," } else { "" };
                let detail = format!("{name}{or} was altered: the chain does not begin with it");
                self.problem(Some(number), None, detail);
                true
            }
        }
    }

    fn settle_suspect(&mut self, certain: bool) {
        let Some((number, name)) = self.suspect.take() else { return };
        let detail = match certain {
            true => format!("{name} was altered: its hash is not the one that the next record names"),
            false => format!("{name}, or the record behind it, was altered: the two do not follow each other"),
        };
        self.problem(Some(number), None, detail);
    }

    /// The segment that the last record names; none where it is not there.
    pub fn segment(&mut self, number: u64, bytes: Option<&[u8]>) {
        let wanted = self.wanted.take();
        let Some(bytes) = bytes else { return self.missing.push(number) };
        self.segments += 1;
        let count = Segment::lines(bytes).count() as u64;
        let is_whole = wanted.is_some_and(|w| w.hash == AuditHead::hash_of(bytes) && w.count == count);
        if !is_whole {
            let detail = format!("segment {number} of issuances was altered: it is not what its record says");
            self.problem(None, Some(number), detail);
        }
    }

    /// What is kept under `number`, or lies there, cannot be read.
    pub fn unreadable(&mut self, number: u64) {
        self.problem(Some(number), None, format!("record {number} cannot be read: the store is damaged there"));
    }

    /// The end of the walk: how many segments the store has, and the public keys that have ever signed here.
    #[must_use]
    pub fn finish(mut self, kept_segments: u64, keys: &[Value]) -> Verdict {
        self.check_end();
        let keys = KnownKeys::new(&self.keys, keys);
        self.check_pruning(&keys);
        for (from, to) in self.missing.without(&self.pruned) {
            let detail = format!("{} gone, and no record says that it was pruned", range("segment", from, to));
            self.problem(None, Some(from), detail);
        }
        if kept_segments > self.segments {
            let more = kept_segments - self.segments;
            let detail = format!("there are segments of issuances that no record names: {more} of them");
            self.problem(None, None, detail);
        }
        self.check_against(&keys);
        if self.untold > 0 {
            let untold = self.untold;
            self.problems.push(Problem { record: None, segment: None, detail: format!("and {untold} more") });
        }
        Verdict {
            records: self.records,
            segments: self.segments,
            head: self.head,
            checkpoint: self.checkpoint,
            keys_are_the_stores: !keys.are_from_elsewhere,
            problems: self.problems,
        }
    }

    fn check_end(&mut self) {
        let (next, hash) = self.expected();
        let (end, noted) = (next - 1, self.head.clone());
        let is_whole = (end, &hash) == (noted.sequence, &noted.hash);
        self.settle_suspect(is_whole);
        if noted.sequence > end {
            let detail = format!("{} gone: the end of the chain", range("record", next, noted.sequence));
            self.problem(Some(next), None, detail);
        } else if noted.sequence < end {
            let detail = format!("{} behind the end of the chain", range("record", noted.sequence + 1, end));
            self.problem(Some(noted.sequence + 1), None, detail);
        } else if !is_whole && !self.last.as_ref().is_some_and(|last| last.is_told) {
            let name = self.last.as_ref().map_or_else(|| format!("record {end}"), |last| last.name.clone());
            let detail = format!("{name} was altered: it is not the end of the chain that the store notes");
            self.problem(Some(end), None, detail);
        }
    }

    fn check_pruning(&mut self, keys: &KnownKeys) {
        for prune in std::mem::take(&mut self.prunes) {
            if let Some((number, detail)) = prune.problem(keys) {
                self.problem(Some(number), None, detail);
            }
        }
        if self.named_checkpoint == self.checkpoint {
            return;
        }
        let detail = match &self.checkpoint {
            Some(checkpoint) => format!(
                "everything up to record {} is gone, and no record says that it was pruned",
                checkpoint.sequence
            ),
            None => "a record says that records were pruned, and the checkpoint of that is gone".to_owned(),
        };
        self.problem(None, None, detail);
    }

    fn check_against(&mut self, keys: &KnownKeys) {
        let Some(against) = self.against.take() else { return };
        if let Some(detail) = against.signature_problem(keys) {
            self.problem(None, None, detail);
        }
        let vouched = &against.head;
        let end = self.expected().0 - 1;
        let begin = self.checkpoint.clone().unwrap_or_default();
        let detail = if vouched.sequence > end {
            Some(format!(
                "the chain ends at record {end}, and the head given vouches for record {}: the tail was cut off",
                vouched.sequence
            ))
        } else if vouched.sequence < begin.sequence {
            Some(format!(
                "the head given vouches for record {}, and the chain begins behind record {}: what it vouches for was \
                 pruned, so that it says nothing any more",
                vouched.sequence, begin.sequence
            ))
        } else {
            let found = if vouched.sequence == begin.sequence { Some(begin.hash) } else { self.found_hash.take() };
            match found {
                None => Some(format!("record {}, for which the head given vouches, is gone", vouched.sequence)),
                Some(hash) if hash != vouched.hash => Some(format!(
                    "record {} is not the one that the head given vouches for: the chain was rewritten, at it or before",
                    vouched.sequence
                )),
                Some(_) => None,
            }
        };
        if let Some(detail) = detail {
            self.problem(Some(vouched.sequence), None, detail);
        }
    }
}

/// `record 3 is`, `records 3 to 5 are`.
fn range(what: &str, from: u64, to: u64) -> String {
    if from == to { format!("{what} {from} is") } else { format!("{what}s {from} to {to} are") }
}
