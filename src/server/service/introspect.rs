//! Introspection (RFC 7662): what a client may know of a token.

use crate::clock::UnixTime;
use crate::oauth::introspection::{ActiveToken, Introspection};
use crate::resource::AccessToken;
use crate::scope::ScopeSet;
use crate::secret::looks_like_a_key;
use crate::server::error::Error;
use crate::server::model::Client;
use crate::source_ip::SourceAddress;

use super::api_keys::Standing;
use super::{ClientRefusal, Service, TokenRequest};

/// The scope that lets a client introspect any token of its organization.
const INTROSPECT: &str = "mintage:tokens:introspect";

/// What a caller may know of a token: the audiences and the scopes that are its business.
struct View {
    audience: Vec<String>,
    scopes: ScopeSet,
}

impl Service {
    /// What the caller may know of a token. A token that is not good, or is not the caller's to know, is inactive, and
    /// nothing tells the two apart.
    ///
    /// # Errors
    /// As at the token endpoint: it is not known who asks, or the address is not allowed; or what the store says.
    pub async fn introspect(&self, mut request: TokenRequest) -> Result<Introspection, ClientRefusal> {
        let authenticated = self.authenticated_from(request.credentials.take(), request.source).await?;
        self.note_served(&authenticated, request.source);
        let token = request.take_token().map_err(|error| authenticated.refused(error))?;
        let caller = authenticated.client;
        let known = match looks_like_a_key(&token.0) {
            true => self.introspected_key(&caller, &token.0, request.source).await.map_err(ClientRefusal::from)?,
            false => self.verifier.verify_for_any_audience(&token.0).ok().map(|token| {
                let end = Some(token.claims().expires_at);
                (token, end)
            }),
        };
        let Some((token, exp)) = known else { return Ok(Introspection::INACTIVE) };
        let Some(view) = self.view(&caller, &token) else { return Ok(Introspection::INACTIVE) };
        let claims = token.claims();
        Ok(Introspection::Active(Box::new(ActiveToken {
            active: true,
            scope: view.scopes.to_string(),
            client_id: claims.client_id.clone(),
            token_type: "Bearer",
            exp,
            iat: claims.issued_at,
            nbf: claims.not_before,
            sub: claims.subject.clone(),
            aud: view.audience.into(),
            iss: claims.issuer.clone(),
            jti: claims.token_id.clone(),
            org: claims.organization.clone(),
            project: claims.project.clone(),
            env: claims.environment.clone(),
            ip_allowlist: claims.ip_allowlist.clone(),
        })))
    }

    /// What an API key stands for, and when it ends, if it does. Who asks has proven itself, and is no guesser. Whoever
    /// presented the key is not known here: the address that its use is noted with is that of who asks.
    async fn introspected_key(
        &self,
        caller: &Client,
        key: &str,
        source: SourceAddress,
    ) -> Result<Option<(AccessToken, Option<UnixTime>)>, Error> {
        let Some(found) = self.key_of(key, None).await? else { return Ok(None) };
        if self.standing_of(&found) != Standing::Good {
            return Ok(None);
        }
        let token = self.stands_for(&found)?;
        if self.view(caller, &token).is_some() {
            self.note_use_from(&found, source.ip);
        }
        Ok(Some((token, found.secret().and_then(|secret| secret.expires_at))))
    }

    /// What `caller` may know of `token`: who holds the scope, all of a token of the same organization; an introspector
    /// of some of its audiences, those and their scopes.
    fn view(&self, caller: &Client, token: &AccessToken) -> Option<View> {
        let claims = token.claims();
        let catalog = self.catalog.now();
        if catalog.scopes_of(caller).contains(INTROSPECT) {
            let own = claims.organization.as_deref() == Some(&caller.organization);
            return own.then(|| View { audience: claims.audience.clone(), scopes: claims.scopes.clone() });
        }
        let apis: Vec<_> = claims
            .audience
            .iter()
            .filter_map(|identifier| catalog.api(identifier))
            .filter(|api| claims.organization.as_deref() == Some(&api.organization))
            .filter(|api| api.introspectors.iter().any(|client| client == caller.client_id.as_str()))
            .collect();
        if apis.is_empty() {
            return None;
        }
        let defined = |scope: &str| apis.iter().any(|api| api.scopes.iter().any(|own| own.name.as_str() == scope));
        Some(View {
            audience: apis.iter().map(|api| api.identifier.clone()).collect(),
            scopes: claims.scopes.iter().filter(|scope| defined(scope.as_str())).cloned().collect(),
        })
    }
}
