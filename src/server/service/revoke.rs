//! Revoking one token (RFC 7009).

use serde_json::{Value, json};

use crate::api::Level;
use crate::resource::{AccessToken, RevocationSource};
use crate::secret::looks_like_a_key;
use crate::server::error::Error;
use crate::server::model::{Actor, Client, Origin, Place, Revocation, RevokedTarget};

use crate::source_ip::SourceAddress;

use super::{Caller, ClientRefusal, Grants, LEEWAY, Service, TokenRequest};

/// The scope that lets a client revoke the tokens of others within its reach.
const REVOKE: &str = "mintage:tokens:revoke";
/// The most live tokens of one client that are revoked one by one: each is carried by every verifier.
const MAX_REVOKED: usize = 1000;

impl Service {
    /// Revokes a token. One that is not good, or is dead already, needs nothing.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::AddressNotAllowed`], [`Error::NotTheirToken`], [`Error::TooManyRevoked`], or
    /// what the store says.
    pub async fn revoke_token(&self, mut request: TokenRequest) -> Result<(), ClientRefusal> {
        let authenticated = self.authenticated_from(request.credentials.take(), request.source).await?;
        self.note_served(&authenticated, request.source);
        let revoked = self.revoke_for(&authenticated.client, request).await;
        revoked.map_err(|error| authenticated.refused(error))
    }

    async fn revoke_for(&self, client: &Client, mut request: TokenRequest) -> Result<(), Error> {
        let source = request.source;
        let text = request.take_token()?.0;
        if looks_like_a_key(&text) {
            return self.revoke_key_for(client, &text, source).await;
        }
        // One that is not good yet will be.
        let Ok(token) = self.verifier.recognize(&text) else { return Ok(()) };
        let (claims, now) = (token.claims(), self.clock.now());
        let dead = self.revocations.token_is_revoked(&claims.token_id, claims.generation.as_deref());
        if dead || now >= claims.expires_at.plus(LEEWAY) {
            return Ok(());
        }
        if !self.may_revoke(client, &token) {
            return Err(Error::NotTheirToken);
        }
        let target = RevokedTarget::Token { client_id: claims.client_id.clone(), jti: claims.token_id.clone() };
        let revocation = Revocation { target, until: claims.expires_at.plus(LEEWAY) };
        let origin = self.origin_of(client, source);
        let place = claims.organization.as_deref().zip(claims.project.as_deref());
        let place = place.map(|(organization, project)| Place::project(organization, project));
        let after = json!({ "client_id": claims.client_id, "expires_at": claims.expires_at });
        let change =
            self.change(&Caller::everything(origin), "token.revoke", &claims.token_id, place, Value::Null, after);
        let done = self.store.revoke_token(revocation.clone(), MAX_REVOKED, now, change).await;
        if matches!(done, Ok(false)) {
            return Err(Error::TooManyRevoked { client_id: claims.client_id.clone(), most: MAX_REVOKED });
        }
        self.settle(&done, [revocation]);
        done.map(drop).map_err(Error::from)
    }

    /// Disables an API key, as its operator would: one that was found lying about is brought here as it is. It is nobody's
    /// own, so that only who may revoke the tokens of others may.
    async fn revoke_key_for(&self, client: &Client, key: &str, source: SourceAddress) -> Result<(), Error> {
        let Some(key) = self.key_to_revoke(key).await? else { return Ok(()) };
        if !self.reaches_tokens_of(client, &key.organization, &key.project) {
            return Err(Error::NotTheirToken);
        }
        let caller = Caller::everything(self.origin_of(client, source));
        match self.revoke_api_key(key.client_id.as_str(), &caller).await {
            // Somebody else has deleted it meanwhile: no less revoked.
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn origin_of(&self, client: &Client, source: SourceAddress) -> Origin {
        let actor = Actor::Client { client_id: client.client_id.to_string() };
        Origin { actor, request_id: Some(self.request_id()), source: Some(source.ip), receipt: None }
    }

    /// Its own, or one within its reach.
    fn may_revoke(&self, client: &Client, token: &AccessToken) -> bool {
        let claims = token.claims();
        if claims.client_id == client.client_id.as_str() {
            return true;
        }
        let place = claims.organization.as_deref().zip(claims.project.as_deref());
        place.is_some_and(|(organization, project)| self.reaches_tokens_of(client, organization, project))
    }

    /// Whether a client may revoke what belongs to a project.
    fn reaches_tokens_of(&self, client: &Client, organization: &str, project: &str) -> bool {
        let reach = Grants::of_client(client, &self.catalog.now()).reach_of(REVOKE);
        organization == client.organization
            && (reach == Some(Level::Organization) || (reach.is_some() && project == client.project))
    }
}
