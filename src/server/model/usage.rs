//! What clients have used: figures of an hour or a day, and when it was last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;
use crate::id::ClientId;

use super::SecretUse;

/// The most scopes, reasons and secrets that the figures of one hour or day tell apart.
const MOST_NAMES: usize = 32;
/// What all further ones are called; no scope can be called so, nor a reason or a secret.
pub const OTHERS: &str = "all others";

/// What figures are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// An hour, UTC.
    Hour,
    /// A day, UTC.
    Day,
}

impl Per {
    /// How long it is, in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3600,
            Self::Day => 24 * 3600,
        }
    }

    /// When the one that `moment` is in began. Unix time has no leap seconds, so that UTC's hours and days are whole.
    #[must_use]
    pub const fn start(self, moment: UnixTime) -> UnixTime {
        let seconds = moment.seconds();
        UnixTime::from_seconds(seconds.saturating_sub(seconds.rem_euclid(self.seconds())))
    }
}

/// What was used in an hour or a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// How many tokens were issued.
    pub issued: u64,
    /// How many token requests were refused, by reason; where the client could not be authenticated, by what really
    /// happened.
    pub refused: BTreeMap<String, u64>,
    /// The same by secret, as far as one was used.
    pub secrets: BTreeMap<String, SecretFigures>,
    /// How many tokens were issued with a scope.
    pub scopes: BTreeMap<String, u64>,
}

/// What a secret was used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretFigures {
    /// How many tokens were issued for it.
    pub issued: u64,
    /// How many token requests were refused although it was right.
    pub refused: u64,
}

/// The entry of this name, as long as there is room for it, and that of all others beyond.
fn entry<'m, T: Default>(map: &'m mut BTreeMap<String, T>, name: &str) -> &'m mut T {
    let names = map.len() - usize::from(map.contains_key(OTHERS));
    let name = if map.contains_key(name) || names < MOST_NAMES { name } else { OTHERS };
    map.entry(name.to_owned()).or_default()
}

impl Figures {
    /// Counts a token that was issued.
    pub fn count_issued<'s>(&mut self, secret: &str, scopes: impl Iterator<Item = &'s str>) {
        self.issued += 1;
        entry(&mut self.secrets, secret).issued += 1;
        for scope in scopes {
            *entry(&mut self.scopes, scope) += 1;
        }
    }

    /// Counts a token request that was refused.
    pub fn count_refused(&mut self, reason: &str, secret: Option<&str>) {
        *entry(&mut self.refused, reason) += 1;
        if let Some(secret) = secret {
            entry(&mut self.secrets, secret).refused += 1;
        }
    }

    /// Adds what came to pass besides.
    pub fn add(&mut self, other: &Self) {
        self.issued = self.issued.saturating_add(other.issued);
        for (reason, count) in &other.refused {
            let sum = entry(&mut self.refused, reason);
            *sum = sum.saturating_add(*count);
        }
        for (secret, figures) in &other.secrets {
            let sum = entry(&mut self.secrets, secret);
            sum.issued = sum.issued.saturating_add(figures.issued);
            sum.refused = sum.refused.saturating_add(figures.refused);
        }
        for (scope, count) in &other.scopes {
            let sum = entry(&mut self.scopes, scope);
            *sum = sum.saturating_add(*count);
        }
    }
}

/// When a client was last used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientUses {
    /// When one of its secrets or Digest keys was; never if there is none.
    pub used_at: Option<UnixTime>,
    /// When one was to some end: a request that is refused although the secret is right is a use, and gets nothing.
    #[serde(default)]
    pub served_at: Option<UnixTime>,
    /// When a token was last issued with a scope, by the scope.
    pub scopes: BTreeMap<String, UnixTime>,
}

impl ClientUses {
    /// When a request last was not refused, as far as is known: a store from before that was kept has the scopes alone.
    #[must_use]
    pub fn last_served(&self) -> Option<UnixTime> {
        self.served_at.or_else(|| self.scopes.values().max().copied())
    }

    /// Takes in what may be later.
    pub fn add(&mut self, other: &Self) {
        self.used_at = self.used_at.max(other.used_at);
        self.served_at = self.served_at.max(other.served_at);
        for (scope, at) in &other.scopes {
            match self.scopes.get_mut(scope) {
                Some(last) => *last = (*last).max(*at),
                None => drop(self.scopes.insert(scope.clone(), *at)),
            }
        }
    }
}

/// What a client has used since it was last written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUsage {
    /// The client.
    pub client_id: ClientId,
    /// The last uses of its secrets and Digest keys, by their ids.
    pub secrets: Vec<(String, SecretUse)>,
    /// When it and its scopes were last used.
    pub uses: ClientUses,
    /// The figures, by the moment when the hour begins.
    pub hours: BTreeMap<UnixTime, Figures>,
}

impl ClientUsage {
    /// Nothing yet.
    #[must_use]
    pub fn of(client_id: ClientId) -> Self {
        Self { client_id, secrets: Vec::new(), uses: ClientUses::default(), hours: BTreeMap::new() }
    }

    /// Takes in what the client has used besides and later.
    pub fn add(&mut self, later: &Self) {
        for (secret, used) in &later.secrets {
            match self.secrets.iter_mut().find(|(id, _)| id == secret) {
                Some((_, last)) => *last = *used,
                None => self.secrets.push((secret.clone(), *used)),
            }
        }
        self.uses.add(&later.uses);
        for (hour, figures) in &later.hours {
            self.hours.entry(*hour).or_default().add(figures);
        }
    }
}
