//! What is due in the life of the keys: decisions on records alone, with the time handed in.

use std::time::Duration;

use crate::api::KeyState;
use crate::clock::UnixTime;
use crate::server::config::SigningAlgorithm;
use crate::server::model::KeyRecord;

/// When the next key may take over: as soon as every verifier has had time to see it. A moment is whole seconds, and
/// one of them may have passed before it was published.
pub(super) fn ripe_at(next: &KeyRecord, jwks_max_age: Duration) -> UnixTime {
    next.published_at.plus(jwks_max_age + Duration::from_secs(1))
}

pub(super) fn find(records: &[KeyRecord], state: KeyState) -> Option<&KeyRecord> {
    records.iter().find(|record| record.state == state)
}

/// When the next key takes over, if nobody asks for it sooner.
pub(super) fn activates_at(records: &[KeyRecord], rotate_after: Duration, jwks_max_age: Duration) -> Option<UnixTime> {
    let next = find(records, KeyState::Next)?;
    let ripe = ripe_at(next, jwks_max_age);
    if next.rotation_requested {
        return Some(ripe);
    }
    let Some(active) = find(records, KeyState::Active) else {
        // Nothing signs: the next key cannot be too early.
        return Some(next.published_at);
    };
    active.activated_at.map(|since| since.plus(rotate_after).max(ripe))
}

/// Makes the next key the active one.
pub(super) fn rotate(records: &mut [KeyRecord], longest_token: Duration, now: UnixTime) {
    for record in records.iter_mut() {
        match record.state {
            KeyState::Active => {
                record.state = KeyState::Retiring;
                record.retires_at = Some(now.plus(Duration::from_secs(record.longest_token)));
            }
            KeyState::Next => {
                record.state = KeyState::Active;
                record.rotation_requested = false;
                record.activated_at = Some(now);
                record.longest_token = longest_token.as_secs();
            }
            KeyState::Retiring | KeyState::Revoked | KeyState::Retired => {}
        }
    }
}

/// Retires the keys whose last token has expired.
pub(super) fn retire(records: &mut [KeyRecord], now: UnixTime) {
    for record in records.iter_mut() {
        if record.state == KeyState::Retiring && record.retires_at.is_some_and(|end| now >= end) {
            record.state = KeyState::Retired;
        }
    }
}

/// The files of keys out of use that were generated here, and so go with them.
pub(super) fn files_out_of_use(records: &[KeyRecord]) -> Vec<String> {
    let out_of_use = |record: &&KeyRecord| !record.is_published() && record.generated;
    let in_use = |file: &str| records.iter().any(|record| record.is_published() && record.file == file);
    records.iter().filter(out_of_use).map(|record| record.file.clone()).filter(|file| !in_use(file)).collect()
}

/// Forgets retired keys whose file is gone. While it is there the record keeps it from being taken for an unused key;
/// a file that is the operator's stays where it is, and its record too.
pub(super) fn forget_retired(records: &mut Vec<KeyRecord>, exists: impl Fn(&str) -> bool) {
    records.retain(|record| record.state != KeyState::Retired || !record.generated || exists(&record.file));
}

/// A new record of a key that has just been published.
pub(super) fn published(
    kid: &str,
    file: &str,
    algorithm: SigningAlgorithm,
    generated: bool,
    now: UnixTime,
) -> KeyRecord {
    KeyRecord {
        kid: kid.to_owned(),
        algorithm,
        state: KeyState::Next,
        file: file.to_owned(),
        generated,
        published_at: now,
        activated_at: None,
        rotation_requested: false,
        longest_token: 0,
        retires_at: None,
    }
}
