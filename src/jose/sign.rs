//! Making access tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::JwtSigner;
use jsonwebtoken::signature::Signer;
use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;

use crate::crypto::{PublicKey, SigningKey};

use super::claims::IssuedClaims;
use super::{ACCESS_TOKEN_TYPE, jwk};

/// A private key with its `kid` and the header of its tokens, made once.
#[derive(Debug)]
pub struct TokenSigner {
    kid: String,
    key: SigningKey,
    /// The encoded header and the dot behind it.
    prefix: String,
}

/// A token could not be made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningFailed;

/// The encoded header of what `key` signs, and the dot behind it.
fn prefix(key: &SigningKey, kid: &str, typ: &str) -> String {
    let mut header = Header::new(key.algorithm());
    header.typ = Some(typ.to_owned());
    header.kid = Some(kid.to_owned());
    // A `Header` of strings always serializes; an empty one would be refused by every verifier.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(header) + "."
}

impl TokenSigner {
    /// Readies `key`, whose `kid` is its thumbprint.
    #[must_use]
    pub fn new(key: SigningKey) -> Self {
        let kid = jwk::thumbprint(&key.public_key());
        Self { prefix: prefix(&key, &kid, ACCESS_TOKEN_TYPE), kid, key }
    }

    /// The thumbprint of the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// The public half of the key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// The compact JWS of `claims`.
    ///
    /// # Errors
    /// [`SigningFailed`] where the operating system gives no randomness for the signature.
    pub fn sign(&self, claims: &IssuedClaims<'_>) -> Result<String, SigningFailed> {
        self.signed(&self.prefix, &serde_json::to_vec(claims).map_err(|_| SigningFailed)?)
    }

    /// The compact JWS of something else than an access token, whose `typ` says what it is.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_as(&self, typ: &str, payload: &impl Serialize) -> Result<String, SigningFailed> {
        let prefix = prefix(&self.key, &self.kid, typ);
        self.signed(&prefix, &serde_json::to_vec(payload).map_err(|_| SigningFailed)?)
    }

    fn signed(&self, prefix: &str, payload: &[u8]) -> Result<String, SigningFailed> {
        // Room for the header, the payload and a signature (RSA: up to 4096 bits), so that nothing is moved.
        let mut token = String::with_capacity(prefix.len() + payload.len() * 4 / 3 + 700);
        token.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.key.try_sign(token.as_bytes()).map_err(|_| SigningFailed)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }
}
