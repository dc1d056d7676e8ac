//! The nonces of Digest challenges (RFC 7616 §3.3): handing one out stores nothing, and each count of it is good once.
//!
//! A nonce says when it was made and proves that it was made here. What is kept is which counts of it were used, from its
//! first use on: that takes credentials, so that strangers fill nothing. Where there is no more room the oldest one is
//! forgotten, and with it all that were made before: what was forgotten is never taken for unused.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::HmacKey;
use crate::crypto::entropy::{Entropy, NoEntropy};

/// How long a nonce is good.
pub(super) const LIFE: Duration = Duration::from_secs(5 * 60);
/// The most nonces in use.
const CAPACITY: usize = 65_536;
/// How far below the highest count of a nonce one is still told from those that were used.
const WINDOW: u32 = 64;

const RANDOM: usize = 8;
const TAG: usize = 16;

/// A nonce that was made here: when, in nanoseconds, and what tells it from others of that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NonceId(u64, [u8; RANDOM]);

/// Why a nonce is not good, or a count of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadNonce {
    /// It was not made here, or not in this run.
    Unknown,
    /// It was made too long ago.
    Expired,
    /// Its count was taken, or may have been.
    Used,
}

#[derive(Debug)]
pub(super) struct Nonces {
    key: HmacKey,
    /// Goes with every nonce of this run.
    pub(super) opaque: String,
    used: Mutex<Used>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Used {
    counts: BTreeMap<NonceId, Counts>,
    /// What was made up to then is not good any more.
    forgotten_until: Option<u64>,
}

/// The counts of a nonce that were used.
#[derive(Clone, Copy, Debug)]
struct Counts {
    highest: u32,
    /// The lowest bit is the highest count, the next one the count below it.
    used: u64,
}

impl Nonces {
    pub(super) fn new(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Self::with_capacity(entropy, CAPACITY)
    }

    fn with_capacity(entropy: &dyn Entropy, capacity: usize) -> Result<Self, NoEntropy> {
        let mut secret = [0; 32];
        entropy.fill(&mut secret)?;
        let key = HmacKey::sha256(&secret);
        let opaque = URL_SAFE_NO_PAD.encode(key.tag(b"opaque").iter().take(TAG).copied().collect::<Vec<_>>());
        Ok(Self { key, opaque, used: Mutex::default(), capacity })
    }

    /// A new nonce.
    pub(super) fn make(&self, entropy: &dyn Entropy, now: Duration) -> Result<String, NoEntropy> {
        let mut random = [0; RANDOM];
        entropy.fill(&mut random)?;
        let made = [nanoseconds(now).to_be_bytes(), random].concat();
        let tag = self.key.tag(&made);
        Ok(URL_SAFE_NO_PAD.encode([made, tag.into_iter().take(TAG).collect()].concat()))
    }

    /// The nonce, if it was made here, and no longer ago than it is good.
    ///
    /// # Errors
    /// [`BadNonce`].
    pub(super) fn known(&self, text: &str, now: Duration) -> Result<NonceId, BadNonce> {
        let (nonce, age) = self.made_here(text, now).ok_or(BadNonce::Unknown)?;
        if age < nanoseconds(LIFE) { Ok(nonce) } else { Err(BadNonce::Expired) }
    }

    /// The nonce, if it was made here, and how long ago.
    fn made_here(&self, text: &str, now: Duration) -> Option<(NonceId, u64)> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (made, tag) = bytes.split_at_checked(8 + RANDOM)?;
        // As many bytes of the tag as there are have to be right, and there have to be all of them.
        let own: Vec<_> = self.key.tag(made).into_iter().take(TAG).collect();
        if tag.len() != TAG || !bool::from(subtle::ConstantTimeEq::ct_eq(&own[..], tag)) {
            return None;
        }
        let (moment, random) = made.split_at_checked(8)?;
        let moment = u64::from_be_bytes(moment.try_into().ok()?);
        let age = nanoseconds(now).checked_sub(moment)?;
        Some((NonceId(moment, random.try_into().ok()?), age))
    }

    /// Takes a count of a nonce, which nobody else gets; false where it was taken, or may have been.
    pub(super) fn take(&self, nonce: NonceId, count: u32, now: Duration) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = nanoseconds(now).saturating_sub(nanoseconds(LIFE));
        while used.counts.first_key_value().is_some_and(|(oldest, _)| oldest.0 < ended) {
            used.counts.pop_first();
        }
        if used.forgotten_until.is_some_and(|until| nonce.0 <= until) {
            return false;
        }
        if let Some(counts) = used.counts.get_mut(&nonce) {
            return counts.take(count);
        }
        used.counts.insert(nonce, Counts { highest: count, used: 1 });
        if used.counts.len() > self.capacity
            && let Some((oldest, _)) = used.counts.pop_first()
        {
            used.forgotten_until = Some(oldest.0);
            // It may have been this one.
            return oldest != nonce;
        }
        true
    }
}

impl Counts {
    fn take(&mut self, count: u32) -> bool {
        if let Some(ahead) = count.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.used = if ahead < WINDOW { self.used << ahead } else { 0 } | 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        let place = if behind < WINDOW { 1_u64 << behind } else { return false };
        let is_free = self.used & place == 0;
        self.used |= place;
        is_free
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn a_count_is_good_once_and_within_the_window_in_any_order() {
        let entropy = SeededEntropy::new(1);
        let nonces = Nonces::new(&entropy).unwrap();
        let nonce = nonces.known(&nonces.make(&entropy, NOW).unwrap(), NOW).unwrap();
        for (count, good) in [
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (3, false),
            (80, true),
            (17, true),
            (16, false),
            (17, false),
            (1, false),
            (u32::MAX, true),
            (80, false),
        ] {
            assert_eq!(nonces.take(nonce, count, NOW), good, "{count}");
        }
    }

    #[test]
    fn a_nonce_is_known_where_it_was_made_and_while_it_is_good() {
        let entropy = SeededEntropy::new(1);
        let (nonces, others) = (Nonces::new(&entropy).unwrap(), Nonces::new(&entropy).unwrap());
        let nonce = nonces.make(&entropy, NOW).unwrap();
        assert!(nonces.known(&nonce, NOW).is_ok());
        assert_eq!(others.known(&nonce, NOW), Err(BadNonce::Unknown));
        assert!(nonces.known(&nonce, NOW + LIFE - Duration::from_nanos(1)).is_ok());
        assert_eq!(nonces.known(&nonce, NOW + LIFE), Err(BadNonce::Expired));
        assert_eq!(nonces.known(&nonce, NOW - LIFE), Err(BadNonce::Unknown));
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
            assert_eq!(nonces.known(&String::from_utf8(changed).unwrap(), NOW), Err(BadNonce::Unknown), "{at}");
            assert_eq!(nonces.known(nonce.get(..at).unwrap(), NOW), Err(BadNonce::Unknown), "{at}");
        }
    }

    #[test]
    fn what_was_forgotten_is_never_taken_for_unused() {
        let entropy = SeededEntropy::new(1);
        let nonces = Nonces::with_capacity(&entropy, 3).unwrap();
        let made: Vec<_> = (0..6)
            .map(|at| {
                let now = NOW + Duration::from_secs(at);
                (nonces.known(&nonces.make(&entropy, now).unwrap(), now).unwrap(), now)
            })
            .collect();
        // The one before the last is not used until there is no room.
        for (nonce, now) in made.iter().take(4) {
            assert!(nonces.take(*nonce, 1, *now));
        }
        let now = made[5].1;
        assert!(!nonces.take(made[0].0, 1, now) && !nonces.take(made[0].0, 2, now), "forgotten");
        assert!(nonces.take(made[1].0, 2, now), "still there");
        assert!(nonces.take(made[5].0, 1, now));
        assert!(!nonces.take(made[1].0, 3, now), "forgotten");
        assert!(nonces.take(made[4].0, 1, now), "younger than all that was forgotten");
        assert_eq!(nonces.used.lock().unwrap().counts.len(), 3);
        nonces.take(made[5].0, 2, now + LIFE);
        assert!(nonces.used.lock().unwrap().counts.len() <= 1, "what has ended needs no room");
    }
}
