//! The decision on one request.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};

use crate::oauth::form;
use crate::scope::{BadScope, Scope, ScopeSet};
use crate::source_ip::{Allowlist, SourceAddress, SourcePolicy};

use super::refusal::Refusal;
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

impl RequireScopes {
    /// All of `scopes`.
    ///
    /// # Errors
    /// [`BadScope`] where one is not a scope.
    pub fn all<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, BadScope> {
        scopes.into_iter().map(Scope::parse).collect::<Result<_, _>>().map(Self::All)
    }

    /// At least one of `scopes`.
    ///
    /// # Errors
    /// [`BadScope`] where one is not a scope.
    pub fn any<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, BadScope> {
        scopes.into_iter().map(Scope::parse).collect::<Result<_, _>>().map(Self::Any)
    }

    fn check(&self, held: &ScopeSet) -> Result<(), Refusal> {
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

/// What stands before a route: who verifies, and what is needed.
#[derive(Clone, Debug)]
pub struct Guard {
    pub(super) verifier: Arc<Verifier>,
    pub(super) sources: Arc<SourcePolicy>,
    scopes: RequireScopes,
    allowlist: Allowlist,
    pub(super) resource_metadata: Option<Arc<str>>,
    pub(super) errors_base: Arc<str>,
}

impl Guard {
    /// A guard that lets any good token through.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>) -> Self {
        Self {
            verifier,
            sources: Arc::default(),
            scopes: RequireScopes::None,
            allowlist: Allowlist::default(),
            resource_metadata: None,
            errors_base: "about:errors".into(),
        }
    }

    /// Needs scopes.
    #[must_use]
    pub fn scopes(mut self, scopes: RequireScopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Needs an address of this list, whatever the token's own list says.
    #[must_use]
    pub fn allowlist(mut self, allowlist: Allowlist) -> Self {
        self.allowlist = allowlist;
        self
    }

    /// Whom to believe about source addresses; the socket's peer alone unless set.
    #[must_use]
    pub fn sources(mut self, sources: Arc<SourcePolicy>) -> Self {
        self.sources = sources;
        self
    }

    /// The URL of the RFC 9728 metadata that a request without credentials is pointed to.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<Arc<str>>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// The URI below which the kinds of problem are described.
    #[must_use]
    pub fn errors_base(mut self, uri: impl Into<Arc<str>>) -> Self {
        self.errors_base = uri.into();
        self
    }

    /// Decides on a request. What is wrong with the request comes first, then the token, then where it came from, then
    /// what it may do: so each refusal means that all before it was good.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn decide(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<(AccessToken, Option<SourceAddress>), Refusal> {
        let token = bearer_token(uri, headers)?;
        let source = peer.map(|peer| self.sources.decide(peer, headers)).transpose()?;
        let token = self.verifier.verify(token).map_err(Refusal::Token)?;
        for (allowlist, whose) in [(&token.claims().ip_allowlist, "token"), (&self.allowlist, "route")] {
            let admitted = allowlist.is_empty() || source.is_some_and(|source| allowlist.admits(source.ip));
            if !admitted {
                return Err(Refusal::IpNotAllowed { source, allowlist: whose });
            }
        }
        self.scopes.check(token.scopes())?;
        Ok((token, source))
    }
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 §2.1).
fn bearer_token<'h>(uri: &Uri, headers: &'h HeaderMap) -> Result<&'h str, Refusal> {
    let malformed = |detail: &str| Refusal::Malformed(detail.to_owned());
    if uri.query().is_some_and(|query| form::names_any(query.as_bytes(), &["access_token"])) {
        return Err(malformed("a token goes into the Authorization header, never into the query, where logs keep it"));
    }
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next().ok_or(Refusal::NoCredentials)?;
    if lines.next().is_some() {
        return Err(malformed("there are two Authorization headers; send one"));
    }
    let shape = "the Authorization header has to be: Bearer, one space, and one token";
    let (scheme, token) = line.to_str().ok().and_then(|line| line.split_once(' ')).ok_or_else(|| malformed(shape))?;
    let token = token.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") && is_b64token(token) { Ok(token) } else { Err(malformed(shape)) }
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}
