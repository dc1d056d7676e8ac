//! Changes to a client, and which of them cut its tokens off.

use std::collections::BTreeMap;

use crate::api;
use crate::api::ClientStatus;
use crate::server::error::Error;
use crate::server::model::{Client, Kind};

use super::fields::{allowlist, check_labels, check_text, grantable, roles};
use super::{Caller, CatalogSnapshot, Service, Tagged, check_limits, check_name, check_quotas};

impl Service {
    /// Changes a client as the merge patch says (RFC 7396). Disabling it, taking a scope away and narrowing its
    /// allowlist cut off every token it holds; with `keep_tokens` the last two leave them be. A patch that names nothing
    /// leaves no record.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::NotFound`], or what the store says.
    pub async fn update_client(
        &self,
        id: &str,
        patch: &api::ClientPatch,
        keep_tokens: bool,
        caller: &Caller,
    ) -> Result<Tagged<api::Client>, Error> {
        if keep_tokens && patch.status == Some(ClientStatus::Disabled) {
            let detail = "a client that is disabled keeps no tokens; leave keep_tokens out";
            return Err(Error::field("keep_tokens", detail));
        }
        if *patch == api::ClientPatch::default() {
            let client = self.existing(Kind::Client, id, caller).await?;
            caller.check_tag(&client.tag())?;
            return self.show(client).await;
        }
        self.patch_client(id, patch, keep_tokens, action(patch), caller).await
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
    ) -> Result<Tagged<api::Client>, Error> {
        let patch = api::ClientPatch { status: Some(status), ..api::ClientPatch::default() };
        self.patch_client(id, &patch, false, action, caller).await
    }

    async fn patch_client(
        &self,
        id: &str,
        patch: &api::ClientPatch,
        keep_tokens: bool,
        action: &'static str,
        caller: &Caller,
    ) -> Result<Tagged<api::Client>, Error> {
        self.show(self.patched(Kind::Client, id, patch, keep_tokens, action, caller).await?).await
    }

    /// A client or an API key, as the patch has made it. Of an API key that is disabled the newest alone can come back:
    /// those that it took the place of end with it, as nobody would think of them when it is enabled.
    pub(in crate::server::service) async fn patched(
        &self,
        kind: Kind,
        id: &str,
        patch: &api::ClientPatch,
        keep_tokens: bool,
        action: &'static str,
        caller: &Caller,
    ) -> Result<Client, Error> {
        let _settled = match &patch.quotas {
            None => None,
            Some(_) => Some(self.settled(self.existing(kind, id, caller).await?.account()).await?),
        };
        self.change_client(kind, id, action, caller, |client, now| {
            let before = client.clone();
            self.apply(patch, client)?;
            if client.quotas.is_looser_than(&before.quotas) {
                caller.check_organization("raising what it may use")?;
            }
            let disabled = patch.status == Some(ClientStatus::Disabled);
            if disabled && kind == Kind::ApiKey {
                Ok(client.cut_off_to_the_newest(now, now.plus(self.longest_token()), &*self.entropy)?)
            } else if disabled || (is_narrower(client, &before, &self.catalog.now()) && !keep_tokens) {
                self.cut_off(client, now)
            } else {
                Ok(Vec::new())
            }
        })
        .await
    }

    /// Checks what the patch names, and puts it in.
    fn apply(&self, patch: &api::ClientPatch, client: &mut Client) -> Result<(), Error> {
        let mut errors = Vec::new();
        if let Some(name) = &patch.name {
            check_name(name, &mut errors);
            client.name.clone_from(name);
        }
        for (field, new, old) in
            [("description", &patch.description, &mut client.description), ("owner", &patch.owner, &mut client.owner)]
        {
            if let Some(text) = new {
                *old = text.clone().unwrap_or_default();
                check_text(field, old, &mut errors);
            }
        }
        if let Some(labels) = &patch.labels {
            merge(&mut client.labels, labels.as_ref());
            check_labels(&client.labels, &mut errors);
        }
        if let Some(scopes) = &patch.scopes {
            client.scopes = grantable(scopes, &client.organization, &self.catalog.now(), &mut errors);
        }
        if let Some(names) = &patch.roles {
            client.roles = roles(names, &client.organization, &self.catalog.now(), &mut errors);
        }
        if let Some(entries) = &patch.ip_allowlist {
            client.ip_allowlist = allowlist(entries, &mut errors);
        }
        if let Some(ttl) = patch.token_ttl {
            self.check_ttl(ttl, "token_ttl", &mut errors);
            client.token_ttl = ttl;
        }
        if let Some(limits) = &patch.limits {
            client.limits = client.limits.patched(limits);
            check_limits(&client.limits, &mut errors);
        }
        if let Some(quotas) = &patch.quotas {
            client.quotas = client.quotas.patched(quotas);
            check_quotas(&client.quotas, &mut errors);
        }
        if let Some(status) = patch.status {
            client.status = status;
        }
        if errors.is_empty() { Ok(()) } else { Err(Error::InvalidFields(errors)) }
    }
}

/// What the audit log calls it.
fn action(patch: &api::ClientPatch) -> &'static str {
    let others = api::ClientPatch { status: None, ..patch.clone() };
    match patch.status {
        Some(status) if others == api::ClientPatch::default() => match status {
            ClientStatus::Active => "client.enable",
            ClientStatus::Disabled => "client.disable",
        },
        _ => "client.update",
    }
}

/// Whether a token that `before` could have got says more than `client` may.
fn is_narrower(client: &Client, before: &Client, catalog: &CatalogSnapshot) -> bool {
    let (held, left) = (catalog.scopes_of(before), catalog.scopes_of(client));
    let scope_taken = held.iter().any(|scope| !left.contains(scope.as_str()));
    scope_taken || !client.ip_allowlist.admits_all_of(&before.ip_allowlist)
}

/// RFC 7396: null takes away, the label or all of them; what is not named stays.
fn merge(labels: &mut BTreeMap<String, String>, patch: Option<&BTreeMap<String, Option<String>>>) {
    let Some(patch) = patch else { return labels.clear() };
    for (name, value) in patch {
        match value {
            Some(value) => labels.insert(name.clone(), value.clone()),
            None => labels.remove(name),
        };
    }
}
