//! What clients use, gathered in memory and written in the background: issuing a token never waits for the store.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::UnixTime;
use crate::id::ClientId;
use crate::scope::ScopeSet;
use crate::server::error::Error;
use crate::server::model::{ClientUsage, ClientUses, Per, SecretUse};
use crate::server::store::StoreError;
use crate::source_ip::SourceAddress;

use super::{Authenticated, ClientRefusal, Service};

/// The most clients whose use is held between two flushes; beyond it, the use of a client not yet held goes unnoted.
const CAPACITY: usize = 100_000;
/// How many clients' use is written in one transaction: a change that waits behind it waits for no more than that.
const AT_ONCE: usize = 500;

#[derive(Debug)]
pub(super) struct Usage {
    uses: Mutex<Uses>,
    /// One flush at a time: who reads the figures waits for the one that is under way.
    flushing: tokio::sync::Mutex<()>,
    /// Up to when all that was used is in the store.
    complete_until: AtomicI64,
    unnoted: AtomicU64,
    /// Where the purge of what is no longer kept goes on.
    purged_up_to: Mutex<Option<ClientId>>,
}

#[derive(Debug, Default)]
struct Uses {
    held: HashMap<ClientId, ClientUsage>,
    /// The last uses of the secrets in `held`.
    secrets: HashMap<String, SecretUse>,
    /// On their way to the store, and perhaps not there yet: whoever asks has to be told of them.
    writing: HashMap<String, SecretUse>,
}

impl Uses {
    /// What is held of a client; none where there is no room for it.
    fn of(&mut self, client: &ClientId) -> Option<&mut ClientUsage> {
        if !self.held.contains_key(client) {
            if self.held.len() >= CAPACITY {
                return None;
            }
            self.held.insert(client.clone(), ClientUsage::of(client.clone()));
        }
        self.held.get_mut(client)
    }

    fn note_secret(&mut self, secret: &str, used: SecretUse) {
        match self.secrets.get_mut(secret) {
            Some(last) => *last = used,
            None => drop(self.secrets.insert(secret.to_owned(), used)),
        }
    }

    fn no_longer_writes(&mut self, usage: &[ClientUsage]) {
        for (secret, used) in usage.iter().flat_map(|usage| &usage.secrets) {
            // A later use may be on its way by now.
            if self.writing.get(secret) == Some(used) {
                self.writing.remove(secret);
            }
        }
    }
}

/// The last use of this secret, in the list of its client.
fn set_last(secrets: &mut Vec<(String, SecretUse)>, secret: &str, used: SecretUse) {
    match secrets.iter_mut().find(|(id, _)| id == secret) {
        Some((_, last)) => *last = used,
        None => secrets.push((secret.to_owned(), used)),
    }
}

impl Usage {
    /// Nothing is held, and all that was used before `now` is in the store.
    pub(super) fn new(now: UnixTime) -> Self {
        Self {
            uses: Mutex::default(),
            flushing: tokio::sync::Mutex::new(()),
            complete_until: AtomicI64::new(now.seconds()),
            unnoted: AtomicU64::new(0),
            purged_up_to: Mutex::default(),
        }
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a client did, and the secret that it used, if one was right.
    fn note(&self, client: &ClientId, secret: Option<(&str, SecretUse)>, count: impl FnOnce(&mut ClientUsage)) {
        let mut uses = self.uses();
        let Some(usage) = uses.of(client) else {
            self.unnoted.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some((secret, used)) = secret {
            set_last(&mut usage.secrets, secret, used);
            usage.uses.used_at = Some(used.at);
        }
        count(usage);
        if let Some((secret, used)) = secret {
            uses.note_secret(secret, used);
        }
    }

    /// The last use of a secret, if it is not written yet.
    pub(super) fn pending(&self, secret: &str) -> Option<SecretUse> {
        let uses = self.uses();
        uses.secrets.get(secret).or_else(|| uses.writing.get(secret)).copied()
    }

    /// The last uses of a client and its scopes that are held.
    pub(super) fn pending_uses(&self, client: &ClientId) -> Option<ClientUses> {
        self.uses().held.get(client).map(|usage| usage.uses.clone())
    }

    /// As long as it is held, nothing is taken out to be written.
    pub(super) async fn no_flush(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.flushing.lock().await
    }

    pub(super) fn purged_up_to(&self) -> Option<ClientId> {
        self.purged_up_to.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_purged_up_to(&self, last: Option<ClientId>) {
        *self.purged_up_to.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    /// How many uses went unnoted because there was no room for them.
    pub(super) fn unnoted(&self) -> u64 {
        self.unnoted.load(Ordering::Relaxed)
    }

    /// Up to when all that was used is in the store.
    pub(super) fn complete_until(&self) -> UnixTime {
        UnixTime::from_seconds(self.complete_until.load(Ordering::Relaxed))
    }

    /// Takes out what is to be written. The secrets' stay pending until they are said to be
    /// [`written`](Self::written) or [`put back`](Self::put_back).
    fn take(&self) -> Vec<ClientUsage> {
        let mut uses = self.uses();
        let secrets = std::mem::take(&mut uses.secrets);
        uses.writing.extend(secrets);
        std::mem::take(&mut uses.held).into_values().collect()
    }

    /// What was taken out is in the store.
    fn written(&self, usage: &[ClientUsage]) {
        self.uses().no_longer_writes(usage);
    }

    /// Puts back what could not be written.
    fn put_back(&self, taken: Vec<ClientUsage>) {
        let mut uses = self.uses();
        uses.no_longer_writes(&taken);
        for usage in taken {
            let full = uses.held.len() >= CAPACITY;
            let later = match uses.held.entry(usage.client_id.clone()) {
                Entry::Vacant(_) if full => {
                    self.unnoted.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Entry::Vacant(room) => room.insert(ClientUsage::of(usage.client_id)),
                Entry::Occupied(there) => there.into_mut(),
            };
            later.uses.add(&usage.uses);
            for (hour, figures) in &usage.hours {
                later.hours.entry(*hour).or_default().add(figures);
            }
            let earlier: Vec<_> = usage
                .secrets
                .into_iter()
                // It may have been used again since.
                .filter(|(secret, _)| later.secrets.iter().all(|(id, _)| id != secret))
                .collect();
            later.secrets.extend(earlier.iter().cloned());
            for (secret, used) in earlier {
                uses.note_secret(&secret, used);
            }
        }
    }
}

impl Service {
    fn secret_use<'a>(&self, authenticated: &'a Authenticated, source: SourceAddress) -> Option<(&'a str, SecretUse)> {
        let used = SecretUse { at: self.clock.now(), from: source.ip };
        authenticated.secret().map(|secret| (secret.id.as_str(), used))
    }

    /// Notes that a client has used its secret.
    pub(super) fn note_use(&self, authenticated: &Authenticated, source: SourceAddress) {
        let secret = self.secret_use(authenticated, source);
        self.usage.note(&authenticated.client.client_id, secret, |_| {});
    }

    /// Notes that a client has used its secret, and got a token with these scopes for it.
    pub(super) fn note_issued(&self, authenticated: &Authenticated, scopes: &ScopeSet, source: SourceAddress) {
        let Some((secret, used)) = self.secret_use(authenticated, source) else { return };
        self.usage.note(&authenticated.client.client_id, Some((secret, used)), |usage| {
            let names = || scopes.iter().map(|scope| scope.as_str());
            usage.hours.entry(Per::Hour.start(used.at)).or_default().count_issued(secret, names());
            for scope in names() {
                match usage.uses.scopes.get_mut(scope) {
                    Some(last) => *last = used.at,
                    None => drop(usage.uses.scopes.insert(scope.to_owned(), used.at)),
                }
            }
        });
        self.metrics.token_issued();
    }

    /// Notes that a token request was refused, of whichever client there is of the id that was sent: what a stranger
    /// sends as an id is counted for nobody. `authenticated` is the client where it has proven itself; it has used its
    /// secret although it got nothing for it.
    pub(super) fn note_refused(
        &self,
        authenticated: Option<&Authenticated>,
        refusal: &ClientRefusal,
        source: SourceAddress,
    ) {
        let (client, reason) = match (&refusal.error, &refusal.client_id) {
            (Error::Unauthenticated(failure), _) => (failure.client_id.as_ref(), failure.cause.as_str()),
            (error, client) => (client.as_ref(), error.reason().as_str()),
        };
        let Some(client) = client else { return };
        let secret = authenticated.and_then(|authenticated| self.secret_use(authenticated, source));
        let hour = Per::Hour.start(self.clock.now());
        self.usage.note(client, secret, |usage| {
            usage.hours.entry(hour).or_default().count_refused(reason, secret.map(|(id, _)| id));
        });
    }

    /// Writes what was used. What cannot be written is kept for the next try.
    pub(super) async fn flush_usage(&self) -> Result<(), StoreError> {
        let _turn = self.usage.no_flush().await;
        let until = self.clock.now();
        let mut usage = self.usage.take();
        while !usage.is_empty() {
            let rest = usage.split_off(usage.len().min(AT_ONCE));
            if let Err(error) = self.store.note_usage(usage.clone()).await {
                usage.extend(rest);
                self.usage.put_back(usage);
                return Err(error);
            }
            self.usage.written(&usage);
            usage = rest;
        }
        self.usage.complete_until.store(until.seconds(), Ordering::Relaxed);
        Ok(())
    }

    /// The last uses of these secrets, written or not.
    pub(super) async fn last_uses(&self, secrets: Vec<String>) -> Result<HashMap<String, SecretUse>, StoreError> {
        // What waits is looked at first: what no longer waits is in the store by then. The other way round a use that is
        // written in between would be in neither.
        let waiting: Vec<_> = secrets.iter().map(|secret| self.usage.pending(secret)).collect();
        let mut uses = self.store.secret_uses(secrets.clone()).await?;
        for (secret, used) in secrets.into_iter().zip(waiting).filter_map(|(secret, used)| Some((secret, used?))) {
            if uses.get(&secret).is_none_or(|written| written.at <= used.at) {
                uses.insert(secret, used);
            }
        }
        Ok(uses)
    }
}
