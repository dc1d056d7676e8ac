//! The keys as they are used: what signs, what verifies, and the JWKS.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::api::KeyState;
use crate::crypto::{PublicKey, SigningKeyKind, sha256};
use crate::jose::{KeySet, TokenSigner, jwk};
use crate::server::config::SigningAlgorithm;
use crate::server::model::KeyRecord;

use super::files::{self, KeyFile, KeyFileError};
use super::schedule;

/// The JWKS as it is served.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The body.
    pub body: bytes::Bytes,
    /// Its entity tag, quotes included.
    pub etag: String,
}

/// The keys as they are used, made whole and swapped whole.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) signer: Option<Arc<TokenSigner>>,
    pub(super) keys: KeySet,
    pub(super) published: Published,
    pub(super) records: Vec<KeyRecord>,
}

impl Snapshot {
    /// The snapshot of these records, whose published ones have these signers.
    pub(super) fn of(records: &[KeyRecord], signers: &[Arc<TokenSigner>]) -> Self {
        let signer_of = |record: &KeyRecord| signers.iter().find(|signer| signer.kid() == record.kid);
        let mut published: Vec<&KeyRecord> = records.iter().filter(|record| record.is_published()).collect();
        // The key that signs comes first: some verifiers try them in order.
        published.sort_by_key(|record| match record.state {
            KeyState::Active => 0,
            KeyState::Next => 1,
            _ => 2,
        });
        let keys: Vec<(String, PublicKey, crate::jose::Algorithm)> = published
            .iter()
            .filter_map(|record| Some((record.kid.clone(), signer_of(record)?.public_key(), record.algorithm.into())))
            .collect();
        let jwks: Vec<Value> = keys.iter().map(|(kid, key, algorithm)| jwk::to_jwk(key, kid, *algorithm)).collect();
        let body = json!({ "keys": jwks }).to_string();
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(sha256(body.as_bytes())));
        Self {
            signer: schedule::find(records, KeyState::Active).and_then(|record| signer_of(record).cloned()),
            keys: KeySet::from_keys(keys.iter().map(|(kid, key, algorithm)| (kid.clone(), key, *algorithm))),
            published: Published { body: body.into(), etag },
            records: records.to_vec(),
        }
    }
}

/// The keys of the published records, of their files.
pub(super) fn signers(
    dir: &Path,
    records: &[KeyRecord],
    found: &[KeyFile],
) -> Result<Vec<Arc<TokenSigner>>, KeyFileError> {
    let mut signers = Vec::new();
    for record in records.iter().filter(|record| record.is_published()) {
        let path = dir.join(&record.file);
        let file = found.iter().find(|file| file.name == record.file).ok_or_else(|| KeyFileError::Missing {
            kid: record.kid.clone(),
            state: record.state.as_str(),
            path: path.clone(),
        })?;
        if file.kid != record.kid {
            return Err(KeyFileError::Mismatched { path, expected: record.kid.clone() });
        }
        signers.push(Arc::new(file.signer(record.algorithm)?));
    }
    Ok(signers)
}

/// The key that signs by these records, of its file; none where that is not there or cannot be used. Touches nothing.
#[must_use]
pub fn active_signer(dir: &Path, records: &[KeyRecord]) -> Option<Arc<TokenSigner>> {
    let active = schedule::find(records, KeyState::Active)?;
    let found = files::read_good(dir).ok()?;
    signers(dir, std::slice::from_ref(active), &found).ok()?.pop()
}

/// The public halves of the good key files of a folder. Touches nothing.
#[must_use]
pub fn public_keys(dir: &Path) -> Vec<Value> {
    let public = |file: &KeyFile| {
        let algorithm = match file.kind {
            SigningKeyKind::P256 => SigningAlgorithm::ES256,
            SigningKeyKind::Ed25519 => SigningAlgorithm::EdDSA,
            SigningKeyKind::Rsa => SigningAlgorithm::RS256,
        };
        let mut key = jwk::to_jwk(&file.signer(algorithm).ok()?.public_key(), &file.kid, algorithm.into());
        // A key of RSA can serve another one, too.
        if let Some(members) = key.as_object_mut() {
            members.remove("alg");
        }
        Some(key)
    };
    files::read_good(dir).map(|found| found.iter().filter_map(public).collect()).unwrap_or_default()
}
