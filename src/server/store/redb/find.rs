//! Looking for clients. One thing that is asked leads to an index, the others are looked at in what is found there.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction};

use crate::api::ClientStatus;
use crate::clock::UnixTime;
use crate::secret::Environment;
use crate::server::model::{Client, SecretUse};
use crate::server::store::{ClientSearch, FoundClients, NameIs, StoreError};

use super::tables::{CLIENT_INDEX, CLIENTS, SECRET_USES, decode};
use super::{index, unavailable};

/// The most clients that are read for one page.
const MAX_READ: usize = 5000;

/// Where a search looks: all entries of `kind` whose value is at least `from`, as long as `holds`.
struct Way {
    kind: &'static str,
    from: String,
    until: Until,
}

enum Until {
    /// While the value is this.
    Is,
    /// While the value begins so.
    Begins,
    /// While the value comes before this.
    Before(String),
}

impl Way {
    fn is(kind: &'static str, value: String) -> Self {
        Self { kind, from: value, until: Until::Is }
    }

    fn holds(&self, value: &str) -> bool {
        match &self.until {
            Until::Is => value == self.from,
            Until::Begins => value.starts_with(&self.from),
            Until::Before(end) => value < end.as_str(),
        }
    }
}

/// The way that leads past the fewest others, as far as can be told; none leads past all clients.
fn way(search: &ClientSearch) -> Option<Way> {
    match &search.name {
        Some(NameIs::Exactly(name)) => return Some(Way::is(index::NAME, name.clone())),
        Some(NameIs::Beginning(start)) => {
            return Some(Way { kind: index::NAME, from: start.clone(), until: Until::Begins });
        }
        None => {}
    }
    if let Some(before) = search.expiring_before {
        let until = Until::Before(index::moment(before.seconds()));
        return Some(Way { kind: index::EXPIRES, from: String::new(), until });
    }
    if let (Some(organization), Some(role)) = (&search.organization, &search.role) {
        return Some(Way::is(index::ROLE, index::role(organization, role)));
    }
    if let Some(scope) = &search.scope {
        return Some(Way::is(index::SCOPE, scope.clone()));
    }
    if search.status == Some(ClientStatus::Disabled) {
        return Some(Way::is(index::STATUS, ClientStatus::Disabled.as_str().to_owned()));
    }
    if let (Some(organization), Some(project)) = (&search.organization, &search.project) {
        return Some(Way::is(index::PROJECT, index::project(organization, project)));
    }
    if search.environment == Some(Environment::Test) {
        return Some(Way::is(index::ENVIRONMENT, Environment::Test.as_str().to_owned()));
    }
    None
}

/// What two parts of a place are joined with: no id has it.
const JOINT: char = '\u{1f}';

struct Reading<'a> {
    search: &'a ClientSearch,
    clients: ReadOnlyTable<&'static str, &'static [u8]>,
    uses: ReadOnlyTable<&'static str, &'static [u8]>,
    found: FoundClients,
    read: usize,
}

impl Reading<'_> {
    /// Takes a client in, if it is one that is looked for. Whether there is room for more.
    fn take(&mut self, client: Client, place: impl FnOnce() -> String) -> Result<bool, StoreError> {
        self.read += 1;
        if self.is_wanted(&client)? {
            self.found.clients.push(client);
        }
        // One more than asked is read, to know whether there is one.
        if self.found.clients.len() > self.search.limit {
            return Ok(false);
        }
        self.found.next = Some(place());
        Ok(self.read < MAX_READ)
    }

    fn is_wanted(&self, client: &Client) -> Result<bool, StoreError> {
        let search = self.search;
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        let named = match &search.name {
            None => true,
            Some(NameIs::Exactly(name)) => client.name == *name,
            Some(NameIs::Beginning(start)) => client.name.starts_with(start.as_str()),
        };
        let ends = |before: UnixTime| client.secrets.iter().filter_map(|s| s.expires_at).any(|end| end < before);
        let wanted = named
            && is(&search.organization, &client.organization)
            && is(&search.project, &client.project)
            && search.status.is_none_or(|status| status == client.status)
            && search.environment.is_none_or(|environment| environment == client.environment)
            && search.scope.as_deref().is_none_or(|scope| client.scopes.contains(scope))
            && search.role.as_deref().is_none_or(|role| client.roles.contains(role))
            && search.expiring_before.is_none_or(ends);
        match search.unused_since {
            Some(since) if wanted => self.is_unused(client, since),
            _ => Ok(wanted),
        }
    }

    fn is_unused(&self, client: &Client, since: UnixTime) -> Result<bool, StoreError> {
        if client.created_at >= since {
            return Ok(false);
        }
        for secret in &client.secrets {
            if let Some(bytes) = self.uses.get(secret.id.as_str()).map_err(unavailable)? {
                let used: SecretUse = decode("the use of a secret", bytes.value())?;
                if used.at >= since {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn all(&mut self) -> Result<bool, StoreError> {
        let after = self.search.after.clone();
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.clients.range::<&str>((start, Bound::Unbounded)).map_err(unavailable)?;
        for entry in range {
            let client: Client = decode("a client", entry.map_err(unavailable)?.1.value())?;
            let id = client.client_id.to_string();
            if !self.take(client, || id)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn along(
        &mut self,
        way: &Way,
        table: &ReadOnlyTable<(&'static str, &'static str, &'static str), ()>,
    ) -> Result<bool, StoreError> {
        let after = self.search.after.clone();
        let after = after.as_deref().and_then(|after| after.rsplit_once(JOINT));
        let start = match after {
            Some((value, id)) => Bound::Excluded((way.kind, value, id)),
            None => Bound::Included((way.kind, way.from.as_str(), "")),
        };
        for entry in table.range::<(&str, &str, &str)>((start, Bound::Unbounded)).map_err(unavailable)? {
            let (key, _) = entry.map_err(unavailable)?;
            let (kind, value, id) = key.value();
            if kind != way.kind || !way.holds(value) {
                break;
            }
            let bytes = self.clients.get(id).map_err(unavailable)?;
            let bytes =
                bytes.ok_or_else(|| StoreError::Corrupt("the index names a client that is not there".to_owned()))?;
            let client: Client = decode("a client", bytes.value())?;
            if !self.take(client, || format!("{value}{JOINT}{id}"))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Looks for clients.
pub(super) fn find(transaction: &ReadTransaction, search: &ClientSearch) -> Result<FoundClients, StoreError> {
    let mut reading = Reading {
        search,
        clients: transaction.open_table(CLIENTS).map_err(unavailable)?,
        uses: transaction.open_table(SECRET_USES).map_err(unavailable)?,
        found: FoundClients::default(),
        read: 0,
    };
    let at_end = match way(search) {
        Some(way) => reading.along(&way, &transaction.open_table(CLIENT_INDEX).map_err(unavailable)?)?,
        None => reading.all()?,
    };
    let mut found = reading.found;
    found.clients.truncate(search.limit);
    if at_end {
        found.next = None;
    }
    Ok(found)
}
