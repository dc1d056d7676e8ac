//! What clients have used: the last uses of their secrets and scopes, and the figures of hours and days.

use std::collections::HashMap;
use std::ops::Bound;

use redb::{ReadableTable, WriteTransaction};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::clock::UnixTime;
use crate::id::ClientId;
use crate::server::model::{Client, ClientUsage, ClientUses, Figures, Per, SecretUse};
use crate::server::store::{StoreError, UsageStore};

use super::tables::{CLIENT_USES, CLIENTS, SECRET_USES, USAGE, decode, encode};
use super::{RedbStore, accounts, unavailable};

/// In the key of [`USAGE`].
const fn kind(per: Per) -> u8 {
    match per {
        Per::Hour => 0,
        Per::Day => 1,
    }
}

/// Forgets the uses of the secrets that `before` has and `after` has not; of a client that is gone, everything.
pub(super) fn forget_uses(
    transaction: &WriteTransaction,
    before: &Client,
    after: Option<&Client>,
) -> Result<(), StoreError> {
    let mut uses = transaction.open_table(SECRET_USES).map_err(unavailable)?;
    for id in before.used_ids() {
        if !after.is_some_and(|after| after.used_ids().any(|kept| kept == id)) {
            uses.remove(id).map_err(unavailable)?;
        }
    }
    if after.is_none() {
        let id = before.client_id.as_str();
        accounts::forget(transaction, &before.account())?;
        transaction.open_table(CLIENT_USES).map_err(unavailable)?.remove(id).map_err(unavailable)?;
        let mut usage = transaction.open_table(USAGE).map_err(unavailable)?;
        usage.retain_in((id, 0, i64::MIN)..=(id, u8::MAX, i64::MAX), |_, _| false).map_err(unavailable)?;
    }
    Ok(())
}

/// As much of a client's record as says which secrets and Digest keys it has.
#[derive(Deserialize)]
struct Secrets {
    secrets: Vec<SecretId>,
    #[serde(default)]
    digest_keys: Vec<SecretId>,
}

#[derive(Deserialize)]
struct SecretId {
    id: String,
}

/// A record, or none where it cannot be read: figures are written beside changes, which must not fail on their account.
fn readable<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Option<T> {
    decode(what, bytes).inspect_err(|error| tracing::error!(%error, "usage begins anew")).ok()
}

/// Writes what one client has used, unless it is gone by now.
fn note(transaction: &WriteTransaction, usage: &ClientUsage) -> Result<(), StoreError> {
    let id = usage.client_id.as_str();
    let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
    let Some(has) = clients.get(id).map_err(unavailable)? else { return Ok(()) };
    let Some(has) = readable::<Secrets>("a client", has.value()) else { return Ok(()) };
    let mut secret_uses = transaction.open_table(SECRET_USES).map_err(unavailable)?;
    for (secret, used) in &usage.secrets {
        if has.secrets.iter().chain(&has.digest_keys).any(|kept| kept.id == *secret) {
            secret_uses.insert(secret.as_str(), encode(used)?.as_slice()).map_err(unavailable)?;
        }
    }
    if usage.uses != ClientUses::default() {
        let mut table = transaction.open_table(CLIENT_USES).map_err(unavailable)?;
        let mut uses: ClientUses = match table.get(id).map_err(unavailable)? {
            Some(bytes) => readable("the uses of a client", bytes.value()).unwrap_or_default(),
            None => ClientUses::default(),
        };
        uses.add(&usage.uses);
        table.insert(id, encode(&uses)?.as_slice()).map_err(unavailable)?;
    }
    let mut table = transaction.open_table(USAGE).map_err(unavailable)?;
    for (hour, figures) in &usage.hours {
        for per in [Per::Hour, Per::Day] {
            let key = (id, kind(per), per.start(*hour).seconds());
            let mut sum: Figures = match table.get(key).map_err(unavailable)? {
                Some(bytes) => readable("the usage of a client", bytes.value()).unwrap_or_default(),
                None => Figures::default(),
            };
            sum.add(figures);
            table.insert(key, encode(&sum)?.as_slice()).map_err(unavailable)?;
        }
    }
    Ok(())
}

/// Makes the last use of each client of those of its secrets, for a store from before it was kept.
pub(super) fn sum_up(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
    let secret_uses = transaction.open_table(SECRET_USES).map_err(unavailable)?;
    let mut table = transaction.open_table(CLIENT_USES).map_err(unavailable)?;
    for entry in clients.iter().map_err(unavailable)? {
        let (id, bytes) = entry.map_err(unavailable)?;
        let mut uses = ClientUses::default();
        for secret in decode::<Secrets>("a client", bytes.value())?.secrets {
            if let Some(bytes) = secret_uses.get(secret.id.as_str()).map_err(unavailable)? {
                let used: Option<SecretUse> = readable("the use of a secret", bytes.value());
                uses.used_at = uses.used_at.max(used.map(|used| used.at));
            }
        }
        if uses.used_at.is_some() {
            table.insert(id.value(), encode(&uses)?.as_slice()).map_err(unavailable)?;
        }
    }
    Ok(())
}

#[async_trait::async_trait]
impl UsageStore for RedbStore {
    async fn secret_uses(&self, secrets: Vec<String>) -> Result<HashMap<String, SecretUse>, StoreError> {
        self.read(move |transaction| {
            let table = transaction.open_table(SECRET_USES).map_err(unavailable)?;
            let mut uses = HashMap::new();
            for secret in secrets {
                if let Some(bytes) = table.get(secret.as_str()).map_err(unavailable)? {
                    uses.insert(secret, decode("the use of a secret", bytes.value())?);
                }
            }
            Ok(uses)
        })
        .await
    }

    async fn note_usage(&self, usage: Vec<ClientUsage>) -> Result<(), StoreError> {
        self.writer.write(move |transaction| usage.iter().try_for_each(|usage| note(transaction, usage))).await
    }

    async fn usage(
        &self,
        client: &ClientId,
        per: Per,
        since: UnixTime,
        until: UnixTime,
    ) -> Result<Vec<(UnixTime, Figures)>, StoreError> {
        let (id, kind) = (client.clone(), kind(per));
        self.read(move |transaction| {
            let table = transaction.open_table(USAGE).map_err(unavailable)?;
            let (first, end) = ((id.as_str(), kind, since.seconds()), (id.as_str(), kind, until.seconds()));
            if first >= end {
                return Ok(Vec::new());
            }
            let range = table.range(first..end).map_err(unavailable)?;
            range
                .map(|entry| {
                    let (key, figures) = entry.map_err(unavailable)?;
                    Ok((UnixTime::from_seconds(key.value().2), decode("the usage of a client", figures.value())?))
                })
                .collect()
        })
        .await
    }

    async fn client_uses(&self, clients: Vec<ClientId>) -> Result<HashMap<ClientId, ClientUses>, StoreError> {
        self.read(move |transaction| {
            let table = transaction.open_table(CLIENT_USES).map_err(unavailable)?;
            let mut uses = HashMap::new();
            for client in clients {
                if let Some(bytes) = table.get(client.as_str()).map_err(unavailable)? {
                    let found = decode("the uses of a client", bytes.value())?;
                    uses.insert(client, found);
                }
            }
            Ok(uses)
        })
        .await
    }

    async fn purge_usage(
        &self,
        after: Option<ClientId>,
        most: usize,
        hours: UnixTime,
        days: UnixTime,
    ) -> Result<Option<ClientId>, StoreError> {
        self.writer
            .write(move |transaction| {
                let mut usage = transaction.open_table(USAGE).map_err(unavailable)?;
                let mut last = after;
                for _ in 0..most {
                    let next = {
                        let behind = last
                            .as_ref()
                            .map_or(Bound::Unbounded, |id| Bound::Excluded((id.as_str(), u8::MAX, i64::MAX)));
                        let range = usage.range::<(&str, u8, i64)>((behind, Bound::Unbounded));
                        let next = range.map_err(unavailable)?.next().transpose().map_err(unavailable)?;
                        next.map(|(key, _)| ClientId::parse(key.value().0)).transpose()
                    };
                    // Nobody has written another key than an id.
                    let Ok(Some(id)) = next else { return Ok(None) };
                    for (per, before) in [(Per::Hour, hours), (Per::Day, days)] {
                        let client = (id.as_str(), kind(per), i64::MIN)..(id.as_str(), kind(per), before.seconds());
                        usage.retain_in(client, |_, _| false).map_err(unavailable)?;
                    }
                    last = Some(id);
                }
                Ok(last)
            })
            .await
    }
}
