//! Clients: registering, showing, changing, revoking, deleting.

pub(super) mod fields;
mod find;
mod given;
mod import;
mod patch;
mod retire;
pub(super) mod secrets;

use serde_json::Value;

use crate::api;
use crate::clock::{Rfc3339, UnixTime};
use crate::id::ClientId;
use crate::secret::ClientSecret;
use crate::server::error::{Error, FieldError};
use crate::server::model::{Client, Kind, Revocation};
use crate::server::store::{ABSENT, StoreError};

use super::entries::{Tagged, check_limits, check_name, check_quotas, written};
use super::{Caller, CatalogSnapshot, Grants, MAX_TRIES, Service};

use fields::{allowlist, check_labels, check_text, grantable, roles};
pub use find::ClientFilter;
use secrets::check_secret_ttl;

/// What is said in the place of the id of an API key that is none.
const NO_SUCH_KEY: &str =
    "with that id (neither its name nor the key itself will do; `mintage api-key list` has the ids)";
/// What is said in the place of an id that is none.
pub(super) const NO_SUCH_ID: &str = "with that client_id (its name will not do; `mintage client list` has both)";

impl Service {
    /// Registers a client and gives it a secret, which is in this answer alone; or takes the secret that it has. Nobody
    /// registers one that holds more than they do.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::BeyondCaller`], [`Error::Conflict`] where the id is taken, or what the store
    /// says.
    pub async fn create_client(&self, new: api::NewClient, caller: &Caller) -> Result<Tagged<api::Client>, Error> {
        let mut new = self.checked(new, caller)?;
        if let Some(given) = new.given.take() {
            new.keep(self.kept(given).await?);
        }
        self.add_client(new.client, new.made.as_ref(), caller).await
    }

    pub(super) async fn add_client(
        &self,
        client: Client,
        secret: Option<&ClientSecret>,
        caller: &Caller,
    ) -> Result<Tagged<api::Client>, Error> {
        let mut shown = client.shown(|_| None);
        let (id, place) = (client.client_id.as_str(), Some(client.place()));
        let change = self.change(caller, "client.create", id, place, Value::Null, client.recorded(client.created_at));
        self.store.save_client(client.clone(), ABSENT, Vec::new(), change).await.map_err(|error| match error {
            StoreError::Conflict => Error::Conflict(format!(
                "there is a client {} already, or its project or one of its scopes or roles was just taken away",
                client.client_id
            )),
            other => other.into(),
        })?;
        shown.effective_scopes = Some(self.effective_scopes(&client));
        shown.client_secret = secret.map(|secret| secret.reveal().to_owned());
        Ok(Tagged { tag: client.tag(), value: shown })
    }

    /// A client as it is asked for, checked, with its first secret.
    pub(super) fn new_client(&self, new: api::NewClient, caller: &Caller) -> Result<(Client, ClientSecret), Error> {
        self.new_principal(Kind::Client, new, caller)
    }

    /// The same of any kind; what only a client has is left out by who asks for an API key.
    pub(super) fn new_principal(
        &self,
        kind: Kind,
        new: api::NewClient,
        caller: &Caller,
    ) -> Result<(Client, ClientSecret), Error> {
        let mut errors = Vec::new();
        let client_id = match &new.client_id {
            None if kind == Kind::ApiKey => ClientId::generate_for_key(&*self.entropy)?,
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
        check_quotas(&new.quotas, &mut errors);
        let place = self.project_for(new.organization.as_deref(), new.project.as_deref(), caller);
        let place = place.unwrap_or_else(|error| {
            errors.push(error);
            caller.home()
        });
        let (scopes, roles) = {
            let catalog = self.catalog.now();
            let organization = &place.organization;
            let scopes = grantable(&new.scopes, organization, &catalog, &mut errors);
            (scopes, roles(&new.roles, organization, &catalog, &mut errors))
        };
        let ip_allowlist = allowlist(&new.ip_allowlist, &mut errors);
        self.check_ttl(new.token_ttl, "token_ttl", &mut errors);
        check_limits(&new.limits, &mut errors);
        check_secret_ttl(new.secret_ttl, &mut errors);
        let rules = self.secret_rules(&place);
        let secret_ttl = rules.life(new.secret_ttl).unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let now = self.clock.now();
        let (record, secret) = self.new_secret(kind, new.environment, secret_ttl, now)?;
        let client = Client {
            client_id,
            kind,
            name: new.name,
            organization: place.organization,
            project: place.project.unwrap_or_default(),
            environment: new.environment,
            scopes,
            roles,
            ip_allowlist,
            token_ttl: new.token_ttl,
            limits: new.limits,
            status: new.status,
            secrets: vec![record],
            digest_keys: Vec::new(),
            past_generations: Vec::new(),
            description: new.description,
            owner: new.owner,
            labels: new.labels,
            quotas: new.quotas,
            paid_in: None,
            created_at: now,
            updated_at: now,
            revision: ABSENT + 1,
        };
        let catalog = self.catalog.now();
        self.check_limits_given(&api::Limits::default(), &client, caller)?;
        caller.check_gives(&format!("registering this {}", kind.as_str()), &Grants::of_client(&client, &catalog))?;
        catalog.roles_of(&client).try_for_each(|role| caller.check_gives_role(role))?;
        rules.check(None, &client)?;
        Ok((client, secret))
    }

    /// A client, with the last uses of its secrets.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn client(&self, id: &str, caller: &Caller) -> Result<Tagged<api::Client>, Error> {
        self.show(self.existing(Kind::Client, id, caller).await?).await
    }

    /// A client as it is shown, with the last uses of its secrets and Digest keys.
    async fn show(&self, client: Client) -> Result<Tagged<api::Client>, Error> {
        let value = self.shown(std::slice::from_ref(&client)).await?.remove(0);
        Ok(Tagged { tag: client.tag(), value })
    }

    async fn shown(&self, clients: &[Client]) -> Result<Vec<api::Client>, Error> {
        let ids = clients.iter().flat_map(|client| client.used_ids().map(str::to_owned)).collect();
        let uses = self.last_uses(ids).await?;
        // A use outlives what it was made with; one that is not written yet is known by what it was made with.
        let written = self.store.client_uses(clients.iter().map(|client| client.client_id.clone()).collect()).await?;
        let last = |client: &Client| {
            let known = client.used_ids().filter_map(|id| uses.get(id)).map(|used| used.at);
            known.chain(written.get(&client.client_id).and_then(|uses| uses.used_at)).max().map(Rfc3339)
        };
        let shown = |client: &Client| api::Client {
            effective_scopes: Some(self.effective_scopes(client)),
            last_used_at: last(client),
            ..client.shown(|secret| uses.get(secret).copied())
        };
        Ok(clients.iter().map(shown).collect())
    }

    /// Deletes a client, and cuts off every token it holds. It introspects for no API any more: who gets its id later
    /// inherits nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BeyondCaller`], [`Error::Stale`], or what the store says.
    pub async fn delete_client(&self, id: &str, caller: &Caller) -> Result<(), Error> {
        self.delete(Kind::Client, id, "client.delete", caller).await
    }

    pub(super) async fn delete(
        &self,
        kind: Kind,
        id: &str,
        action: &'static str,
        caller: &Caller,
    ) -> Result<(), Error> {
        for _ in 0..MAX_TRIES {
            let client = self.changeable(kind, id, caller).await?;
            let now = self.clock.now();
            let until = now.plus(self.longest_token());
            let revoked: Vec<_> = client.generations().flat_map(|g| client.revocations_of(g, until)).collect();
            let (place, was) = (Some(client.place()), client.recorded(now));
            let change = self.change(caller, action, id, place, was, Value::Null);
            let done = self.store.delete_client(&client.client_id, client.revision, revoked.clone(), change).await;
            self.clients.forget(&client.client_id);
            self.settle(&done, revoked);
            match done {
                Ok(apis) => {
                    self.accounts.forget(&client.account());
                    if !apis.is_empty() {
                        self.refresh_catalog().await;
                    }
                    return Ok(());
                }
                Err(StoreError::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// The client, or the API key, of this id, if the caller reaches it: what they do not reach is not there, and neither
    /// is what is of the other kind.
    pub(super) async fn existing(&self, kind: Kind, id: &str, caller: &Caller) -> Result<Client, Error> {
        // What is not an id is not repeated: people paste secrets there.
        let absent = || Error::NotFound {
            what: kind.as_str(),
            name: match kind {
                Kind::Client => NO_SUCH_ID.to_owned(),
                Kind::ApiKey => NO_SUCH_KEY.to_owned(),
            },
        };
        let parsed = ClientId::parse(id).map_err(|_| absent())?;
        let found = self.store.client(&parsed).await?;
        found.filter(|found| found.kind == kind && caller.reaches(&found.place())).ok_or_else(absent)
    }

    /// The client of this id, if it is what the caller has seen, and holds no more than they do.
    pub(super) async fn changeable(&self, kind: Kind, id: &str, caller: &Caller) -> Result<Client, Error> {
        let client = self.existing(kind, id, caller).await?;
        caller.check_tag(&client.tag())?;
        caller.check_holds(
            &format!("changing this {}", kind.as_str()),
            &Grants::of_client(&client, &self.catalog.now()),
        )?;
        Ok(client)
    }

    /// Changes a client, on its newest revision, until nobody else was faster. `change` gives what it revokes.
    pub(super) async fn change_client(
        &self,
        kind: Kind,
        id: &str,
        action: &'static str,
        caller: &Caller,
        mut change: impl FnMut(&mut Client, UnixTime) -> Result<Vec<Revocation>, Error>,
    ) -> Result<Client, Error> {
        for _ in 0..MAX_TRIES {
            let before = self.changeable(kind, id, caller).await?;
            if let Some(client) = self.change_from(&before, action, caller, &mut change).await? {
                return Ok(client);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Changes a client that is still what it was `before`; none where somebody else was faster. Nobody gives it more
    /// than they hold.
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
        let was = before.recorded(now);
        if revoked.is_empty() && was == client.recorded(now) {
            // What changes nothing is no change: no record, and the tag stays.
            return Ok(Some(client));
        }
        self.check_gains(before, &client, caller)?;
        self.check_limits_given(&before.limits, &client, caller)?;
        self.secret_rules(&client.place()).check(Some(before), &client)?;
        client.updated_at = now;
        client.revision += 1;
        let is = client.recorded(now);
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

    /// Nobody gives away what they do not hold: neither what `after` is granted and `before` was not, nor a role.
    fn check_gains(&self, before: &Client, after: &Client, caller: &Caller) -> Result<(), Error> {
        let catalog = self.catalog.now();
        let mut new = after.clone();
        new.scopes = after.scopes.iter().filter(|scope| !before.scopes.contains(scope.as_str())).cloned().collect();
        new.roles.retain(|role| !before.roles.contains(role));
        caller.check_gives("granting this", &Grants::of_client(&new, &catalog))?;
        catalog.roles_of(&new).try_for_each(|role| caller.check_gives_role(role))
    }

    /// Replaces every generation, and gives the old ones as revoked.
    pub(super) fn cut_off(&self, client: &mut Client, now: UnixTime) -> Result<Vec<Revocation>, Error> {
        Ok(client.cut_off(now.plus(self.longest_token()), &*self.entropy)?)
    }
}
