//! Private keys, parsed once, and what they sign.

use std::fmt;

use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::JwtSigner;
use jsonwebtoken::signature::{Error as SignatureError, Signer};
use ring::signature as rs;
use zeroize::Zeroizing;

use super::verifying_key::PublicKey;

/// Why bytes are not a usable private key. Never carries any of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PKCS#8 (or PKCS#1 for RSA), damaged, or of another kind than the algorithm needs.
    #[error("it is not a usable private key for {algorithm}: {why}")]
    Rejected {
        /// The JWS algorithm it was wanted for.
        algorithm: &'static str,
        /// ring's own word for what is wrong.
        why: &'static str,
    },
    /// ring generates no RSA keys.
    #[error(
        "RSA keys are not generated here; make one with: \
         openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out keys/NAME.pem && chmod 600 keys/NAME.pem"
    )]
    RsaNotGenerated,
    /// An algorithm that tokens are not signed with.
    #[error("tokens are signed with ES256, EdDSA, RS256 or PS256 only")]
    UnsupportedAlgorithm,
    /// The operating system gave no randomness.
    #[error("the key could not be generated: the operating system gave no random bytes")]
    NoEntropy,
}

/// The kind of key that a PEM file holds, whatever algorithm it is to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKeyKind {
    /// NIST P-256, for ES256.
    P256,
    /// Ed25519, for EdDSA.
    Ed25519,
    /// RSA, for RS256 and PS256.
    Rsa,
}

enum Pair {
    P256(Box<rs::EcdsaKeyPair>),
    Ed25519(rs::Ed25519KeyPair),
    Rsa(Box<rs::RsaKeyPair>, &'static dyn rs::RsaEncoding),
}

/// A private key that is ready to sign with one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    pair: Pair,
    random: ring::rand::SystemRandom,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        Algorithm::RS256 => "RS256",
        Algorithm::PS256 => "PS256",
        _ => "another algorithm",
    }
}

#[expect(clippy::disallowed_methods, reason = "ring's signing takes its own handle to the system's randomness")]
fn system_random() -> ring::rand::SystemRandom {
    ring::rand::SystemRandom::new()
}

impl SigningKey {
    /// Generates a key and gives its PKCS#8 encoding (RFC 5958).
    ///
    /// # Errors
    /// [`KeyError::RsaNotGenerated`] for RS256 and PS256; [`KeyError::UnsupportedAlgorithm`] for what tokens are not
    /// signed with.
    pub fn generate_pkcs8(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let random = system_random();
        let document = match algorithm {
            Algorithm::ES256 => rs::EcdsaKeyPair::generate_pkcs8(&rs::ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            Algorithm::EdDSA => rs::Ed25519KeyPair::generate_pkcs8(&random),
            Algorithm::RS256 | Algorithm::PS256 => return Err(KeyError::RsaNotGenerated),
            _ => return Err(KeyError::UnsupportedAlgorithm),
        };
        Ok(Zeroizing::new(document.map_err(|_| KeyError::NoEntropy)?.as_ref().to_vec()))
    }

    /// Parses a PKCS#8 private key; an RSA one may also be PKCS#1.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] where it is damaged or of another kind than `algorithm` needs.
    pub fn from_der(der: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        let rejected = |why: ring::error::KeyRejected| KeyError::Rejected {
            algorithm: name(algorithm),
            // `KeyRejected` prints one of a fixed set of words.
            why: match why.to_string().as_str() {
                "WrongAlgorithm" => "it is a key of another kind",
                "InvalidEncoding" => "its encoding is damaged, or not PKCS#8",
                "InconsistentComponents" => "its public and private halves do not belong together",
                "TooSmall" => "it is too small (RSA keys need 2048 bits)",
                "TooLarge" => "it is too large (RSA keys may have 4096 bits)",
                _ => "ring refuses it",
            },
        };
        let random = system_random();
        let pair = match algorithm {
            Algorithm::ES256 => Pair::P256(Box::new(
                rs::EcdsaKeyPair::from_pkcs8(&rs::ECDSA_P256_SHA256_FIXED_SIGNING, der, &random).map_err(rejected)?,
            )),
            // OpenSSL writes PKCS#8 v1, without the public half that ring's strict parser asks for.
            Algorithm::EdDSA => Pair::Ed25519(rs::Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(rejected)?),
            Algorithm::RS256 | Algorithm::PS256 => {
                let pair =
                    rs::RsaKeyPair::from_pkcs8(der).or_else(|why| rs::RsaKeyPair::from_der(der).map_err(|_| why));
                let padding: &'static dyn rs::RsaEncoding =
                    if algorithm == Algorithm::RS256 { &rs::RSA_PKCS1_SHA256 } else { &rs::RSA_PSS_SHA256 };
                Pair::Rsa(Box::new(pair.map_err(rejected)?), padding)
            }
            _ => return Err(KeyError::UnsupportedAlgorithm),
        };
        Ok(Self { algorithm, pair, random })
    }

    /// What kind of key `der` is, if any that tokens can be signed with.
    #[must_use]
    pub fn kind_of(der: &[u8]) -> Option<SigningKeyKind> {
        [
            (Algorithm::ES256, SigningKeyKind::P256),
            (Algorithm::EdDSA, SigningKeyKind::Ed25519),
            (Algorithm::RS256, SigningKeyKind::Rsa),
        ]
        .into_iter()
        .find_map(|(algorithm, kind)| Self::from_der(der, algorithm).ok().map(|_| kind))
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        use rs::KeyPair;
        match &self.pair {
            // X9.62 uncompressed point: 0x04, x, y.
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                PublicKey::P256 {
                    x: point.get(1..33).unwrap_or_default().to_vec(),
                    y: point.get(33..65).unwrap_or_default().to_vec(),
                }
            }
            Pair::Ed25519(pair) => PublicKey::Ed25519 { x: pair.public_key().as_ref().to_vec() },
            Pair::Rsa(pair, _) => {
                let components: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                PublicKey::Rsa { n: components.n, e: components.e }
            }
        }
    }
}

impl Signer<Vec<u8>> for SigningKey {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        match &self.pair {
            Pair::P256(pair) => {
                pair.sign(&self.random, message).map(|s| s.as_ref().to_vec()).map_err(|_| SignatureError::new())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*padding, &self.random, message, &mut signature).map_err(|_| SignatureError::new())?;
                Ok(signature)
            }
        }
    }
}

impl JwtSigner for SigningKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
