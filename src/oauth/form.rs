//! `application/x-www-form-urlencoded` as OAuth has it (RFC 6749 Appendix B).

use http::HeaderValue;
use percent_encoding::percent_decode;

/// The media type.
pub const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Whether a `Content-Type` is that, whatever its parameters.
#[must_use]
pub fn is_form(content_type: &HeaderValue) -> bool {
    let media = content_type.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    media.trim_ascii().eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
}

/// Decodes one part: `+` is a space, `%XX` a byte, and the bytes are UTF-8.
///
/// # Errors
/// `None` where they are not.
#[must_use]
pub fn decode_part(part: &[u8]) -> Option<String> {
    // Most parts have nothing to decode, and are copied once.
    if !part.iter().any(|b| matches!(b, b'+' | b'%')) {
        return std::str::from_utf8(part).ok().map(str::to_owned);
    }
    let spaced: Vec<u8> = part.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Whether one of `names` is the name of a pair, whatever else the text holds: a name that is not UTF-8 is none of them.
#[must_use]
pub fn names_any(text: &[u8], names: &[&str]) -> bool {
    text.split(|b| *b == b'&')
        .filter_map(|pair| pair.split(|b| *b == b'=').next())
        .filter_map(decode_part)
        .any(|name| names.contains(&name.as_str()))
}

/// Decodes `name=value` pairs joined by `&`, in their order.
///
/// # Errors
/// `None` where a part is not UTF-8.
#[must_use]
pub fn decode_pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    body.split(|b| *b == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => {
                    let (name, value) = pair.split_at(at);
                    (name, value.get(1..).unwrap_or_default())
                }
                None => (pair, &[][..]),
            };
            Some((decode_part(name)?, decode_part(value)?))
        })
        .collect()
}
