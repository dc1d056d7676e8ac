//! Lists of clients, and what can be asked of them.

use crate::api;
use crate::api::ClientStatus;
use crate::clock::{Rfc3339, UnixTime};
use crate::secret::Environment;
use crate::server::error::{Error, FieldError};
use crate::server::model::{Client, Kind};
use crate::server::service::cursor::PageRequest;
use crate::server::store::{ClientSearch, EndsWithin, NameIs};

use super::{Caller, Service};

/// Which clients are asked for. What is none is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// Of this organization.
    pub organization: Option<String>,
    /// Of this project.
    pub project: Option<String>,
    /// Of this name; one that begins so, if it ends in `*`.
    pub name: Option<String>,
    /// Of this status.
    pub status: Option<ClientStatus>,
    /// Of this environment.
    pub environment: Option<Environment>,
    /// Granted this scope itself, and not by a role.
    pub scope: Option<String>,
    /// Granted this role.
    pub role: Option<String>,
    /// With a secret that has not ended and does before this.
    pub expiring_before: Option<UnixTime>,
    /// There since before this, and not used since.
    pub unused_since: Option<UnixTime>,
}

impl ClientFilter {
    /// Its members by the names that they have in a query.
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let mut push = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
        push("organization", self.organization.clone());
        push("project", self.project.clone());
        push("name", self.name.clone());
        push("status", self.status.map(|status| status.as_str().to_owned()));
        push("environment", self.environment.map(|environment| environment.to_string()));
        push("scope", self.scope.clone());
        push("role", self.role.clone());
        push("expiring_before", self.expiring_before.map(|at| at.to_string()));
        push("unused_since", self.unused_since.map(|at| at.to_string()));
        pairs
    }

    /// Reads one member of a query. False where there is none of that name.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn read(&mut self, name: &str, value: &str) -> Result<bool, FieldError> {
        let moment = || {
            let read: Result<Rfc3339, _> = serde_json::from_value(value.into());
            read.map(|at| Some(at.0)).map_err(|_| {
                FieldError::new(name, "it has to be a time as RFC 3339 has it, such as 2026-01-31T00:00:00Z")
            })
        };
        match name {
            "organization" => self.organization = Some(value.to_owned()),
            "project" => self.project = Some(value.to_owned()),
            "name" if value.strip_suffix('*').unwrap_or(value).contains('*') => {
                let detail = "a * stands at the end alone: bill* is those whose name begins with bill";
                return Err(FieldError::new(name, detail));
            }
            "name" => self.name = Some(value.to_owned()),
            "scope" => self.scope = Some(value.to_owned()),
            "role" => self.role = Some(value.to_owned()),
            "status" => {
                let status = [ClientStatus::Active, ClientStatus::Disabled].into_iter().find(|s| s.as_str() == value);
                self.status = Some(status.ok_or_else(|| FieldError::new(name, "it has to be active or disabled"))?);
            }
            "environment" => {
                let environment = [Environment::Live, Environment::Test].into_iter().find(|e| e.as_str() == value);
                self.environment = Some(environment.ok_or_else(|| FieldError::new(name, "it has to be live or test"))?);
            }
            "expiring_before" => self.expiring_before = moment()?,
            "unused_since" => self.unused_since = moment()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The names that a query about API keys can have: they hold no roles.
    pub const OF_KEYS: [&str; 8] =
        ["organization", "project", "name", "status", "environment", "scope", "expiring_before", "unused_since"];

    /// The names that a query can have.
    pub const NAMES: [&str; 9] = [
        "organization",
        "project",
        "name",
        "status",
        "environment",
        "scope",
        "role",
        "expiring_before",
        "unused_since",
    ];

    fn search(self, kind: Kind, now: UnixTime) -> ClientSearch {
        let name = self.name.map(|name| match name.strip_suffix('*') {
            Some(start) => NameIs::Beginning(start.to_owned()),
            None => NameIs::Exactly(name),
        });
        ClientSearch {
            kind: Some(kind),
            organization: self.organization,
            project: self.project,
            outside: None,
            name,
            status: self.status,
            environment: self.environment,
            scope: self.scope,
            role: self.role,
            ends: self.expiring_before.map(|before| EndsWithin { after: now, before }),
            unused_since: self.unused_since,
            after: None,
            limit: 0,
        }
    }
}

impl Service {
    /// A page of the clients within reach that are asked for. It can be short, even empty, and yet not the last: how much
    /// is read for one is bounded.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor, or what the store says.
    pub async fn list_clients(
        &self,
        filter: ClientFilter,
        page: &PageRequest,
        caller: &Caller,
    ) -> Result<api::Page<api::Client>, Error> {
        let (found, next_cursor) = self.find(Kind::Client, filter, page, caller).await?;
        Ok(api::Page { items: self.shown(&found).await?, next_cursor })
    }

    /// The same of any kind, as it is kept, and where the next page begins.
    pub(in crate::server::service) async fn find(
        &self,
        kind: Kind,
        mut filter: ClientFilter,
        page: &PageRequest,
        caller: &Caller,
    ) -> Result<(Vec<Client>, Option<String>), Error> {
        let pairs = filter.pairs();
        let list = format!("{}s {}", kind.as_str(), serde_json::to_string(&pairs).unwrap_or_default());
        let (after, limit) = self.cursors.start(&list, page)?;
        if let Some(bounds) = caller.bounds() {
            let within = |own: &Option<String>, bound: &str| own.as_deref().is_none_or(|own| own == bound);
            let reached = within(&filter.organization, &bounds.organization)
                && bounds.project.as_deref().is_none_or(|project| within(&filter.project, project));
            if !reached {
                return Ok((Vec::new(), None));
            }
            filter.organization = Some(bounds.organization);
            filter.project = bounds.project.or(filter.project);
        }
        if filter.organization.is_none() && (filter.role.is_some() || filter.project.is_some()) {
            filter.organization = Some(caller.home().organization);
        }
        let unused_since = filter.unused_since;
        let search = filter.search(kind, self.clock.now());
        let mut found = self.store.find_clients(ClientSearch { after, limit, ..search }).await?;
        if let Some(since) = unused_since {
            // The store knows what is written, and not what is still on its way there.
            let uses = self.uses_of(found.clients.iter().map(|client| client.client_id.clone()).collect()).await?;
            found.clients.retain(|client| client.is_unused(uses.get(&client.client_id), since));
        }
        let next_cursor = found.next.map(|next| self.cursors.seal(&list, &next));
        Ok((found.clients, next_cursor))
    }
}
