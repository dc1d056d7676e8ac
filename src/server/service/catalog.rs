//! What is registered besides clients, at hand: a snapshot that is swapped whole.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::scope::{BUILT_IN, Scope, ScopeSet};
use crate::server::model::{Api, Client, Organization, Place, Project, Role};
use crate::server::store::{Registry, Store, StoreError};

/// Organizations, projects, roles and APIs, as they are at a moment.
#[derive(Clone, Debug, Default)]
pub struct CatalogSnapshot {
    organizations: BTreeMap<String, Arc<Organization>>,
    /// By organization, then by id: looked up with each token, and so without making keys.
    projects: BTreeMap<String, BTreeMap<String, Arc<Project>>>,
    roles: BTreeMap<(String, String), Arc<Role>>,
    built_in: BTreeMap<String, Arc<Role>>,
    apis: BTreeMap<String, Arc<Api>>,
    owners: HashMap<Scope, Arc<Api>>,
}

impl CatalogSnapshot {
    /// A snapshot of these APIs.
    #[must_use]
    pub fn of(apis: impl IntoIterator<Item = Api>) -> Self {
        Self::new(Registry { apis: apis.into_iter().collect(), ..Registry::default() })
    }

    fn new(registry: Registry) -> Self {
        let mut snapshot = Self::default();
        for api in registry.apis.into_iter().map(Arc::new) {
            for scope in &api.scopes {
                snapshot.owners.insert(scope.name.clone(), Arc::clone(&api));
            }
            snapshot.apis.insert(api.identifier.clone(), api);
        }
        for entry in registry.organizations {
            snapshot.organizations.insert(entry.id.clone(), Arc::new(entry));
        }
        for entry in registry.projects {
            let own = snapshot.projects.entry(entry.organization.clone()).or_default();
            own.insert(entry.id.clone(), Arc::new(entry));
        }
        for entry in registry.roles {
            let key = (entry.organization.clone().unwrap_or_default(), entry.name.clone());
            snapshot.roles.insert(key, Arc::new(entry));
        }
        for entry in Role::built_in() {
            snapshot.built_in.insert(entry.name.clone(), Arc::new(entry));
        }
        snapshot
    }

    /// The organization of this id.
    #[must_use]
    pub fn organization(&self, id: &str) -> Option<&Arc<Organization>> {
        self.organizations.get(id)
    }

    /// All organizations, in order of their ids.
    pub fn organizations(&self) -> impl Iterator<Item = &Arc<Organization>> {
        self.organizations.values()
    }

    /// The project of this organization and id.
    #[must_use]
    pub fn project(&self, organization: &str, id: &str) -> Option<&Arc<Project>> {
        self.projects.get(organization)?.get(id)
    }

    /// All projects, in order of their organizations and ids.
    pub fn projects(&self) -> impl Iterator<Item = &Arc<Project>> {
        self.projects.values().flat_map(BTreeMap::values)
    }

    /// The role that an organization calls so: a built-in one, or one of its own.
    #[must_use]
    pub fn role(&self, organization: &str, name: &str) -> Option<&Arc<Role>> {
        self.built_in.get(name).or_else(|| self.roles.get(&(organization.to_owned(), name.to_owned())))
    }

    /// All roles: the built-in ones, then those of the organizations.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.built_in.values().chain(self.roles.values())
    }

    /// The roles that a client holds.
    pub fn roles_of<'a>(&'a self, client: &'a Client) -> impl Iterator<Item = &'a Arc<Role>> {
        client.roles.iter().filter_map(|name| self.role(&client.organization, name))
    }

    /// All scopes that a client holds: its own, and those of its roles.
    #[must_use]
    pub fn scopes_of<'a>(&self, client: &'a Client) -> Cow<'a, ScopeSet> {
        if client.roles.is_empty() {
            return Cow::Borrowed(&client.scopes);
        }
        let mut scopes = client.scopes.clone();
        for role in self.roles_of(client) {
            scopes.extend(&role.scopes);
        }
        Cow::Owned(scopes)
    }

    /// The project of a client, as it was registered.
    #[must_use]
    pub fn project_at(&self, place: &Place) -> Option<&Arc<Project>> {
        self.project(&place.organization, place.project.as_deref()?)
    }

    /// The audience that follows from a scope: its API, or the issuer itself; none where no API defines it.
    #[must_use]
    pub fn audience_of<'a>(&'a self, scope: &Scope, issuer: &'a str) -> Option<&'a str> {
        match self.owner(scope) {
            Some(api) => Some(api.identifier.as_str()),
            None => scope.is_built_in().then_some(issuer),
        }
    }

    /// The API of this identifier.
    #[must_use]
    pub fn api(&self, identifier: &str) -> Option<&Arc<Api>> {
        self.apis.get(identifier)
    }

    /// All APIs, in order of their identifiers.
    pub fn apis(&self) -> impl Iterator<Item = &Arc<Api>> {
        self.apis.values()
    }

    /// The API that defines `scope`; none for a built-in one.
    #[must_use]
    pub fn owner(&self, scope: &Scope) -> Option<&Arc<Api>> {
        self.owners.get(scope)
    }

    /// Whether some API defines `scope`, the built-in one among them.
    #[must_use]
    pub fn defines(&self, scope: &Scope) -> bool {
        if scope.is_built_in() { BUILT_IN.contains(&scope.as_str()) } else { self.owners.contains_key(scope) }
    }

    /// Whether an API of the organization defines `scope`, or the built-in one does.
    #[must_use]
    pub fn defines_for(&self, organization: &str, scope: &Scope) -> bool {
        self.defines(scope) && self.owner(scope).is_none_or(|api| api.organization == organization)
    }

    /// The defined scope that is most like `scope`, if one is at all; of one organization, if only that one's are to
    /// be named.
    #[must_use]
    pub fn nearest(&self, scope: &str, organization: Option<&str>) -> Option<String> {
        self.owners
            .iter()
            .filter(|(_, api)| organization.is_none_or(|organization| api.organization == organization))
            .map(|(known, _)| known.as_str())
            .chain(BUILT_IN)
            .map(|known| (strsim::jaro_winkler(scope, known), known))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .map(|(_, known)| known.to_owned())
    }
}

/// What is registered, as it is now.
#[derive(Debug)]
pub struct Catalog {
    now: ArcSwap<CatalogSnapshot>,
    /// One reads the store at a time, so that what is read later stays.
    refreshing: tokio::sync::Mutex<()>,
}

impl Catalog {
    pub(super) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let now = ArcSwap::from_pointee(CatalogSnapshot::new(store.registry().await?));
        Ok(Self { now, refreshing: tokio::sync::Mutex::new(()) })
    }

    pub(super) fn now(&self) -> arc_swap::Guard<Arc<CatalogSnapshot>> {
        self.now.load()
    }

    /// Takes in what the store has: with everything that was answered before.
    pub(super) async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        let _turn = self.refreshing.lock().await;
        self.now.store(Arc::new(CatalogSnapshot::new(store.registry().await?)));
        Ok(())
    }
}
