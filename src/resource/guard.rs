//! The decision on one request.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::request::Parts;
use http::{Extensions, HeaderMap, Response, Uri};

use crate::id::RequestId;
use crate::jose::claims::ClaimError;
use crate::oauth::metadata::endpoint;
use crate::scope::{BadScope, Scope, ScopeSet};
use crate::source_ip::{Allowlist, Peer, SourceAddress, SourcePolicy};

use super::control::{Control, LogRefusals, RefusalObserver, Refused, ShadowCounts};
use super::presented::{Found, put_before};
use super::refusal::Refusal;
use super::source::{ApiKeySource, Asked, DigestSource};
use super::token::AccessToken;
use super::verifier::Verifier;

/// The scopes that a route needs.
#[derive(Clone, Debug, Default)]
pub enum RequireScopes {
    /// None: any good token will do.
    #[default]
    None,
    /// All of these.
    All(ScopeSet),
    /// At least one of these.
    Any(ScopeSet),
}

/// At least one scope: a list out of a configuration that turns out empty must not take the check away.
fn some<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<ScopeSet, BadScope> {
    let scopes: ScopeSet = scopes.into_iter().map(Scope::parse).collect::<Result<_, _>>()?;
    if scopes.is_empty() { Err(BadScope::None) } else { Ok(scopes) }
}

impl RequireScopes {
    /// All of `scopes`.
    ///
    /// # Errors
    /// [`BadScope`] where one is not a scope, or there is none.
    pub fn all<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, BadScope> {
        some(scopes).map(Self::All)
    }

    /// At least one of `scopes`.
    ///
    /// # Errors
    /// [`BadScope`] where one is not a scope, or there is none.
    pub fn any<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, BadScope> {
        some(scopes).map(Self::Any)
    }

    pub(super) fn check(&self, held: &ScopeSet) -> Result<(), Refusal> {
        let (needed, any, enough) = match self {
            Self::None => return Ok(()),
            Self::All(needed) => (needed, false, needed.iter().all(|s| held.contains(s.as_str()))),
            Self::Any(needed) => (needed, true, needed.iter().any(|s| held.contains(s.as_str()))),
        };
        if enough {
            return Ok(());
        }
        Err(Refusal::InsufficientScope { needed: needed.clone(), any, held: held.clone() })
    }
}

type PeerOf = Arc<dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync>;

/// What stands before a route: who verifies, and what is needed.
#[derive(Clone)]
pub struct Guard {
    pub(super) verifier: Arc<Verifier>,
    pub(super) sources: Arc<SourcePolicy>,
    pub(super) audiences: Option<Arc<[Arc<str>]>>,
    pub(super) environment: Option<Arc<str>>,
    pub(super) scopes: RequireScopes,
    pub(super) allowlist: Allowlist,
    shadow: Vec<Control>,
    shadowed: Arc<ShadowCounts>,
    pub(super) api_keys: Option<Arc<dyn ApiKeySource>>,
    pub(super) digest: Option<Arc<dyn DigestSource>>,
    peer_of: PeerOf,
    pub(super) observer: Arc<dyn RefusalObserver>,
    pub(super) resource_metadata: Option<Arc<str>>,
    pub(super) errors_base: Arc<str>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("audiences", &self.audiences)
            .field("environment", &self.environment)
            .field("scopes", &self.scopes)
            .field("allowlist", &self.allowlist)
            .field("shadow", &self.shadow)
            .finish_non_exhaustive()
    }
}

/// What a server is known to put into a request's extensions.
fn known_peer(extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<Peer>().map(|peer| peer.0);
    peer.or_else(|| extensions.get::<SocketAddr>().map(SocketAddr::ip))
}

impl Guard {
    /// A guard that lets any good token through.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>) -> Self {
        let errors_base = endpoint(verifier.issuer(), "/errors").into();
        Self {
            verifier,
            sources: Arc::default(),
            audiences: None,
            environment: None,
            scopes: RequireScopes::None,
            allowlist: Allowlist::default(),
            shadow: Vec::new(),
            shadowed: Arc::default(),
            api_keys: None,
            digest: None,
            peer_of: Arc::new(known_peer),
            observer: Arc::new(LogRefusals),
            resource_metadata: None,
            errors_base,
        }
    }

    /// Needs scopes.
    #[must_use]
    pub fn scopes(mut self, scopes: RequireScopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Needs tokens for this audience, and not for the verifier's.
    #[must_use]
    pub fn audience(self, audience: impl Into<Arc<str>>) -> Self {
        self.audiences([audience.into()])
    }

    /// Needs tokens for all of these audiences, and not for the verifier's; for none, it is the verifier's after all.
    #[must_use]
    pub fn audiences(mut self, audiences: impl IntoIterator<Item = Arc<str>>) -> Self {
        self.audiences = Some(audiences.into_iter().collect()).filter(|named: &Arc<[_]>| !named.is_empty());
        self
    }

    /// Takes tokens for whomever: for those who only say what a token is, or have refused it anyway.
    #[cfg(feature = "server")]
    pub(crate) fn any_audience(mut self) -> Self {
        self.audiences = Some(Arc::from([]));
        self
    }

    /// Needs tokens of this environment: `live` or `test`.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<Arc<str>>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// Needs an address of this list, whatever the token's own list says.
    #[must_use]
    pub fn allowlist(mut self, allowlist: Allowlist) -> Self {
        self.allowlist = allowlist;
        self
    }

    /// Takes API keys, too, and asks this what they stand for; no key is taken unless set.
    #[must_use]
    pub fn api_keys(mut self, keys: Arc<dyn ApiKeySource>) -> Self {
        self.api_keys = Some(keys);
        self
    }

    /// Takes HTTP Digest (RFC 7616), too, says so in challenges, and asks this what its credentials stand for; none are
    /// taken unless set.
    #[must_use]
    pub fn digest(mut self, digest: Arc<dyn DigestSource>) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Whom to believe about source addresses; the socket's peer alone unless set.
    #[must_use]
    pub fn sources(mut self, sources: Arc<SourcePolicy>) -> Self {
        self.sources = sources;
        self
    }

    /// Where the server puts the address of the socket's peer. Unless set, a [`Peer`] or a [`SocketAddr`] in the
    /// request's extensions is it; with axum it is `ConnectInfo`:
    /// `.peer_from(|e| e.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()))`.
    #[must_use]
    pub fn peer_from(mut self, peer: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer_of = Arc::new(peer);
        self
    }

    /// Runs these controls in shadow: what they would refuse is let through, logged and counted.
    #[must_use]
    pub fn shadow(mut self, controls: impl IntoIterator<Item = Control>) -> Self {
        self.shadow = controls.into_iter().collect();
        self
    }

    /// How often the controls in shadow would have refused; clones of a guard count together.
    #[must_use]
    pub fn shadowed(&self) -> &ShadowCounts {
        &self.shadowed
    }

    /// Who is told of refusals; the log unless set.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn RefusalObserver>) -> Self {
        self.observer = observer;
        self
    }

    /// The URL of the RFC 9728 metadata that a request without credentials is pointed to.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<Arc<str>>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// The URI below which the kinds of problem are described; the issuer's page of them unless set.
    #[must_use]
    pub fn errors_base(mut self, uri: impl Into<Arc<str>>) -> Self {
        self.errors_base = uri.into();
        self
    }

    /// The peer of the socket, where the server tells it.
    pub(super) fn peer(&self, extensions: &Extensions) -> Option<IpAddr> {
        (self.peer_of)(extensions)
    }

    /// Decides on a request with a JWT. What is wrong with the request comes first, then the token, then where it came
    /// from, then what it may do: so each refusal means that all before it was good. Neither an API key nor Digest
    /// credentials are a token here: that takes [`Guard::decide_on_any`].
    ///
    /// # Errors
    /// The [`Refused`].
    pub fn decide(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<(AccessToken, Option<SourceAddress>), Refused> {
        let (bearer, source) = self.bearer(uri, headers, peer)?;
        let token = self.verifier.recognize(bearer).map_err(|error| refused(Refusal::Token(error), source))?;
        self.decide_on(token, source).map(|token| (token, source))
    }

    /// Decides on a request with a JWT, or with an API key or Digest credentials where the guard takes those. `asked` is
    /// what the latter have to be made for; where nobody can say it, they are refused.
    ///
    /// # Errors
    /// The [`Refused`].
    pub async fn decide_on_any(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        asked: Option<Asked>,
    ) -> Result<(AccessToken, Option<SourceAddress>), Refused> {
        let (credential, source) = self.credential(uri, headers, peer)?;
        let found = match self.ask(credential, || asked, source) {
            Found::Asked(answer) => answer.await,
            Found::Jwt(token) => self.verifier.recognize(token).map_err(|error| Refusal::Token(error).into()),
        };
        let token = found.map_err(|refused| refused.from_source(source))?;
        self.decide_on(token, source).map(|token| (token, source))
    }

    /// Decides on what was found for the credential of a request: whom it is for and until when, whether it was revoked,
    /// where it came from, what it may do.
    ///
    /// # Errors
    /// The [`Refused`].
    pub fn decide_on(&self, token: AccessToken, source: Option<SourceAddress>) -> Result<AccessToken, Refused> {
        let refused = |refusal| Refused::of_client(refusal, token.client_id()).from_source(source);
        let is_for_us = self.verifier.check_claims(&token, self.audiences.as_deref());
        is_for_us.map_err(|error| refused(self.not_for_us(error, &token)))?;
        for (control, decision) in [
            (Control::Revocation, self.verifier.check_revocation(&token).map_err(Refusal::Token)),
            (Control::Address, self.check_address(&token, source)),
            (Control::Environment, self.check_environment(&token)),
            (Control::Scope, self.scopes.check(token.scopes())),
        ] {
            let Err(refusal) = decision else { continue };
            if !self.shadow.contains(&control) {
                return Err(refused(refusal));
            }
            self.shadowed.count(control);
            tracing::info!(
                control = control.as_str(),
                reason = refusal.reason().as_str(),
                client_id = token.client_id(),
                detail = refusal.detail(),
                "would have been refused (shadow)"
            );
        }
        Ok(token)
    }

    /// An API key is for the APIs of its scopes, and nobody can ask for another audience with it: what it lacks is a scope.
    fn not_for_us(&self, error: ClaimError, token: &AccessToken) -> Refusal {
        match (&error, self.scopes.check(token.scopes())) {
            (ClaimError::WrongAudience { .. }, Err(lacking)) if token.is_whole => lacking,
            _ => Refusal::Token(error.into()),
        }
    }

    /// A request that is not what it should be, and where it came from, as far as that can be told.
    pub(super) fn malformed(&self, detail: &str, head: &Parts) -> Refused {
        let source = self.peer(&head.extensions).and_then(|peer| self.sources.decide(peer, &head.headers).ok());
        Refused { source, ..Refused::of(Refusal::Malformed(detail.to_owned())) }
    }

    /// The answer to a request that is refused, once the observer has been told.
    #[must_use]
    pub fn answer<B: From<String>>(&self, refused: Refused, request_id: RequestId) -> Response<B> {
        self.observer.request_refused(&request_id, &refused);
        let challenges = self.digest_challenges(&refused.refusal);
        let metadata = self.resource_metadata.as_deref();
        let mut response = refused.refusal.into_response(request_id, metadata, &self.errors_base);
        put_before(response.headers_mut(), challenges);
        response
    }

    /// Both lists have to admit the address: the token's own, and the route's.
    pub(super) fn check_address(&self, token: &AccessToken, source: Option<SourceAddress>) -> Result<(), Refusal> {
        for (allowlist, whose) in [(&token.claims().ip_allowlist, "token"), (&self.allowlist, "route")] {
            let admitted = allowlist.is_empty() || source.is_some_and(|source| allowlist.admits(source.ip));
            if !admitted {
                return Err(Refusal::IpNotAllowed { source, allowlist: whose });
            }
        }
        Ok(())
    }

    pub(super) fn check_environment(&self, token: &AccessToken) -> Result<(), Refusal> {
        match &self.environment {
            Some(needed) if token.environment() != Some(&**needed) => Err(Refusal::WrongEnvironment {
                needed: needed.to_string(),
                found: token.environment().map(str::to_owned),
            }),
            _ => Ok(()),
        }
    }
}

/// A request from there that is refused, of nobody who is known.
pub(super) fn refused(refusal: Refusal, source: Option<SourceAddress>) -> Refused {
    Refused { source, ..Refused::of(refusal) }
}
