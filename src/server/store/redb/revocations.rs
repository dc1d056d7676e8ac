//! The table of what is revoked. The key of a revoked token begins with its client, so that a client's can be counted.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use crate::clock::UnixTime;
use crate::server::model::{Change, Revocation, RevokedTarget};
use crate::server::store::{RevocationStore, StoreError};

use super::audit::seal;
use super::tables::{REVOCATION_ENDS, REVOCATIONS};
use super::{RedbStore, receipts, unavailable};

const TOKEN: &str = "jti";
const GENERATION: &str = "generation";
const KID: &str = "kid";

/// A client's id and a token's `jti`, neither of which has a space in it.
fn token_key(client_id: &str, jti: &str) -> String {
    format!("{client_id} {jti}")
}

/// The most revocations that one purge forgets: the rest waits for the next.
const MAX_PURGED: usize = 10_000;

/// A kind, which has no space in it, and a name.
fn end_key(kind: &str, name: &str) -> String {
    format!("{kind} {name}")
}

pub(super) fn revoke(transaction: &WriteTransaction, revoked: &[Revocation]) -> Result<(), StoreError> {
    let mut table = transaction.open_table(REVOCATIONS).map_err(unavailable)?;
    let mut ends = transaction.open_table(REVOCATION_ENDS).map_err(unavailable)?;
    for revocation in revoked {
        let (kind, name) = match &revocation.target {
            RevokedTarget::Token { client_id, jti } => (TOKEN, token_key(client_id, jti)),
            RevokedTarget::Generation(generation) => (GENERATION, generation.clone()),
            RevokedTarget::Kid(kid) => (KID, kid.clone()),
        };
        let until = revocation.until.seconds();
        let before = table.insert((kind, name.as_str()), until).map_err(unavailable)?.map(|before| before.value());
        let key = end_key(kind, &name);
        if let Some(before) = before.filter(|before| *before != until) {
            ends.remove((before, key.as_str())).map_err(unavailable)?;
        }
        ends.insert((until, key.as_str()), ()).map_err(unavailable)?;
    }
    Ok(())
}

/// Makes the table of ends, for a store from before there was one.
pub(super) fn sort(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let table = transaction.open_table(REVOCATIONS).map_err(unavailable)?;
    let mut ends = transaction.open_table(REVOCATION_ENDS).map_err(unavailable)?;
    for entry in table.iter().map_err(unavailable)? {
        let (key, until) = entry.map_err(unavailable)?;
        let (kind, name) = key.value();
        ends.insert((until.value(), end_key(kind, name).as_str()), ()).map_err(unavailable)?;
    }
    Ok(())
}

/// How many tokens of the client of `target` are revoked and have not expired at `now`, that one left out.
pub(super) fn live_tokens(
    transaction: &WriteTransaction,
    target: &RevokedTarget,
    now: UnixTime,
) -> Result<usize, StoreError> {
    let RevokedTarget::Token { client_id, jti } = target else { return Ok(0) };
    let table = transaction.open_table(REVOCATIONS).map_err(unavailable)?;
    // `!` comes after the space.
    let (start, end) = (format!("{client_id} "), format!("{client_id}!"));
    let own = token_key(client_id, jti);
    let mut live = 0;
    for entry in table.range((TOKEN, start.as_str())..(TOKEN, end.as_str())).map_err(unavailable)? {
        let (key, until) = entry.map_err(unavailable)?;
        if until.value() > now.seconds() && key.value().1 != own {
            live += 1;
        }
    }
    Ok(live)
}

pub(super) fn all_revocations(transaction: &ReadTransaction, now: UnixTime) -> Result<Vec<Revocation>, StoreError> {
    let table = transaction.open_table(REVOCATIONS).map_err(unavailable)?;
    let mut revocations = Vec::new();
    for entry in table.range::<(&str, &str)>(..).map_err(unavailable)? {
        let (key, until) = entry.map_err(unavailable)?;
        let until = UnixTime::from_seconds(until.value());
        let corrupt = |what: &str| StoreError::Corrupt(format!("a revocation of a {what}"));
        let target = match key.value() {
            (TOKEN, name) => {
                let (client_id, jti) = name.split_once(' ').ok_or_else(|| corrupt(TOKEN))?;
                RevokedTarget::Token { client_id: client_id.to_owned(), jti: jti.to_owned() }
            }
            (GENERATION, generation) => RevokedTarget::Generation(generation.to_owned()),
            (KID, kid) => RevokedTarget::Kid(kid.to_owned()),
            (other, _) => return Err(corrupt(other)),
        };
        if until > now {
            revocations.push(Revocation { target, until });
        }
    }
    Ok(revocations)
}

pub(super) fn purge_revocations(transaction: &WriteTransaction, now: UnixTime) -> Result<usize, StoreError> {
    let mut table = transaction.open_table(REVOCATIONS).map_err(unavailable)?;
    let mut ends = transaction.open_table(REVOCATION_ENDS).map_err(unavailable)?;
    let mut over = Vec::new();
    for entry in ends.range(..(now.seconds().saturating_add(1), "")).map_err(unavailable)?.take(MAX_PURGED) {
        let (key, _) = entry.map_err(unavailable)?;
        let (end, name) = key.value();
        over.push((end, name.to_owned()));
    }
    for (end, key) in &over {
        ends.remove((*end, key.as_str())).map_err(unavailable)?;
        if let Some((kind, name)) = key.split_once(' ') {
            table.remove((kind, name)).map_err(unavailable)?;
        }
    }
    Ok(over.len())
}

#[async_trait::async_trait]
impl RevocationStore for RedbStore {
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
        self.writer
            .write(move |transaction| Ok(purge_revocations(transaction, now)? + receipts::purge(transaction, now)?))
            .await
    }
}
