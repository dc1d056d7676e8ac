//! The APIs and their scopes, at hand: a snapshot that is swapped whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::scope::{BUILT_IN, Scope};
use crate::server::model::Api;
use crate::server::store::{Store, StoreError};

/// The APIs, as they are at a moment.
#[derive(Clone, Debug, Default)]
pub struct CatalogSnapshot {
    apis: BTreeMap<String, Arc<Api>>,
    owners: HashMap<Scope, Arc<Api>>,
}

impl CatalogSnapshot {
    /// A snapshot of these APIs.
    #[must_use]
    pub fn of(apis: impl IntoIterator<Item = Api>) -> Self {
        let mut snapshot = Self::default();
        for api in apis {
            snapshot.insert(api);
        }
        snapshot
    }

    /// Puts an API in, or in the place of what it was. Of two changes the slower one may come last: it stays out.
    fn insert(&mut self, api: Api) {
        if self.apis.get(&api.identifier).is_some_and(|known| known.revision > api.revision) {
            return;
        }
        let api = Arc::new(api);
        for scope in &api.scopes {
            self.owners.insert(scope.name.clone(), Arc::clone(&api));
        }
        self.apis.insert(api.identifier.clone(), api);
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

    /// The defined scope that is most like `scope`, if one is at all.
    #[must_use]
    pub fn nearest(&self, scope: &str) -> Option<String> {
        self.owners
            .keys()
            .map(Scope::as_str)
            .chain(BUILT_IN)
            .map(|known| (strsim::jaro_winkler(scope, known), known))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .map(|(_, known)| known.to_owned())
    }
}

/// The APIs, as they are now.
#[derive(Debug)]
pub struct Catalog(ArcSwap<CatalogSnapshot>);

impl Catalog {
    pub(super) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self(ArcSwap::from_pointee(CatalogSnapshot::of(store.apis().await?))))
    }

    pub(super) fn now(&self) -> arc_swap::Guard<Arc<CatalogSnapshot>> {
        self.0.load()
    }

    /// Takes in APIs that the store has.
    pub(super) fn add(&self, apis: Vec<Api>) {
        if apis.is_empty() {
            return;
        }
        self.0.rcu(|old| {
            let mut new = CatalogSnapshot::clone(old);
            for api in &apis {
                new.insert(api.clone());
            }
            new
        });
    }
}
