//! Looking for clients. One thing that is asked leads to an index, the others are looked at in what is found there. An
//! index is walked along in each project for itself, and never in one that is not asked for.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction};

use crate::api::ClientStatus;
use crate::secret::Environment;
use crate::server::model::{Client, ClientUses, Kind};
use crate::server::store::{ClientSearch, EndsWithin, FoundClients, NameIs, StoreError};

use super::tables::{CLIENT_INDEX, CLIENT_USES, CLIENTS, PROJECTS, decode};
use super::{index, unavailable};

/// The most clients that are read, and projects that are looked into, for one page.
const MAX_READ: usize = 5000;

type Index = ReadOnlyTable<(&'static str, &'static str, &'static str), ()>;
type Projects = ReadOnlyTable<(&'static str, &'static str), &'static [u8]>;

/// Where a search looks in a project: all entries of `kind` whose value is at least `from`, as long as `holds`.
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
    fn is(kind: &'static str, value: &str) -> Self {
        Self { kind, from: value.to_owned(), until: Until::Is }
    }

    fn holds(&self, value: &str) -> bool {
        match &self.until {
            Until::Is => value == self.from,
            Until::Begins => value.starts_with(&self.from),
            Until::Before(end) => value < end.as_str(),
        }
    }
}

/// The way that leads past the fewest others, as far as can be told; none leads past all clients of all projects.
fn way(search: &ClientSearch) -> Option<Way> {
    match &search.name {
        Some(NameIs::Exactly(name)) => return Some(Way::is(index::NAME, name)),
        Some(NameIs::Beginning(start)) => {
            return Some(Way { kind: index::NAME, from: start.clone(), until: Until::Begins });
        }
        None => {}
    }
    if let Some(EndsWithin { after, before }) = search.ends {
        let until = Until::Before(index::moment(before.seconds()));
        return Some(Way { kind: index::ENDS, from: index::moment(after.seconds().saturating_add(1)), until });
    }
    if let Some(role) = &search.role {
        return Some(Way::is(index::ROLE, role));
    }
    if let Some(scope) = &search.scope {
        return Some(Way::is(index::SCOPE, scope));
    }
    if search.status == Some(ClientStatus::Disabled) {
        return Some(Way::is(index::STATUS, ClientStatus::Disabled.as_str()));
    }
    if search.environment == Some(Environment::Test) {
        return Some(Way::is(index::ENVIRONMENT, Environment::Test.as_str()));
    }
    if search.kind == Some(Kind::ApiKey) {
        return Some(Way::is(index::API_KEY, ""));
    }
    (search.organization.is_some() || search.project.is_some()).then(|| Way::is(index::PLACE, ""))
}

/// A place along a way: behind the entry of this project, value and client, or before all of them where there is none.
struct Position<'a> {
    organization: &'a str,
    project: &'a str,
    value: &'a str,
    id: &'a str,
}

impl<'a> Position<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (place, rest) = text.split_once(index::JOINT)?;
        let (organization, project) = place.split_once('/')?;
        // A value can have the joint, an id cannot.
        let (value, id) = rest.rsplit_once(index::JOINT)?;
        Some(Self { organization, project, value, id })
    }
}

fn position(place: &str, value: &str, id: &str) -> String {
    format!("{place}{joint}{value}{joint}{id}", joint = index::JOINT)
}

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
        if self.is_wanted(&client)? {
            self.found.clients.push(client);
        }
        // One more than asked is read, to know whether there is one.
        if self.found.clients.len() > self.search.limit {
            return Ok(false);
        }
        Ok(self.pass(place))
    }

    /// Goes on behind this place. Whether more may be read.
    fn pass(&mut self, place: impl FnOnce() -> String) -> bool {
        self.read += 1;
        self.found.next = Some(place());
        self.read < MAX_READ
    }

    fn is_wanted(&self, client: &Client) -> Result<bool, StoreError> {
        let search = self.search;
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        let named = match &search.name {
            None => true,
            Some(NameIs::Exactly(name)) => client.name == *name,
            Some(NameIs::Beginning(start)) => client.name.starts_with(start.as_str()),
        };
        let ends = |within: EndsWithin| client.secrets.iter().filter_map(|s| s.expires_at).any(|end| within.has(end));
        let wanted = named
            && search.kind.is_none_or(|kind| kind == client.kind)
            && is(&search.organization, &client.organization)
            && is(&search.project, &client.project)
            && search.outside.as_deref() != Some(client.project.as_str())
            && search.status.is_none_or(|status| status == client.status)
            && search.environment.is_none_or(|environment| environment == client.environment)
            && search.scope.as_deref().is_none_or(|scope| client.scopes.contains(scope))
            && search.role.as_deref().is_none_or(|role| client.roles.contains(role))
            && search.ends.is_none_or(ends);
        match search.unused_since {
            Some(since) if wanted => {
                let bytes = self.uses.get(client.client_id.as_str()).map_err(unavailable)?;
                let uses: Option<ClientUses> =
                    bytes.map(|bytes| decode("the uses of a client", bytes.value())).transpose()?;
                Ok(client.is_unused(uses.as_ref(), since))
            }
            _ => Ok(wanted),
        }
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

    /// Goes from project to project, as far as they are asked for.
    fn along(&mut self, way: &Way, projects: &Projects, table: &Index) -> Result<bool, StoreError> {
        let search = self.search;
        let after = search.after.as_deref().and_then(Position::read);
        let (own, project_is) = (search.organization.as_deref(), search.project.as_deref());
        let first = match &after {
            Some(after) => (after.organization, after.project),
            None => (own.unwrap_or_default(), own.and(project_is).unwrap_or_default()),
        };
        for entry in projects.range::<(&str, &str)>(first..).map_err(unavailable)? {
            let (key, _) = entry.map_err(unavailable)?;
            let (organization, project) = key.value();
            if own.is_some_and(|own| own != organization) {
                break;
            }
            if project_is.is_some_and(|project_is| project_is != project) {
                if own.is_some() {
                    break;
                }
                continue;
            }
            if search.outside.as_deref() == Some(project) {
                continue;
            }
            let place = index::place(organization, project);
            if self.read >= MAX_READ {
                self.found.next = Some(position(&place, "", ""));
                return Ok(false);
            }
            self.read += 1;
            let after = after.as_ref().filter(|after| (after.organization, after.project) == (organization, project));
            if !self.along_in(&place, way, after, table)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn along_in(
        &mut self,
        place: &str,
        way: &Way,
        after: Option<&Position<'_>>,
        table: &Index,
    ) -> Result<bool, StoreError> {
        let from = index::value(place, &way.from);
        let behind = after.map(|after| (index::value(place, after.value), after.id));
        let start = match &behind {
            Some((value, id)) if (value.as_str(), *id) > (from.as_str(), "") => {
                Bound::Excluded((way.kind, value.as_str(), *id))
            }
            _ => Bound::Included((way.kind, from.as_str(), "")),
        };
        for entry in table.range::<(&str, &str, &str)>((start, Bound::Unbounded)).map_err(unavailable)? {
            let (key, _) = entry.map_err(unavailable)?;
            let (kind, value, id) = key.value();
            let Some((its_place, value)) = value.split_once(index::JOINT) else { break };
            if kind != way.kind || its_place != place || !way.holds(value) {
                break;
            }
            let bytes = self.clients.get(id).map_err(unavailable)?;
            let bytes =
                bytes.ok_or_else(|| StoreError::Corrupt("the index names a client that is not there".to_owned()))?;
            let client: Client = decode("a client", bytes.value())?;
            let more = if way.kind == index::ENDS && !self.is_last_end(&client, value) {
                self.pass(|| position(place, value, id))
            } else {
                self.take(client, || position(place, value, id))?
            };
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A client with two ends that are asked for is found at the last of them: the first may come to pass between two
    /// pages, and the client is on one.
    fn is_last_end(&self, client: &Client, value: &str) -> bool {
        let Some(within) = self.search.ends else { return true };
        let ends = client.secrets.iter().filter_map(|secret| secret.expires_at);
        ends.filter(|end| within.has(*end)).max().is_some_and(|last| index::moment(last.seconds()) == value)
    }
}

/// Looks for clients.
pub(super) fn find(transaction: &ReadTransaction, search: &ClientSearch) -> Result<FoundClients, StoreError> {
    let mut reading = Reading {
        search,
        clients: transaction.open_table(CLIENTS).map_err(unavailable)?,
        uses: transaction.open_table(CLIENT_USES).map_err(unavailable)?,
        found: FoundClients::default(),
        read: 0,
    };
    let at_end = match way(search) {
        Some(way) => {
            let projects = transaction.open_table(PROJECTS).map_err(unavailable)?;
            reading.along(&way, &projects, &transaction.open_table(CLIENT_INDEX).map_err(unavailable)?)?
        }
        None => reading.all()?,
    };
    let mut found = reading.found;
    found.clients.truncate(search.limit);
    if at_end {
        found.next = None;
    }
    Ok(found)
}
