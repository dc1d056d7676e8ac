//! What a client has used, as it is shown, and until when that is kept.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::api;
use crate::clock::{Rfc3339, UnixTime};
use crate::id::ClientId;
use crate::server::error::{Error, FieldError};
use crate::server::model::{ClientUses, Figures, Kind, Per};

use super::tasks::TICK;
use super::{Caller, Service};

/// How long hours are kept.
const HOURS_KEPT: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long days are kept.
const DAYS_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
/// How many clients are looked at in one transaction.
const PURGED_AT_ONCE: usize = 200;
/// How many transactions one purge takes at most: it goes on where it stopped.
const MOST_STEPS: usize = 10;

/// Which hours or days are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct UsageRange {
    /// The first; a day ago for hours and 30 days ago for days, if left out.
    pub since: Option<UnixTime>,
    /// Where it ends; now if left out.
    pub until: Option<UnixTime>,
    /// Hours or days; hours if left out.
    pub per: Option<Per>,
}

const fn kept(per: Per) -> Duration {
    match per {
        Per::Hour => HOURS_KEPT,
        Per::Day => DAYS_KEPT,
    }
}

fn before(now: UnixTime, span: Duration) -> UnixTime {
    UnixTime::from_seconds(now.seconds().saturating_sub_unsigned(span.as_secs()))
}

impl Service {
    /// What a client has used.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InvalidFields`] where the range ends before it begins, or what the store says.
    pub async fn usage(&self, id: &str, range: &UsageRange, caller: &Caller) -> Result<api::Usage, Error> {
        let client = self.existing(Kind::Client, id, caller).await?;
        let (now, per) = (self.clock.now(), range.per.unwrap_or(Per::Hour));
        let shown = match per {
            Per::Hour => Duration::from_secs(24 * 3600),
            Per::Day => Duration::from_secs(30 * 24 * 3600),
        };
        let until = range.until.unwrap_or(now.plus(Duration::from_secs(1)));
        let since = per.start(range.since.unwrap_or(before(until, shown)).max(before(now, kept(per))));
        if range.since.is_some_and(|since| since > until) {
            return Err(Error::InvalidFields(vec![FieldError::new("until", "it has to be after since")]));
        }
        // What is in memory is added to what is in the store, as they are at one moment. To look is not to write.
        let turn = self.usage.nothing_moves().await;
        let pending = self.usage.pending_usage(&client.client_id);
        let mut found: BTreeMap<_, _> =
            self.store.usage(&client.client_id, per, since, until).await?.into_iter().collect();
        let last = self.last_uses(client.secrets.iter().map(|secret| secret.id.clone()).collect()).await?;
        let mut uses = self.store.client_uses(vec![client.client_id.clone()]).await?;
        drop(turn);
        let mut uses = uses.remove(&client.client_id).unwrap_or_default();
        uses.add(&pending.uses);
        for (hour, figures) in &pending.hours {
            let start = per.start(*hour);
            if start >= since && start < until {
                found.entry(start).or_default().add(figures);
            }
        }
        let mut sum = Figures::default();
        found.values().for_each(|figures| sum.add(figures));
        let secrets = client.secrets.iter().map(|secret| {
            let last = last.get(&secret.id);
            api::SecretUsage {
                id: secret.id.clone(),
                issued: sum.secrets.get(&secret.id).map_or(0, |figures| figures.issued),
                refused: sum.secrets.get(&secret.id).map_or(0, |figures| figures.refused),
                last_used_at: last.map(|last| Rfc3339(last.at)),
                last_used_from: last.map(|last| last.from.to_string()),
            }
        });
        let scopes = client.scopes.iter().map(|scope| api::ScopeUsage {
            name: scope.to_string(),
            issued: sum.scopes.get(scope.as_str()).copied().unwrap_or(0),
            last_used_at: uses.scopes.get(scope.as_str()).map(|at| Rfc3339(*at)),
        });
        Ok(api::Usage {
            client_id: client.client_id.to_string(),
            bucket: match per {
                Per::Hour => api::UsageBucket::Hour,
                Per::Day => api::UsageBucket::Day,
            },
            since_at: Rfc3339(since),
            until_at: Rfc3339(until),
            complete_until_at: Rfc3339(self.usage.complete_until()),
            flush_interval: TICK.as_secs(),
            last_used_at: uses.used_at.map(Rfc3339),
            issued: sum.issued,
            refused: sum.refused.values().sum(),
            refused_by: sum.refused.clone(),
            secrets: secrets.collect(),
            scopes: scopes.collect(),
            items: found.into_iter().map(|(start, figures)| shown_bucket(start, figures)).collect(),
        })
    }

    /// When these clients, and each of their scopes, were last used, written or not. A client that is not in it was never
    /// used.
    ///
    /// # Errors
    /// What the store says.
    pub async fn uses_of(&self, clients: Vec<ClientId>) -> Result<HashMap<ClientId, ClientUses>, Error> {
        // None is on its way to the store meanwhile.
        let _turn = self.usage.nothing_moves().await;
        let pending: Vec<_> = clients.iter().map(|id| (id.clone(), self.usage.pending_usage(id).uses)).collect();
        let mut uses = self.store.client_uses(clients).await?;
        for (id, later) in pending.into_iter().filter(|(_, uses)| *uses != ClientUses::default()) {
            uses.entry(id).or_default().add(&later);
        }
        Ok(uses)
    }

    /// Forgets hours and days that are no longer kept, some clients at a time.
    pub(super) async fn purge_usage(&self, now: UnixTime) {
        let (hours, days) = (before(now, HOURS_KEPT), before(now, DAYS_KEPT));
        let mut after = self.usage.purged_up_to();
        for _ in 0..MOST_STEPS {
            match self.store.purge_usage(after, PURGED_AT_ONCE, hours, days).await {
                Ok(last) => after = last,
                Err(error) => {
                    tracing::error!(%error, "usage that is no longer kept could not be purged");
                    return;
                }
            }
            if after.is_none() {
                break;
            }
        }
        self.usage.set_purged_up_to(after);
    }
}

fn shown_bucket(start: UnixTime, figures: Figures) -> api::UsageItem {
    let secrets = figures
        .secrets
        .into_iter()
        .map(|(id, figures)| (id, api::SecretCounts { issued: figures.issued, refused: figures.refused }));
    api::UsageItem {
        start_at: Rfc3339(start),
        issued: figures.issued,
        refused: figures.refused.values().sum(),
        refused_by: figures.refused,
        secrets: secrets.collect::<BTreeMap<_, _>>(),
        scopes: figures.scopes,
    }
}
