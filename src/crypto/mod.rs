//! The only place that knows ring.
//!
//! Responsible for: randomness, digests, slow hashes, sealed texts, and signature keys as ready-parsed objects. Never:
//! what is signed, by whom, or why; JSON; files.

pub mod entropy;

mod digest;
#[cfg(feature = "server")]
mod sealed;
mod signing_key;
#[cfg(feature = "server")]
mod slow_hash;
mod verifying_key;

pub use digest::{HashAlgorithm, HmacKey, HmacTag, Sha256, sha256, sha256_parts};
#[cfg(feature = "server")]
pub use sealed::{NotSealed, SealingKey};
pub use signing_key::{KeyError, SigningKey, SigningKeyKind};
#[cfg(feature = "server")]
pub use slow_hash::{BadSlowHash, SlowHash};
pub use verifying_key::{PublicKey, VerifyingKey};

/// The algorithms that tokens are signed with (RFC 7518, RFC 8037).
pub const TOKEN_ALGORITHMS: [jsonwebtoken::Algorithm; 4] = [
    jsonwebtoken::Algorithm::ES256,
    jsonwebtoken::Algorithm::EdDSA,
    jsonwebtoken::Algorithm::RS256,
    jsonwebtoken::Algorithm::PS256,
];
