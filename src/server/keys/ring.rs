//! The ring: the keys in use, and what moves them on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use crate::api::KeyState;
use crate::clock::{Clock, UnixTime};
use crate::jose::{KeySet, TokenSigner, algorithm_name};
use crate::resource::KeySource;
use crate::server::config::SigningAlgorithm;
use crate::server::model::{Change, KeyRecord, Origin, Revocation, RevokedTarget};
use crate::server::store::Store;

use super::error::KeyRingError;
use super::files::{self, KeyFile, KeyFileError};
use super::schedule;
use super::seal::DigestSeal;
use super::snapshot::{Published, Snapshot, signers};

/// What the ring is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the files are.
    pub dir: PathBuf,
    /// What new keys sign with.
    pub algorithm: SigningAlgorithm,
    /// How long a key signs.
    pub rotate_after: Duration,
    /// How long verifiers may keep the JWKS.
    pub jwks_max_age: Duration,
    /// The longest that a token can live, leeway of verifiers included.
    pub longest_token: Duration,
}

/// How old the keys of a verifier may be that does not reach us, and a while more.
const STALE_KEYS: Duration = Duration::from_secs(25 * 3600);

/// The keys in use.
#[derive(Debug)]
pub struct KeyRing {
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwap<Snapshot>,
    pub(super) digest_seal: DigestSeal,
    /// Counts the key sets that were published, for those who wait for the next one.
    version: watch::Sender<u64>,
    /// Held while keys are moved on. What is in it is what the store has.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    records: Vec<KeyRecord>,
    revision: u64,
    /// Whether a change went wrong, so that the store may have another state.
    stale: bool,
    /// The keys that have a file, by `kid`, parsed once.
    signers: Vec<Arc<TokenSigner>>,
}

impl KeySource for KeyRing {
    fn keys(&self) -> KeySet {
        self.snapshot.load().keys.clone()
    }
}

impl KeyRing {
    /// Loads the keys, and on a first start makes them.
    ///
    /// # Errors
    /// [`KeyRingError`]: a file is exposed, damaged, mixed up or missing. Nothing is made in its place.
    pub async fn open(settings: Settings, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, KeyRingError> {
        files::prepare_folder(&settings.dir)?;
        let found = files::read_all(&settings.dir)?;
        let (records, revision) = store.keys().await?;
        let signers = signers(&settings.dir, &records, &found)?;
        let digest_seal = DigestSeal::open(settings.dir.clone())?;
        let state = Mutex::new(State { records, revision, stale: false, signers });
        let ring = Self {
            settings,
            store,
            clock,
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            digest_seal,
            version: watch::Sender::new(0),
            state,
        };
        ring.start().await?;
        Ok(ring)
    }

    /// Brings the keys of the last run to where the configuration wants them.
    async fn start(&self) -> Result<(), KeyRingError> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        let mut records = state.records.clone();
        let longest = self.settings.longest_token.as_secs();
        for record in records.iter_mut().filter(|record| record.state == KeyState::Active) {
            record.longest_token = record.longest_token.max(longest);
        }
        // A next key of an algorithm that is no longer wanted has signed nothing.
        let wanted = self.settings.algorithm;
        let other = |record: &KeyRecord| record.state == KeyState::Next && record.algorithm != wanted;
        let unwanted: Vec<_> =
            records.iter().filter(|r| other(r) && r.generated).map(|record| record.file.clone()).collect();
        records.retain(|record| !other(record));
        if schedule::find(&records, KeyState::Active).is_none() {
            if schedule::find(&records, KeyState::Next).is_none() {
                self.add_next(&mut state, &mut records, now)?;
            }
            schedule::rotate(&mut records, self.settings.longest_token, now);
        }
        self.fill_next(&mut state, &mut records, now)?;
        // The configuration asks for another algorithm: it takes over as soon as verifiers have seen its key.
        if schedule::find(&records, KeyState::Active).is_some_and(|active| active.algorithm != wanted) {
            for next in records.iter_mut().filter(|record| record.state == KeyState::Next) {
                next.rotation_requested = true;
            }
        }
        self.save(&mut state, records, Vec::new(), "key.load", "keys", Origin::SYSTEM).await?;
        for file in unwanted {
            files::remove(&self.settings.dir, &file);
        }
        self.remove_files_out_of_use(&state);
        if !self.has_next() {
            tracing::warn!("there is no next key to rotate to: put a second RSA key into the folder of keys");
        }
        Ok(())
    }

    /// Moves on what is due: rotation, retirement, a missing next key.
    ///
    /// # Errors
    /// [`KeyRingError`]; all stays as it was, and the next tick tries again.
    pub async fn tick(&self) -> Result<(), KeyRingError> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let mut records = state.records.clone();
        schedule::forget_retired(&mut records, |file| files::exists(&self.settings.dir, file));
        let due = |records: &[KeyRecord]| {
            schedule::activates_at(records, self.settings.rotate_after, self.settings.jwks_max_age)
                .is_some_and(|due| now >= due)
        };
        self.fill_next_if_possible(&mut state, &mut records, now);
        if due(&records) {
            schedule::rotate(&mut records, self.settings.longest_token, now);
        }
        schedule::retire(&mut records, now);
        self.fill_next_if_possible(&mut state, &mut records, now);
        if records != state.records {
            self.save(&mut state, records, Vec::new(), "key.tick", "keys", Origin::SYSTEM).await?;
            self.remove_files_out_of_use(&state);
        }
        Ok(())
    }

    /// Takes the files of keys out of use away, once the store has them as such.
    fn remove_files_out_of_use(&self, state: &State) {
        for file in schedule::files_out_of_use(&state.records) {
            files::remove(&self.settings.dir, &file);
        }
    }

    /// Reads the records anew after a change that went wrong: it may have been made all the same.
    async fn refresh(&self, state: &mut State) -> Result<(), KeyRingError> {
        if !state.stale {
            return Ok(());
        }
        let (records, revision) = self.store.keys().await?;
        let found = files::read_good(&self.settings.dir)?;
        *state = State { signers: signers(&self.settings.dir, &records, &found)?, records, revision, stale: false };
        self.publish(state);
        Ok(())
    }

    /// Makes the state what is in use, and tells those who wait where that is another key set.
    fn publish(&self, state: &State) {
        let snapshot = Snapshot::of(&state.records, &state.signers);
        let changed = snapshot.published.etag != self.snapshot.load().published.etag;
        self.snapshot.store(Arc::new(snapshot));
        if changed {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Hears of every new key set.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Rotates: at once where the next key has been published long enough or `immediately` says so, else as soon as it
    /// has. Tells whether it happened, and when it has or will.
    ///
    /// # Errors
    /// [`KeyRingError::NoNext`], or what the store says.
    pub async fn rotate(&self, immediately: bool, origin: Origin) -> Result<(bool, UnixTime), KeyRingError> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let mut records = state.records.clone();
        self.fill_next(&mut state, &mut records, now)?;
        let next = records.iter_mut().find(|r| r.state == KeyState::Next).ok_or(KeyRingError::NoNext)?;
        let ripe = schedule::ripe_at(next, self.settings.jwks_max_age);
        let rotated = immediately || now >= ripe;
        let kid = next.kid.clone();
        if rotated {
            schedule::rotate(&mut records, self.settings.longest_token, now);
            self.fill_next_if_possible(&mut state, &mut records, now);
        } else {
            next.rotation_requested = true;
        }
        let action = if rotated { "key.rotate" } else { "key.rotate.request" };
        self.save(&mut state, records, Vec::new(), action, &kid, origin).await?;
        Ok((rotated, if rotated { now } else { ripe }))
    }

    /// Takes a key out of use at once: it is no longer published, every token signed with it is refused, and if it was
    /// the active one the next takes over. Gives what has to be remembered as revoked.
    ///
    /// # Errors
    /// [`KeyRingError::Unknown`], or what the store says.
    pub async fn revoke(&self, kid: &str, origin: Origin) -> Result<Revocation, KeyRingError> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let mut records = state.records.clone();
        let unknown = || KeyRingError::Unknown(kid.to_owned());
        let record = records.iter_mut().find(|r| r.kid == kid && r.is_published()).ok_or_else(unknown)?;
        let was_active = record.state == KeyState::Active;
        let longest = Duration::from_secs(record.longest_token).max(self.settings.longest_token);
        record.state = KeyState::Revoked;
        if was_active {
            schedule::rotate(&mut records, self.settings.longest_token, now);
        }
        // This is an emergency: whatever keeps a new key from being made must not keep the old one in use.
        self.fill_next_if_possible(&mut state, &mut records, now);
        // Kept longer than any token of it: a verifier's clock may be behind.
        // And for as long as a verifier may go on with keys that it could not fetch anew.
        let until = now.plus((longest * 2).max(STALE_KEYS));
        let revocation = Revocation { target: RevokedTarget::Kid(kid.to_owned()), until };
        self.save(&mut state, records, vec![revocation.clone()], "key.revoke", kid, origin).await?;
        self.remove_files_out_of_use(&state);
        if self.signer().is_none() {
            tracing::error!("the active key was revoked and there is no next one: no token can be signed");
        }
        Ok(revocation)
    }

    /// Sees to it that there is a next key; for RSA, that is as far as there is an unused file.
    fn fill_next(&self, state: &mut State, records: &mut Vec<KeyRecord>, now: UnixTime) -> Result<(), KeyRingError> {
        if schedule::find(records, KeyState::Next).is_some() {
            return Ok(());
        }
        match self.add_next(state, records, now) {
            Err(KeyRingError::File(KeyFileError::Generate(crate::crypto::KeyError::RsaNotGenerated))) => Ok(()),
            other => other,
        }
    }

    /// The same, where it can wait: what went wrong is logged, and the next tick tries again.
    fn fill_next_if_possible(&self, state: &mut State, records: &mut Vec<KeyRecord>, now: UnixTime) {
        if let Err(error) = self.fill_next(state, records, now) {
            tracing::error!(%error, "there is no next key, and none could be made");
        }
    }

    /// Takes the newest unused file of the right kind in as the next key, or generates one.
    fn add_next(&self, state: &mut State, records: &mut Vec<KeyRecord>, now: UnixTime) -> Result<(), KeyRingError> {
        let (dir, algorithm) = (&self.settings.dir, self.settings.algorithm);
        let unused = files::read_good(dir)?
            .into_iter()
            .find(|file| file.serves(algorithm) && !records.iter().any(|record| record.kid == file.kid));
        // Only a file that was made here goes when its key does; any other is the operator's.
        let (file, generated): (KeyFile, bool) = match unused {
            Some(file) => (file, false),
            None => (files::generate(dir, algorithm)?, true),
        };
        records.push(schedule::published(&file.kid, &file.name, algorithm, generated, now));
        state.signers.push(Arc::new(file.signer(algorithm)?));
        Ok(())
    }

    /// Makes `records` what the store has, and then what is in use.
    async fn save(
        &self,
        state: &mut State,
        records: Vec<KeyRecord>,
        revoked: Vec<Revocation>,
        action: &'static str,
        target: &str,
        origin: Origin,
    ) -> Result<(), KeyRingError> {
        if records != state.records {
            let change = Change {
                at: self.clock.now(),
                origin,
                action,
                target: target.to_owned(),
                place: None,
                before: states(&state.records),
                after: states(&records),
            };
            let saved = self.store.save_keys(records.clone(), state.revision, revoked, change).await;
            state.stale = saved.is_err();
            saved?;
            state.revision += 1;
            state.records = records;
        }
        let in_use: Vec<String> = state.records.iter().filter(|r| r.is_published()).map(|r| r.kid.clone()).collect();
        state.signers.retain(|signer| in_use.iter().any(|kid| kid == signer.kid()));
        self.publish(state);
        Ok(())
    }

    /// The key that signs. None where it was revoked and nothing could take its place.
    #[must_use]
    pub fn signer(&self) -> Option<Arc<TokenSigner>> {
        self.snapshot.load().signer.clone()
    }

    /// The JWKS as it is served.
    #[must_use]
    pub fn published(&self) -> Published {
        self.snapshot.load().published.clone()
    }

    /// All records, and when the next key takes over.
    #[must_use]
    pub fn records(&self) -> (Vec<KeyRecord>, Option<UnixTime>) {
        let records = self.snapshot.load().records.clone();
        let due = schedule::activates_at(&records, self.settings.rotate_after, self.settings.jwks_max_age);
        (records, due)
    }

    /// The names of the algorithms that tokens are signed with, now or soon.
    #[must_use]
    pub fn algorithms(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for record in self.snapshot.load().records.iter().filter(|record| record.is_published()) {
            let name = algorithm_name(record.algorithm.into());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// How long verifiers may keep the JWKS.
    #[must_use]
    pub fn jwks_max_age(&self) -> Duration {
        self.settings.jwks_max_age
    }

    /// The longest that a token signed with a published key can live, leeway of verifiers included.
    #[must_use]
    pub fn longest_token(&self) -> Duration {
        let snapshot = self.snapshot.load();
        let longest = snapshot.records.iter().filter(|r| r.is_published()).map(|r| r.longest_token).max();
        Duration::from_secs(longest.unwrap_or(0)).max(self.settings.longest_token)
    }

    /// Whether there is a key to rotate to. There always is, but where the operator has to bring RSA keys.
    #[must_use]
    pub fn has_next(&self) -> bool {
        schedule::find(&self.snapshot.load().records, KeyState::Next).is_some()
    }
}

fn states(records: &[KeyRecord]) -> Value {
    records
        .iter()
        .map(|record| (record.kid.clone(), json!(record.state.as_str())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
