//! The ring: the keys in use, and what moves them on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::api::KeyState;
use crate::clock::{Clock, UnixTime};
use crate::crypto::{PublicKey, sha256};
use crate::jose::{KeySet, TokenSigner, jwk};
use crate::resource::KeySource;
use crate::server::config::SigningAlgorithm;
use crate::server::model::{Actor, Change, KeyRecord, Revocation, RevokedTarget};
use crate::server::store::{Store, StoreError};

use super::files::{self, KeyFile, KeyFileError};
use super::schedule;

/// Why the keys could not be brought where they should be.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no key of this `kid` that could be revoked.
    #[error("there is no key {0} in use")]
    Unknown(String),
    /// There is no next key to take over.
    #[error(
        "there is no next key to take over: put a new RSA key into the folder of keys first \
         (openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072)"
    )]
    NoNext,
}

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

/// The JWKS as it is served.
#[derive(Clone, Debug)]
pub struct Published {
    /// The body.
    pub body: bytes::Bytes,
    /// Its entity tag, quotes included.
    pub etag: String,
}

#[derive(Debug)]
struct Snapshot {
    signer: Option<Arc<TokenSigner>>,
    keys: KeySet,
    published: Published,
    records: Vec<KeyRecord>,
}

/// The keys in use.
#[derive(Debug)]
pub struct KeyRing {
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwap<Snapshot>,
    /// Held while keys are moved on. What is in it is what the store has.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    records: Vec<KeyRecord>,
    revision: u64,
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
        let mut signers = Vec::new();
        for record in records.iter().filter(|record| record.is_published()) {
            let missing = || KeyFileError::Missing {
                kid: record.kid.clone(),
                state: state_name(record.state),
                path: settings.dir.join(&record.file),
            };
            let file = found.iter().find(|file| file.name == record.file).ok_or_else(missing)?;
            if file.kid != record.kid {
                let path = settings.dir.join(&record.file);
                return Err(KeyFileError::Mismatched { path, expected: record.kid.clone() }.into());
            }
            signers.push(Arc::new(file.signer(record.algorithm)?));
        }
        let empty = Snapshot {
            signer: None,
            keys: KeySet::default(),
            published: Published { body: bytes::Bytes::new(), etag: String::new() },
            records: Vec::new(),
        };
        let state = Mutex::new(State { records, revision, signers });
        let ring = Self { settings, store, clock, snapshot: ArcSwap::from_pointee(empty), state };
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
        let mut unwanted = Vec::new();
        records.retain(|record| {
            let keep = record.state != KeyState::Next || record.algorithm == wanted;
            if !keep && record.generated {
                unwanted.push(record.file.clone());
            }
            keep
        });
        let first = schedule::find(&records, KeyState::Active).is_none();
        if first && schedule::find(&records, KeyState::Next).is_none() {
            self.add_next(&mut state, &mut records, now)?;
        }
        if first {
            schedule::rotate(&mut records, self.settings.longest_token, now);
        }
        self.fill_next(&mut state, &mut records, now)?;
        if schedule::find(&records, KeyState::Active).is_none() {
            return Err(KeyFileError::Generate(crate::crypto::KeyError::RsaNotGenerated).into());
        }
        self.save(&mut state, records, Vec::new(), "key.load", "keys", Actor::System).await?;
        for file in unwanted {
            files::remove(&self.settings.dir, &file);
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
        let mut records = state.records.clone();
        let due = schedule::activates_at(&records, self.settings.rotate_after, self.settings.jwks_max_age);
        if due.is_some_and(|due| now >= due) {
            schedule::rotate(&mut records, self.settings.longest_token, now);
        }
        let files = schedule::retire(&mut records, now);
        self.fill_next(&mut state, &mut records, now)?;
        if records != state.records {
            self.save(&mut state, records, Vec::new(), "key.rotate", "keys", Actor::System).await?;
        }
        for file in files {
            files::remove(&self.settings.dir, &file);
        }
        Ok(())
    }

    /// Rotates: at once where the next key has been published long enough or `immediately` says so, else as soon as it
    /// has. Tells whether it happened, and when it has or will.
    ///
    /// # Errors
    /// [`KeyRingError::NoNext`], or what the store says.
    pub async fn rotate(&self, immediately: bool, actor: Actor) -> Result<(bool, UnixTime), KeyRingError> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        let mut records = state.records.clone();
        self.fill_next(&mut state, &mut records, now)?;
        let next = records.iter_mut().find(|r| r.state == KeyState::Next).ok_or(KeyRingError::NoNext)?;
        let ripe = schedule::ripe_at(next, self.settings.jwks_max_age);
        let rotated = immediately || now >= ripe;
        let kid = next.kid.clone();
        if rotated {
            schedule::rotate(&mut records, self.settings.longest_token, now);
            self.fill_next(&mut state, &mut records, now)?;
        } else {
            next.rotation_requested = true;
        }
        let action = if rotated { "key.rotate" } else { "key.rotate.request" };
        self.save(&mut state, records, Vec::new(), action, &kid, actor).await?;
        Ok((rotated, if rotated { now } else { ripe }))
    }

    /// Takes a key out of use at once: it is no longer published, every token signed with it is refused, and if it was
    /// the active one the next takes over. Gives what has to be remembered as revoked.
    ///
    /// # Errors
    /// [`KeyRingError::Unknown`], or what the store says.
    pub async fn revoke(&self, kid: &str, actor: Actor) -> Result<Revocation, KeyRingError> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        let mut records = state.records.clone();
        let unknown = || KeyRingError::Unknown(kid.to_owned());
        let record = records.iter_mut().find(|r| r.kid == kid && r.is_published()).ok_or_else(unknown)?;
        let was_active = record.state == KeyState::Active;
        record.state = KeyState::Revoked;
        let file = record.generated.then(|| record.file.clone());
        if was_active {
            schedule::rotate(&mut records, self.settings.longest_token, now);
        }
        self.fill_next(&mut state, &mut records, now)?;
        // Kept longer than any token of it: a verifier's clock may be behind.
        let until = now.plus(self.settings.longest_token * 2);
        let revocation = Revocation { target: RevokedTarget::Kid(kid.to_owned()), until };
        self.save(&mut state, records, vec![revocation.clone()], "key.revoke", kid, actor).await?;
        if let Some(file) = file {
            files::remove(&self.settings.dir, &file);
        }
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

    /// Takes the newest unused file of the right kind in as the next key, or generates one.
    fn add_next(&self, state: &mut State, records: &mut Vec<KeyRecord>, now: UnixTime) -> Result<(), KeyRingError> {
        let (dir, algorithm) = (&self.settings.dir, self.settings.algorithm);
        let unused = files::read_all(dir)?
            .into_iter()
            .find(|file| file.serves(algorithm) && !records.iter().any(|record| record.kid == file.kid));
        let file: KeyFile = match unused {
            Some(file) => file,
            None => files::generate(dir, algorithm)?,
        };
        let generated = file.name == files::generated_name(&file.kid);
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
        actor: Actor,
    ) -> Result<(), KeyRingError> {
        if records != state.records {
            let change = Change {
                at: self.clock.now(),
                actor,
                action,
                target: target.to_owned(),
                request_id: None,
                before: states(&state.records),
                after: states(&records),
            };
            self.store.save_keys(records.clone(), state.revision, revoked, change).await?;
            state.revision += 1;
            state.records = records;
        }
        let in_use: Vec<String> = state.records.iter().filter(|r| r.is_published()).map(|r| r.kid.clone()).collect();
        state.signers.retain(|signer| in_use.iter().any(|kid| kid == signer.kid()));
        self.snapshot.store(Arc::new(snapshot(state)));
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

    /// How long verifiers may keep the JWKS.
    #[must_use]
    pub fn jwks_max_age(&self) -> Duration {
        self.settings.jwks_max_age
    }

    /// Whether there is a key to rotate to. There always is, but where the operator has to bring RSA keys.
    #[must_use]
    pub fn has_next(&self) -> bool {
        schedule::find(&self.snapshot.load().records, KeyState::Next).is_some()
    }
}

fn state_name(state: KeyState) -> &'static str {
    match state {
        KeyState::Next => "next",
        KeyState::Active => "active",
        KeyState::Retiring => "retiring",
        KeyState::Revoked => "revoked",
        KeyState::Retired => "retired",
    }
}

fn states(records: &[KeyRecord]) -> Value {
    records
        .iter()
        .map(|record| (record.kid.clone(), json!(state_name(record.state))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn snapshot(state: &State) -> Snapshot {
    let signer_of = |record: &KeyRecord| state.signers.iter().find(|signer| signer.kid() == record.kid);
    let mut published: Vec<&KeyRecord> = state.records.iter().filter(|record| record.is_published()).collect();
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
    Snapshot {
        signer: schedule::find(&state.records, KeyState::Active).and_then(|record| signer_of(record).cloned()),
        keys: KeySet::from_keys(keys.iter().map(|(kid, key, algorithm)| (kid.clone(), key, *algorithm))),
        published: Published { body: body.into(), etag },
        records: state.records.clone(),
    }
}
