//! Digest keys: key pairs of clients for programs that know HTTP Digest alone. Making, listing, withdrawing; in `presented`
//! what becomes of one that is used, in `nonces` what its challenges are made of.
//!
//! A Digest key is a credential of a client that there is: it holds what the client holds, and stays under its control.

mod nonces;
mod presented;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::api;
use crate::crypto::entropy::{Entropy, NoEntropy};
use crate::id::{ClientId, Generation, random_base62};
use crate::oauth::digest;
use crate::secret::ClientSecret;
use crate::server::error::{Error, FieldError};
use crate::server::keys::{Seal, SealError};
use crate::server::model::{Client, DigestKeyRecord, Kind, MAX_DIGEST_KEYS};
use crate::server::store::{Store, StoreError};

use super::clients::secrets::check_secret_ttl;
use super::{Caller, Service};

use nonces::Nonces;

/// How long a user name is that is made here, and of what.
const NAME_LENGTH: usize = 8;
const NAME_DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// How often another user name is tried.
const MAX_NAMES: usize = 16;
/// How long a private key may be that is brought along, in bytes.
const GIVEN: std::ops::RangeInclusive<usize> = 16..=1024;
/// The most user names whose holders are kept at hand.
const AT_HAND: u64 = 100_000;
/// What is said in the place of the id of a Digest key: people paste secrets there.
const NO_SUCH_KEY: &str = "of that id at this client; `mintage client digest-key list` has them";

/// What Digest needs at hand.
#[derive(Debug)]
pub(super) struct Digests {
    nonces: Nonces,
    /// Whose user names are in use. It says whom to ask, and no more: the client record decides.
    at_hand: moka::sync::Cache<Box<str>, ClientId>,
    warned: AtomicBool,
}

impl Digests {
    pub(super) fn new(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Ok(Self {
            nonces: Nonces::new(entropy)?,
            at_hand: moka::sync::Cache::new(AT_HAND),
            warned: AtomicBool::new(false),
        })
    }

    /// Says once that what is kept cannot be opened.
    fn warn_of_other_seal(&self, is_same: bool) {
        if self.warned.swap(true, Ordering::Relaxed) {
            return;
        }
        match is_same {
            true => tracing::error!("a Digest key in the store was changed behind our back; it is refused"),
            false => tracing::error!(
                "a Digest key was sealed with another digest.key than the one in keys.dir, and is refused; put the right \
                 file back and start anew, or make new Digest keys"
            ),
        }
    }
}

/// Says at the start that there are Digest keys that nothing opens.
pub(super) async fn warn_of_missing_seal(store: &dyn Store, is_there: bool) -> Result<(), StoreError> {
    if !is_there && store.has_digest_keys().await? {
        tracing::error!(
            "there are Digest keys, but digest.key, which they are sealed with, is not in keys.dir: all of them are refused; \
             put the file back from a backup and start anew"
        );
    }
    Ok(())
}

/// Whether `text` can be a user name: what needs no quoting anywhere, and has no colon in it.
fn is_user_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'))
}

/// A pair that is brought along.
struct Given<'a> {
    public_key: &'a str,
    private_key: &'a str,
}

/// The pair that is brought along, if one is.
fn given<'a>(new: &'a api::NewDigestKey, errors: &mut Vec<FieldError>) -> Option<Given<'a>> {
    let private_key = new.private_key.as_ref().map(api::GivenSecret::reveal);
    match (new.public_key.as_deref(), private_key) {
        (None, None) => None,
        (Some(public_key), Some(private_key)) => {
            if !is_user_name(public_key) {
                errors.push(FieldError::new("public_key", "1 to 128 of the characters A-Z a-z 0-9 . _ ~ -"));
            }
            if !GIVEN.contains(&private_key.len()) {
                errors.push(FieldError::new("private_key", "16 to 1024 bytes"));
            }
            Some(Given { public_key, private_key })
        }
        (Some(_), None) => {
            errors.push(FieldError::new("private_key", "give it with the public_key, or leave both out"));
            None
        }
        (None, Some(_)) => {
            errors.push(FieldError::new("public_key", "give it with the private_key, or leave both out"));
            None
        }
    }
}

impl Service {
    /// Gives a client a Digest key, whose private part is in this answer alone; or takes the pair that there is already.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], [`Error::BeyondCaller`], [`Error::PolicyViolated`],
    /// [`Error::Conflict`] where the client has as many as it can or the user name is taken, or what the store says.
    pub async fn create_digest_key(
        &self,
        id: &str,
        new: &api::NewDigestKey,
        caller: &Caller,
    ) -> Result<api::DigestKey, Error> {
        let mut errors = Vec::new();
        check_secret_ttl(new.ttl, &mut errors);
        let given = given(new, &mut errors);
        if !errors.is_empty() {
            return Err(in_words_of_keys(Error::InvalidFields(errors)));
        }
        // Whoever may not is told so before anything is made for them.
        let before = self.changeable(Kind::Client, id, caller).await?;
        let username = match &given {
            Some(given) if self.is_taken(given.public_key, &before).await? => {
                return Err(Error::Conflict("there is a Digest key of this public_key already".to_owned()));
            }
            Some(given) => given.public_key.to_owned(),
            None => self.new_user_name(&before).await?,
        };
        let seal = self.seal().await?;
        let mut made = None;
        let changed = self
            .change_client(Kind::Client, id, "client.digest_key.create", caller, |client, now| {
                client.digest_keys.retain(|key| key.is_live(now));
                if client.digest_keys.len() >= MAX_DIGEST_KEYS {
                    return Err(Error::Conflict(format!(
                        "the client has {MAX_DIGEST_KEYS} Digest keys, and can have no more: delete one that nobody uses"
                    )));
                }
                let life = self.secret_rules(&client.place()).life(new.ttl);
                let life = life.map_err(|error| Error::InvalidFields(vec![error]))?;
                let private_key = match &given {
                    Some(given) => ClientSecret::from(given.private_key.to_owned()),
                    None => ClientSecret::generate_digest(client.environment, &*self.entropy)?,
                };
                let secrets = digest::secrets(&username, private_key.reveal());
                let sealed = seal.seal(&username, &secrets);
                client.digest_keys.push(DigestKeyRecord {
                    id: format!("d_{}", random_base62(&*self.entropy, 22)?),
                    public_key: username.clone(),
                    prefix: private_key.masked_prefix(),
                    brought: given.is_some(),
                    sealed: sealed.map_err(|error| Error::Internal(error.to_string()))?,
                    generation: Generation::generate(&*self.entropy)?,
                    created_at: now,
                    expires_at: life.map(|life| now.plus(Duration::from_secs(life))),
                });
                made = given.is_none().then_some(private_key);
                Ok(Vec::new())
            })
            .await
            .map_err(in_words_of_keys)?;
        let key = changed.digest_keys.last().ok_or_else(|| Error::Internal("a Digest key is gone".to_owned()))?;
        Ok(api::DigestKey { private_key: made.map(|key| key.reveal().to_owned()), ..key.shown(None) })
    }

    /// The Digest keys of a client, the oldest first, and when each was last used.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn digest_keys(&self, id: &str, caller: &Caller) -> Result<Vec<api::DigestKey>, Error> {
        let client = self.existing(Kind::Client, id, caller).await?;
        let uses = self.last_uses(client.digest_keys.iter().map(|key| key.id.clone()).collect()).await?;
        Ok(client.digest_keys.iter().map(|key| key.shown(uses.get(&key.id).copied())).collect())
    }

    /// Takes a Digest key out at once: no request passes with it any more.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BeyondCaller`], or what the store says.
    pub async fn delete_digest_key(&self, id: &str, key_id: &str, caller: &Caller) -> Result<(), Error> {
        self.change_client(Kind::Client, id, "client.digest_key.delete", caller, |client, _| {
            let before = client.digest_keys.len();
            client.digest_keys.retain(|key| key.id != key_id);
            match client.digest_keys.len() == before {
                true => Err(Error::NotFound { what: "Digest key", name: NO_SUCH_KEY.to_owned() }),
                false => Ok(Vec::new()),
            }
        })
        .await
        .map(drop)
    }

    /// Whether a user name is somebody's, or that of a key of this client which has not ended.
    async fn is_taken(&self, username: &str, client: &Client) -> Result<bool, Error> {
        let holder = self.store.digest_holder(username).await?;
        let now = self.clock.now();
        let goes_on = |key: &DigestKeyRecord| key.public_key == username && key.is_live(now);
        Ok(holder.is_some_and(|holder| holder != client.client_id) || client.digest_keys.iter().any(goes_on))
    }

    /// A user name that nobody has.
    async fn new_user_name(&self, client: &Client) -> Result<String, Error> {
        for _ in 0..MAX_NAMES {
            let mut name = String::with_capacity(NAME_LENGTH);
            while name.len() < NAME_LENGTH {
                let mut random = [0; 16];
                self.entropy.fill(&mut random)?;
                // 252 is 7 times 36: what is above would come out as some letters more often than as others.
                let digits = random.iter().filter(|byte| **byte < 252);
                let digits = digits.filter_map(|byte| NAME_DIGITS.get(usize::from(*byte) % NAME_DIGITS.len()));
                name.extend(digits.map(|digit| char::from(*digit)).take(NAME_LENGTH - name.len()));
            }
            if !self.is_taken(&name, client).await? {
                return Ok(name);
            }
        }
        Err(Error::Internal("no user name was free".to_owned()))
    }

    /// What Digest keys are sealed with, made with the first of them. Where there are some and it is gone nothing is made
    /// in its place.
    async fn seal(&self) -> Result<std::sync::Arc<Seal>, Error> {
        let seals = self.keys.digest_seal();
        if let Some(seal) = seals.get() {
            return Ok(seal);
        }
        if self.store.has_digest_keys().await? {
            return Err(Error::Conflict(
                "digest.key, which the Digest keys that there are were sealed with, is not in keys.dir: put it back and start \
                 anew, or delete those keys first"
                    .to_owned(),
            ));
        }
        seals.get_or_make(&*self.entropy).map_err(|error: SealError| Error::Unavailable(error.to_string()))
    }
}

/// What is a secret's there is the key's own here.
fn in_words_of_keys(error: Error) -> Error {
    let Error::InvalidFields(mut errors) = error else { return error };
    for error in errors.iter_mut().filter(|error| error.field == "secret_ttl") {
        "ttl".clone_into(&mut error.field);
    }
    Error::InvalidFields(errors)
}
