//! Client authentication (RFC 6749 §2.3).

use std::net::IpAddr;
use std::sync::Arc;

use crate::api::ClientStatus;
use crate::id::ClientId;
use crate::limit::Standing;
use crate::secret::{ClientSecret, SecretHash};
use crate::server::error::{AuthCause, AuthFailure, Error};
use crate::server::model::{Client, KeptHash, Kind, SecretRecord};
use crate::source_ip::SourceAddress;

use super::Service;

/// What was presented as credentials.
pub struct PresentedCredentials {
    /// As it was sent: anything may stand here, even a secret. Never logged, never stored.
    pub client_id: String,
    /// As it was sent.
    pub client_secret: ClientSecret,
}

impl std::fmt::Debug for PresentedCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PresentedCredentials(redacted)")
    }
}

/// A client's request about a token (RFC 7009 §2.1, RFC 7662 §2.1).
#[derive(Debug)]
pub struct TokenRequest {
    /// Who asks.
    pub credentials: Option<PresentedCredentials>,
    /// The token, if one was sent.
    pub token: Option<SensitiveToken>,
    /// Where the request came from.
    pub source: SourceAddress,
}

impl TokenRequest {
    /// The token, which has to be there. To be asked once it is known who asks.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub(super) fn take_token(&mut self) -> Result<SensitiveToken, Error> {
        self.token.take().ok_or_else(|| Error::Malformed("token is missing".to_owned()))
    }
}

/// A token that somebody sent, on its way to be verified.
pub struct SensitiveToken(pub String);

impl std::fmt::Debug for SensitiveToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SensitiveToken(redacted)")
    }
}

/// A client that has proven itself.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The client.
    pub client: Arc<Client>,
    /// The place of the secret that it used.
    pub(super) secret: usize,
}

/// A client's request that is refused, and the client, where it has proven itself.
#[derive(Debug)]
pub struct ClientRefusal {
    /// Why.
    pub error: Error,
    /// Who. For the operator.
    pub client_id: Option<ClientId>,
    /// How they stand with the limit that binds.
    pub standing: Option<Standing>,
}

impl From<Error> for ClientRefusal {
    fn from(error: Error) -> Self {
        Self { error, client_id: None, standing: None }
    }
}

impl Authenticated {
    /// A refusal of what this client asks.
    pub(super) fn refused(&self, error: impl Into<Error>) -> ClientRefusal {
        let client_id = Some(self.client.client_id.clone());
        ClientRefusal { error: error.into(), client_id, standing: None }
    }

    /// The secret that was used.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretRecord> {
        self.client.secrets.get(self.secret)
    }
}

impl Service {
    /// Authenticates a client that asks from an address it may ask from.
    ///
    /// # Errors
    /// What [`Self::authenticate`] refuses, and [`Error::AddressNotAllowed`].
    pub async fn authenticated_from(
        &self,
        presented: Option<PresentedCredentials>,
        source: SourceAddress,
    ) -> Result<Authenticated, ClientRefusal> {
        let authenticated = self.authenticate(presented, source.ip).await?;
        if authenticated.client.ip_allowlist.admits(source.ip) {
            return Ok(authenticated);
        }
        // The secret was right: that it is in use, and from where, is what the operator wants to see.
        self.note_use(&authenticated, source);
        Err(authenticated.refused(Error::AddressNotAllowed(source)))
    }

    /// Authenticates a client. Whatever goes wrong, the same work is done and the same error comes back; its cause is
    /// for the logs.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::RateLimited`] where the address has failed too often; [`Error::Unavailable`]
    /// where the store has to be asked and does not answer, and
    /// where so many slow checks wait that no failure can be told from one of them.
    pub async fn authenticate(
        &self,
        presented: Option<PresentedCredentials>,
        address: IpAddr,
    ) -> Result<Authenticated, Error> {
        let Some(presented) = presented else {
            self.count_failure(address)?;
            return Err(Error::Unauthenticated(AuthFailure::NO_CREDENTIALS));
        };
        let hash = presented.client_secret.hash();
        let client = match ClientId::parse(&presented.client_id) {
            Ok(id) => self.clients.get(&id).await?,
            Err(_) => None,
        };
        // An API key is no client: its id is one that nobody has.
        let client = match client {
            Some(key) if key.kind == Kind::ApiKey => self.store.client(&key.client_id).await.map(|_| None)?,
            client => client,
        };
        let Some(client) = client else {
            // As much work as for a client that is there.
            let _ = hash.matches(&SecretHash::NONE);
            self.count_failure(address)?;
            self.slow.has_room()?;
            return Err(Error::Unauthenticated(AuthFailure::UNKNOWN_CLIENT));
        };
        let mut matching = None;
        for (index, secret) in client.secrets.iter().enumerate() {
            let matches = match &secret.hash {
                KeptHash::Quick(kept) => hash.matches(kept),
                KeptHash::Slow(kept) => self.slow.knows(&client.client_id, secret, kept, &hash) == Some(true),
            };
            if matches {
                matching = Some(index);
            }
        }
        // A secret that is known to be right costs nothing and is never refused, whoever else fails at this address; a
        // guess at another one takes from the address before it is looked at.
        let slowly = match matching {
            None => {
                let failure = self.count_failure(address)?;
                let slowly = self.slow.matching(&client, &presented.client_secret, &hash).await;
                if !matches!(slowly, Ok(None)) {
                    failure.put_back();
                }
                slowly
            }
            Some(_) => Ok(matching),
        };
        let found = slowly.as_ref().ok().copied().flatten().and_then(|index| Some((index, client.secrets.get(index)?)));
        let cause = match found.map(|(index, secret)| (index, secret.is_live(self.clock.now()))) {
            None => AuthCause::WrongSecret,
            Some((_, false)) => AuthCause::ExpiredSecret,
            Some(_) if client.status == ClientStatus::Disabled => AuthCause::DisabledClient,
            Some((secret, true)) => return Ok(Authenticated { client, secret }),
        };
        if !matches!(cause, AuthCause::WrongSecret) {
            self.count_failure(address)?;
        }
        // An unknown client is looked for in the store; so is this one, so that both cost the same, and are the same
        // answer where the store is down.
        self.store.client(&client.client_id).await?;
        slowly?;
        self.slow.has_room()?;
        Err(Error::Unauthenticated(AuthFailure { cause, client_id: Some(client.client_id.clone()) }))
    }
}
