//! What clients use, gathered in memory and written in the background: issuing a token never waits for the store.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, UnixTime};
use crate::id::ClientId;
use crate::scope::ScopeSet;
use crate::server::error::Error;
use crate::server::model::{ClientUsage, Per, SecretUse};
use crate::server::store::{Store, StoreError};
use crate::source_ip::SourceAddress;

use super::{Authenticated, ClientRefusal, Service};

/// The most clients whose use is held between two flushes, and as many may be on their way to the store; beyond it, the
/// use of a client not yet held goes unnoted.
const CAPACITY: usize = 100_000;
/// How many clients' use is written in one transaction: a change that waits behind it waits for no more than that.
const AT_ONCE: usize = 500;

#[derive(Debug)]
pub(super) struct Usage {
    uses: Mutex<Uses>,
    /// One flush at a time.
    flushing: tokio::sync::Mutex<()>,
    /// Written while a transaction moves uses from memory into the store; who adds up both reads it.
    moving: tokio::sync::RwLock<()>,
    /// Up to when all that was used is in the store.
    complete_until: AtomicI64,
    unnoted: AtomicU64,
    /// Where the purge of what is no longer kept goes on.
    purged_up_to: Mutex<Option<ClientId>>,
}

#[derive(Debug, Default)]
struct Uses {
    held: Held,
    /// On its way to the store, and perhaps not there yet: whoever asks has to be told of it. It stays until all of it
    /// is written, whatever becomes of a flush.
    writing: Option<Arc<Writing>>,
}

#[derive(Debug, Default)]
struct Held {
    clients: HashMap<ClientId, ClientUsage>,
    /// The last uses of the clients' secrets and Digest keys.
    secrets: HashMap<String, SecretUse>,
}

#[derive(Debug)]
struct Writing {
    held: Held,
    /// When it was taken: it is all that was used before.
    until: UnixTime,
    /// The clients whose use is in the store.
    written: Mutex<HashSet<ClientId>>,
}

impl Held {
    /// What is held of a client; none where there is no room for it.
    fn of(&mut self, client: &ClientId) -> Option<&mut ClientUsage> {
        if !self.clients.contains_key(client) {
            if self.clients.len() >= CAPACITY {
                return None;
            }
            self.clients.insert(client.clone(), ClientUsage::of(client.clone()));
        }
        self.clients.get_mut(client)
    }

    fn note_secret(&mut self, secret: &str, used: SecretUse) {
        match self.secrets.get_mut(secret) {
            Some(last) => *last = used,
            None => drop(self.secrets.insert(secret.to_owned(), used)),
        }
    }
}

impl Writing {
    fn written(&self) -> MutexGuard<'_, HashSet<ClientId>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is not in the store yet.
    fn rest(&self) -> Vec<&ClientUsage> {
        let written = self.written();
        self.held.clients.values().filter(|usage| !written.contains(&usage.client_id)).collect()
    }

    /// The same of one client.
    fn rest_of(&self, client: &ClientId) -> Option<&ClientUsage> {
        self.held.clients.get(client).filter(|_| !self.written().contains(client))
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
            moving: tokio::sync::RwLock::new(()),
            complete_until: AtomicI64::new(now.seconds()),
            unnoted: AtomicU64::new(0),
            purged_up_to: Mutex::default(),
        }
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a client did, and the secret that it used, if one was right.
    pub(super) fn note(
        &self,
        client: &ClientId,
        secret: Option<(&str, SecretUse)>,
        count: impl FnOnce(&mut ClientUsage),
    ) {
        let mut uses = self.uses();
        let Some(usage) = uses.held.of(client) else {
            self.unnoted.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some((secret, used)) = secret {
            set_last(&mut usage.secrets, secret, used);
            usage.uses.used_at = Some(used.at);
        }
        count(usage);
        if let Some((secret, used)) = secret {
            uses.held.note_secret(secret, used);
        }
    }

    /// The last use of a secret, if it is not written yet.
    pub(super) fn pending(&self, secret: &str) -> Option<SecretUse> {
        let uses = self.uses();
        let writing = || uses.writing.as_ref().and_then(|writing| writing.held.secrets.get(secret));
        uses.held.secrets.get(secret).or_else(writing).copied()
    }

    /// What a client has used that is not written yet. Complete, and nothing twice, as long as
    /// [nothing moves](Self::nothing_moves).
    pub(super) fn pending_usage(&self, client: &ClientId) -> ClientUsage {
        let (held, writing) = {
            let uses = self.uses();
            (uses.held.clients.get(client).cloned(), uses.writing.clone())
        };
        let earlier = writing.as_ref().and_then(|writing| writing.rest_of(client));
        let mut usage = earlier.cloned().unwrap_or_else(|| ClientUsage::of(client.clone()));
        held.iter().for_each(|later| usage.add(later));
        usage
    }

    /// As long as it is held, nothing is moved from memory into the store.
    pub(super) async fn nothing_moves(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.moving.read().await
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

    /// What is to be written next: what an earlier flush has left, and then what is held. No token waits for more than
    /// an exchange of the two.
    fn take(&self, now: UnixTime) -> Arc<Writing> {
        let mut next = Writing { held: Held::default(), until: now, written: Mutex::default() };
        let mut uses = self.uses();
        if let Some(left) = &uses.writing {
            return Arc::clone(left);
        }
        std::mem::swap(&mut next.held, &mut uses.held);
        let next = Arc::new(next);
        uses.writing = Some(Arc::clone(&next));
        next
    }

    /// Moves what is held into the store. What cannot be written is kept for the next try.
    async fn flush(&self, store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
        let _turn = self.flushing.lock().await;
        let left = self.uses().writing.is_some();
        for _ in 0..=usize::from(left) {
            let writing = self.take(clock.now());
            for some in writing.rest().chunks(AT_ONCE) {
                let _moving = self.moving.write().await;
                store.note_usage(some.iter().map(|usage| (*usage).clone()).collect()).await?;
                writing.written().extend(some.iter().map(|usage| usage.client_id.clone()));
            }
            let done = self.uses().writing.take();
            self.complete_until.store(writing.until.seconds(), Ordering::Relaxed);
            // Freed here, and not under the lock.
            drop(done);
        }
        Ok(())
    }
}

impl Service {
    fn secret_use<'a>(&self, authenticated: &'a Authenticated, source: SourceAddress) -> Option<(&'a str, SecretUse)> {
        let used = SecretUse { at: self.clock.now(), from: source.ip };
        authenticated.secret().map(|secret| (secret.id.as_str(), used))
    }

    /// Notes that a client has used its secret, whatever comes of it.
    pub(super) fn note_use(&self, authenticated: &Authenticated, source: SourceAddress) {
        let secret = self.secret_use(authenticated, source);
        self.usage.note(&authenticated.client.client_id, secret, |_| {});
    }

    /// Notes that an API key was used from this address.
    pub(super) fn note_use_from(&self, key: &Authenticated, from: IpAddr) {
        if let Some(secret) = key.secret() {
            self.note_presented(&key.client.client_id, &secret.id, from);
        }
    }

    /// Notes that an API key or a Digest key was used from this address, by the id of the secret or of the Digest key: each
    /// stands for its client, so that it is served.
    pub(super) fn note_presented(&self, client: &ClientId, credential: &str, from: IpAddr) {
        let used = SecretUse { at: self.clock.now(), from };
        self.usage.note(client, Some((credential, used)), |usage| usage.uses.served_at = Some(used.at));
    }

    /// Notes that a client has used its secret, and was heard.
    pub(super) fn note_served(&self, authenticated: &Authenticated, source: SourceAddress) {
        let secret = self.secret_use(authenticated, source);
        let at = secret.map(|(_, used)| used.at);
        self.usage.note(&authenticated.client.client_id, secret, |usage| usage.uses.served_at = at);
    }

    /// Notes that a client has used its secret, and got a token with these scopes for it.
    pub(super) fn note_issued(&self, authenticated: &Authenticated, scopes: &ScopeSet, source: SourceAddress) {
        let Some((secret, used)) = self.secret_use(authenticated, source) else { return };
        self.usage.note(&authenticated.client.client_id, Some((secret, used)), |usage| {
            let names = || scopes.iter().map(|scope| scope.as_str());
            usage.hours.entry(Per::Hour.start(used.at)).or_default().count_issued(secret, names());
            usage.uses.served_at = Some(used.at);
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
            (Error::Unauthenticated(failure) | Error::BadSubjectToken(failure), _) => {
                (failure.client_id.as_ref(), failure.cause.as_str())
            }
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
        let (usage, store, clock) = (Arc::clone(&self.usage), Arc::clone(&self.store), Arc::clone(&self.clock));
        // A task of its own comes to its end whoever goes away meanwhile: what the store has written and nobody has noted
        // as written would be written twice.
        let flush = tokio::spawn(async move { usage.flush(&*store, &*clock).await });
        flush.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the flush was broken off".to_owned())))
    }

    /// The last uses of these secrets and Digest keys, written or not.
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
