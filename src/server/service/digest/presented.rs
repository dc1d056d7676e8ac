//! Digest credentials that are presented: whose they are, whether they are good, and what they stand for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::api::ClientStatus;
use crate::clock::Stopwatch;
use crate::id::ClientId;
use crate::oauth::challenge::REALM;
use crate::oauth::digest::{ALGORITHMS, Credentials, Secrets, challenge};
use crate::resource::{
    AccessToken, ApiKeyAnswer, Asked, DigestFailure, DigestSource, Refusal, Refused, RevocationSource, TokenError,
    Untold,
};
use crate::server::error::Error;
use crate::server::model::{Client, DigestKeyRecord, Kind};
use crate::server::service::Service;

use super::is_user_name;
use super::nonces::BadNonce;

/// A Digest key and the client that has it.
#[derive(Debug)]
struct Holder {
    client: Arc<Client>,
    /// Its place.
    key: usize,
}

impl Holder {
    fn key(&self) -> Option<&DigestKeyRecord> {
        self.client.digest_keys.get(self.key)
    }
}

/// What is really wrong with Digest credentials. For the operator alone: the caller gets one and the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// No Digest key has this user name.
    UnknownPublicKey,
    /// There is no digest.key.
    SealingKeyMissing,
    /// It is sealed with another digest.key.
    SealedOtherwise,
    /// What is kept of it was changed.
    Damaged,
    /// It was made for another realm.
    WrongRealm,
    /// It was made without the private key, or for another method.
    WrongResponse,
    /// The Digest key was cut off.
    Revoked,
    /// The Digest key is that of a client that is disabled.
    DisabledClient,
    /// The Digest key has ended.
    Expired,
    /// It answers a nonce that is not good.
    Nonce(BadNonce),
}

impl Cause {
    /// Its word in the audit log.
    const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPublicKey => "unknown_public_key",
            Self::SealingKeyMissing => "sealing_key_missing",
            Self::SealedOtherwise => "sealed_with_another_key",
            Self::Damaged => "damaged_digest_key",
            Self::WrongRealm => "wrong_realm",
            Self::WrongResponse => "wrong_response",
            Self::Revoked => "revoked_digest_key",
            Self::DisabledClient => "disabled_client",
            Self::Expired => "expired_digest_key",
            Self::Nonce(BadNonce::Unknown) => "unknown_nonce",
            Self::Nonce(BadNonce::Expired) => "expired_nonce",
            Self::Nonce(BadNonce::Used) => "used_nonce",
        }
    }

    const fn failure(self) -> DigestFailure {
        match self {
            Self::Nonce(_) => DigestFailure::Stale,
            _ => DigestFailure::Invalid,
        }
    }
}

/// A request with these credentials that is refused: whose they are is what is registered, never what was sent.
fn refused(holder: Option<&Holder>, refusal: Refusal, cause: Option<Cause>) -> Refused {
    let public_key = holder.and_then(Holder::key).map(|key| key.public_key.clone());
    Refused {
        client_id: holder.map(|holder| holder.client.client_id.as_str().into()),
        untold: Some(Box::new(Untold { cause: cause.map(Cause::as_str), public_key })),
        ..Refused::of(refusal)
    }
}

impl Service {
    /// Whose Digest key has this user name.
    async fn digest_key_of(&self, username: &str) -> Result<Option<Holder>, Error> {
        if !is_user_name(username) {
            return Ok(None);
        }
        if let Some(holder) = self.digests.at_hand.get(username) {
            match self.digest_key_at(&holder, username).await? {
                Some(found) => return Ok(Some(found)),
                None => self.digests.at_hand.invalidate(username),
            }
        }
        self.digest_key_looked_for(username).await
    }

    async fn digest_key_looked_for(&self, username: &str) -> Result<Option<Holder>, Error> {
        let Some(holder) = self.store.digest_holder(username).await? else { return Ok(None) };
        let found = self.digest_key_at(&holder, username).await?;
        if found.is_some() {
            self.digests.at_hand.insert(username.into(), holder);
        }
        Ok(found)
    }

    async fn digest_key_at(&self, holder: &ClientId, username: &str) -> Result<Option<Holder>, Error> {
        let client = self.clients.get(holder).await?.filter(|client| client.kind == Kind::Client);
        Ok(client.and_then(|client| {
            let key = client.digest_keys.iter().position(|key| key.public_key == username)?;
            Some(Holder { client, key })
        }))
    }

    /// Whether who made these credentials has the private key. For nobody as much is done as for somebody.
    fn check_proof(&self, holder: Option<&Holder>, credentials: &Credentials, asked: &Asked) -> Result<(), Cause> {
        let (seal, key) = (self.keys.digest_seal().get(), holder.and_then(Holder::key));
        let opened = match (&seal, key) {
            (Some(seal), Some(key)) => {
                let opened = seal.open(&key.public_key, &key.sealed);
                if opened.is_none() {
                    self.digests.warn_of_other_seal(seal.has_sealed(&key.sealed));
                }
                opened
            }
            (Some(seal), None) => seal.open_stand_in(),
            (None, _) => None,
        };
        let secrets: Secrets = opened.unwrap_or_else(|| Zeroizing::new([0; 64]));
        let is_opened = secrets.iter().any(|byte| *byte != 0);
        let answers = credentials.answers(&credentials.half_of(&secrets), asked.method.as_str());
        match (key, &seal) {
            (None, _) => Err(Cause::UnknownPublicKey),
            (_, None) => Err(Cause::SealingKeyMissing),
            (Some(key), Some(seal)) if !is_opened => {
                Err(if seal.has_sealed(&key.sealed) { Cause::Damaged } else { Cause::SealedOtherwise })
            }
            _ if credentials.realm != REALM => Err(Cause::WrongRealm),
            _ if !answers => Err(Cause::WrongResponse),
            _ => Ok(()),
        }
    }

    /// Whether it may be used at all.
    fn check_digest_key(&self, holder: &Holder) -> Result<(), Cause> {
        let key = holder.key().ok_or(Cause::UnknownPublicKey)?;
        match self.revocations.token_is_revoked("", Some(key.generation.as_str())) {
            true => Err(Cause::Revoked),
            _ if holder.client.status != ClientStatus::Active => Err(Cause::DisabledClient),
            _ if !key.is_live(self.clock.now()) => Err(Cause::Expired),
            false => Ok(()),
        }
    }

    /// Takes the count of the nonce that these credentials answer.
    fn take_nonce(&self, credentials: &Credentials) -> Result<(), BadNonce> {
        let (nonces, now) = (&self.digests.nonces, self.clock.elapsed());
        if credentials.opaque.as_ref().is_some_and(|opaque| *opaque != nonces.opaque) {
            return Err(BadNonce::Unknown);
        }
        let nonce = nonces.known(&credentials.nonce, now)?;
        if nonces.take(nonce, credentials.count, now) { Ok(()) } else { Err(BadNonce::Used) }
    }

    /// What Digest credentials stand for to a guard, for whom a request came from `source`.
    async fn resolved(&self, parameters: &str, asked: &Asked, source: Option<IpAddr>) -> Result<AccessToken, Refused> {
        let address = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let credentials = Credentials::parse(parameters).map_err(|bad| Refusal::Malformed(bad.to_string()))?;
        if credentials.uri != asked.target {
            let why = "the uri of the Digest credentials is not that of the request (RFC 7616, 3.4.6)";
            return Err(Refusal::Malformed(why.to_owned()).into());
        }
        let was_at_hand = self.digests.at_hand.contains_key(credentials.username.as_str());
        let holder = self.digest_key_of(&credentials.username).await.map_err(undecided)?;
        let holder = holder.as_ref();
        let limited = |exceeded| refused(holder, Refusal::RateLimited(exceeded), None);
        // What was made here cannot be guessed, and is served whoever else fails at its address. A guess at what was
        // brought along takes from the address before it is looked at.
        let can_be_guessed = holder.and_then(Holder::key).is_none_or(|key| key.brought);
        let counted = can_be_guessed.then(|| self.count_failure(address)).transpose().map_err(limited)?;
        let failed = |cause: Cause| refused(holder, Refusal::Digest(cause.failure()), Some(cause));
        let proven = self.check_proof(holder, &credentials, asked);
        let good = proven.and_then(|()| {
            let holder = holder.ok_or(Cause::UnknownPublicKey)?;
            self.check_digest_key(holder)?;
            holder.key().map(|key| (holder, key)).ok_or(Cause::UnknownPublicKey)
        });
        let (holder, key) = match good {
            Ok(good) => good,
            Err(cause) => {
                if counted.is_none() {
                    self.count_failure(address).map_err(limited)?;
                }
                if was_at_hand {
                    // Of nobody the store was asked; so it is asked of somebody, too.
                    self.store.digest_holder(&credentials.username).await.map_err(|error| undecided(error.into()))?;
                }
                return Err(failed(cause));
            }
        };
        if let Some(counted) = counted {
            counted.put_back();
        }
        self.take_nonce(&credentials).map_err(|bad| failed(Cause::Nonce(bad)))?;
        // The key was right: that it is in use, and from where, is what the operator wants to see.
        self.note_presented(&holder.client.client_id, &key.id, address);
        let token = self.stands_for_client(&holder.client, &key.generation, key.created_at, key.expires_at);
        token.map_err(|error| refused(Some(holder), undecided(error), None))
    }
}

fn undecided(error: Error) -> Refusal {
    match error {
        Error::RateLimited(exceeded) => Refusal::RateLimited(exceeded),
        error => {
            tracing::error!(cause = error.cause(), "nothing can be said of Digest credentials");
            Refusal::Token(TokenError::Undecidable("what Digest credentials stand for"))
        }
    }
}

impl DigestSource for Service {
    fn challenges(&self, stale: bool) -> Vec<String> {
        let nonces = &self.digests.nonces;
        match nonces.make(&*self.entropy, self.clock.elapsed()) {
            Ok(nonce) => ALGORITHMS.map(|algorithm| challenge(algorithm, &nonce, &nonces.opaque, stale)).into(),
            // Without randomness there is no nonce that nobody can foresee.
            Err(error) => {
                tracing::error!(%error, "no Digest challenge can be made");
                Vec::new()
            }
        }
    }

    fn resolve<'a>(&'a self, parameters: &'a str, asked: &'a Asked, source: Option<IpAddr>) -> ApiKeyAnswer<'a> {
        let arrived = Stopwatch::start();
        Box::pin(async move { self.held_if_failed(arrived, self.resolved(parameters, asked, source).await).await })
    }
}
