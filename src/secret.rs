//! Client secrets and API keys: how they are made, told from other text, and kept.
//!
//! A secret is `mtg_cs_live_` or `mtg_cs_test_`, 43 random base62 characters (256 bits), and 6 that are the CRC32 of
//! what stands before, so that a scanner can tell a real one without asking anybody. An API key is the same behind another
//! prefix, `mtg_sk` unless the configuration says otherwise. 256 random bits gain nothing from
//! a slow hash, so what is kept is SHA-256.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::entropy::{Entropy, NoEntropy};
use crate::crypto::sha256;
use crate::id::{base62_digit, random_base62};

/// What a client is used for. A token says it as `env`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// The real thing.
    #[default]
    Live,
    /// Trying things out.
    Test,
}

impl Environment {
    /// `live` or `test`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What clients' secrets begin with.
const CLIENT_PREFIX: &str = "mtg_cs";
/// What the private keys of Digest pairs begin with.
const DIGEST_PREFIX: &str = "mtg_dk";
const RANDOM_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const SHOWN_RANDOM: usize = 4;

/// A client secret in the clear. Wiped when dropped; never printed by `Debug`.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(redacted)")
    }
}

impl From<String> for ClientSecret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl ClientSecret {
    /// A new secret.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate(environment: Environment, entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Self::generate_behind(CLIENT_PREFIX, environment, entropy)
    }

    /// A new API key. It is kept, compared and wiped as a client's secret is.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate_key(
        prefix: &KeyPrefix,
        environment: Environment,
        entropy: &dyn Entropy,
    ) -> Result<Self, NoEntropy> {
        Self::generate_behind(prefix.as_str(), environment, entropy)
    }

    /// A new private key of a Digest pair.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate_digest(environment: Environment, entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Self::generate_behind(DIGEST_PREFIX, environment, entropy)
    }

    fn generate_behind(prefix: &str, environment: Environment, entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 64));
        text.push_str(prefix);
        text.push('_');
        text.push_str(environment.as_str());
        text.push('_');
        text.push_str(&Zeroizing::new(random_base62(entropy, RANDOM_LENGTH)?));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Self(text))
    }

    /// The secret itself, for the one answer that shows it and for the wire.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(sha256(self.0.as_bytes()))
    }

    /// Enough of it to tell it from others: the fixed part and four characters.
    #[must_use]
    pub fn masked_prefix(&self) -> String {
        let digest = || ["mtg_dk_live_", "mtg_dk_test_"].into_iter().find(|fixed| self.0.starts_with(fixed));
        let fixed = fixed_part(&self.0).or_else(digest).or_else(|| key_fixed_part(&self.0)).map_or(0, str::len);
        let mut masked: String = self.0.chars().take(fixed + if fixed > 0 { SHOWN_RANDOM } else { 0 }).collect();
        masked.push('…');
        masked
    }

    /// Whether it has the form of one of ours, checksum and all.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        fixed_part(&self.0).is_some_and(|fixed| is_checked(&self.0, fixed.len()))
    }
}

/// Whether `text` looks like an API key: some prefix, an environment, and more. It may be cut short, or no key of ours.
#[must_use]
pub fn looks_like_a_key(text: &str) -> bool {
    !text.contains('.') && ["_live_", "_test_"].iter().any(|environment| text.contains(environment))
}

/// Whether `text` begins as clients' secrets do.
#[must_use]
pub fn looks_like_a_client_secret(text: &str) -> bool {
    fixed_part(text).is_some()
}

/// Whether `text` has the form of an API key, checksum and all; whatever its prefix, which may have been another when the
/// key was made.
#[must_use]
pub fn is_key_well_formed(text: &str) -> bool {
    key_fixed_part(text).is_some_and(|fixed| is_checked(text, fixed.len()))
}

/// Whether 43 random characters stand behind the fixed part, and their checksum.
fn is_checked(text: &str, fixed: usize) -> bool {
    let Some((body, end)) = text.split_at_checked(fixed + RANDOM_LENGTH) else { return false };
    body.bytes().skip(fixed).all(|b| b.is_ascii_alphanumeric()) && *end == *checksum(body)
}

/// What stands before the random characters of an API key.
fn key_fixed_part(text: &str) -> Option<&str> {
    let (fixed, _) = text.split_at_checked(text.len().checked_sub(RANDOM_LENGTH + CHECKSUM_LENGTH)?)?;
    let prefix = ["_live_", "_test_"].into_iter().find_map(|environment| fixed.strip_suffix(environment))?;
    KeyPrefix::is_one(prefix).then_some(fixed)
}

/// What API keys begin with, so that people and scanners know them: 2 to 32 of the characters a-z 0-9 _, and not what
/// clients' secrets or Digest keys begin with, so that no two are ever taken for each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPrefix(String);

/// It is no prefix of API keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a prefix of API keys has 2 to 32 of the characters a-z 0-9 _, and does not begin with mtg_cs, as clients' secrets do, \
     or mtg_dk, as Digest keys do"
)]
pub struct BadKeyPrefix;

impl KeyPrefix {
    fn is_one(text: &str) -> bool {
        let is_others =
            |other: &str| text.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        !is_others(CLIENT_PREFIX)
            && !is_others(DIGEST_PREFIX)
            && (2..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self("mtg_sk".to_owned())
    }
}

impl TryFrom<String> for KeyPrefix {
    type Error = BadKeyPrefix;

    fn try_from(text: String) -> Result<Self, BadKeyPrefix> {
        if Self::is_one(&text) { Ok(Self(text)) } else { Err(BadKeyPrefix) }
    }
}

impl From<KeyPrefix> for String {
    fn from(prefix: KeyPrefix) -> Self {
        prefix.0
    }
}

fn fixed_part(text: &str) -> Option<&'static str> {
    ["mtg_cs_live_", "mtg_cs_test_"].into_iter().find(|fixed| text.starts_with(fixed))
}

/// CRC32 (ISO-HDLC) in six base62 digits, the most significant first.
fn checksum(body: &str) -> String {
    let mut rest = u64::from(crc32fast::hash(body.as_bytes()));
    let mut digits = ['0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(rest);
        rest /= 62;
    }
    digits.iter().collect()
}

/// The SHA-256 of a secret. Compared in constant time, and in no other way.
#[derive(Clone)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// A hash that no secret has been found to have: what an unknown client's secret is compared with.
    pub const NONE: Self = Self([0; 32]);

    /// Its text, for an index. Nothing is gained by a hash that is looked up: the secret behind it cannot be guessed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("sha256:{}", STANDARD_NO_PAD.encode(self.0))
    }

    /// Whether both are the same, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(redacted)")
    }
}

impl Serialize for SecretHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.strip_prefix("sha256:")
            .and_then(|encoded| STANDARD_NO_PAD.decode(encoded).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("not a sha256: secret hash"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    #[test]
    fn a_secret_has_its_form_and_any_changed_character_breaks_it() {
        let secret = ClientSecret::generate(Environment::Test, &SeededEntropy::new(7)).unwrap();
        let text = secret.reveal().to_owned();
        assert_eq!(text.len(), "mtg_cs_test_".len() + 49);
        assert!(secret.is_well_formed());
        assert_eq!(secret.masked_prefix().chars().count(), "mtg_cs_test_".len() + 4 + 1);
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'x' { b'y' } else { b'x' };
            assert!(!ClientSecret::from(String::from_utf8(changed).unwrap()).is_well_formed(), "at {index}");
        }
    }

    #[test]
    fn an_api_key_has_its_form_whatever_its_prefix() {
        for prefix in ["mtg_sk", "acme", "x_live"] {
            let prefix = KeyPrefix::try_from(prefix.to_owned()).unwrap();
            let key = ClientSecret::generate_key(&prefix, Environment::Live, &SeededEntropy::new(7)).unwrap();
            assert!(looks_like_a_key(key.reveal()) && is_key_well_formed(key.reveal()) && !key.is_well_formed());
            assert!(!is_key_well_formed(&key.reveal().replace("_live_", "_test_")));
            let shown = key.masked_prefix();
            assert_eq!(shown.chars().count(), prefix.as_str().len() + "_live_".len() + 4 + 1, "{shown}");
            assert!(shown.starts_with(prefix.as_str()));
        }
        for bad in ["", "a", "Mtg", "mtg-sk", "mtg_cs", "mtg_dk", &"a".repeat(33)] {
            assert_eq!(KeyPrefix::try_from((*bad).to_owned()), Err(BadKeyPrefix), "{bad}");
        }
        let secret = ClientSecret::generate(Environment::Live, &SeededEntropy::new(7)).unwrap();
        assert!(!is_key_well_formed(secret.reveal()) && looks_like_a_client_secret(secret.reveal()));
        assert!(!looks_like_a_key("eyJhbGciOiJFUzI1NiJ9.e30_live_.c2ln"));
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = ClientSecret::from("hunter2".to_owned());
        assert!(!format!("{secret:?} {:?}", secret.hash()).contains("hunter2"));
    }

    #[test]
    fn the_checksum_is_crc32_in_base62() {
        // CRC-32/ISO-HDLC of "123456789" is 0xCBF43926 = 3421780262, and 62 to the power of 5 is 916132832.
        let expected: String = {
            let mut rest = 3_421_780_262_u64;
            let mut out = Vec::new();
            for power in (0..6).rev() {
                let unit = 62_u64.pow(power);
                out.push(base62_digit(rest / unit));
                rest %= unit;
            }
            out.into_iter().collect()
        };
        assert_eq!(checksum("123456789"), expected);
    }
}
