//! What a caller may do, and where: read from the store, never from its token alone.
//!
//! A scope of Mintage's own that a client was granted reaches the client's project. One that comes from a role of the
//! organization's level reaches all projects of the client's organization. A few concern the instance as a whole.
//! Whoever speaks over the admin socket holds everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{ClientStatus, EffectiveScope, Level};
use crate::id::ClientId;
use crate::resource::AccessToken;
use crate::scope::{Scope, ScopeSet};
use crate::server::error::Error;
use crate::server::model::{Client, DEFAULT, EntityTag, Origin, Place, Role};

use super::Service;
use super::catalog::CatalogSnapshot;

/// What concerns the instance is granted over the admin socket alone.
const INSTANCE: [&str; 3] = ["mintage:keys:read", "mintage:keys:write", "mintage:organizations:write"];

/// Scopes of Mintage's own, and how far each reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<Scope, Level>);

impl Grants {
    fn of_scopes(scopes: &ScopeSet, level: Level) -> Self {
        Self(scopes.iter().filter(|scope| scope.is_built_in()).map(|scope| (scope.clone(), level)).collect())
    }

    /// What a role grants.
    #[must_use]
    pub fn of_role(role: &Role) -> Self {
        Self::of_scopes(&role.scopes, role.level)
    }

    /// What a client holds.
    #[must_use]
    pub fn of_client(client: &Client, catalog: &CatalogSnapshot) -> Self {
        let mut grants = Self::of_scopes(&client.scopes, Level::Project);
        for role in catalog.roles_of(client) {
            grants.extend(Self::of_role(role));
        }
        grants
    }

    fn extend(&mut self, other: Self) {
        for (scope, level) in other.0 {
            let own = self.0.entry(scope).or_insert(level);
            *own = level.max(*own);
        }
    }

    /// How far a scope reaches, if it is held at all.
    #[must_use]
    pub fn reach_of(&self, scope: &str) -> Option<Level> {
        self.0.get(scope).copied()
    }

    /// What of `other` goes beyond these.
    fn lacking(&self, other: &Self) -> Vec<(Scope, Level)> {
        let beyond = |scope: &Scope, level: &Level| self.0.get(scope).is_none_or(|own| own < level);
        other.0.iter().filter(|(scope, level)| beyond(scope, level)).map(|(s, l)| (s.clone(), *l)).collect()
    }
}

/// What a caller may do.
#[derive(Clone, Debug)]
pub enum Authority {
    /// Everything: somebody at the admin socket, or the service itself.
    Everything,
    /// What a client holds and its token says.
    Client {
        /// It, as it is now.
        client: Arc<Client>,
        /// What it holds and its token says.
        grants: Grants,
        /// The scope that this request takes.
        needed: Scope,
    },
}

/// What a change has to be made from (RFC 9110 §13.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever is there.
    #[default]
    Any,
    /// One of these.
    Tags(Vec<String>),
}

/// Who asks for something, what they may do, and what they insist on.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who, from where and in which request.
    pub origin: Origin,
    /// What they may do.
    pub authority: Authority,
    /// What the change has to be made from.
    pub if_match: IfMatch,
}

impl Caller {
    /// One that holds everything.
    #[must_use]
    pub fn everything(origin: Origin) -> Self {
        Self { origin, authority: Authority::Everything, if_match: IfMatch::Any }
    }

    /// Whether what belongs there is within reach. What is not is absent to this caller.
    #[must_use]
    pub fn reaches(&self, place: &Place) -> bool {
        let Authority::Client { client, .. } = &self.authority else { return true };
        if self.level() == Reach::Instance {
            return true;
        }
        place.organization == client.organization
            && (self.level() == Reach::Organization || place.project.as_ref().is_none_or(|own| *own == client.project))
    }

    /// How far what this request does may reach.
    fn level(&self) -> Reach {
        match &self.authority {
            Authority::Everything => Reach::Instance,
            Authority::Client { needed, .. } if INSTANCE.contains(&needed.as_str()) => Reach::Instance,
            Authority::Client { grants, needed, .. } => match grants.0.get(needed) {
                Some(Level::Organization) => Reach::Organization,
                _ => Reach::Project,
            },
        }
    }

    /// Where this caller's reach ends; none for one that reaches everything.
    #[must_use]
    pub fn bounds(&self) -> Option<Place> {
        let Authority::Client { client, .. } = &self.authority else { return None };
        match self.level() {
            Reach::Instance => None,
            Reach::Organization => Some(Place::organization(&client.organization)),
            Reach::Project => Some(client.place()),
        }
    }

    /// Whether this caller may see API keys as far as what it asks for reaches.
    #[must_use]
    pub fn reads_keys(&self) -> bool {
        match &self.authority {
            Authority::Everything => true,
            Authority::Client { grants, needed, .. } => {
                grants.reach_of("mintage:api-keys:read") >= grants.reach_of(needed.as_str())
            }
        }
    }

    /// Where what this caller makes belongs, unless they say.
    #[must_use]
    pub fn home(&self) -> Place {
        match &self.authority {
            Authority::Everything => Place::project(DEFAULT, DEFAULT),
            Authority::Client { client, .. } => client.place(),
        }
    }

    /// Refuses what concerns all projects of an organization, unless the caller reaches that far.
    ///
    /// # Errors
    /// [`Error::BeyondCaller`].
    pub fn check_organization(&self, what: &str) -> Result<(), Error> {
        match &self.authority {
            Authority::Client { needed, .. } if self.level() == Reach::Project => {
                Err(Error::BeyondCaller { what: what.to_owned(), lacking: vec![(needed.clone(), Level::Organization)] })
            }
            _ => Ok(()),
        }
    }

    /// Refuses to give away or to touch what holds more than the caller does.
    ///
    /// # Errors
    /// [`Error::BeyondCaller`].
    pub fn check_holds(&self, what: &str, grants: &Grants) -> Result<(), Error> {
        let Authority::Client { grants: own, .. } = &self.authority else { return Ok(()) };
        let lacking = own.lacking(grants);
        if lacking.is_empty() { Ok(()) } else { Err(Error::BeyondCaller { what: what.to_owned(), lacking }) }
    }

    /// Refuses to give away what only the admin socket gives.
    ///
    /// # Errors
    /// [`Error::BeyondCaller`].
    pub fn check_gives(&self, what: &str, grants: &Grants) -> Result<(), Error> {
        self.check_holds(what, grants)?;
        let Authority::Client { .. } = &self.authority else { return Ok(()) };
        let lacking: Vec<_> = grants
            .0
            .iter()
            .filter(|(scope, _)| INSTANCE.contains(&scope.as_str()))
            .map(|(scope, level)| (scope.clone(), *level))
            .collect();
        if lacking.is_empty() { Ok(()) } else { Err(Error::BeyondCaller { what: what.to_owned(), lacking }) }
    }

    /// Refuses to give a role away that may come to grant more than it does now, unless the caller holds it, too, or
    /// reaches the whole organization. The built-in ones stay what they are.
    ///
    /// # Errors
    /// [`Error::BeyondCaller`].
    pub fn check_gives_role(&self, role: &Role) -> Result<(), Error> {
        match &self.authority {
            Authority::Client { client, needed, .. }
                if !role.is_built_in() && self.level() == Reach::Project && !client.roles.contains(&role.name) =>
            {
                let lacking = vec![(needed.clone(), Level::Organization)];
                Err(Error::BeyondCaller {
                    what: format!("granting the role {}, which is not its own,", role.name),
                    lacking,
                })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a change of something else than the caller has seen.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn check_tag(&self, tag: &EntityTag) -> Result<(), Error> {
        match &self.if_match {
            IfMatch::Any => Ok(()),
            IfMatch::Tags(tags) if tags.iter().any(|own| own == tag.as_str()) => Ok(()),
            IfMatch::Tags(_) => Err(Error::Stale),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Project,
    Organization,
    Instance,
}

impl Service {
    /// What the client of a token may do now with a route that takes `needed`.
    ///
    /// # Errors
    /// [`Error::ScopeLost`] where it no longer holds that scope, or what the store says.
    pub async fn authority(&self, token: &AccessToken, needed: &Scope) -> Result<Authority, Error> {
        let lost = || Error::ScopeLost(needed.clone());
        let id = ClientId::parse(token.client_id()).map_err(|_| lost())?;
        let client = self.clients.get(&id).await?.ok_or_else(lost)?;
        let mut grants = Grants::of_client(&client, &self.catalog.now());
        grants.0.retain(|scope, _| token.scopes().contains(scope.as_str()));
        if client.status != ClientStatus::Active || !grants.0.contains_key(needed) {
            return Err(lost());
        }
        Ok(Authority::Client { client, grants, needed: needed.clone() })
    }

    /// All scopes that a client may ask for, each with where it comes from.
    pub(super) fn effective_scopes(&self, client: &Client) -> Vec<EffectiveScope> {
        let catalog = self.catalog.now();
        let grants = Grants::of_client(client, &catalog);
        let from = |scope: &Scope| {
            let granted = client.scopes.contains(scope.as_str()).then(|| "granted".to_owned());
            let roles = catalog.roles_of(client).filter(|role| role.scopes.contains(scope.as_str()));
            granted.into_iter().chain(roles.map(|role| format!("role:{}", role.name))).collect()
        };
        let scopes = catalog.scopes_of(client);
        scopes
            .iter()
            .map(|scope| EffectiveScope {
                scope: scope.to_string(),
                from: from(scope),
                level: grants.0.get(scope).copied(),
            })
            .collect()
    }
}
