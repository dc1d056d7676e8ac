//! Clients: registering, showing, rotating, revoking, deleting.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api;
use crate::api::ClientStatus;
use crate::clock::UnixTime;
use crate::id::{ClientId, Generation, random_base62};
use crate::scope::{Scope, ScopeSet};
use crate::secret::{ClientSecret, Environment};
use crate::server::error::{Error, FieldError};
use crate::server::model::{Client, DEFAULT, MAX_SECRETS, PastGeneration, Revocation, RevokedTarget, SecretRecord};
use crate::server::store::{ABSENT, StoreError};
use crate::source_ip::Allowlist;

use super::apis::MAX_TEXT;
use super::cursor::PageRequest;
use super::{Caller, CatalogSnapshot, Service};

/// The most labels that a client has.
const MAX_LABELS: usize = 64;
/// The longest that a secret can be told to live: ten years.
const MAX_SECRET_TTL: u64 = 10 * 366 * 24 * 3600;
/// What is said in the place of an id that is none.
const NO_SUCH_ID: &str = "with that client_id (its name will not do; `mintage client list` has both)";
/// How often a change is tried again on what somebody else has changed meanwhile.
const MAX_TRIES: usize = 16;

impl Service {
    /// Registers a client and gives it a secret, which is in this answer alone.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::Conflict`] where the id is taken, or what the store says.
    pub async fn create_client(&self, new: api::NewClient, caller: &Caller) -> Result<api::Client, Error> {
        let (client, secret) = self.new_client(new)?;
        self.add_client(client, &secret, caller).await
    }

    pub(super) async fn add_client(
        &self,
        client: Client,
        secret: &ClientSecret,
        caller: &Caller,
    ) -> Result<api::Client, Error> {
        let mut shown = client.shown(|_| None);
        let change = self.change(caller, "client.create", client.client_id.as_str(), Value::Null, json!(shown));
        self.store.save_client(client.clone(), ABSENT, Vec::new(), change).await.map_err(|error| match error {
            StoreError::Conflict => Error::Conflict(format!("there is a client {} already", client.client_id)),
            other => other.into(),
        })?;
        shown.client_secret = Some(secret.reveal().to_owned());
        Ok(shown)
    }

    /// A client as it is asked for, checked, with its first secret.
    pub(super) fn new_client(&self, new: api::NewClient) -> Result<(Client, ClientSecret), Error> {
        let mut errors = Vec::new();
        let client_id = match &new.client_id {
            None => ClientId::generate(&*self.entropy)?,
            Some(text) => ClientId::parse(text).or_else(|error| {
                errors.push(FieldError::new("client_id", error));
                ClientId::generate(&*self.entropy)
            })?,
        };
        // In a URL's path they mean this folder and the one above, and are taken out on the way.
        if matches!(client_id.as_str(), "." | "..") {
            errors.push(FieldError::new("client_id", "it cannot be . or .., which no URL path can hold"));
        }
        if new.name.trim().is_empty() || new.name.len() > MAX_TEXT {
            errors.push(FieldError::new("name", format!("1 to {MAX_TEXT} bytes")));
        }
        for (field, text) in [("description", &new.description), ("owner", &new.owner)] {
            if text.len() > 4 * MAX_TEXT {
                errors.push(FieldError::new(field, format!("at most {} bytes", 4 * MAX_TEXT)));
            }
        }
        if new.labels.len() > MAX_LABELS
            || new.labels.iter().any(|(k, v)| k.is_empty() || k.len() > MAX_TEXT || v.len() > MAX_TEXT)
        {
            errors.push(FieldError::new("labels", format!("at most {MAX_LABELS}, each of at most {MAX_TEXT} bytes")));
        }
        let scopes = grantable(&new.scopes, &self.catalog.now(), &mut errors);
        let ip_allowlist = Allowlist::parse(&new.ip_allowlist).unwrap_or_else(|error| {
            errors.push(FieldError::new("ip_allowlist", error));
            Allowlist::default()
        });
        self.check_ttl(new.token_ttl, "token_ttl", &mut errors);
        check_secret_ttl(new.secret_ttl, &mut errors);
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let now = self.clock.now();
        let (record, secret) = self.new_secret(new.environment, new.secret_ttl, now)?;
        let client = Client {
            client_id,
            name: new.name,
            organization: DEFAULT.to_owned(),
            project: DEFAULT.to_owned(),
            environment: new.environment,
            scopes,
            ip_allowlist,
            token_ttl: new.token_ttl,
            status: ClientStatus::Active,
            secrets: vec![record],
            past_generations: Vec::new(),
            description: new.description,
            owner: new.owner,
            labels: new.labels,
            created_at: now,
            updated_at: now,
            revision: ABSENT + 1,
        };
        Ok((client, secret))
    }

    fn new_secret(
        &self,
        environment: Environment,
        ttl: Option<u64>,
        now: UnixTime,
    ) -> Result<(SecretRecord, ClientSecret), Error> {
        let secret = ClientSecret::generate(environment, &*self.entropy)?;
        let record = SecretRecord {
            id: format!("s_{}", random_base62(&*self.entropy, 22)?),
            prefix: secret.masked_prefix(),
            hash: secret.hash(),
            generation: Generation::generate(&*self.entropy)?,
            created_at: now,
            expires_at: ttl.map(|ttl| now.plus(Duration::from_secs(ttl))),
        };
        Ok((record, secret))
    }

    /// A client, with the last uses of its secrets.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn client(&self, id: &str) -> Result<api::Client, Error> {
        let client = self.existing(id).await?;
        Ok(self.shown(std::slice::from_ref(&client)).await?.remove(0))
    }

    /// A page of the clients, in order of their ids.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor, or what the store says.
    pub async fn list_clients(&self, page: &PageRequest) -> Result<api::Page<api::Client>, Error> {
        let (after, limit) = self.cursors.start("clients", page)?;
        let after = after.and_then(|after| ClientId::parse(&after).ok());
        let mut clients = self.store.clients(after.as_ref(), limit + 1).await?;
        let more = clients.len() > limit;
        clients.truncate(limit);
        let next_cursor =
            clients.last().filter(|_| more).map(|last| self.cursors.seal("clients", last.client_id.as_str()));
        Ok(api::Page { items: self.shown(&clients).await?, next_cursor })
    }

    async fn shown(&self, clients: &[Client]) -> Result<Vec<api::Client>, Error> {
        let ids = clients.iter().flat_map(|c| c.secrets.iter().map(|s| s.id.clone())).collect();
        let uses = self.store.secret_uses(ids).await?;
        Ok(clients
            .iter()
            .map(|client| client.shown(|secret| self.usage.pending(secret).or_else(|| uses.get(secret).copied())))
            .collect())
    }

    /// Adds a secret, which is in this answer alone. With an overlap the others end when that is over.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] where the client has as many as it can, or what the store says.
    pub async fn add_secret(&self, id: &str, new: &api::NewSecret, caller: &Caller) -> Result<api::Client, Error> {
        let mut errors = Vec::new();
        check_secret_ttl(new.secret_ttl, &mut errors);
        if new.overlap.is_some_and(|overlap| overlap > MAX_SECRET_TTL) {
            errors.push(FieldError::new("overlap", format!("at most {MAX_SECRET_TTL} seconds")));
        }
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let mut made = None;
        let client = self
            .change_client(id, "client.secret.create", caller, |client, now| {
                if let Some(overlap) = new.overlap {
                    let end = now.plus(Duration::from_secs(overlap));
                    for secret in &mut client.secrets {
                        secret.expires_at = Some(secret.expires_at.map_or(end, |own| own.min(end)));
                    }
                }
                self.drop_ended_secrets(client, now);
                if client.secrets.len() >= MAX_SECRETS {
                    return Err(Error::Conflict(format!(
                        "the client has {MAX_SECRETS} secrets that are still good, and can have no more: \
                         end them now with an overlap of 0, or wait until one has ended"
                    )));
                }
                let (record, secret) = self.new_secret(client.environment, new.secret_ttl, now)?;
                client.secrets.push(record);
                made = Some(secret);
                Ok(Vec::new())
            })
            .await?;
        let mut shown = self.shown(std::slice::from_ref(&client)).await?.remove(0);
        shown.client_secret = made.map(|secret| secret.reveal().to_owned());
        Ok(shown)
    }

    /// Enables or disables a client. Disabling cuts off every token it holds; they stay dead when it is enabled again.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn set_client_status(
        &self,
        id: &str,
        status: ClientStatus,
        action: &'static str,
        caller: &Caller,
    ) -> Result<api::Client, Error> {
        let client = self
            .change_client(id, action, caller, |client, now| {
                client.status = status;
                match status {
                    ClientStatus::Active => Ok(Vec::new()),
                    ClientStatus::Disabled => self.cut_off(client, now),
                }
            })
            .await?;
        Ok(self.shown(std::slice::from_ref(&client)).await?.remove(0))
    }

    /// Deletes a client, and cuts off every token it holds.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn delete_client(&self, id: &str, caller: &Caller) -> Result<(), Error> {
        for _ in 0..MAX_TRIES {
            let client = self.existing(id).await?;
            let until = self.clock.now().plus(self.longest_token());
            let revoked: Vec<_> = client.generations().map(|g| revocation(g, until)).collect();
            let change = self.change(caller, "client.delete", id, json!(client.shown(|_| None)), Value::Null);
            let done = self.store.delete_client(&client.client_id, client.revision, revoked.clone(), change).await;
            self.clients.forget(&client.client_id);
            match done {
                Ok(()) => {
                    self.revocations.add(revoked);
                    return Ok(());
                }
                Err(StoreError::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    async fn existing(&self, id: &str) -> Result<Client, Error> {
        // What is not an id is not repeated: people paste secrets there.
        let absent = |name: &str| Error::NotFound { what: "client", name: name.to_owned() };
        let parsed = ClientId::parse(id).map_err(|_| absent(NO_SUCH_ID))?;
        self.store.client(&parsed).await?.ok_or_else(|| absent(NO_SUCH_ID))
    }

    /// Changes a client, on its newest revision, until nobody else was faster. `change` gives what it revokes.
    async fn change_client(
        &self,
        id: &str,
        action: &'static str,
        caller: &Caller,
        mut change: impl FnMut(&mut Client, UnixTime) -> Result<Vec<Revocation>, Error>,
    ) -> Result<Client, Error> {
        for _ in 0..MAX_TRIES {
            let before = self.existing(id).await?;
            let now = self.clock.now();
            let mut client = before.clone();
            let revoked = change(&mut client, now)?;
            client.updated_at = now;
            client.revision += 1;
            let record = self.change(caller, action, id, json!(before.shown(|_| None)), json!(client.shown(|_| None)));
            let done = self.store.save_client(client.clone(), before.revision, revoked.clone(), record).await;
            self.clients.forget(&client.client_id);
            match done {
                Ok(()) => {
                    self.revocations.add(revoked);
                    return Ok(client);
                }
                Err(StoreError::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Replaces every generation, and gives the old ones as revoked.
    fn cut_off(&self, client: &mut Client, now: UnixTime) -> Result<Vec<Revocation>, Error> {
        let until = now.plus(self.longest_token());
        let revoked = client.generations().map(|g| revocation(g, until)).collect();
        client.past_generations.clear();
        for secret in &mut client.secrets {
            secret.generation = Generation::generate(&*self.entropy)?;
        }
        Ok(revoked)
    }

    /// Takes ended secrets out, but remembers their generations while tokens of theirs may live.
    fn drop_ended_secrets(&self, client: &mut Client, now: UnixTime) {
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

fn revocation(generation: &Generation, until: UnixTime) -> Revocation {
    Revocation { target: RevokedTarget::Generation(generation.as_str().to_owned()), until }
}

fn check_secret_ttl(ttl: Option<u64>, errors: &mut Vec<FieldError>) {
    if ttl.is_some_and(|ttl| ttl == 0 || ttl > MAX_SECRET_TTL) {
        errors.push(FieldError::new("secret_ttl", format!("1 to {MAX_SECRET_TTL} seconds")));
    }
}

/// The scopes that `names` are, as far as some API defines them.
fn grantable(names: &[String], catalog: &CatalogSnapshot, errors: &mut Vec<FieldError>) -> ScopeSet {
    let mut scopes = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let field = || format!("scopes[{index}]");
        match Scope::parse(name) {
            Err(error) => errors.push(FieldError::new(field(), error)),
            Ok(scope) if catalog.defines(&scope) => scopes.push(scope),
            Ok(scope) => {
                let hint = match catalog.nearest(name) {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => "define it first: mintage api create IDENTIFIER --scope SCOPE".to_owned(),
                };
                errors.push(FieldError::new(field(), format!("no API defines the scope {scope}; {hint}")));
            }
        }
    }
    scopes.into_iter().collect()
}
