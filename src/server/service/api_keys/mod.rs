//! API keys: making, showing, changing, rotating, revoking, deleting; and in `presented` what becomes of one that is
//! used.
//!
//! An API key is a client's record of another kind. What they have in common is decided in `clients/`.

mod presented;

use std::time::Duration;

use serde_json::Value;

use crate::api;
use crate::api::ClientStatus;
use crate::server::error::{Error, FieldError};
use crate::server::model::{Client, Kind, MAX_SECRETS, SecretRecord};
use crate::server::store::Added;

use super::clients::ClientFilter;
use super::clients::secrets::{MAX_SECRET_TTL, check_secret_ttl};
use super::cursor::PageRequest;
use super::entries::written;
use super::{Caller, Service, Tagged};

pub(super) use presented::Standing;

impl Service {
    /// Makes an API key, which is in this answer alone. Nobody makes one that holds more than they do.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::BeyondCaller`], [`Error::PolicyViolated`], [`Error::Conflict`] where its
    /// project or one of its scopes was just taken away, or what the store says.
    pub async fn create_api_key(&self, new: api::NewApiKey, caller: &Caller) -> Result<Tagged<api::ApiKey>, Error> {
        let new = api::NewClient {
            name: new.name,
            organization: new.organization,
            project: new.project,
            environment: new.environment,
            scopes: new.scopes,
            ip_allowlist: new.ip_allowlist,
            secret_ttl: new.ttl,
            limits: new.limits,
            quotas: new.quotas,
            description: new.description,
            owner: new.owner,
            labels: new.labels,
            ..api::NewClient::default()
        };
        let (client, key) = self.new_principal(Kind::ApiKey, new, caller).map_err(in_words_of_keys)?;
        let most = self.secret_rules(&client.place()).max_keys;
        let id = client.client_id.as_str();
        let (place, now) = (Some(client.place()), client.created_at);
        let change = self.change(caller, "api_key.create", id, place, Value::Null, client.recorded(now));
        match self.store.add_key(client.clone(), most.unwrap_or(u64::MAX), change).await? {
            Added::Yes => {}
            Added::Full => {
                return Err(Error::PolicyViolated {
                    policy: "max_keys",
                    detail: match most.unwrap_or_default() {
                        1 => "a project has 1 API key at most, and this one has it; delete it if nobody needs it"
                            .to_owned(),
                        most => format!(
                            "a project has {most} API keys at most, and this one has them; delete one that nobody needs"
                        ),
                    },
                });
            }
            Added::Exists | Added::Unfounded => {
                return Err(Error::Conflict("its project, or one of its scopes, was just taken away".to_owned()));
            }
        }
        let tag = client.tag();
        let value = api::ApiKey { api_key: Some(key.reveal().to_owned()), ..client.shown_key(now, |_| None) };
        Ok(Tagged { tag, value })
    }

    /// A page of the API keys within reach that are asked for.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor, or what the store says.
    pub async fn list_api_keys(
        &self,
        filter: ClientFilter,
        page: &PageRequest,
        caller: &Caller,
    ) -> Result<api::Page<api::ApiKey>, Error> {
        let (found, next_cursor) = self.find(Kind::ApiKey, filter, page, caller).await?;
        Ok(api::Page { items: self.shown_keys(&found).await?, next_cursor })
    }

    /// An API key, and when it was last used.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn api_key(&self, id: &str, caller: &Caller) -> Result<Tagged<api::ApiKey>, Error> {
        self.show_key(self.existing(Kind::ApiKey, id, caller).await?).await
    }

    /// Changes an API key as the merge patch says (RFC 7396). Disabling it, taking a scope away and narrowing its
    /// allowlist cut off every token that it was exchanged for.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], [`Error::PolicyViolated`], or what the store says.
    pub async fn update_api_key(
        &self,
        id: &str,
        patch: api::ApiKeyPatch,
        caller: &Caller,
    ) -> Result<Tagged<api::ApiKey>, Error> {
        let patch = api::ClientPatch {
            name: patch.name,
            status: patch.status,
            scopes: patch.scopes,
            ip_allowlist: patch.ip_allowlist,
            limits: patch.limits,
            quotas: patch.quotas,
            description: patch.description,
            owner: patch.owner,
            labels: patch.labels,
            ..api::ClientPatch::default()
        };
        if patch == api::ClientPatch::default() {
            let key = self.existing(Kind::ApiKey, id, caller).await?;
            caller.check_tag(&key.tag())?;
            return self.show_key(key).await;
        }
        let others = api::ClientPatch { status: None, ..patch.clone() } != api::ClientPatch::default();
        let action = match patch.status {
            Some(ClientStatus::Active) if !others => "api_key.enable",
            Some(ClientStatus::Disabled) if !others => "api_key.disable",
            _ => "api_key.update",
        };
        self.show_key(self.patched(Kind::ApiKey, id, &patch, false, action, caller).await?).await
    }

    /// Disables an API key, and cuts off every token that it was exchanged for. They stay dead if it is enabled again, and
    /// so do those that it took the place of.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn revoke_api_key(&self, id: &str, caller: &Caller) -> Result<Tagged<api::ApiKey>, Error> {
        let patch = api::ClientPatch { status: Some(ClientStatus::Disabled), ..api::ClientPatch::default() };
        self.show_key(self.patched(Kind::ApiKey, id, &patch, false, "api_key.revoke", caller).await?).await
    }

    /// Replaces an API key by a new one, which is in this answer alone. The old one ends with the overlap; without one it
    /// is cut off at once, with every token that it was exchanged for. The new one lives as long as the old one was made to
    /// live, unless something else is asked for.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] where there are too many that go on, or what the store says.
    pub async fn rotate_api_key(
        &self,
        id: &str,
        how: &api::RotateApiKey,
        caller: &Caller,
    ) -> Result<Tagged<api::ApiKey>, Error> {
        let mut errors = Vec::new();
        check_secret_ttl(how.ttl.flatten(), &mut errors);
        if how.overlap > MAX_SECRET_TTL {
            errors.push(FieldError::new("overlap", format!("at most {}", written(MAX_SECRET_TTL))));
        }
        if !errors.is_empty() {
            return Err(in_words_of_keys(Error::InvalidFields(errors)));
        }
        let mut made = None;
        let changed = self
            .change_client(Kind::ApiKey, id, "api_key.rotate", caller, |key, now| {
                let before = key.secrets.last().and_then(SecretRecord::life);
                // Those that end now stay with it for a while, so that whoever still uses one is told that it has ended.
                self.drop_ended_secrets(key, now);
                let live = key.secrets.iter().filter(|secret| secret.is_live(now)).count();
                if how.overlap > 0 && live >= MAX_SECRETS {
                    return Err(Error::Conflict(format!(
                        "{MAX_SECRETS} keys of it go on already: end them now with an overlap of 0, or wait until one has \
                         ended"
                    )));
                }
                let mut revoked = Vec::new();
                let end = now.plus(Duration::from_secs(how.overlap));
                key.secrets.iter_mut().for_each(|secret| secret.end_by(end));
                if how.overlap == 0 {
                    let until = now.plus(self.longest_token());
                    revoked.extend(key.generations().flat_map(|generation| key.revocations_of(generation, until)));
                    key.past_generations.clear();
                }
                let life = self.secret_rules(&key.place()).life_after(how.ttl, before);
                let life = life.map_err(|error| Error::InvalidFields(vec![error]))?;
                let (record, secret) = self.new_secret(Kind::ApiKey, key.environment, life, now)?;
                key.secrets.push(record);
                made = Some(secret);
                Ok(revoked)
            })
            .await
            .map_err(in_words_of_keys)?;
        let mut shown = self.show_key(changed).await?;
        shown.value.api_key = made.map(|key| key.reveal().to_owned());
        Ok(shown)
    }

    /// Deletes an API key, and cuts off every token that it was exchanged for.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BeyondCaller`], [`Error::Stale`], or what the store says.
    pub async fn delete_api_key(&self, id: &str, caller: &Caller) -> Result<(), Error> {
        self.delete(Kind::ApiKey, id, "api_key.delete", caller).await
    }

    async fn show_key(&self, key: Client) -> Result<Tagged<api::ApiKey>, Error> {
        let value = self.shown_keys(std::slice::from_ref(&key)).await?.remove(0);
        Ok(Tagged { tag: key.tag(), value })
    }

    async fn shown_keys(&self, keys: &[Client]) -> Result<Vec<api::ApiKey>, Error> {
        let ids = keys.iter().flat_map(|key| key.secrets.iter().map(|secret| secret.id.clone())).collect();
        let uses = self.last_uses(ids).await?;
        let now = self.clock.now();
        Ok(keys.iter().map(|key| key.shown_key(now, |secret| uses.get(secret).copied())).collect())
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
