//! Why: what a guarded route would decide about a token, and what became of a request that was refused.

use std::net::IpAddr;
use std::sync::Arc;

use crate::api;
use crate::clock::Rfc3339;
use crate::reason::Reason;
use crate::resource::{Explanation, Guard, RequireScopes};
use crate::scope::{Scope, ScopeSet};
use crate::secret::looks_like_a_key;
use crate::server::error::{Error, FieldError};

use super::Service;

impl Service {
    /// What a guarded route would decide about a token, each check in order. The audience is the one that is named, or
    /// that of the scopes' API, or none.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::Malformed`] for a scope that no API defines.
    pub fn explain_token(&self, request: &api::ExplainToken) -> Result<Explanation, Error> {
        let mut errors = Vec::new();
        if looks_like_a_key(request.token.trim()) {
            errors
                .push(FieldError::new("token", "it is no JWT; what an API key may do, `mintage api-key show ID` says"));
        }
        let mut scopes = ScopeSet::default();
        for (index, name) in request.scopes.iter().enumerate() {
            match Scope::parse(name) {
                Ok(scope) => scopes.extend(&[scope].into_iter().collect()),
                Err(error) => errors.push(FieldError::new(format!("scopes[{index}]"), error)),
            }
        }
        let from = request.from.as_deref().and_then(|text| match text.parse::<IpAddr>() {
            Ok(ip) => Some(ip),
            Err(_) => {
                errors.push(FieldError::new("from", "not an IP address, such as 10.0.0.1 or 2001:db8::1"));
                None
            }
        });
        if !errors.is_empty() {
            return Err(Error::InvalidFields(errors));
        }
        let of_scopes = self.audiences_of(&scopes)?;
        let audiences = request.audience.as_deref().map_or(of_scopes, |audience| vec![Arc::from(audience)]);
        let guard = Guard::new(Arc::clone(&self.verifier));
        let mut guard = if audiences.is_empty() { guard.any_audience() } else { guard.audiences(audiences) };
        if !scopes.is_empty() {
            guard = guard.scopes(RequireScopes::All(scopes));
        }
        if let Some(environment) = request.environment {
            guard = guard.environment(environment.as_str());
        }
        let at = request.at.map_or_else(|| self.clock.now(), |at| at.0);
        Ok(guard.explain(request.token.trim(), from, at))
    }

    /// What became of a request that was refused, as it was recorded under its name: also what its answer kept to itself.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn explain_refusal(&self, request_id: &str) -> Result<api::Refusal, Error> {
        let record = self.refusal(request_id).await?;
        let reason = Reason::ALL.iter().find(|reason| reason.as_str() == record.reason);
        Ok(api::Refusal {
            request_id: request_id.to_owned(),
            refused_at: Rfc3339(record.at),
            meaning: reason.map(|reason| reason.title().to_owned()).unwrap_or_default(),
            action: reason.map(|reason| reason.action().to_owned()).unwrap_or_default(),
            reason: record.reason,
            cause: record.cause,
            detail: record.detail,
            client_id: record.client_id,
            public_key: record.public_key,
            source_address: record.source.map(|ip| ip.to_string()),
        })
    }
}
