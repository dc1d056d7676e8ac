//! Making access tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::JwtSigner;
use jsonwebtoken::signature::Signer;
use jsonwebtoken::{Algorithm, Header};

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

impl TokenSigner {
    /// Readies `key`, whose `kid` is its thumbprint.
    #[must_use]
    pub fn new(key: SigningKey) -> Self {
        let kid = jwk::thumbprint(&key.public_key());
        let mut header = Header::new(key.algorithm());
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(kid.clone());
        // A `Header` of strings always serializes; an empty one would be refused by every verifier.
        let header = serde_json::to_vec(&header).unwrap_or_default();
        Self { kid, prefix: URL_SAFE_NO_PAD.encode(header) + ".", key }
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
        let payload = serde_json::to_vec(claims).map_err(|_| SigningFailed)?;
        // Room for the header, the payload and a signature (RSA: up to 4096 bits), so that nothing is moved.
        let mut token = String::with_capacity(self.prefix.len() + payload.len() * 4 / 3 + 700);
        token.push_str(&self.prefix);
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let signature = self.key.try_sign(token.as_bytes()).map_err(|_| SigningFailed)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }
}
