//! What is kept: clients, APIs, projects, keys, revocations, and the records of changes.
//!
//! Responsible for: the records' members and what follows from one record alone. Never: deciding, storing, HTTP.

mod account;
mod api;
mod audit;
mod chain;
mod client;
mod digest_key;
mod directory;
mod entity_tag;
mod issuance;
mod kept_hash;
mod key;
mod place;
mod receipt;
mod refusal;
mod usage;

pub use account::{Account, AccountId, Measure, Owner, Taken, Used, most_unwritten};
pub use api::{Api, DefinedScope};
pub use audit::{Actor, AuditHead, Change, Origin, SealedChange};
pub use chain::{
    AuditKey, AuditSigner, BadHead, ChainWalk, ClaimedHead, ENDORSEMENTS, HEAD_TYPE, HeadClaims, Problem, PruneRecord,
    Ranges, RecordFacts, Verdict,
};
pub use client::{Client, Kind, MAX_SECRETS, PastGeneration, Replaced, SecretRecord, SecretUse};
pub use digest_key::{DigestKeyRecord, MAX_DIGEST_KEYS, SealedSecret};
pub use directory::{Organization, Project, Role};
pub use entity_tag::EntityTag;
pub use issuance::{Gap, Issuance, MAX_COUNTED, Retention, Segment};
pub use kept_hash::KeptHash;
pub use key::KeyRecord;
pub use place::Place;
pub use receipt::{Receipt, ReceiptRecord, ReplayedAnswer};
pub use refusal::RefusalRecord;
pub use usage::{ClientUsage, ClientUses, Figures, OTHERS, Per, SecretFigures};

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;
use crate::id::Generation;

/// The organization and the project that exist from the start.
pub const DEFAULT: &str = "default";

/// The scheme of the stored records. A store of another one is refused.
pub const SCHEMA_VERSION: u32 = 2;

/// Something that is refused until all it concerns has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What.
    pub target: RevokedTarget,
    /// Until when it has to be remembered.
    pub until: UnixTime,
}

impl Revocation {
    /// That of a generation.
    #[must_use]
    pub fn of_generation(generation: &Generation, until: UnixTime) -> Self {
        Self { target: RevokedTarget::Generation(generation.as_str().to_owned()), until }
    }
}

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevokedTarget {
    /// One token.
    Token {
        /// Whose it is.
        client_id: String,
        /// Its `jti`.
        jti: String,
    },
    /// The tokens of one generation of a secret.
    Generation(String),
    /// The tokens signed with one key.
    Kid(String),
}
