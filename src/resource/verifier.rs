//! Whether a token is good: signature, shape, parties, times, revocations.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock, UnixTime};
use crate::crypto::{Sha256, TOKEN_ALGORITHMS, sha256};
use crate::jose::claims::{AccessTokenClaims, ClaimError};
use crate::jose::{Algorithm, CompactJws, JwsError};

use super::source::{KeySource, NoRevocations, RevocationSource};
use super::token::AccessToken;

/// How far the clocks of issuer and verifier may differ, unless set otherwise.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const DEFAULT_CACHE: u64 = 10_000;

/// Why a token is refused. The text is for the caller, and has nothing of the token in it but its times and audience.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not verify.
    #[error("the token is not good: {0}")]
    Invalid(String),
    /// It has expired.
    #[error("the token expired at {0}: fetch a new one")]
    Expired(UnixTime),
    /// It, its generation or its key was revoked.
    #[error("the token was revoked: fetch a new one, and if that fails ask the operator about the client")]
    Revoked,
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<ClaimError> for TokenError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Expired(at) => Self::Expired(at),
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// Verifies access tokens of one issuer for one audience (RFC 9068 §4). Parses no key, touches no disk, makes no
/// request.
#[derive(Debug)]
pub struct Verifier {
    issuer: String,
    audience: String,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    clock: Arc<dyn Clock>,
    keys: Arc<dyn KeySource>,
    revocations: Arc<dyn RevocationSource>,
    /// Tokens whose signature, shape and parties were found good under their `kid`. All else is looked at each time.
    verified: moka::sync::Cache<Sha256, Arc<Verified>>,
}

#[derive(Debug)]
struct Verified {
    kid: String,
    claims: Arc<AccessTokenClaims>,
}

/// Settings of a [`Verifier`].
#[derive(Debug)]
pub struct VerifierBuilder {
    issuer: String,
    audience: String,
    keys: Arc<dyn KeySource>,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    clock: Arc<dyn Clock>,
    revocations: Arc<dyn RevocationSource>,
    cache_capacity: u64,
}

impl VerifierBuilder {
    /// The accepted algorithms; ES256, EdDSA, RS256 and PS256 unless set.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How far clocks may differ, for `exp` and `nbf`; 30 seconds unless set.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Where the time comes from; the machine's clock unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where revocations come from; nowhere unless set.
    #[must_use]
    pub fn revocations(mut self, revocations: Arc<dyn RevocationSource>) -> Self {
        self.revocations = revocations;
        self
    }

    /// How many verified tokens are remembered; 10,000 unless set, none for 0.
    #[must_use]
    pub fn cache_capacity(mut self, tokens: u64) -> Self {
        self.cache_capacity = tokens;
        self
    }

    /// The verifier.
    #[must_use]
    pub fn build(self) -> Verifier {
        Verifier {
            issuer: self.issuer,
            audience: self.audience,
            algorithms: self.algorithms,
            leeway: self.leeway,
            clock: self.clock,
            keys: self.keys,
            revocations: self.revocations,
            verified: moka::sync::Cache::new(self.cache_capacity),
        }
    }
}

impl Verifier {
    /// A verifier of tokens that `issuer` signs with `keys` for `audience`, both compared byte for byte.
    pub fn builder(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: Arc<dyn KeySource>,
    ) -> VerifierBuilder {
        VerifierBuilder {
            issuer: issuer.into(),
            audience: audience.into(),
            keys,
            algorithms: TOKEN_ALGORITHMS.to_vec(),
            leeway: DEFAULT_LEEWAY,
            clock: Arc::new(SystemClock),
            revocations: Arc::new(NoRevocations),
            cache_capacity: DEFAULT_CACHE,
        }
    }

    /// Verifies `token`.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<AccessToken, TokenError> {
        let digest = sha256(token.as_bytes());
        let verified = match self.verified.get(&digest) {
            Some(known) => known,
            None => {
                let fresh = Arc::new(self.verify_signature_and_shape(token)?);
                self.verified.insert(digest, Arc::clone(&fresh));
                fresh
            }
        };
        // Whatever can change while a token lives is looked at on every hit.
        if self.revocations.key_is_revoked(&verified.kid) {
            return Err(TokenError::Revoked);
        }
        if !self.keys.keys().contains(&verified.kid) {
            return Err(JwsError::UnknownKey.into());
        }
        let claims = &verified.claims;
        claims.check_times(self.clock.now(), self.leeway)?;
        if self.revocations.token_is_revoked(&claims.token_id, claims.generation.as_deref()) {
            return Err(TokenError::Revoked);
        }
        Ok(AccessToken { claims: Arc::clone(claims) })
    }

    fn verify_signature_and_shape(&self, token: &str) -> Result<Verified, TokenError> {
        let jws = CompactJws::parse(token)?;
        let header = jws.access_token_header(&self.algorithms)?;
        if self.revocations.key_is_revoked(&header.kid) {
            return Err(TokenError::Revoked);
        }
        let keys = self.keys.keys();
        let key = keys.find(&header.kid, header.algorithm).ok_or(JwsError::UnknownKey)?;
        jws.verify_signature(key)?;
        let claims = AccessTokenClaims::from_object(jws.claims()?)?;
        claims.check_parties(Some(&self.issuer), Some(&self.audience))?;
        Ok(Verified { kid: header.kid, claims: Arc::new(claims) })
    }
}
