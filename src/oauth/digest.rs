//! HTTP Digest (RFC 7616), as far as it is spoken here: `qop=auth` with SHA-256 and SHA-512-256.
//!
//! No MD5, no `-sess`, no `auth-int`, no `userhash`: who sends one of those is told so, and no guess is made.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::challenge::REALM;
use crate::crypto::HashAlgorithm;

/// The algorithms in the order in which they are offered. curl takes the first of them alone, and takes SHA-512-256 for
/// SHA-256 before its version 8.8; so SHA-256 is the first.
pub const ALGORITHMS: [HashAlgorithm; 2] = [HashAlgorithm::Sha256, HashAlgorithm::Sha512_256];

/// The most parameters that are read.
const MAX_PARAMETERS: usize = 32;

/// The Digest credentials of a request cannot be read, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Digest credentials cannot be read: {0} (RFC 7616, 3.4)")]
pub struct BadDigest(&'static str);

/// H(A1) for both algorithms: what a server keeps of a password. Who has it needs the password no more.
pub type Secrets = Zeroizing<[u8; 64]>;

/// The name of an algorithm on the wire.
#[must_use]
pub const fn name(algorithm: HashAlgorithm) -> &'static str {
    match algorithm {
        HashAlgorithm::Sha256 => "SHA-256",
        HashAlgorithm::Sha512_256 => "SHA-512-256",
    }
}

/// H(A1) = H(username ":" realm ":" password) (RFC 7616 §3.4.2).
#[must_use]
pub fn h_a1(algorithm: HashAlgorithm, username: &str, realm: &str, password: &str) -> Zeroizing<[u8; 32]> {
    let parts = [username, ":", realm, ":", password].map(str::as_bytes);
    Zeroizing::new(algorithm.hash(&parts))
}

/// What is kept of a password in our realm.
#[must_use]
pub fn secrets(username: &str, password: &str) -> Secrets {
    let mut both = Zeroizing::new([0; 64]);
    let (first, second) = both.split_at_mut(32);
    for (half, algorithm) in [first, second].into_iter().zip(ALGORITHMS) {
        half.copy_from_slice(&*h_a1(algorithm, username, REALM, password));
    }
    both
}

/// A line of `WWW-Authenticate`. `nonce` and `opaque` have neither quotes nor backslashes in them.
///
/// The names of the parameters, which are the same in any case (RFC 9110 §11.2), begin with a capital in all but the first
/// line: Python's requests reads all lines as one, and would take the nonce for one algorithm and the name of another.
#[must_use]
pub fn challenge(algorithm: HashAlgorithm, nonce: &str, opaque: &str, stale: bool) -> String {
    let stale = if stale { "true" } else { "false" };
    let name = name(algorithm);
    match algorithm {
        HashAlgorithm::Sha256 => format!(
            "Digest realm=\"{REALM}\", qop=\"auth\", algorithm={name}, nonce=\"{nonce}\", opaque=\"{opaque}\", stale={stale}"
        ),
        HashAlgorithm::Sha512_256 => format!(
            "Digest Realm=\"{REALM}\", Qop=\"auth\", Algorithm={name}, Nonce=\"{nonce}\", Opaque=\"{opaque}\", Stale={stale}"
        ),
    }
}

/// The credentials of a request. What of them is right nobody has looked at.
#[derive(Clone)]
pub struct Credentials {
    /// Who it claims to be.
    pub username: String,
    /// The realm that it answers to.
    pub realm: String,
    /// The nonce that it answers to.
    pub nonce: String,
    /// What goes with the nonce.
    pub opaque: Option<String>,
    /// What it says that it asks for.
    pub uri: String,
    /// What it hashed with.
    pub algorithm: HashAlgorithm,
    /// How often it has used the nonce, this time included.
    pub count: u32,
    count_text: String,
    cnonce: String,
    response: [u8; 32],
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads what stands behind `Digest` in an `Authorization` header.
    ///
    /// # Errors
    /// [`BadDigest`].
    pub fn parse(text: &str) -> Result<Self, BadDigest> {
        let mut parameters = parameters(text)?;
        let mut take = |name: &str| {
            let at = parameters.iter().position(|(own, _)| own == name)?;
            Some(parameters.swap_remove(at).1)
        };
        let needed = |value: Option<String>, missing| value.filter(|value| !value.is_empty()).ok_or(BadDigest(missing));
        if take("username*").is_some() || take("userhash").is_some_and(|value| !value.eq_ignore_ascii_case("false")) {
            return Err(BadDigest("the user name goes into username, as it is"));
        }
        let algorithm = take("algorithm").unwrap_or_default();
        let known = ALGORITHMS.into_iter().find(|known| name(*known).eq_ignore_ascii_case(&algorithm));
        let algorithm = known.ok_or(BadDigest("the algorithm has to be SHA-256 or SHA-512-256"))?;
        if take("qop").is_none_or(|qop| qop != "auth") {
            return Err(BadDigest("qop has to be auth"));
        }
        let count_text = needed(take("nc"), "nc is missing")?;
        let count = Some(&count_text).filter(|text| text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit()));
        let count = count.and_then(|text| u32::from_str_radix(text, 16).ok()).filter(|count| *count > 0);
        let response = needed(take("response"), "response is missing")?;
        Ok(Self {
            username: needed(take("username"), "username is missing")?,
            realm: needed(take("realm"), "realm is missing")?,
            nonce: needed(take("nonce"), "nonce is missing")?,
            opaque: take("opaque"),
            uri: needed(take("uri"), "uri is missing")?,
            algorithm,
            count: count.ok_or(BadDigest("nc has to be 8 hexadecimal digits, from 00000001"))?,
            count_text,
            cnonce: needed(take("cnonce"), "cnonce is missing")?,
            response: of_hex(&response).ok_or(BadDigest("response has to be 64 hexadecimal digits"))?,
        })
    }

    /// Whether the response is that of who has this H(A1), to a request with this method (RFC 7616 §3.4.1). The uri is
    /// that of the credentials: whether it is the request's as well is for the caller to see. In constant time.
    #[must_use]
    pub fn answers(&self, h_a1: &[u8; 32], method: &str) -> bool {
        let h_a2 = self.algorithm.hash(&[method.as_bytes(), b":", self.uri.as_bytes()]);
        let (h_a1, h_a2) = (Zeroizing::new(hex(h_a1)), hex(&h_a2));
        let (nonce, count, cnonce) = (self.nonce.as_str(), self.count_text.as_str(), self.cnonce.as_str());
        let parts = [h_a1.as_str(), ":", nonce, ":", count, ":", cnonce, ":auth:", h_a2.as_str()];
        let expected = Zeroizing::new(self.algorithm.hash(&parts.map(str::as_bytes)));
        expected.ct_eq(&self.response).into()
    }

    /// The half of what is kept that the response was made with.
    #[must_use]
    pub fn half_of(&self, secrets: &Secrets) -> Zeroizing<[u8; 32]> {
        let (first, second) = secrets.split_at(32);
        let mut half = Zeroizing::new([0; 32]);
        half.copy_from_slice(match self.algorithm {
            HashAlgorithm::Sha256 => first,
            HashAlgorithm::Sha512_256 => second,
        });
        half
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|four| char::from_digit(four.into(), 16)).collect()
}

fn of_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|four| u8::try_from(four).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|two| two.iter().fold(0, |byte, four| byte << 4 | four)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// The parameters by their names, in lower case (RFC 9110 §11.2). Each is there once.
fn parameters(text: &str) -> Result<Vec<(String, String)>, BadDigest> {
    let shape = BadDigest("they have to be NAME=VALUE, separated by commas, each name once");
    let blank = |c| matches!(c, ' ' | '\t');
    let mut found: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_matches(blank);
    loop {
        let (name, behind) = token(rest);
        let value = behind.trim_start_matches(blank).strip_prefix('=').ok_or(shape)?.trim_start_matches(blank);
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).ok_or(BadDigest("a quote is not closed"))?,
            None => {
                let (value, behind) = token(value);
                (value.to_owned(), behind)
            }
        };
        let name = name.to_ascii_lowercase();
        let is_new = found.iter().all(|(own, _)| *own != name);
        if name.is_empty() || !is_new || found.len() >= MAX_PARAMETERS {
            return Err(shape);
        }
        found.push((name, value));
        rest = behind.trim_start_matches(blank);
        if rest.is_empty() {
            return Ok(found);
        }
        rest = rest.strip_prefix(',').ok_or(shape)?.trim_start_matches(blank);
    }
}

/// The token that the text begins with, and what stands behind it.
fn token(text: &str) -> (&str, &str) {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let end = text.bytes().position(|b| !good(b)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// What stands before the closing quote, and what behind it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}
