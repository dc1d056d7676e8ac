//! The key that what is kept of Digest keys is sealed with.
//!
//! Who has the store alone cannot log in as anybody: H(A1) is as good as the password, and is sealed with a key that lies
//! beside the signing keys. It is made with the first Digest key, and never in the place of one that is gone.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::crypto::entropy::Entropy;
use crate::crypto::{HmacKey, NotSealed, SealingKey};
use crate::server::model::SealedSecret;

use super::files::{self, KeyFileError, SEALING_LENGTH};
use super::ring::KeyRing;

impl KeyRing {
    /// What Digest keys are sealed with.
    #[must_use]
    pub fn digest_seal(&self) -> &DigestSeal {
        &self.digest_seal
    }
}

/// What a Digest key is sealed for, and never opened without.
const PURPOSE: &str = "digest keys";

/// Why nothing can be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// No randomness, or no key made of it.
    #[error("the key that Digest keys are sealed with could not be made")]
    Unmade,
}

impl From<NotSealed> for SealError {
    fn from(_: NotSealed) -> Self {
        Self::Unmade
    }
}

/// The sealing key, as far as there is one.
#[derive(Debug)]
pub struct DigestSeal {
    folder: PathBuf,
    seal: ArcSwapOption<Seal>,
    /// Held while one is made.
    making: Mutex<()>,
}

/// A sealing key.
#[derive(Debug)]
pub struct Seal {
    /// Tells it from others, and says nothing of it.
    id: String,
    key: SealingKey,
    /// Opened where there is nothing to open, so that it takes as long.
    stand_in: SealedSecret,
}

impl DigestSeal {
    /// The key of this folder, if it has one.
    pub(super) fn open(folder: PathBuf) -> Result<Self, SealError> {
        let secret = files::read_sealing(&folder)?;
        let seal = secret.map(|secret| Seal::new(&secret)).transpose()?.map(Arc::new);
        Ok(Self { folder, seal: ArcSwapOption::from(seal), making: Mutex::new(()) })
    }

    /// The key, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Seal>> {
        self.seal.load_full()
    }

    /// The key, which is made where there is none.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn get_or_make(&self, entropy: &dyn Entropy) -> Result<Arc<Seal>, SealError> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seal) = self.get() {
            return Ok(seal);
        }
        let mut secret = Zeroizing::new([0; SEALING_LENGTH]);
        entropy.fill(&mut *secret).map_err(|_| SealError::Unmade)?;
        let seal = Arc::new(Seal::new(&*secret)?);
        files::write_sealing(&self.folder, &*secret)?;
        self.seal.store(Some(Arc::clone(&seal)));
        Ok(seal)
    }
}

impl Seal {
    fn new(secret: &[u8]) -> Result<Self, NotSealed> {
        let mut id = HmacKey::sha256(secret).tag(b"the name of this key");
        id.truncate(9);
        let (id, key) = (STANDARD_NO_PAD.encode(id), SealingKey::derive(secret, PURPOSE)?);
        let text = STANDARD_NO_PAD.encode(key.seal(&context(""), &[0; 64])?);
        Ok(Self { stand_in: SealedSecret { by: id.clone(), text }, id, key })
    }

    /// Seals what is kept of the password of this user.
    ///
    /// # Errors
    /// None that is known of.
    pub fn seal(&self, username: &str, secrets: &[u8; 64]) -> Result<SealedSecret, NotSealed> {
        let sealed = self.key.seal(&context(username), secrets)?;
        Ok(SealedSecret { by: self.id.clone(), text: STANDARD_NO_PAD.encode(sealed) })
    }

    /// What was sealed for this user; none where it was sealed for somebody else or with another key.
    #[must_use]
    pub fn open(&self, username: &str, sealed: &SealedSecret) -> Option<Zeroizing<[u8; 64]>> {
        let text = STANDARD_NO_PAD.decode(&sealed.text).ok()?;
        let opened = Zeroizing::new(self.key.open(&context(username), &text).ok()?);
        let mut secrets = Zeroizing::new([0; 64]);
        if opened.len() != secrets.len() {
            return None;
        }
        secrets.copy_from_slice(&opened);
        Some(secrets)
    }

    /// Does what [`Self::open`] does, for nobody.
    #[must_use]
    pub fn open_stand_in(&self) -> Option<Zeroizing<[u8; 64]>> {
        self.open("", &self.stand_in)
    }

    /// Whether this was sealed with it.
    #[must_use]
    pub fn has_sealed(&self, sealed: &SealedSecret) -> bool {
        self.id == sealed.by
    }
}

fn context(username: &str) -> Vec<u8> {
    [b"digest key of \0".as_slice(), username.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_for_one_is_opened_for_nobody_else_and_with_no_other_key() {
        let (seal, other) = (Seal::new(&[1; 32]).unwrap(), Seal::new(&[2; 32]).unwrap());
        let sealed = seal.seal("bob", &[7; 64]).unwrap();
        assert_eq!(*seal.open("bob", &sealed).unwrap(), [7; 64]);
        assert!(seal.open("alice", &sealed).is_none() && seal.open("", &sealed).is_none());
        assert!(other.open("bob", &sealed).is_none());
        assert!(seal.has_sealed(&sealed) && !other.has_sealed(&sealed));
        assert!(seal.open_stand_in().is_some());
    }
}
