//! JSON Web Keys, Tokens and Signatures (RFC 7515, 7517, 7519, 7638), in the profile of RFC 9068.
//!
//! Responsible for: the bytes of a JWK, a JWS and its claims, made and taken apart. Never: where keys come from, what
//! the time is, who may do what. `jsonwebtoken` lends its types and traits; its process-global provider is never used.

pub mod claims;
pub mod jwk;
pub mod strict;

mod sign;
mod verify;

pub use sign::TokenSigner;
pub use verify::{CompactJws, JwsError, KeySet, MAX_TOKEN_BYTES, TokenHeader};

pub use jsonwebtoken::Algorithm;

/// The `typ` of an access token (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// The name of an algorithm as `alg` has it (RFC 7518 §3.1).
#[must_use]
pub fn algorithm_name(algorithm: Algorithm) -> String {
    // Its `Debug` is its name; `serde` gives the same, at greater length.
    format!("{algorithm:?}")
}
