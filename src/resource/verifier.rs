//! Whether a token is good: signature, shape, parties, times, revocations.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, UnixTime};
use crate::crypto::{Sha256, sha256};
use crate::jose::claims::{AccessTokenClaims, ClaimError};
use crate::jose::{Algorithm, CompactJws, JwsError};

use super::issuer::{Health, Issuer};
use super::source::{KeySource, RevocationSource};
use super::token::AccessToken;

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
    /// It is an API key, which has ended.
    #[error("the API key ended at {0}: ask the operator for a new one")]
    KeyEnded(UnixTime),
    /// It is an API key, which was revoked, disabled or replaced by another.
    #[error("the API key was revoked, or another took its place: ask the operator about it")]
    KeyRevoked,
    /// The issuer has not been heard of for so long that nothing can be said.
    #[error("the issuer has not been reached for so long that {0} cannot be relied on; try again later")]
    Undecidable(&'static str),
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

/// Verifies access tokens of one issuer for one audience (RFC 9068 §4). Parses no key, touches no disk, and makes no
/// request while a token waits.
#[derive(Debug)]
pub struct Verifier {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) leeway: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keys: Arc<dyn KeySource>,
    pub(super) revocations: Arc<dyn RevocationSource>,
    /// Tokens whose signature, shape and issuer were found good under a key. All else is looked at each time.
    pub(super) verified: moka::sync::Cache<Sha256, Arc<Verified>>,
    /// What follows the issuer, where that is discovered; it ends with the verifier.
    pub(super) following: Option<Issuer>,
}

/// What is remembered of a token.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) kid: String,
    fingerprint: Sha256,
    pub(super) claims: Arc<AccessTokenClaims>,
}

impl Verifier {
    /// Verifies `token`.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<AccessToken, TokenError> {
        let token = self.verify_but_revocation(token, None)?;
        self.check_revocation(&token)?;
        Ok(token)
    }

    /// Verifies `token`, whomever it is for: to say what it is, as introspection does. Never to let somebody in.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify_for_any_audience(&self, token: &str) -> Result<AccessToken, TokenError> {
        let token = self.verify_but_revocation(token, Some(&[]))?;
        self.check_revocation(&token)?;
        Ok(token)
    }

    /// Whether a token that is good otherwise was revoked.
    ///
    /// # Errors
    /// [`TokenError::Revoked`], [`TokenError::Undecidable`].
    pub(super) fn check_revocation(&self, token: &AccessToken) -> Result<(), TokenError> {
        let claims = token.claims();
        if self.revocations.token_is_revoked(&claims.token_id, claims.generation.as_deref()) {
            return Err(TokenError::Revoked);
        }
        if !self.revocations.is_fresh(self.clock.now()) {
            return Err(TokenError::Undecidable("what is revoked"));
        }
        Ok(())
    }

    /// Whether `token` is good for all of `audiences` (none: the verifier's own), but for revocation. A revoked key is
    /// no matter of revocation alone: whoever has it can sign what they like.
    ///
    /// # Errors
    /// [`TokenError`].
    fn verify_but_revocation(&self, token: &str, audiences: Option<&[Arc<str>]>) -> Result<AccessToken, TokenError> {
        let token = self.recognize(token)?;
        self.check_claims(&token, audiences)?;
        Ok(token)
    }

    /// Whether a token is for all of `audiences` (none: the verifier's own), and good by its times.
    pub(super) fn check_claims(&self, token: &AccessToken, audiences: Option<&[Arc<str>]>) -> Result<(), ClaimError> {
        let claims = token.claims();
        match audiences {
            None => claims.check_audience(&self.audience)?,
            Some(audiences) => audiences.iter().try_for_each(|audience| claims.check_audience(audience))?,
        }
        claims.check_times(self.clock.now(), self.leeway)
    }

    /// Whether the issuer signed `token` with a key that it still publishes: neither whom it is for, nor whether it is
    /// good now. For who has to know a token that is dead or not yet alive, as revoking does; never to let somebody in.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn recognize(&self, token: &str) -> Result<AccessToken, TokenError> {
        let digest = sha256(token.as_bytes());
        let verified = match self.verified.get(&digest) {
            Some(known) => known,
            None => {
                let fresh = Arc::new(self.verify_signature_and_shape(token, self.clock.now())?);
                self.verified.insert(digest, Arc::clone(&fresh));
                fresh
            }
        };
        // Whatever can change while a token lives is looked at on every hit.
        self.check_key(&verified, self.clock.now())?;
        Ok(AccessToken { claims: Arc::clone(&verified.claims), is_whole: false })
    }

    fn check_key(&self, verified: &Verified, now: UnixTime) -> Result<(), TokenError> {
        if self.revocations.key_is_revoked(&verified.kid) {
            return Err(TokenError::Revoked);
        }
        if !self.keys.is_fresh(now) {
            return Err(TokenError::Undecidable("its keys"));
        }
        if !self.keys.keys().holds(&verified.kid, &verified.fingerprint) {
            return Err(JwsError::UnknownKey.into());
        }
        Ok(())
    }

    fn verify_signature_and_shape(&self, token: &str, now: UnixTime) -> Result<Verified, TokenError> {
        let jws = CompactJws::parse(token)?;
        let header = jws.access_token_header(&self.algorithms)?;
        if self.revocations.key_is_revoked(&header.kid) {
            return Err(TokenError::Revoked);
        }
        let keys = self.keys.keys();
        let Some(key) = keys.find(&header.kid, header.algorithm) else {
            if !keys.contains(&header.kid) {
                self.keys.key_is_unknown(&header.kid);
                if !self.keys.is_fresh(now) {
                    // It may have been published since they were fetched.
                    return Err(TokenError::Undecidable("its keys"));
                }
            }
            return Err(JwsError::UnknownKey.into());
        };
        jws.verify_signature(key)?;
        let claims = AccessTokenClaims::from_object(jws.claims()?)?;
        claims.check_issuer(&self.issuer)?;
        Ok(Verified { kid: header.kid, fingerprint: *key.fingerprint(), claims: Arc::new(claims) })
    }

    /// How the issuer is followed; `None` where keys and revocations were handed in.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.following.as_ref().map(|issuer| issuer.health(self.clock.now()))
    }

    /// The issuer whose tokens it verifies.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The audience that tokens have to be for, unless a guard names another one.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }
}
