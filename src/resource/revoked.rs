//! What is revoked, at hand for every token that is verified.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::oauth::feed::{RevocationFeed, RevokedGeneration, RevokedJti, RevokedKid};

use super::source::RevocationSource;

/// How much longer than it matters an entry is kept.
pub const KEPT_LONGER: Duration = Duration::from_secs(24 * 3600);

type Names = RwLock<HashMap<String, UnixTime>>;

/// What is revoked. The locks are held for a look-up or an insertion, never across I/O. Nothing comes out but by
/// [`RevokedSet::purge`]: what was revoked once stays so until all it concerns has expired.
#[derive(Debug, Default)]
pub struct RevokedSet {
    jtis: Names,
    generations: Names,
    kids: Names,
}

fn holds(names: &Names, name: &str) -> bool {
    names.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
}

fn insert(names: &Names, entries: impl IntoIterator<Item = (String, UnixTime)>) {
    let mut names = names.write().unwrap_or_else(PoisonError::into_inner);
    for (name, until) in entries {
        let known = names.entry(name).or_insert(until);
        *known = until.max(*known);
    }
}

fn entries<T>(names: &Names, entry: impl Fn(&String, UnixTime) -> T) -> Vec<T> {
    names.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(name, until)| entry(name, *until)).collect()
}

impl RevokedSet {
    /// Takes in what a feed names.
    pub fn add(&self, news: &RevocationFeed) {
        insert(&self.jtis, news.jtis.iter().map(|one| (one.jti.clone(), one.until)));
        insert(&self.generations, news.generations.iter().map(|one| (one.generation.clone(), one.until)));
        insert(&self.kids, news.kids.iter().map(|one| (one.kid.clone(), one.until)));
    }

    /// Forgets what has not mattered for a day at `now`: a clock that runs ahead for a while and is set right should
    /// not raise a token from the dead. A key that `is_used` says is still believed is never forgotten.
    pub fn purge(&self, now: UnixTime, is_used: impl Fn(&str) -> bool) {
        let kept = |until: UnixTime| until.plus(KEPT_LONGER) > now;
        for names in [&self.jtis, &self.generations] {
            names.write().unwrap_or_else(PoisonError::into_inner).retain(|_, until| kept(*until));
        }
        let mut kids = self.kids.write().unwrap_or_else(PoisonError::into_inner);
        kids.retain(|kid, until| kept(*until) || is_used(kid));
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let count = |names: &Names| names.read().unwrap_or_else(PoisonError::into_inner).len();
        count(&self.jtis) + count(&self.generations) + count(&self.kids)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, as a feed names it, with this cursor.
    #[must_use]
    pub fn list(&self, cursor: String) -> RevocationFeed {
        RevocationFeed {
            cursor,
            reset: true,
            jtis: entries(&self.jtis, |name, until| RevokedJti { jti: name.clone(), until }),
            generations: entries(&self.generations, |name, until| RevokedGeneration {
                generation: name.clone(),
                until,
            }),
            kids: entries(&self.kids, |name, until| RevokedKid { kid: name.clone(), until }),
        }
    }
}

impl RevocationSource for RevokedSet {
    fn key_is_revoked(&self, kid: &str) -> bool {
        holds(&self.kids, kid)
    }

    fn token_is_revoked(&self, token_id: &str, generation: Option<&str>) -> bool {
        holds(&self.jtis, token_id) || generation.is_some_and(|generation| holds(&self.generations, generation))
    }
}
