//! Many clients at once, each checked for itself.

use serde_json::{Map, Value};
use tokio::task::JoinSet;

use crate::api::{BulkClients, BulkResult, BulkStatus, ClientStatus, ItemError, NewClient};
use crate::id::ClientId;
use crate::server::error::{Error, FieldError};
use crate::server::service::slow::SlowChecks;
use crate::server::store::Added;

use crate::server::service::projects::{REQUIRE_ALLOWLIST, REQUIRE_EXPIRY};

use super::given::CheckedClient;
use super::{Caller, Service};

/// The most clients of one request.
const MAX_CLIENTS: usize = 1000;

impl Service {
    /// Registers the clients that can be, in one change of the store, and says of each what became of it. One whose id is
    /// taken is left as it is, so that the same request can be sent again. With `dry_run` nothing is changed.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] where there are too many, or what the store says; then none is registered.
    pub async fn import_clients(
        &self,
        bulk: BulkClients,
        dry_run: bool,
        caller: &Caller,
    ) -> Result<Vec<BulkResult>, Error> {
        if bulk.clients.len() > MAX_CLIENTS {
            return Err(Error::field("clients", format!("at most {MAX_CLIENTS} in one request")));
        }
        let mut results = Vec::with_capacity(bulk.clients.len());
        let mut accepted = Vec::new();
        for (index, item) in bulk.clients.into_iter().enumerate() {
            let client_id = named_id(&item.0);
            let mut result =
                BulkResult { index, status: BulkStatus::Failed, client_id, client_secret: None, errors: Vec::new() };
            match self.importable(item.0, caller) {
                Err(Error::InvalidFields(errors)) => {
                    let shown = |error: FieldError| ItemError { field: error.field, detail: error.detail };
                    result.errors = errors.into_iter().map(shown).collect();
                }
                Err(error @ Error::BeyondCaller { .. }) => {
                    result.errors = vec![ItemError { field: "scopes".to_owned(), detail: error.detail() }];
                }
                Err(Error::PolicyViolated { policy, detail }) => {
                    let detail = format!("the policy {policy} of the project or its organization: {detail}");
                    result.errors = vec![ItemError { field: member_of(policy).to_owned(), detail }];
                }
                Err(other) => return Err(other),
                // Looked for before a slow hash is made of its secret.
                Ok(new) if self.store.client(&new.client.client_id).await?.is_some() => {
                    result.status = BulkStatus::Exists;
                }
                Ok(new) => {
                    result.status = BulkStatus::Created;
                    accepted.push((index, new));
                }
            }
            results.push(result);
        }
        if !dry_run {
            let accepted = self.with_kept_secrets(accepted).await?;
            self.add_all(accepted, &mut results, caller).await?;
        }
        Ok(results)
    }

    /// The client that an item is, checked.
    fn importable(&self, item: Value, caller: &Caller) -> Result<CheckedClient, Error> {
        let (new, status) = read(item).map_err(Error::InvalidFields)?;
        let mut checked = self.checked(new, caller)?;
        checked.client.status = status;
        Ok(checked)
    }

    /// Makes the slow hashes of given secrets, as many at once as may be.
    async fn with_kept_secrets(
        &self,
        accepted: Vec<(usize, CheckedClient)>,
    ) -> Result<Vec<(usize, CheckedClient)>, Error> {
        let mut done = Vec::with_capacity(accepted.len());
        let mut work: JoinSet<Result<(usize, CheckedClient), Error>> = JoinSet::new();
        let broken_off = |_| Error::Unavailable("the hash of a secret was broken off".to_owned());
        for (index, mut new) in accepted {
            let Some(given) = new.given.take() else {
                done.push((index, new));
                continue;
            };
            // No more than that are made at once.
            if work.len() >= SlowChecks::MADE_AT_ONCE
                && let Some(one) = work.join_next().await
            {
                done.push(one.map_err(broken_off)??);
            }
            let slow = self.slow.clone();
            work.spawn(async move {
                new.keep(given.keep(&slow).await?);
                Ok((index, new))
            });
        }
        while let Some(one) = work.join_next().await {
            done.push(one.map_err(broken_off)??);
        }
        done.sort_unstable_by_key(|(index, _)| *index);
        Ok(done)
    }

    async fn add_all(
        &self,
        accepted: Vec<(usize, CheckedClient)>,
        results: &mut [BulkResult],
        caller: &Caller,
    ) -> Result<(), Error> {
        if accepted.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(accepted.len());
        let mut made = Vec::with_capacity(accepted.len());
        for (index, new) in accepted {
            let (id, place) = (new.client.client_id.as_str(), Some(new.client.place()));
            let change = self.change(
                caller,
                "client.create",
                id,
                place,
                Value::Null,
                new.client.recorded(new.client.created_at),
            );
            made.push((index, new.client.client_id.to_string(), new.made));
            rows.push((new.client, change));
        }
        let added = self.store.add_clients(rows).await?;
        for ((index, id, secret), added) in made.into_iter().zip(added) {
            let Some(result) = results.get_mut(index) else { continue };
            match added {
                Added::Yes => {
                    result.client_id = Some(id);
                    result.client_secret = secret.map(|secret| secret.reveal().to_owned());
                }
                Added::Exists => result.status = BulkStatus::Exists,
                Added::Unfounded | Added::Full => {
                    result.status = BulkStatus::Failed;
                    let detail = "its project, or one of its scopes or roles, was just taken away".to_owned();
                    result.errors = vec![ItemError { field: String::new(), detail }];
                }
            }
        }
        Ok(())
    }
}

/// The member that a policy is about.
fn member_of(policy: &str) -> &'static str {
    match policy {
        REQUIRE_EXPIRY => "secret_ttl",
        REQUIRE_ALLOWLIST => "ip_allowlist",
        _ => "",
    }
}

/// The id that an item names, if it is one.
fn named_id(item: &Value) -> Option<String> {
    let id = item.get("client_id")?.as_str()?;
    ClientId::parse(id).is_ok().then(|| id.to_owned())
}

/// A client to register, as an item names it. What an exported client has besides is what the service itself keeps of
/// it, and is passed over, so that an export can be imported.
fn read(item: Value) -> Result<(NewClient, ClientStatus), Vec<FieldError>> {
    let Value::Object(mut members) = item else {
        return Err(vec![FieldError::new("", "a client is a JSON object")]);
    };
    for kept_here in ["effective_scopes", "secrets", "digest_keys", "last_used_at", "created_at", "updated_at"] {
        members.remove(kept_here);
    }
    let mut errors = Vec::new();
    let status = match members.remove("status").map(serde_json::from_value) {
        None => ClientStatus::Active,
        Some(Ok(status)) => status,
        Some(Err(_)) => {
            errors.push(FieldError::new("status", "expected `active` or `disabled`"));
            ClientStatus::Disabled
        }
    };
    match serde_json::from_value(Value::Object(members.clone())) {
        Ok(new) if errors.is_empty() => Ok((new, status)),
        Ok(_) => Err(errors),
        Err(_) => {
            errors.extend(unreadable(members));
            Err(errors)
        }
    }
}

/// The members that cannot be read, and what was expected of each. What stands there is not repeated: where columns are
/// mixed up, it is a secret.
fn unreadable(members: Map<String, Value>) -> Vec<FieldError> {
    let has_name = members.contains_key("name");
    let mut errors = Vec::new();
    if !has_name {
        errors.push(FieldError::new("name", "it is missing"));
    }
    for (member, value) in members {
        let mut alone = Map::from_iter([("name".to_owned(), Value::from("x"))]);
        alone.insert(member.clone(), value);
        if let Err(error) = serde_json::from_value::<NewClient>(Value::Object(alone)) {
            let words = error.to_string();
            let detail = match words.rsplit_once("expected ") {
                Some((unknown, _)) if unknown.starts_with("unknown field") => "there is no such member".to_owned(),
                Some((_, expected)) => format!("expected {expected}"),
                None => "it cannot be read".to_owned(),
            };
            // serde_json names members that it knows, and this one is known or in the caller's own file.
            errors.push(FieldError::new(member, detail));
        }
    }
    errors
}
