//! Slow hashes of secrets that were not made here, and may be weak: Argon2id, bcrypt, PBKDF2.
//!
//! Responsible for: reading them in the forms that other systems write them in, refusing what cannot be checked or would
//! cost too much, checking a secret, and making new ones, which are always Argon2id. Never: when and how many at once.
//! Everything here but the reading takes a core for many milliseconds.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD_NO_PAD};
use ring::pbkdf2;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::entropy::{Entropy, NoEntropy};

/// The most that a check by bcrypt may cost: two to the power of this many rounds.
const MAX_BCRYPT_COST: u32 = 16;
/// What bcrypt takes in: of a longer secret it would look at the beginning alone.
const BCRYPT_BYTES: usize = 72;
/// The most rounds of PBKDF2.
const MAX_ITERATIONS: u32 = 10_000_000;
/// The most memory that Argon2id may take, in KiB.
const MAX_MEMORY: u32 = 256 * 1024;
/// The most that memory and passes of Argon2id come to, in KiB written: as long as a check by the costliest bcrypt.
const MAX_WRITTEN: u64 = 4 * 1024 * 1024;
/// The most lanes.
const MAX_LANES: u32 = 64;
/// How long salts and hashes may be, in bytes. A shorter hash would be met by guessing.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;
const HASH: std::ops::RangeInclusive<usize> = 16..=64;

/// What new hashes cost (OWASP's least for Argon2id): KiB, passes, lanes.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Base64 with or without its padding, and whatever its last bits are: as lenient as those who wrote it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a text is not taken as a hash. Never carries any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSlowHash {
    /// Another scheme, or none.
    #[error(
        "it is of no scheme that is known here: bcrypt ($2a$, $2b$, $2y$), PBKDF2 ($pbkdf2-sha256$, $pbkdf2-sha512$) \
         or Argon2id ($argon2id$)"
    )]
    UnknownScheme,
    /// It begins as a hash of this scheme and does not go on as one.
    #[error("it is not a whole {0} hash: copy it again, from the first $ to the last character")]
    Malformed(&'static str),
    /// Checking it would take too long, or too much memory.
    #[error("it would cost too much to check: {0}; give the client a new secret instead")]
    TooCostly(&'static str),
}

#[derive(Clone, PartialEq, Eq)]
enum Scheme {
    Bcrypt { cost: u32 },
    Pbkdf2 { algorithm: pbkdf2::Algorithm, iterations: NonZeroU32, salt: Vec<u8>, hash: Vec<u8> },
    Argon2id { memory: u32, passes: u32, lanes: u32, salt: Vec<u8>, hash: Vec<u8> },
}

/// A slow hash of a secret, known to be one that can be checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SlowHash {
    text: String,
    scheme: Scheme,
}

impl fmt::Debug for SlowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlowHash({}, redacted)", self.scheme())
    }
}

impl From<SlowHash> for String {
    fn from(hash: SlowHash) -> Self {
        hash.text
    }
}

impl TryFrom<String> for SlowHash {
    type Error = BadSlowHash;

    fn try_from(text: String) -> Result<Self, BadSlowHash> {
        Self::parse(&text)
    }
}

impl SlowHash {
    /// Reads a hash as other systems write it: `$2b$12$…`, `$pbkdf2-sha256$i=25000,l=32$SALT$HASH` (Ory), the same with
    /// `i=25000` (PHC) or `25000` (passlib), `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    ///
    /// # Errors
    /// [`BadSlowHash`], which repeats nothing of it.
    pub fn parse(text: &str) -> Result<Self, BadSlowHash> {
        let mut parts = text.split('$');
        let (Some(""), Some(name)) = (parts.next(), parts.next()) else { return Err(BadSlowHash::UnknownScheme) };
        let rest: Vec<&str> = parts.collect();
        let scheme = match name {
            "2a" | "2b" | "2y" => bcrypt_scheme(text, &rest)?,
            "pbkdf2-sha256" => pbkdf2_scheme(pbkdf2::PBKDF2_HMAC_SHA256, &rest)?,
            "pbkdf2-sha512" => pbkdf2_scheme(pbkdf2::PBKDF2_HMAC_SHA512, &rest)?,
            "argon2id" => argon2_scheme(&rest)?,
            _ => return Err(BadSlowHash::UnknownScheme),
        };
        Ok(Self { text: text.to_owned(), scheme })
    }

    /// A new hash of `secret`, under Argon2id.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn make(secret: &[u8], entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt)?;
        // The parameters are right, and no secret is too long for Argon2: there is nothing else to fail.
        let hash = argon2id(secret, &salt, (MEMORY, PASSES, LANES), 32).ok_or(NoEntropy)?;
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        Ok(Self {
            text: format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${}${}", encode(&salt), encode(&hash)),
            scheme: Scheme::Argon2id { memory: MEMORY, passes: PASSES, lanes: LANES, salt: salt.to_vec(), hash },
        })
    }

    /// Whether this is the hash of `secret`.
    #[must_use]
    pub fn is_of(&self, secret: &[u8]) -> bool {
        match &self.scheme {
            Scheme::Bcrypt { .. } => {
                secret.len() <= BCRYPT_BYTES && bcrypt::verify(secret, &self.text).unwrap_or(false)
            }
            Scheme::Pbkdf2 { algorithm, iterations, salt, hash } => {
                pbkdf2::verify(*algorithm, *iterations, salt, secret, hash).is_ok()
            }
            Scheme::Argon2id { memory, passes, lanes, salt, hash } => {
                argon2id(secret, salt, (*memory, *passes, *lanes), hash.len())
                    .is_some_and(|made| made.ct_eq(hash).into())
            }
        }
    }

    /// Whether it is as good as a new one: under Argon2id, with no less memory and no fewer passes.
    #[must_use]
    pub fn is_current(&self) -> bool {
        matches!(self.scheme, Scheme::Argon2id { memory, passes, .. } if memory >= MEMORY && passes >= PASSES)
    }

    /// How long a check takes, as far as its parameters tell: on one core of an ordinary machine, within a factor of two
    /// or three.
    #[must_use]
    pub const fn estimate(&self) -> Duration {
        // In nanoseconds: a round of bcrypt, an iteration of PBKDF2, a KiB of Argon2id.
        let (units, each) = match &self.scheme {
            Scheme::Bcrypt { cost } => (1 << *cost, 50_000),
            Scheme::Pbkdf2 { iterations, .. } => (iterations.get() as u64, 500),
            Scheme::Argon2id { memory, passes, .. } => (*memory as u64 * *passes as u64, 500),
        };
        Duration::from_nanos(units * each)
    }

    /// What it is a hash by: `bcrypt`, `pbkdf2` or `argon2id`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self.scheme {
            Scheme::Bcrypt { .. } => "bcrypt",
            Scheme::Pbkdf2 { .. } => "pbkdf2",
            Scheme::Argon2id { .. } => "argon2id",
        }
    }

    /// The text that it is kept as. As good as a password list: for the store alone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn argon2id(secret: &[u8], salt: &[u8], (memory, passes, lanes): (u32, u32, u32), length: usize) -> Option<Vec<u8>> {
    let parameters = Params::new(memory, passes, lanes, Some(length)).ok()?;
    let mut hash = vec![0; length];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    argon2.hash_password_into(secret, salt, &mut hash).ok()?;
    Some(hash)
}

fn bcrypt_scheme(text: &str, rest: &[&str]) -> Result<Scheme, BadSlowHash> {
    let malformed = BadSlowHash::Malformed("bcrypt");
    let &[cost, digits] = rest else { return Err(malformed) };
    if cost.len() != 2 || digits.len() != 53 || !text.is_ascii() {
        return Err(malformed);
    }
    let parts: bcrypt::HashParts = text.parse().map_err(|_| malformed)?;
    match parts.get_cost() {
        ..4 => Err(malformed),
        cost @ 4..=MAX_BCRYPT_COST => Ok(Scheme::Bcrypt { cost }),
        _ => Err(BadSlowHash::TooCostly("the cost of bcrypt may be 16 at most")),
    }
}

fn pbkdf2_scheme(algorithm: pbkdf2::Algorithm, rest: &[&str]) -> Result<Scheme, BadSlowHash> {
    let malformed = BadSlowHash::Malformed("PBKDF2");
    let &[parameters, salt, hash] = rest else { return Err(malformed) };
    // passlib writes the bare number, and a dot for each plus.
    let (iterations, length) = match parameters.parse() {
        Ok(iterations) => (Some(iterations), None),
        Err(_) => (named(parameters, "i")?, named(parameters, "l")?),
    };
    let iterations = iterations.and_then(NonZeroU32::new).ok_or(malformed)?;
    let (salt, hash) = (bytes(&salt.replace('.', "+"), &SALT), bytes(&hash.replace('.', "+"), &HASH));
    let (Some(salt), Some(hash)) = (salt, hash) else { return Err(malformed) };
    if length.is_some_and(|length| usize::try_from(length) != Ok(hash.len())) {
        return Err(malformed);
    }
    if iterations.get() > MAX_ITERATIONS {
        return Err(BadSlowHash::TooCostly("PBKDF2 may have 10 million iterations at most"));
    }
    Ok(Scheme::Pbkdf2 { algorithm, iterations, salt, hash })
}

fn argon2_scheme(rest: &[&str]) -> Result<Scheme, BadSlowHash> {
    let malformed = BadSlowHash::Malformed("Argon2id");
    let &["v=19", parameters, salt, hash] = rest else { return Err(malformed) };
    let [Some(memory), Some(passes), Some(lanes)] =
        [named(parameters, "m")?, named(parameters, "t")?, named(parameters, "p")?]
    else {
        return Err(malformed);
    };
    let (Some(salt), Some(hash)) = (bytes(salt, &SALT), bytes(hash, &HASH)) else { return Err(malformed) };
    if memory > MAX_MEMORY {
        return Err(BadSlowHash::TooCostly("Argon2id may take 256 MiB of memory at most"));
    }
    if u64::from(memory) * u64::from(passes) > MAX_WRITTEN || lanes > MAX_LANES {
        return Err(BadSlowHash::TooCostly("Argon2id may write 4 GiB (memory times passes) in 64 lanes at most"));
    }
    Params::new(memory, passes, lanes, Some(hash.len())).map_err(|_| malformed)?;
    Ok(Scheme::Argon2id { memory, passes, lanes, salt, hash })
}

/// The number that `name` has among `parameters` (`i=25000,l=32`), where it is named once.
fn named(parameters: &str, name: &str) -> Result<Option<u32>, BadSlowHash> {
    let mut found = None;
    for parameter in parameters.split(',') {
        let (own, value) = parameter.split_once('=').ok_or(BadSlowHash::Malformed("PHC"))?;
        if own == name && found.replace(value).is_some() {
            return Err(BadSlowHash::Malformed("PHC"));
        }
    }
    // A number too large for 32 bits is as absurd as one that is none.
    found.map(|value| value.parse().map_err(|_| BadSlowHash::TooCostly("its parameters are absurd"))).transpose()
}

fn bytes(text: &str, length: &std::ops::RangeInclusive<usize>) -> Option<Vec<u8>> {
    LENIENT.decode(text).ok().filter(|bytes| length.contains(&bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SystemEntropy;

    /// Made by others: Go's x/crypto/bcrypt test vector, passlib's documentation, the argon2 command's own tests,
    /// Python's hashlib.
    const VECTORS: [(&str, &str); 4] = [
        ("allmine", "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"),
        ("password", "$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdeQ$.b89xPnXpCbqP8Hgc5tGdNYjHjT4iBHlsqrWlNZJDbQ"),
        ("password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
        (
            "password",
            "$pbkdf2-sha512$i=1000,l=64$c2FsdHNhbHQ$Q6v4xwJ8a9nWPp2BeEoAYYhHSo2xRmPWART17vTpSxt2q6iNp7BOozW557qqa95eNjUO4gKs0CyvJbYGGku1tA",
        ),
    ];

    #[test]
    fn what_others_made_is_checked() {
        for (secret, text) in VECTORS {
            let Ok(hash) = SlowHash::parse(text) else { panic!("{text}: {:?}", SlowHash::parse(text)) };
            assert!(hash.is_of(secret.as_bytes()), "{text}");
            assert!(!hash.is_of(b"Password") && !hash.is_of(b""), "{text}");
            let digest = text.rsplit('$').next().unwrap();
            assert!(!format!("{hash:?}").contains(digest));
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused_and_not_repeated() {
        let salt = "c2FsdHNhbHQ";
        let hash = "A".repeat(43);
        let parameters = |of: &str| format!("${of}${salt}${hash}");
        let bcrypt = |cost: &str| format!("$2b${cost}$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga");
        for good in ["pbkdf2-sha256$i=1", "pbkdf2-sha512$v=1,i=10000000", "argon2id$v=19$m=262144,t=16,p=64"] {
            assert!(SlowHash::parse(&parameters(good)).is_ok(), "{good}");
        }
        assert!(SlowHash::parse(&bcrypt("16")).is_ok());
        use BadSlowHash::{Malformed, TooCostly, UnknownScheme};
        let refused = |text: &str| SlowHash::parse(text).unwrap_err();
        for text in ["", "secret", "$", "$1$salt$hash", "$2x$10$", "$argon2i$v=19$", "$scrypt$", "sha256:AAAA", "x$2b$"]
        {
            assert_eq!(refused(text), UnknownScheme, "{text}");
        }
        for text in [bcrypt("17"), bcrypt("31")] {
            assert!(matches!(refused(&text), TooCostly(_)), "{text}");
        }
        for text in ["pbkdf2-sha256$i=10000001", "pbkdf2-sha256$i=99999999999", "argon2id$v=19$m=262145,t=1,p=1"] {
            assert!(matches!(refused(&parameters(text)), TooCostly(_)), "{text}");
        }
        assert!(matches!(refused(&parameters("argon2id$v=19$m=262144,t=17,p=1")), TooCostly(_)));
        let short = format!("$pbkdf2-sha256$i=1,l=4${salt}$AAAAAA");
        for text in [bcrypt("3"), bcrypt("x0"), bcrypt("010"), "$2b$10$".to_owned(), "$2a$10".to_owned(), short] {
            assert!(matches!(refused(&text), Malformed(_)), "{text}");
        }
        for text in ["pbkdf2-sha256$i=0", "pbkdf2-sha256$l=32", "pbkdf2-sha256$i=1,l=31", "pbkdf2-sha256$i=1,i=2"] {
            assert!(matches!(refused(&parameters(text)), Malformed(_)), "{text}");
        }
        for text in
            ["argon2id$v=16$m=64,t=1,p=1", "argon2id$m=64,t=1,p=1", "argon2id$v=19$m=1,t=1,p=1", "argon2id$v=19$"]
        {
            assert!(matches!(refused(&parameters(text)), Malformed(_)), "{text}");
        }
        assert!(!refused(&parameters("pbkdf2-sha256$x")).to_string().contains(&hash));
    }

    #[test]
    fn what_is_made_is_current_and_checked() {
        let hash = SlowHash::make(b"hunter2-hunter2", &SystemEntropy::new()).unwrap();
        let read = SlowHash::parse(hash.as_str()).unwrap();
        assert!(read == hash && read.is_current() && read.is_of(b"hunter2-hunter2") && !read.is_of(b"hunter2"));
    }
}
