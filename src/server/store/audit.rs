//! The audit log's verbs: the chain, the segments of issuances, the ring of refusals.

use crate::clock::UnixTime;
use crate::server::model::{AuditHead, AuditKey, AuditSigner, ChainWalk, Gap, RefusalRecord, Segment, Verdict};

use super::StoreError;

/// What is pruned: everything from before these moments; nothing where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cutoffs {
    /// Of records in the chain.
    pub changes: Option<UnixTime>,
    /// Of segments.
    pub issuances: Option<UnixTime>,
}

/// Reading the audit log. A store that nobody runs on can do that much, too.
#[async_trait::async_trait]
pub trait AuditReader: std::fmt::Debug + Send + Sync {
    /// The end of the audit chain, and the records from `from` on, at most `limit`, as the bytes that were sealed.
    async fn audit(&self, from: u64, limit: usize) -> Result<(AuditHead, Vec<Vec<u8>>), StoreError>;

    /// The same with their numbers, of a store that may have lost some.
    async fn records(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// The records before number `before`, the newest first, at most `limit`.
    async fn audit_back(&self, before: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Segments of issuances from number `from` on; as many as are a handful for memory, but one if there is one.
    async fn segments(&self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// The same before number `before`, the newest first.
    async fn segments_back(&self, before: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// The refusals in the ring before number `before`, the newest first, at most `limit`.
    async fn refusals_back(&self, before: u64, limit: usize) -> Result<Vec<(u64, RefusalRecord)>, StoreError>;

    /// Shows `walk` the whole log, as it is at one moment.
    async fn walk_audit(&self, walk: ChainWalk) -> Result<Verdict, StoreError>;
}

/// Writing the audit log. The records of changes come with the changes.
#[async_trait::async_trait]
pub trait AuditStore: AuditReader {
    /// Puts refusals into the ring, which keeps the newest `keep` of them.
    async fn note_refusals(&self, refusals: Vec<RefusalRecord>, keep: u64) -> Result<(), StoreError>;

    /// The refusals in the ring, the newest first, at most `limit`.
    async fn refusals(&self, limit: usize) -> Result<Vec<RefusalRecord>, StoreError>;

    /// Adds a segment of issuances, and what is missing beside it, and the records of both.
    async fn add_segment(&self, segment: Option<Segment>, gap: Gap, at: UnixTime) -> Result<(), StoreError>;

    /// Forgets at most `limit` records and as many segments from before the cutoffs; what is left begins with a
    /// checkpoint, and the chain has a record of it, which `signer` signs. How many went.
    async fn prune_audit(
        &self,
        cutoffs: Cutoffs,
        limit: usize,
        at: UnixTime,
        signer: AuditSigner,
    ) -> Result<usize, StoreError>;

    /// Keeps public keys for good, each with the words of those that vouch for it: what they signed is verified with
    /// them when they are long gone.
    async fn keep_audit_keys(&self, keys: Vec<AuditKey>) -> Result<(), StoreError>;

    /// Begins a run. Where the last one was not [ended](Self::end_run), the chain gets a record that issuances may be
    /// missing; tells whether that was so.
    async fn begin_run(&self, at: UnixTime) -> Result<bool, StoreError>;

    /// Ends a run: all that was issued is in the store.
    async fn end_run(&self) -> Result<(), StoreError>;
}
