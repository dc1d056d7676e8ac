//! Exchanging an API key for a token (RFC 8693): for who can fetch one, and would rather not send the key everywhere.

use crate::secret::is_key_well_formed;
use crate::server::error::{AuthCause, AuthFailure, Error};
use crate::source_ip::SourceAddress;

use super::api_keys::Standing;
use super::authenticate::{Authenticated, ClientRefusal, SensitiveToken};
use super::issue::Asked;
use super::{IssuedToken, Service};

/// A token exchange, read and not yet weighed (RFC 8693 §2.1). The subject token is all that proves who asks.
#[derive(Debug)]
pub struct ExchangeRequest {
    /// The API key.
    pub subject_token: SensitiveToken,
    /// `scope`, if it was sent.
    pub scope: Option<String>,
    /// `resource` and `audience`, each as often as it was sent.
    pub resources: Vec<String>,
    /// Where the request came from.
    pub source: SourceAddress,
}

impl Service {
    /// Exchanges an API key for a token. It counts among the token requests of that key.
    ///
    /// # Errors
    /// [`Error::BadSubjectToken`], [`Error::AddressNotAllowed`], and what [`Service::issue`] refuses.
    pub async fn exchange(&self, request: ExchangeRequest) -> Result<IssuedToken, ClientRefusal> {
        let source = request.source;
        let key = match self.subject(&request.subject_token.0, source).await {
            Ok(key) => key,
            Err(error) => {
                let refusal = ClientRefusal::from(error);
                self.note_refused(None, &refusal, source);
                return Err(refusal);
            }
        };
        let asked = Asked { scope: request.scope.as_deref(), resources: &request.resources, source };
        if !key.client.ip_allowlist.admits(source.ip) {
            let refusal = key.refused(Error::AddressNotAllowed(source));
            self.note_refused(Some(&key), &refusal, source);
            return Err(refusal);
        }
        self.issue_within_limits(&key, || self.issue_to(&key, &asked), source).map_err(|refusal| *refusal)
    }

    /// Whose key the subject token is. Whatever is wrong with it, the same work is done and the same error comes back.
    async fn subject(&self, token: &str, source: SourceAddress) -> Result<Authenticated, Error> {
        let found = self.key_of(token, Some(source.ip)).await?;
        // What may be a key was counted before it was looked for.
        let counted = found.is_none() && is_key_well_formed(token);
        let standing = found.as_ref().map(|key| self.standing_of(key));
        let (cause, client_id) = match (found, standing) {
            (Some(key), Some(Standing::Good)) => return Ok(key),
            (Some(key), Some(standing)) => (standing.cause(), Some(key.client.client_id.clone())),
            _ => (None, None),
        };
        if !counted {
            self.count_failure(source.ip)?;
            // An unknown key is looked for in the store; so is this one, so that all cost the same, and are the same
            // answer where the store is down.
            self.store.key_holder("").await?;
        }
        Err(Error::BadSubjectToken(AuthFailure { cause: cause.unwrap_or(AuthCause::UnknownKey), client_id }))
    }
}
