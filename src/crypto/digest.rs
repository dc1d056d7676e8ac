//! SHA-256, SHA-512/256 and HMAC-SHA-256.

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256 {
    sha256_parts(&[bytes])
}

/// SHA-256 of the concatenation of `parts`.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> Sha256 {
    HashAlgorithm::Sha256.hash(parts)
}

/// A hash of 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512/256: SHA-512 with an initial value of its own, cut to 256 bits (FIPS 180-4).
    Sha512_256,
}

impl HashAlgorithm {
    /// The hash of the concatenation of `parts`.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> [u8; 32] {
        let algorithm = match self {
            Self::Sha256 => &ring::digest::SHA256,
            Self::Sha512_256 => &ring::digest::SHA512_256,
        };
        let mut context = ring::digest::Context::new(algorithm);
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        out
    }
}

/// A key for HMAC (RFC 2104).
#[derive(Clone, Debug)]
pub struct HmacKey(ring::hmac::Key);

/// What [`HmacKey::tag`] makes.
pub type HmacTag = Vec<u8>;

impl HmacKey {
    /// A key for HMAC-SHA-256.
    #[must_use]
    pub fn sha256(secret: &[u8]) -> Self {
        Self(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret))
    }

    /// The tag of `message`.
    #[must_use]
    pub fn tag(&self, message: &[u8]) -> HmacTag {
        ring::hmac::sign(&self.0, message).as_ref().to_vec()
    }

    /// Whether `tag` is that of `message`, in constant time.
    #[must_use]
    pub fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        ring::hmac::verify(&self.0, message, tag).is_ok()
    }
}
