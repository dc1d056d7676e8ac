//! Public keys, checked once, and what they verify.

use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use ring::signature as rs;

use super::{Sha256, sha256_parts};

/// A public key as its JWK members have it, big-endian (RFC 7518 §6, RFC 8037 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// NIST P-256: 32 bytes each.
    P256 {
        /// The x coordinate.
        x: Vec<u8>,
        /// The y coordinate.
        y: Vec<u8>,
    },
    /// NIST P-384: 48 bytes each.
    P384 {
        /// The x coordinate.
        x: Vec<u8>,
        /// The y coordinate.
        y: Vec<u8>,
    },
    /// Ed25519: 32 bytes.
    Ed25519 {
        /// The public key.
        x: Vec<u8>,
    },
    /// RSA.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The public exponent.
        e: Vec<u8>,
    },
}

enum Parsed {
    Point(rs::UnparsedPublicKey<Vec<u8>>),
    Rsa { n: Vec<u8>, e: Vec<u8>, parameters: &'static rs::RsaParameters },
}

/// A public key that is ready to verify one algorithm.
pub struct VerifyingKey {
    algorithm: Algorithm,
    fingerprint: Sha256,
    key: Parsed,
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn uncompressed(x: &[u8], y: &[u8], size: usize) -> Option<Vec<u8>> {
    if x.len() != size || y.len() != size {
        return None;
    }
    Some([&[4], x, y].concat())
}

impl VerifyingKey {
    /// Readies `key` for `algorithm`. `None` where the two do not go together, or the key has not the size that its
    /// curve asks for: the key decides which algorithms it may serve, never the token.
    #[must_use]
    pub fn new(key: &PublicKey, algorithm: Algorithm) -> Option<Self> {
        let fingerprint = key.fingerprint();
        let point = |parameters: &'static dyn rs::VerificationAlgorithm, bytes: Vec<u8>| {
            Parsed::Point(rs::UnparsedPublicKey::new(parameters, bytes))
        };
        let key = match (key, algorithm) {
            (PublicKey::P256 { x, y }, Algorithm::ES256) => {
                point(&rs::ECDSA_P256_SHA256_FIXED, uncompressed(x, y, 32)?)
            }
            (PublicKey::P384 { x, y }, Algorithm::ES384) => {
                point(&rs::ECDSA_P384_SHA384_FIXED, uncompressed(x, y, 48)?)
            }
            (PublicKey::Ed25519 { x }, Algorithm::EdDSA) if x.len() == 32 => point(&rs::ED25519, x.clone()),
            (PublicKey::Rsa { n, e }, algorithm) => {
                let parameters: &'static rs::RsaParameters = match algorithm {
                    Algorithm::RS256 => &rs::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &rs::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &rs::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &rs::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &rs::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &rs::RSA_PSS_2048_8192_SHA512,
                    _ => return None,
                };
                Parsed::Rsa { n: n.clone(), e: e.clone(), parameters }
            }
            _ => return None,
        };
        Some(Self { algorithm, fingerprint, key })
    }
}

impl VerifyingKey {
    /// What tells the key from any other, whatever it is called.
    #[must_use]
    pub fn fingerprint(&self) -> &Sha256 {
        &self.fingerprint
    }
}

impl PublicKey {
    fn fingerprint(&self) -> Sha256 {
        // Each kind has members of fixed sizes, or, for RSA, a length before the first.
        match self {
            Self::P256 { x, y } => sha256_parts(&[b"P-256", x, y]),
            Self::P384 { x, y } => sha256_parts(&[b"P-384", x, y]),
            Self::Ed25519 { x } => sha256_parts(&[b"Ed25519", x]),
            Self::Rsa { n, e } => sha256_parts(&[b"RSA", &n.len().to_be_bytes(), n, e]),
        }
    }
}

impl Verifier<Vec<u8>> for VerifyingKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        match &self.key {
            Parsed::Point(key) => key.verify(message, signature),
            Parsed::Rsa { n, e, parameters } => {
                rs::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
        }
        .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for VerifyingKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
