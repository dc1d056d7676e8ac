//! Third-party vectors through our own code: what others hold to be right, so that our reading of the RFCs is not
//! tested against itself.

mod cookbook;
mod json;
mod rfc;

use std::path::{Path, PathBuf};

use mintage::crypto::VerifyingKey;
use mintage::jose::{Algorithm, CompactJws, JwsError, jwk};
use serde_json::Value;

/// All that a caller could ever list as accepted, so that a refusal is the code's own and not that of a narrow list.
const ALL: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::EdDSA,
];

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn read_json(path: &str) -> Value {
    let bytes = std::fs::read(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"));
    serde_json::from_slice(&bytes).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The files of a folder, by name.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Where a JWS stops on the way that `mintage token inspect` and the verifiers take.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Jws(JwsError),
    /// The JWK is none that we know how to use.
    Key,
    /// The key cannot serve the algorithm that the header names.
    KeyForAlgorithm,
}

impl From<JwsError> for Stop {
    fn from(error: JwsError) -> Self {
        Self::Jws(error)
    }
}

/// The payload, if `jwk` verifies the signature under the algorithm of the header.
fn verify(token: &str, key: &Value, accepted: &[Algorithm]) -> Result<Vec<u8>, Stop> {
    let jws = CompactJws::parse(token)?;
    let header = jws.checked_header(accepted)?;
    let parsed = jwk::from_jwk(key).ok_or(Stop::Key)?;
    let key = VerifyingKey::new(&parsed.key, header.alg).ok_or(Stop::KeyForAlgorithm)?;
    jws.verify_signature(&key)?;
    Ok(jws.payload)
}

fn is_not_accepted(verdict: &Result<Vec<u8>, Stop>) -> bool {
    matches!(verdict, Err(Stop::Jws(JwsError::AlgorithmNotAccepted { .. })))
}

/// Changes each character in turn, in its lowest and in its highest bit: the lowest of a last character may be one
/// that base64 throws away.
fn no_single_change_verifies(token: &str, key: &Value) -> usize {
    verify(token, key, &ALL).expect("the unchanged token has to verify, or nothing is shown");
    let mut changes = 0;
    for (at, byte) in token.bytes().enumerate() {
        let Some(digit) = BASE64URL.iter().position(|b| *b == byte) else { continue };
        for flip in [1, 32] {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = BASE64URL[digit ^ flip];
            let changed = String::from_utf8(changed).unwrap();
            assert!(verify(&changed, key, &ALL).is_err(), "character {at} changed, and it still verifies: {changed}");
            changes += 1;
        }
    }
    changes
}
