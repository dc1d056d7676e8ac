//! The identifiers that are made here, and the grammar of those that are given.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::crypto::entropy::{Entropy, NoEntropy};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The character of `value % 62`.
pub(crate) fn base62_digit(value: u64) -> char {
    BASE62.get((value % 62) as usize).copied().map_or('0', char::from)
}

/// `length` random base62 characters, each as likely as any other.
pub(crate) fn random_base62(entropy: &dyn Entropy, length: usize) -> Result<String, NoEntropy> {
    let mut out = String::with_capacity(length);
    let mut bytes = zeroize::Zeroizing::new([0u8; 64]);
    while out.len() < length {
        entropy.fill(bytes.as_mut())?;
        // 248 is the largest multiple of 62 that fits a byte: above it, low digits would be likelier.
        out.extend(bytes.iter().filter(|b| **b < 248).take(length - out.len()).map(|b| base62_digit(u64::from(*b))));
    }
    Ok(out)
}

/// 128 random bits in base64url (22 characters): `jti`, and the generation of a secret.
pub(crate) fn random_128(entropy: &dyn Entropy) -> Result<String, NoEntropy> {
    let mut bytes = [0u8; 16];
    entropy.fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A client's identifier: `[A-Za-z0-9._~-]{1,128}`, so that it needs no encoding in a URL or in Basic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(transparent)]
#[cfg_attr(feature = "server", schema(pattern = "^[A-Za-z0-9._~-]+$", min_length = 1, max_length = 128))]
pub struct ClientId(String);

/// It is not a client identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client_id is 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -")]
pub struct BadClientId;

impl ClientId {
    /// Reads an identifier.
    ///
    /// # Errors
    /// [`BadClientId`], which does not repeat the text: people paste secrets there.
    pub fn parse(text: &str) -> Result<Self, BadClientId> {
        let good = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'));
        if good { Ok(Self(text.to_owned())) } else { Err(BadClientId) }
    }

    /// A new identifier: `c_` and 22 base62 characters.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Ok(Self(format!("c_{}", random_base62(entropy, 22)?)))
    }

    /// A new identifier of an API key: `k_` and 22 base62 characters.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate_for_key(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Ok(Self(format!("k_{}", random_base62(entropy, 22)?)))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The generation of a secret: 128 random bits that its tokens carry as `gen`, and that are published as revoked when
/// those tokens are to die.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(String);

impl Generation {
    /// A new generation.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        random_128(entropy).map(Self)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What one request is called, in its answer and in the logs. Made here, never taken from a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(transparent)]
#[cfg_attr(feature = "server", schema(pattern = "^r_[0-9A-Za-z]{22}$"))]
pub struct RequestId(String);

impl RequestId {
    /// A new one: `r_` and 22 base62 characters.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        // A request can be answered without a name; nothing rests on it.
        Self(format!("r_{}", random_base62(entropy, 22).unwrap_or_else(|_| "0".repeat(22))))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
