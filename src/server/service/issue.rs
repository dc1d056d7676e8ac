//! Issuing tokens: what is granted, and the token that says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::id::random_128;
use crate::jose::MAX_TOKEN_BYTES;
use crate::jose::claims::{Audience, IssuedClaims};
use crate::limit::Standing;
use crate::scope::{Scope, ScopeSet};
use crate::server::error::Error;
use crate::server::model::Kind;
use crate::source_ip::SourceAddress;

use crate::oauth::metadata::CLIENT_CREDENTIALS;

use super::audit::Issued;
use super::authenticate::{ClientRefusal, PresentedCredentials};
use super::catalog::CatalogSnapshot;
use super::{Authenticated, Service, pace};

/// A token request, read and not yet weighed (RFC 6749 §4.4.2, RFC 8707 §2).
#[derive(Debug)]
pub struct IssueRequest {
    /// Who asks.
    pub credentials: Option<PresentedCredentials>,
    /// `grant_type`.
    pub grant_type: String,
    /// `scope`, if it was sent.
    pub scope: Option<String>,
    /// `resource` and `audience`, each as often as it was sent.
    pub resources: Vec<String>,
    /// Where the request came from.
    pub source: SourceAddress,
}

/// What a token is asked for, whoever asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// `scope`, if it was sent.
    pub(super) scope: Option<&'a str>,
    /// `resource` and `audience`.
    pub(super) resources: &'a [String],
    /// Where the request came from.
    pub(super) source: SourceAddress,
}

/// A token that was issued.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// Its scopes.
    pub scopes: String,
    /// The same, one by one.
    pub granted: ScopeSet,
    /// How long it lives, in seconds.
    pub expires_in: u64,
    /// In how many seconds it is best renewed.
    pub refresh_in: u64,
    /// How the client stands with the limit that binds.
    pub standing: Option<Standing>,
}

/// What a token is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// The scopes.
    pub scopes: ScopeSet,
    /// The APIs: those of the scopes, or the issuer where there are none.
    pub audience: BTreeSet<&'a str>,
}

/// Decides what a client that holds `held` is granted when it asks for `requested` (nothing: all) at `resources`
/// (none: wherever the scopes belong). Nothing is widened, and nothing asked for is dropped.
///
/// # Errors
/// [`Error::InvalidScope`], [`Error::InvalidTarget`], which name what cannot be granted.
pub fn decide_grant<'a>(
    held: &ScopeSet,
    requested: Option<ScopeSet>,
    resources: &[String],
    catalog: &'a CatalogSnapshot,
    issuer: &'a str,
) -> Result<Grant<'a>, Error> {
    let all = requested.is_none();
    for resource in resources {
        if resource != issuer && catalog.api(resource).is_none() {
            return Err(Error::InvalidTarget(format!("no API has the identifier {resource}")));
        }
    }
    let owner = |scope: &Scope| catalog.audience_of(scope, issuer);
    let wanted = |scope: &Scope| resources.is_empty() || owner(scope).is_some_and(|o| resources.iter().any(|r| r == o));
    let scopes: ScopeSet = match requested {
        Some(requested) => {
            for scope in requested.iter() {
                if !held.contains(scope.as_str()) || owner(scope).is_none() {
                    return Err(Error::InvalidScope(format!("the scope {scope} is not granted to this client")));
                }
                if !wanted(scope) {
                    return Err(Error::InvalidScope(format!(
                        "the scope {scope} belongs to another API than the resource names"
                    )));
                }
            }
            requested
        }
        None => {
            // A token that is sent to somebody's API should not administer this service.
            let built_in_too = resources.iter().any(|r| r == issuer) || held.iter().all(Scope::is_built_in);
            held.iter()
                .filter(|scope| owner(scope).is_some() && wanted(scope) && (built_in_too || !scope.is_built_in()))
                .cloned()
                .collect()
        }
    };
    let mut audience: BTreeSet<&'a str> = scopes.iter().filter_map(owner).collect();
    if scopes.is_empty() {
        audience.insert(issuer);
    }
    // The audience follows from the scopes; a resource that none of them belongs to would be dropped without a word.
    if let Some(unmet) = resources.iter().find(|resource| !audience.contains(resource.as_str())) {
        return Err(Error::InvalidTarget(match all {
            false => format!("none of the requested scopes belongs to {unmet}"),
            true => format!("this client holds no scope of {unmet}"),
        }));
    }
    Ok(Grant { scopes, audience })
}

/// Every key was revoked, and nothing could take their place.
pub(super) fn no_key() -> Error {
    Error::Unavailable("there is no active key to sign with".to_owned())
}

impl Service {
    /// Exchanges credentials for a token. Touches no disk for a client that is at hand.
    ///
    /// # Errors
    /// [`Error`], as RFC 6749 §5.2 and the contract have them.
    pub async fn issue(&self, mut request: IssueRequest) -> Result<IssuedToken, ClientRefusal> {
        let authenticated = match self.authenticated_from(request.credentials.take(), request.source).await {
            Ok(authenticated) => authenticated,
            Err(refusal) => {
                self.note_refused(None, &refusal, request.source);
                return Err(refusal);
            }
        };
        let asked = Asked { scope: request.scope.as_deref(), resources: &request.resources, source: request.source };
        let issue = || match request.grant_type == CLIENT_CREDENTIALS {
            true => self.issue_to(&authenticated, &asked),
            false => Err(Error::UnsupportedGrantType),
        };
        self.issue_within_limits(&authenticated, issue, request.source).await
    }

    /// Issues what somebody who has proven itself asks for, as far as its limits go.
    pub(super) async fn issue_within_limits(
        &self,
        authenticated: &Authenticated,
        issue: impl FnOnce() -> Result<(IssuedToken, Issued), Error>,
        source: SourceAddress,
    ) -> Result<IssuedToken, ClientRefusal> {
        let refused = |error: Error, standing| {
            let refusal = ClientRefusal { standing, ..authenticated.refused(error) };
            self.note_refused(Some(authenticated), &refusal, source);
            refusal
        };
        let admitted = self.admit_token_request(&authenticated.client).map_err(|error| refused(error.into(), None))?;
        let refused = |error| refused(error, admitted.standing);
        let (mut issued, record) = issue().map_err(refused)?;
        // The last that may refuse it: what is refused for anything else takes nothing.
        self.charge_token(&authenticated.client).await.map_err(refused)?;
        self.note_issued(authenticated, &issued.granted, source);
        self.audit.issuances.note(record);
        issued.standing = admitted.standing;
        Ok(issued)
    }

    pub(super) fn issue_to(
        &self,
        authenticated: &Authenticated,
        asked: &Asked<'_>,
    ) -> Result<(IssuedToken, Issued), Error> {
        let client = &authenticated.client;
        let requested = match asked.scope {
            None => None,
            Some(text) => {
                let scopes = ScopeSet::parse(text).map_err(|error| Error::InvalidScope(error.to_string()))?;
                if scopes.is_empty() {
                    return Err(Error::InvalidScope("scope names no scope".to_owned()));
                }
                Some(scopes)
            }
        };
        let catalog = self.catalog.now();
        let held = catalog.scopes_of(client);
        let grant = decide_grant(&held, requested, asked.resources, &catalog, &self.settings.issuer)?;
        self.sign(authenticated, grant, &catalog, asked.source)
    }

    fn sign(
        &self,
        authenticated: &Authenticated,
        grant: Grant<'_>,
        catalog: &CatalogSnapshot,
        source: SourceAddress,
    ) -> Result<(IssuedToken, Issued), Error> {
        let client = &authenticated.client;
        let secret = authenticated.secret().ok_or_else(|| Error::Internal("a secret is gone".to_owned()))?;
        let signer = self.keys.signer().ok_or_else(no_key)?;
        let now = self.clock.now();
        let own_limits = grant.audience.iter().filter_map(|api| catalog.api(api)?.token_ttl).chain(client.token_ttl);
        // What an API key was exchanged for does not outlive it.
        let end = secret.expires_at.filter(|_| client.kind == Kind::ApiKey).map(|end| end.since(now).as_secs());
        let ttl = own_limits.chain(end).fold(self.settings.token_ttl.as_secs(), u64::min).max(1);
        let scopes = grant.scopes.to_string();
        let token_id = random_128(&*self.entropy)?;
        let mut audience = grant.audience.iter().copied();
        let aud = match (audience.next(), grant.audience.len()) {
            (Some(one), 1) => Audience::One(one),
            _ => Audience::Many(grant.audience.iter().copied().collect()),
        };
        let token = signer
            .sign(&IssuedClaims {
                iss: &self.settings.issuer,
                sub: client.client_id.as_str(),
                client_id: client.client_id.as_str(),
                aud,
                exp: now.plus(std::time::Duration::from_secs(ttl)),
                iat: now,
                nbf: now,
                jti: &token_id,
                scope: &scopes,
                org: &client.organization,
                project: &client.project,
                env: client.environment.as_str(),
                generation: secret.generation.as_str(),
                ip_allowlist: (!client.ip_allowlist.is_empty()).then_some(&client.ip_allowlist),
            })
            .map_err(|_| Error::Unavailable("no randomness for a signature".to_owned()))?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::InvalidScope(format!(
                "the token would be longer than {MAX_TOKEN_BYTES} bytes, which no verifier takes; ask for fewer scopes"
            )));
        }
        let record = Issued {
            at: now,
            client: Arc::clone(client),
            secret_id: secret.id.clone(),
            jti: token_id,
            scope: scopes.clone(),
            audience: grant.audience.iter().map(|api| (*api).to_owned()).collect(),
            source: source.ip,
            ttl,
        };
        let refresh_in = pace::refresh_in(ttl, client.client_id.as_str(), source.ip);
        let granted = grant.scopes;
        Ok((IssuedToken { token, scopes, granted, expires_in: ttl, refresh_in, standing: None }, record))
    }
}
