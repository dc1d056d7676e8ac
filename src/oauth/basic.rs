//! HTTP Basic as OAuth clients use it (RFC 6749 §2.3.1, RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::form;
use crate::secret::ClientSecret;

/// Some clients leave the padding out; nothing else is forgiven.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// RFC 6749 Appendix B, but that a space may also be `%20`, which every form decoder reads.
const FORM_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'~');

/// The parameter of `Basic` is not base64 of `id:secret` in UTF-8, both form-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Basic credentials are not base64 of client_id:client_secret, each form-encoded UTF-8 (RFC 6749, 2.3.1)")]
pub struct BadBasic;

/// Id and secret out of the parameter of `Basic`, both form-decoded.
///
/// # Errors
/// [`BadBasic`].
pub fn decode(parameter: &str) -> Result<(String, ClientSecret), BadBasic> {
    let bytes = Zeroizing::new(LENIENT.decode(parameter.trim()).map_err(|_| BadBasic)?);
    let colon = bytes.iter().position(|b| *b == b':').ok_or(BadBasic)?;
    let (id, secret) = bytes.split_at(colon);
    let id = form::decode_part(id).ok_or(BadBasic)?;
    let secret = form::decode_part(secret.get(1..).unwrap_or_default()).ok_or(BadBasic)?;
    Ok((id, secret.into()))
}

/// The value of `Authorization` for these credentials.
#[must_use]
pub fn encode(id: &str, secret: &ClientSecret) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!(
        "{}:{}",
        utf8_percent_encode(id, FORM_VALUE),
        utf8_percent_encode(secret.reveal(), FORM_VALUE)
    ));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}
