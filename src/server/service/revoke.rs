//! Revoking one token (RFC 7009).

use serde_json::{Value, json};

use crate::resource::{AccessToken, TokenError};
use crate::server::error::Error;
use crate::server::model::{Actor, Client, Revocation, RevokedTarget};

use super::{Caller, LEEWAY, Service, TokenRequest};

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
    pub async fn revoke_token(&self, request: TokenRequest) -> Result<(), Error> {
        let client = self.authenticated_from(request.credentials, request.source).await?.client;
        let token = match self.verifier.verify_for_any_audience(&request.token.0) {
            Ok(token) => token,
            Err(TokenError::Invalid(_) | TokenError::Expired(_) | TokenError::Revoked) => return Ok(()),
            Err(TokenError::Undecidable(why)) => return Err(Error::Unavailable(why.to_owned())),
        };
        if !may_revoke(&client, &token) {
            return Err(Error::NotTheirToken);
        }
        let claims = token.claims();
        let target = RevokedTarget::Token { client_id: claims.client_id.clone(), jti: claims.token_id.clone() };
        let revocation = Revocation { target, until: claims.expires_at.plus(LEEWAY) };
        let actor = Actor::Client { client_id: client.client_id.to_string() };
        let caller = Caller { actor, request_id: self.request_id() };
        let after = json!({ "client_id": claims.client_id, "expires_at": claims.expires_at });
        let change = self.change(&caller, "token.revoke", &claims.token_id, Value::Null, after);
        if !self.store.revoke_token(revocation.clone(), MAX_REVOKED, self.clock.now(), change).await? {
            return Err(Error::TooManyRevoked { client_id: claims.client_id.clone(), most: MAX_REVOKED });
        }
        self.revocations.add([revocation]);
        Ok(())
    }
}

/// Its own, or one within its reach. As long as no role widens that, a client reaches its own project.
fn may_revoke(client: &Client, token: &AccessToken) -> bool {
    let claims = token.claims();
    claims.client_id == client.client_id.as_str()
        || (client.scopes.contains(REVOKE)
            && claims.organization.as_deref() == Some(&client.organization)
            && claims.project.as_deref() == Some(&client.project))
}
