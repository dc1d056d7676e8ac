//! API keys that are presented: whose one is, whether it is good, and what it stands for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::api::ClientStatus;
use crate::clock::{Stopwatch, UnixTime};
use crate::crypto::{Sha256, sha256};
use crate::id::{ClientId, Generation};
use crate::jose::claims::AccessTokenClaims;
use crate::resource::{AccessToken, ApiKeyAnswer, ApiKeySource, Refusal, Refused, RevocationSource, TokenError};
use crate::scope::ScopeSet;
use crate::secret::{ClientSecret, SecretHash, is_key_well_formed, looks_like_a_client_secret, looks_like_a_key};
use crate::server::error::{AuthCause, Error};
use crate::server::model::{Client, KeptHash, Kind};
use crate::server::service::{Authenticated, Service};

/// How long what a key without an end stands for is good, in the words of a token.
const STANDS_FOR: Duration = Duration::from_secs(24 * 3600);

/// What an API key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::service) enum Standing {
    /// It is.
    Good,
    /// It was, until then.
    Ended(UnixTime),
    /// It was disabled, or cut off when another took its place.
    Revoked,
}

impl Standing {
    /// What an operator is told of a key that is not good.
    pub(in crate::server::service) const fn cause(self) -> Option<AuthCause> {
        match self {
            Self::Good => None,
            Self::Ended(_) => Some(AuthCause::ExpiredSecret),
            Self::Revoked => Some(AuthCause::DisabledClient),
        }
    }
}

impl Service {
    /// Whose key this is, and which of its secrets; none where it is nobody's, which is a failed authentication of
    /// `guesser`. Who has proven itself and asks about somebody else's key is no guesser.
    ///
    /// # Errors
    /// [`Error::RateLimited`], or what the store says.
    pub(in crate::server::service) async fn key_of(
        &self,
        key: &str,
        guesser: Option<IpAddr>,
    ) -> Result<Option<Authenticated>, Error> {
        if !is_key_well_formed(key) {
            return Ok(None);
        }
        let (digest, hash) = (sha256(key.as_bytes()), ClientSecret::from(key.to_owned()).hash());
        if let Some(holder) = self.keys_at_hand.holder(&digest) {
            match self.held_by(&holder, &hash).await? {
                Some(found) => return Ok(Some(found)),
                None => self.keys_at_hand.forget(&digest),
            }
        }
        // Looked at first: a good key is taken whoever else fails at its address.
        let found = self.looked_for(digest, &hash).await?;
        if let (None, Some(address)) = (&found, guesser) {
            self.count_failure(address)?;
        }
        Ok(found)
    }

    async fn looked_for(&self, digest: Sha256, hash: &SecretHash) -> Result<Option<Authenticated>, Error> {
        let Some(holder) = self.store.key_holder(&hash.to_text()).await? else { return Ok(None) };
        let found = self.held_by(&holder, hash).await?;
        if found.is_some() {
            self.keys_at_hand.learn(digest, holder);
        }
        Ok(found)
    }

    async fn held_by(&self, holder: &ClientId, hash: &SecretHash) -> Result<Option<Authenticated>, Error> {
        let Some(client) = self.clients.get(holder).await? else { return Ok(None) };
        if client.kind != Kind::ApiKey {
            return Ok(None);
        }
        let mut matching = None;
        for (index, secret) in client.secrets.iter().enumerate() {
            if let KeptHash::Quick(kept) = &secret.hash
                && hash.matches(kept)
            {
                matching = Some(index);
            }
        }
        Ok(matching.map(|secret| Authenticated { client, secret }))
    }

    /// Whether a key that was found is good.
    pub(in crate::server::service) fn standing_of(&self, key: &Authenticated) -> Standing {
        let Some(secret) = key.secret() else { return Standing::Revoked };
        let cut = self.revocations.token_is_revoked("", Some(secret.generation.as_str()));
        match secret.expires_at {
            _ if cut || key.client.status == ClientStatus::Disabled => Standing::Revoked,
            Some(end) if !secret.is_live(self.clock.now()) => Standing::Ended(end),
            _ => Standing::Good,
        }
    }

    /// What a key stands for now: a token with the claims that one issued for it would have, for every API of its scopes
    /// at once. Its `jti` is the generation, so that whoever holds an answer about it hears of its end.
    pub(in crate::server::service) fn stands_for(&self, key: &Authenticated) -> Result<AccessToken, Error> {
        let secret = key.secret().ok_or_else(|| Error::Internal("a secret is gone".to_owned()))?;
        self.stands_for_client(&key.client, &secret.generation, secret.created_at, secret.expires_at)
    }

    /// The same of a client, for a credential of this generation.
    pub(in crate::server::service) fn stands_for_client(
        &self,
        client: &Client,
        generation: &Generation,
        made: UnixTime,
        end: Option<UnixTime>,
    ) -> Result<AccessToken, Error> {
        let catalog = self.catalog.now();
        let issuer = &*self.settings.issuer;
        let held = catalog.scopes_of(client);
        let owner = |scope| catalog.audience_of(scope, issuer);
        let scopes: ScopeSet = held.iter().filter(|scope| owner(scope).is_some()).cloned().collect();
        let mut audience: BTreeSet<&str> = scopes.iter().filter_map(owner).collect();
        if scopes.is_empty() {
            audience.insert(issuer);
        }
        let end = end.unwrap_or_else(|| self.clock.now().plus(STANDS_FOR));
        let generation = generation.as_str();
        let mut all = Map::new();
        let mut claim = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
        claim("iss", json!(issuer));
        claim("sub", json!(client.client_id));
        claim("client_id", json!(client.client_id));
        claim("aud", if audience.len() == 1 { json!(audience.first()) } else { json!(audience) });
        claim("exp", json!(end));
        claim("iat", json!(made));
        claim("jti", json!(generation));
        if !scopes.is_empty() {
            claim("scope", json!(scopes.to_string()));
        }
        claim("org", json!(client.organization));
        claim("project", json!(client.project));
        claim("env", json!(client.environment));
        claim("gen", json!(generation));
        if !client.ip_allowlist.is_empty() {
            claim("ip_allowlist", json!(client.ip_allowlist));
        }
        let claims = AccessTokenClaims::from_object(all)
            .map_err(|error| Error::Internal(format!("a credential stands for no token: {error}")))?;
        Ok(AccessToken::of_claims(claims))
    }

    /// What a key stands for to a guard, for whom a request came from `source`.
    async fn presented(&self, key: &str, source: Option<IpAddr>) -> Result<AccessToken, Refused> {
        let address = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let found = self.key_of(key, Some(address)).await.map_err(undecided)?;
        let Some(found) = found else {
            let why = if looks_like_a_client_secret(key) {
                "it is a client's secret, and no API key: it is exchanged for a token, and never sent elsewhere"
            } else if is_key_well_formed(key) {
                "there is no such API key"
            } else {
                "it is an API key that was cut short or mistyped: its checksum is not that of the rest"
            };
            return Err(Refusal::Token(TokenError::Invalid(why.to_owned())).into());
        };
        let refused = |refusal| Refused::of_client(refusal, found.client.client_id.as_str());
        match self.standing_of(&found) {
            Standing::Good => {}
            Standing::Ended(end) => return Err(refused(Refusal::Token(TokenError::KeyEnded(end)))),
            Standing::Revoked => return Err(refused(Refusal::Token(TokenError::KeyRevoked))),
        }
        // The key was right: that it is in use, and from where, is what the operator wants to see.
        self.note_use_from(&found, address);
        self.stands_for(&found).map_err(|error| refused(undecided(error)))
    }

    /// The API key that somebody names by itself, if it is still good for anything. Whoever asks has proven itself.
    pub(in crate::server::service) async fn key_to_revoke(&self, key: &str) -> Result<Option<Client>, Error> {
        let found = self.key_of(key, None).await?;
        let alive = found.filter(|found| self.standing_of(found) == Standing::Good);
        Ok(alive.map(|found| Client::clone(&found.client)))
    }
}

fn undecided(error: Error) -> Refusal {
    match error {
        Error::RateLimited(exceeded) => Refusal::RateLimited(exceeded),
        error => {
            tracing::error!(cause = error.cause(), "nothing can be said of an API key");
            Refusal::Token(TokenError::Undecidable("what API keys stand for"))
        }
    }
}

impl ApiKeySource for Service {
    fn is_key(&self, bearer: &str) -> bool {
        looks_like_a_key(bearer)
    }

    fn introspect<'a>(&'a self, key: &'a str, source: Option<IpAddr>) -> ApiKeyAnswer<'a> {
        let arrived = Stopwatch::start();
        Box::pin(async move { self.held_if_failed(arrived, self.presented(key, source).await).await })
    }
}
