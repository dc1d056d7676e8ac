//! Short texts that only we can read, and that are refused where they were changed: AES-256-GCM.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;

use super::HmacKey;

/// A key for texts of one purpose.
///
/// The nonce follows from the text, as in RFC 5297: the same text is sealed the same way, and two texts never share one
/// but by a collision of HMAC.
#[derive(Debug)]
pub struct SealingKey {
    cipher: LessSafeKey,
    nonces: HmacKey,
}

/// The key could not be made, or the text is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not sealed with this key")]
pub struct NotSealed;

impl From<Unspecified> for NotSealed {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl SealingKey {
    /// The key that follows from `secret` for `purpose`.
    ///
    /// # Errors
    /// None that is known of: the length of the key is always right.
    pub fn derive(secret: &[u8], purpose: &str) -> Result<Self, NotSealed> {
        let root = HmacKey::sha256(secret);
        let derived = |what: &str| root.tag(format!("{purpose}\0{what}").as_bytes());
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &derived("cipher"))?);
        Ok(Self { cipher, nonces: HmacKey::sha256(&derived("nonces")) })
    }

    /// Seals `text`, which can be opened with the same `context` alone.
    ///
    /// # Errors
    /// It is longer than any text is.
    pub fn seal(&self, context: &[u8], text: &[u8]) -> Result<Vec<u8>, NotSealed> {
        let length = u64::try_from(context.len()).map_err(|_| NotSealed)?.to_be_bytes();
        let tag = self.nonces.tag(&[length.as_slice(), context, text].concat());
        let nonce = tag.get(..NONCE_LEN).ok_or(NotSealed)?;
        let mut sealed = text.to_vec();
        let key_nonce = Nonce::try_assume_unique_for_key(nonce)?;
        self.cipher.seal_in_place_append_tag(key_nonce, Aad::from(context), &mut sealed)?;
        Ok([nonce, &sealed].concat())
    }

    /// The text that was sealed.
    ///
    /// # Errors
    /// It was sealed otherwise, or changed.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotSealed> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(NotSealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let mut text = sealed.to_vec();
        let length = self.cipher.open_in_place(nonce, Aad::from(context), &mut text)?.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_with_the_same_key_and_context_alone() {
        let key = SealingKey::derive(b"secret", "cursors").unwrap();
        let sealed = key.seal(b"list", b"payroll-client").unwrap();
        assert_eq!(sealed, key.seal(b"list", b"payroll-client").unwrap());
        assert_eq!(key.open(b"list", &sealed).unwrap(), b"payroll-client");
        assert!(!sealed.windows(4).any(|four| b"payroll-client".windows(4).any(|own| own == four)));
        assert_eq!(key.open(b"lis", &sealed), Err(NotSealed));
        for (secret, purpose) in [("secret", "cursor"), ("secrets", "cursors")] {
            let other = SealingKey::derive(secret.as_bytes(), purpose).unwrap();
            assert_eq!(other.open(b"list", &sealed), Err(NotSealed));
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(b"list", &changed), Err(NotSealed));
            assert_eq!(key.open(b"list", &sealed[..at]), Err(NotSealed));
        }
    }
}
