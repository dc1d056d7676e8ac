//! The end of a rotation: every secret is retired but the newest.

use std::collections::HashMap;
use std::time::Duration;

use crate::api;
use crate::clock::UnixTime;
use crate::server::error::Error;
use crate::server::model::{Kind, SecretRecord, SecretUse};
use crate::server::store::StoreError;

use super::{Caller, MAX_TRIES, Service, Tagged};

impl Service {
    /// Takes every secret but the newest out at once; their tokens live on until they expire. Refused, unless forced,
    /// where an older one was used lately or the newest never was. Where there is no older one nothing is done, and
    /// nothing recorded.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] where they are in use, or what the store says.
    pub async fn retire_secrets(
        &self,
        id: &str,
        how: &api::RetireSecrets,
        caller: &Caller,
    ) -> Result<Tagged<api::Client>, Error> {
        // What is promised: a use that was answered before this request came counts, whether it is written or waits in
        // memory, and so does a secret that is made meanwhile, since each revision is looked at anew. A use between the
        // look and the change does not: no token waits for the store, so there is always a moment that is too late. Its
        // token lives on like the others, and the next one is refused. Who renews by the hour has been seen long before.
        for _ in 0..MAX_TRIES {
            let before = self.changeable(Kind::Client, id, caller).await?;
            let now = self.clock.now();
            if before.secrets.iter().filter(|secret| secret.is_live(now)).count() < 2 {
                return self.show(before).await;
            }
            let uses = self.last_uses(before.secrets.iter().map(|secret| secret.id.clone()).collect()).await?;
            let changed = self.change_from(&before, "client.secret.retire", caller, |client, now| {
                let live: Vec<_> = client.secrets.iter().filter(|secret| secret.is_live(now)).collect();
                if !how.force {
                    check_unused(&live, &uses, now, how.unused_for)?;
                }
                let newest = live.last().map(|secret| secret.id.clone());
                for secret in client.secrets.iter_mut().filter(|secret| Some(&secret.id) != newest.as_ref()) {
                    secret.end_by(now);
                }
                self.drop_ended_secrets(client, now);
                Ok(Vec::new())
            });
            if let Some(client) = changed.await? {
                return self.show(client).await;
            }
        }
        Err(StoreError::Conflict.into())
    }
}

/// Refuses where one of the older secrets was used less than `unused_for` seconds ago, or the newest never was.
fn check_unused(
    live: &[&SecretRecord],
    uses: &HashMap<String, SecretUse>,
    now: UnixTime,
    unused_for: u64,
) -> Result<(), Error> {
    let [older @ .., newest] = live else { return Ok(()) };
    let lately = |used: &SecretUse| now.since(used.at) < Duration::from_secs(unused_for);
    let in_use = older.iter().any(|secret| uses.get(&secret.id).is_some_and(lately));
    let unproven = !uses.contains_key(&newest.id);
    let mut to_do = Vec::new();
    if unproven {
        to_do.push("give the newest to whoever uses this client, and have it used once".to_owned());
    }
    if in_use {
        to_do.push(format!(
            "move to the newest whoever uses an older one, and try again when that is {unused_for} seconds ago; \
             a shorter time can be named (unused_for, --unused-for)"
        ));
    }
    if to_do.is_empty() {
        return Ok(());
    }
    let said = live.iter().map(|secret| {
        let whose = if secret.id == newest.id { ", the newest," } else { "" };
        match uses.get(&secret.id) {
            Some(used) => format!("{}{whose} was last used at {} from {}", secret.id, used.at, used.from),
            None => format!("{}{whose} has never been used", secret.id),
        }
    });
    Err(Error::Conflict(format!(
        "no secret was retired: {}. What to do: {}. With force they end all the same, and whoever uses one of them gets no \
         further token",
        said.collect::<Vec<_>>().join("; "),
        to_do.join("; ")
    )))
}
