//! The life of signing keys: loaded, made, rotated, retired, revoked. And the one key that Digest keys are sealed with.
//!
//! Responsible for: which key signs, which are published, and their files. Never: what is signed; HTTP.
//!
//! The states are in the store and the keys in files. The ring hands both out as one snapshot, swapped whole, so that
//! issuing and verifying neither lock nor parse.

mod error;
mod files;
mod ring;
mod schedule;
mod seal;
mod snapshot;

pub use error::KeyRingError;
pub use files::KeyFileError;
pub use ring::{KeyRing, Settings};
pub use seal::{DigestSeal, Seal, SealError};
pub use snapshot::{Published, active_signer, public_keys};
