//! Clients: registering, showing, changing, revoking, deleting.

pub(super) mod fields;
mod patch;
mod retire;
mod secrets;

use serde_json::{Value, json};

use crate::api;
use crate::api::ClientStatus;
use crate::clock::UnixTime;
use crate::id::{ClientId, Generation};
use crate::secret::ClientSecret;
use crate::server::error::{Error, FieldError};
use crate::server::model::{Client, DEFAULT, Revocation, RevokedTarget};
use crate::server::store::{ABSENT, StoreError};

use super::cursor::PageRequest;
use super::{Caller, CatalogSnapshot, MAX_TRIES, Service};

use fields::{allowlist, check_labels, check_name, check_text, grantable};
use secrets::check_secret_ttl;

/// What is said in the place of an id that is none.
pub(super) const NO_SUCH_ID: &str = "with that client_id (its name will not do; `mintage client list` has both)";

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
        let (id, place) = (client.client_id.as_str(), Some(client.place()));
        let change = self.change(caller, "client.create", id, place, Value::Null, json!(shown));
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
        check_name(&new.name, &mut errors);
        check_text("description", &new.description, &mut errors);
        check_text("owner", &new.owner, &mut errors);
        check_labels(&new.labels, &mut errors);
        let scopes = grantable(&new.scopes, &self.catalog.now(), &mut errors);
        let ip_allowlist = allowlist(&new.ip_allowlist, &mut errors);
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
        let uses = self.last_uses(ids).await?;
        Ok(clients.iter().map(|client| client.shown(|secret| uses.get(secret).copied())).collect())
    }

    /// Deletes a client, and cuts off every token it holds. It introspects for no API any more: who gets its id later
    /// inherits nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn delete_client(&self, id: &str, caller: &Caller) -> Result<(), Error> {
        for _ in 0..MAX_TRIES {
            let client = self.existing(id).await?;
            let until = self.clock.now().plus(self.longest_token());
            let revoked: Vec<_> = client.generations().map(|g| revocation(g, until)).collect();
            let (place, was) = (Some(client.place()), json!(client.shown(|_| None)));
            let change = self.change(caller, "client.delete", id, place, was, Value::Null);
            let done = self.store.delete_client(&client.client_id, client.revision, revoked.clone(), change).await;
            self.clients.forget(&client.client_id);
            self.settle(&done, revoked);
            match done {
                Ok(apis) => {
                    self.catalog.add(apis);
                    return Ok(());
                }
                Err(StoreError::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    pub(super) async fn existing(&self, id: &str) -> Result<Client, Error> {
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
            if let Some(client) = self.change_from(&before, action, caller, &mut change).await? {
                return Ok(client);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Changes a client that is still what it was `before`; none where somebody else was faster.
    async fn change_from(
        &self,
        before: &Client,
        action: &'static str,
        caller: &Caller,
        change: impl FnOnce(&mut Client, UnixTime) -> Result<Vec<Revocation>, Error>,
    ) -> Result<Option<Client>, Error> {
        let now = self.clock.now();
        let mut client = before.clone();
        let revoked = change(&mut client, now)?;
        client.updated_at = now;
        client.revision += 1;
        let (was, is) = (json!(before.shown(|_| None)), json!(client.shown(|_| None)));
        let record = self.change(caller, action, client.client_id.as_str(), Some(client.place()), was, is);
        let done = self.store.save_client(client.clone(), before.revision, revoked.clone(), record).await;
        self.clients.forget(&client.client_id);
        self.settle(&done, revoked);
        match done {
            Ok(()) => Ok(Some(client)),
            Err(StoreError::Conflict) => Ok(None),
            Err(other) => Err(other.into()),
        }
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
}

fn revocation(generation: &Generation, until: UnixTime) -> Revocation {
    Revocation { target: RevokedTarget::Generation(generation.as_str().to_owned()), until }
}
