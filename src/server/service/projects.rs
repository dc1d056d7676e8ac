//! Projects, and what a token's client may see of them.

use crate::api;
use crate::api::ClientStatus;
use crate::id::ClientId;
use crate::resource::AccessToken;
use crate::scope::Scope;
use crate::server::error::Error;
use crate::server::model::Client;

use super::Service;
use super::cursor::PageRequest;

impl Service {
    /// The client of a token as it is now, if it still holds `scope`: what a caller may do here is read from the store,
    /// not from its token.
    ///
    /// # Errors
    /// [`Error::ScopeLost`].
    pub async fn client_holding(&self, token: &AccessToken, scope: &Scope) -> Result<std::sync::Arc<Client>, Error> {
        let lost = || Error::ScopeLost(scope.clone());
        let id = ClientId::parse(token.client_id()).map_err(|_| lost())?;
        let client = self.clients.get(&id).await?.ok_or_else(lost)?;
        if client.status != ClientStatus::Active || !client.scopes.contains(scope.as_str()) {
            return Err(lost());
        }
        Ok(client)
    }

    /// A page of the projects that `client` reaches: its own.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor, or what the store says.
    pub async fn projects(&self, client: &Client, page: &PageRequest) -> Result<api::Page<api::Project>, Error> {
        let (after, limit) = self.cursors.start("projects", page)?;
        let projects = self.store.projects(&client.organization).await?;
        let mut reached = projects
            .iter()
            .filter(|project| project.id == client.project)
            .filter(|project| after.as_deref().is_none_or(|after| project.id.as_str() > after));
        let items: Vec<_> = reached.by_ref().take(limit).map(|project| project.shown()).collect();
        let next_cursor = reached.next().and_then(|_| Some(self.cursors.seal("projects", &items.last()?.id)));
        Ok(api::Page { items, next_cursor })
    }
}
