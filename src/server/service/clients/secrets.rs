//! Secrets of clients: adding and withdrawing them.

use std::time::Duration;

use crate::api;
use crate::clock::UnixTime;
use crate::id::{Generation, random_base62};
use crate::secret::{ClientSecret, Environment};
use crate::server::error::{Error, FieldError};
use crate::server::model::{Client, Kind, MAX_SECRETS, PastGeneration, Revocation, SecretRecord};

use super::given::Given;
use super::{Caller, Service, Tagged, written};

/// The longest that a secret can be told to live: ten years.
pub(in super::super) const MAX_SECRET_TTL: u64 = 10 * 366 * 24 * 3600;
/// What is said in the place of the id of a secret: people paste secrets there.
const NO_SUCH_SECRET: &str = "of that id at this client; `mintage client show` has them";

impl Service {
    pub(in super::super) fn new_secret(
        &self,
        kind: Kind,
        environment: Environment,
        ttl: Option<u64>,
        now: UnixTime,
    ) -> Result<(SecretRecord, ClientSecret), Error> {
        let secret = match kind {
            Kind::Client => ClientSecret::generate(environment, &*self.entropy)?,
            Kind::ApiKey => ClientSecret::generate_key(&self.settings.key_prefix, environment, &*self.entropy)?,
        };
        let record = SecretRecord {
            id: format!("s_{}", random_base62(&*self.entropy, 22)?),
            prefix: secret.masked_prefix(),
            hash: secret.hash().into(),
            generation: Generation::generate(&*self.entropy)?,
            created_at: now,
            expires_at: ttl.map(|ttl| now.plus(Duration::from_secs(ttl))),
            replaced: None,
        };
        Ok((record, secret))
    }

    /// Adds a secret, which is in this answer alone, or one that there is already. With an overlap the others end when that
    /// is over, and it lives as long as the newest of them was made to live, unless something else is asked for.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] where the client has as many as it can, or what the store says.
    pub async fn add_secret(
        &self,
        id: &str,
        new: &api::NewSecret,
        caller: &Caller,
    ) -> Result<Tagged<api::Client>, Error> {
        let mut errors = Vec::new();
        check_secret_ttl(new.secret_ttl.flatten(), &mut errors);
        if new.overlap.is_some_and(|overlap| overlap > MAX_SECRET_TTL) {
            errors.push(FieldError::new("overlap", format!("at most {}", written(MAX_SECRET_TTL))));
        }
        let given = Given::read(new.client_secret.as_ref(), new.client_secret_hash.as_ref(), &mut errors);
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let kept = match given {
            Some(given) => Some(self.kept(given).await?),
            None => None,
        };
        let mut made = None;
        let client = self
            .change_client(Kind::Client, id, "client.secret.create", caller, |client, now| {
                // Before those that have ended are gone: one that replaces such a one lives as long, too.
                let newest = client.secrets.last().and_then(SecretRecord::life);
                if let Some(overlap) = new.overlap {
                    let end = now.plus(Duration::from_secs(overlap));
                    client.secrets.iter_mut().for_each(|secret| secret.end_by(end));
                }
                self.drop_ended_secrets(client, now);
                if client.secrets.len() >= MAX_SECRETS {
                    return Err(Error::Conflict(format!(
                        "the client has {MAX_SECRETS} secrets that are still good, and can have no more: \
                         end them now with an overlap of 0, or wait until one has ended"
                    )));
                }
                let rules = self.secret_rules(&client.place());
                let before = newest.filter(|_| new.overlap.is_some());
                let life = rules.life_after(new.secret_ttl, before);
                let life = life.map_err(|error| Error::InvalidFields(vec![error]))?;
                let (mut record, secret) = self.new_secret(Kind::Client, client.environment, life, now)?;
                match &kept {
                    Some(kept) => kept.clone().put_into(&mut record),
                    None => made = Some(secret),
                }
                client.secrets.push(record);
                Ok(Vec::new())
            })
            .await?;
        let mut shown = self.show(client).await?;
        shown.value.client_secret = made.map(|secret| secret.reveal().to_owned());
        Ok(shown)
    }

    /// Takes a secret out at once. Its tokens live on until they expire, unless they are to be cut off with it.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn withdraw_secret(
        &self,
        id: &str,
        secret_id: &str,
        cut_tokens: bool,
        caller: &Caller,
    ) -> Result<Tagged<api::Client>, Error> {
        let client = self
            .change_client(Kind::Client, id, "client.secret.delete", caller, |client, now| {
                let Some(secret) = client.secrets.iter_mut().find(|secret| secret.id == secret_id) else {
                    return Err(Error::NotFound { what: "secret", name: NO_SUCH_SECRET.to_owned() });
                };
                let generation = secret.generation.clone();
                secret.end_by(now);
                self.drop_ended_secrets(client, now);
                if !cut_tokens {
                    return Ok(Vec::new());
                }
                client.past_generations.retain(|past| past.generation != generation);
                Ok(vec![Revocation::of_generation(&generation, now.plus(self.longest_token()))])
            })
            .await?;
        self.show(client).await
    }

    /// Takes ended secrets out, but remembers their generations while tokens of theirs may live.
    pub(in super::super) fn drop_ended_secrets(&self, client: &mut Client, now: UnixTime) {
        client.past_generations.retain(|past| past.until > now);
        let (live, ended): (Vec<_>, Vec<_>) = client.secrets.drain(..).partition(|secret| secret.is_live(now));
        client.secrets = live;
        for secret in ended {
            let until = secret.expires_at.unwrap_or(now).plus(self.longest_token());
            if until > now {
                client.past_generations.push(PastGeneration { generation: secret.generation, until });
            }
        }
    }
}

pub(in super::super) fn check_secret_ttl(ttl: Option<u64>, errors: &mut Vec<FieldError>) {
    if ttl.is_some_and(|ttl| ttl == 0 || ttl > MAX_SECRET_TTL) {
        errors.push(FieldError::new("secret_ttl", format!("1s to {}", written(MAX_SECRET_TTL))));
    }
}
