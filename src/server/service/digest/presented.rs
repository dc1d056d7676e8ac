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
    AccessToken, ApiKeyAnswer, Asked, DigestFailure, DigestSource, Refusal, RevocationSource, TokenError,
};
use crate::server::error::Error;
use crate::server::model::{Client, DigestKeyRecord, Kind, SecretUse};
use crate::server::service::Service;

use super::is_user_name;

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
    fn proves_itself(&self, holder: Option<&Holder>, credentials: &Credentials, asked: &Asked) -> bool {
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
        answers && is_opened && key.is_some() && credentials.realm == REALM
    }

    /// Whether it may be used at all.
    fn digest_key_is_good(&self, holder: &Holder) -> bool {
        let Some(key) = holder.key() else { return false };
        let cut = self.revocations.token_is_revoked("", Some(key.generation.as_str()));
        !cut && holder.client.status == ClientStatus::Active && key.is_live(self.clock.now())
    }

    /// What Digest credentials stand for to a guard, for whom a request came from `source`.
    async fn resolved(&self, parameters: &str, asked: &Asked, source: Option<IpAddr>) -> Result<AccessToken, Refusal> {
        let address = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let credentials = Credentials::parse(parameters).map_err(|bad| Refusal::Malformed(bad.to_string()))?;
        if credentials.uri != asked.target {
            return Err(Refusal::Malformed(
                "the uri of the Digest credentials is not that of the request (RFC 7616, 3.4.6)".to_owned(),
            ));
        }
        let was_at_hand = self.digests.at_hand.contains_key(credentials.username.as_str());
        let holder = self.digest_key_of(&credentials.username).await.map_err(undecided)?;
        // What was made here cannot be guessed, and is served whoever else fails at its address. A guess at what was
        // brought along takes from the address before it is looked at.
        let can_be_guessed = holder.as_ref().and_then(Holder::key).is_none_or(|key| key.brought);
        let counted = can_be_guessed.then(|| self.count_failure(address)).transpose().map_err(Refusal::RateLimited)?;
        let proven = self.proves_itself(holder.as_ref(), &credentials, asked);
        let Some(holder) = holder.filter(|holder| proven && self.digest_key_is_good(holder)) else {
            if counted.is_none() {
                self.count_failure(address).map_err(Refusal::RateLimited)?;
            }
            if was_at_hand {
                // Of nobody the store was asked; so it is asked of somebody, too.
                self.store.digest_holder(&credentials.username).await.map_err(|error| undecided(error.into()))?;
            }
            return Err(Refusal::Digest(DigestFailure::Invalid));
        };
        if let Some(counted) = counted {
            counted.put_back();
        }
        let now = self.clock.elapsed();
        let nonces = &self.digests.nonces;
        let is_ours = credentials.opaque.as_ref().is_none_or(|opaque| *opaque == nonces.opaque);
        let nonce = nonces.known(&credentials.nonce, now).filter(|_| is_ours);
        if !nonce.is_some_and(|nonce| nonces.take(nonce, credentials.count, now)) {
            return Err(Refusal::Digest(DigestFailure::Stale));
        }
        let Some(key) = holder.key() else { return Err(Refusal::Digest(DigestFailure::Invalid)) };
        let used = SecretUse { at: self.clock.now(), from: address };
        self.usage.note(&holder.client.client_id, Some((&key.id, used)), |_| {});
        self.stands_for_client(&holder.client, &key.generation, key.created_at, key.expires_at).map_err(undecided)
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
