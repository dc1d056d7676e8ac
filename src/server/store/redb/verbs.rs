//! The verbs, on redb's tables. Each looks before it writes.

use std::collections::HashMap;
use std::ops::Bound;

use redb::{ReadableTable, WriteTransaction};

use crate::clock::UnixTime;
use crate::id::ClientId;
use crate::server::model::{Api, AuditHead, Change, Client, KeyRecord, Project, RefusalRecord, Revocation, SecretUse};
use crate::server::store::{ABSENT, Store, StoreError};

use super::revocations::{all_revocations, live_tokens, purge_revocations, revoke};
use super::tables::{
    APIS, AUDIT, AUDIT_HEAD, CLIENTS, CURSOR_SECRET, KEYS, KEYS_REVISION, META, PROJECTS, REFUSALS, SECRET_USES,
    STARTED, decode, encode,
};
use super::{RedbStore, apis, unavailable};

/// Puts a change behind the end of the audit chain.
pub(super) fn seal(transaction: &WriteTransaction, change: &Change) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(unavailable)?;
    let head = audit_head(&meta)?;
    let sealed = change.seal(&head).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let mut audit = transaction.open_table(AUDIT).map_err(unavailable)?;
    audit.insert(sealed.head.sequence, sealed.bytes.as_slice()).map_err(unavailable)?;
    meta.insert(AUDIT_HEAD, encode(&sealed.head)?.as_slice()).map_err(unavailable)?;
    Ok(())
}

fn audit_head(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<AuditHead, StoreError> {
    let bytes = meta
        .get(AUDIT_HEAD)
        .map_err(unavailable)?
        .ok_or_else(|| StoreError::Corrupt("the end of the audit chain is missing".to_owned()))?;
    decode("the audit chain", bytes.value())
}

/// The client that is there, if its revision is `expected`.
fn client_of_revision(
    clients: &impl ReadableTable<&'static str, &'static [u8]>,
    id: &ClientId,
    expected: u64,
) -> Result<Option<Client>, StoreError> {
    let found: Option<Client> = match clients.get(id.as_str()).map_err(unavailable)? {
        Some(bytes) => Some(decode("a client", bytes.value())?),
        None => None,
    };
    if found.as_ref().map_or(ABSENT, |client| client.revision) == expected {
        Ok(found)
    } else {
        Err(StoreError::Conflict)
    }
}

/// Forgets the uses of the secrets that `before` has and `after` has not.
fn forget_uses(transaction: &WriteTransaction, before: &Client, after: Option<&Client>) -> Result<(), StoreError> {
    let mut uses = transaction.open_table(SECRET_USES).map_err(unavailable)?;
    for secret in &before.secrets {
        if !after.is_some_and(|after| after.secrets.iter().any(|kept| kept.id == secret.id)) {
            uses.remove(secret.id.as_str()).map_err(unavailable)?;
        }
    }
    Ok(())
}

fn keys_revision(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u64, StoreError> {
    meta.get(KEYS_REVISION).map_err(unavailable)?.map_or(Ok(0), |bytes| decode("the key revision", bytes.value()))
}

#[async_trait::async_trait]
impl Store for RedbStore {
    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let id = id.clone();
        self.read(move |transaction| {
            let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
            let found = clients.get(id.as_str()).map_err(unavailable)?;
            found.map(|bytes| decode("a client", bytes.value())).transpose()
        })
        .await
    }

    async fn clients(&self, after: Option<&ClientId>, limit: usize) -> Result<Vec<Client>, StoreError> {
        let after = after.cloned();
        self.read(move |transaction| {
            let clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
            let start = after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str()));
            let range = clients.range::<&str>((start, Bound::Unbounded)).map_err(unavailable)?;
            range.take(limit).map(|entry| decode("a client", entry.map_err(unavailable)?.1.value())).collect()
        })
        .await
    }

    async fn save_client(
        &self,
        client: Client,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
                let before = client_of_revision(&clients, &client.client_id, expected)?;
                let bytes = encode(&client)?;
                clients.insert(client.client_id.as_str(), bytes.as_slice()).map_err(unavailable)?;
                if let Some(before) = before {
                    forget_uses(transaction, &before, Some(&client))?;
                }
                revoke(transaction, &revoked)?;
                seal(transaction, &change)
            })
            .await
    }

    async fn delete_client(
        &self,
        id: &ClientId,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<Vec<Api>, StoreError> {
        let id = id.clone();
        self.writer
            .write(move |transaction| {
                let mut clients = transaction.open_table(CLIENTS).map_err(unavailable)?;
                let Some(before) = client_of_revision(&clients, &id, expected)? else {
                    return Err(StoreError::Conflict);
                };
                clients.remove(id.as_str()).map_err(unavailable)?;
                forget_uses(transaction, &before, None)?;
                revoke(transaction, &revoked)?;
                let apis = apis::forget_introspector(transaction, &id, &change)?;
                seal(transaction, &change)?;
                Ok(apis)
            })
            .await
    }

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

    async fn note_secret_uses(&self, uses: Vec<(String, SecretUse)>) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut table = transaction.open_table(SECRET_USES).map_err(unavailable)?;
                for (secret, used) in &uses {
                    table.insert(secret.as_str(), encode(used)?.as_slice()).map_err(unavailable)?;
                }
                Ok(())
            })
            .await
    }

    async fn apis(&self) -> Result<Vec<Api>, StoreError> {
        self.read(|transaction| {
            let apis = transaction.open_table(APIS).map_err(unavailable)?;
            apis.iter()
                .map_err(unavailable)?
                .map(|entry| decode("an API", entry.map_err(unavailable)?.1.value()))
                .collect()
        })
        .await
    }

    async fn add_api(&self, api: Api, change: Change) -> Result<(), StoreError> {
        self.writer.write(move |transaction| apis::add(transaction, &api, &change)).await
    }

    async fn replace_api(&self, before: Api, after: Api, change: Change) -> Result<(), StoreError> {
        self.writer.write(move |transaction| apis::replace(transaction, &before, &after, &change)).await
    }

    async fn projects(&self, organization: &str) -> Result<Vec<Project>, StoreError> {
        let organization = organization.to_owned();
        self.read(move |transaction| {
            let projects = transaction.open_table(PROJECTS).map_err(unavailable)?;
            let range = projects.range((organization.as_str(), "")..).map_err(unavailable)?;
            let mut found = Vec::new();
            for entry in range {
                let (key, bytes) = entry.map_err(unavailable)?;
                if key.value().0 != organization {
                    break;
                }
                found.push(decode("a project", bytes.value())?);
            }
            Ok(found)
        })
        .await
    }

    async fn keys(&self) -> Result<(Vec<KeyRecord>, u64), StoreError> {
        self.read(|transaction| {
            let revision = keys_revision(&transaction.open_table(META).map_err(unavailable)?)?;
            let keys = transaction.open_table(KEYS).map_err(unavailable)?;
            let records = keys
                .iter()
                .map_err(unavailable)?
                .map(|entry| decode("a key", entry.map_err(unavailable)?.1.value()))
                .collect::<Result<_, _>>()?;
            Ok((records, revision))
        })
        .await
    }

    async fn save_keys(
        &self,
        keys: Vec<KeyRecord>,
        expected: u64,
        revoked: Vec<Revocation>,
        change: Change,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                {
                    let mut meta = transaction.open_table(META).map_err(unavailable)?;
                    if keys_revision(&meta)? != expected {
                        return Err(StoreError::Conflict);
                    }
                    meta.insert(KEYS_REVISION, encode(&(expected + 1))?.as_slice()).map_err(unavailable)?;
                    let mut table = transaction.open_table(KEYS).map_err(unavailable)?;
                    table.retain(|kid, _| keys.iter().any(|k| k.kid == kid)).map_err(unavailable)?;
                    for key in &keys {
                        table.insert(key.kid.as_str(), encode(key)?.as_slice()).map_err(unavailable)?;
                    }
                }
                revoke(transaction, &revoked)?;
                seal(transaction, &change)
            })
            .await
    }

    async fn revoke_token(
        &self,
        revocation: Revocation,
        most: usize,
        now: UnixTime,
        change: Change,
    ) -> Result<bool, StoreError> {
        self.writer
            .write(move |transaction| {
                if live_tokens(transaction, &revocation.target, now)? >= most {
                    return Ok(false);
                }
                revoke(transaction, &[revocation])?;
                seal(transaction, &change).map(|()| true)
            })
            .await
    }

    async fn revocations(&self, now: UnixTime) -> Result<Vec<Revocation>, StoreError> {
        self.read(move |transaction| all_revocations(transaction, now)).await
    }

    async fn purge(&self, now: UnixTime) -> Result<usize, StoreError> {
        self.writer.write(move |transaction| purge_revocations(transaction, now)).await
    }

    async fn audit(&self, from: u64, limit: usize) -> Result<(AuditHead, Vec<Vec<u8>>), StoreError> {
        self.read(move |transaction| {
            let head = audit_head(&transaction.open_table(META).map_err(unavailable)?)?;
            let audit = transaction.open_table(AUDIT).map_err(unavailable)?;
            let records = audit
                .range(from..)
                .map_err(unavailable)?
                .take(limit)
                .map(|entry| Ok(entry.map_err(unavailable)?.1.value().to_vec()))
                .collect::<Result<_, _>>()?;
            Ok((head, records))
        })
        .await
    }

    async fn note_refusals(&self, refusals: Vec<RefusalRecord>, keep: u64) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut ring = transaction.open_table(REFUSALS).map_err(unavailable)?;
                let mut next = ring.last().map_err(unavailable)?.map_or(0, |(number, _)| number.value() + 1);
                for refusal in &refusals {
                    ring.insert(next, encode(refusal)?.as_slice()).map_err(unavailable)?;
                    next += 1;
                }
                ring.retain_in(..next.saturating_sub(keep), |_, _| false).map_err(unavailable)
            })
            .await
    }

    async fn refusals(&self, limit: usize) -> Result<Vec<RefusalRecord>, StoreError> {
        self.read(move |transaction| {
            let ring = transaction.open_table(REFUSALS).map_err(unavailable)?;
            ring.iter()
                .map_err(unavailable)?
                .rev()
                .take(limit)
                .map(|entry| decode("a refusal", entry.map_err(unavailable)?.1.value()))
                .collect()
        })
        .await
    }

    async fn cursor_secret(&self) -> Result<Vec<u8>, StoreError> {
        self.read(|transaction| {
            let meta = transaction.open_table(META).map_err(unavailable)?;
            let secret = meta.get(CURSOR_SECRET).map_err(unavailable)?;
            secret
                .map(|bytes| bytes.value().to_vec())
                .ok_or_else(|| StoreError::Corrupt("the cursor secret is missing".to_owned()))
        })
        .await
    }

    async fn first_start_is_over(&self) -> Result<bool, StoreError> {
        self.read(|transaction| {
            let meta = transaction.open_table(META).map_err(unavailable)?;
            Ok(meta.get(STARTED).map_err(unavailable)?.is_some())
        })
        .await
    }

    async fn end_first_start(&self) -> Result<(), StoreError> {
        self.writer
            .write(|transaction| {
                let mut meta = transaction.open_table(META).map_err(unavailable)?;
                meta.insert(STARTED, encode(&true)?.as_slice()).map_err(unavailable)?;
                Ok(())
            })
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|transaction| transaction.open_table(META).map(drop).map_err(unavailable)).await
    }
}
