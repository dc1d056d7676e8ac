//! Basic credentials and form encoding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mintage::oauth::{basic, form};
use mintage::secret::ClientSecret;
use proptest::collection::vec;
use proptest::prelude::*;
use url::form_urlencoded;

fn encode(id: &str, secret: &str) -> String {
    let header = basic::encode(id, &ClientSecret::from(secret.to_owned()));
    header.strip_prefix("Basic ").expect("the scheme comes first").to_owned()
}

fn decode(parameter: &str) -> Option<(String, String)> {
    basic::decode(parameter).ok().map(|(id, secret)| (id, secret.reveal().to_owned()))
}

/// Any text, and often one that is made of what the two encodings hold dear.
fn text() -> impl Strategy<Value = String> {
    let dear =
        vec(proptest::sample::select(": %+&=~*-._/\"\\\u{0}\r\n\t£€\u{feff}😀aZ09".chars().collect::<Vec<_>>()), 0..24);
    prop_oneof![any::<String>(), dear.prop_map(String::from_iter)]
}

/// Bytes of which many are a form, and many nearly.
fn near_form() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-z0-9]{1,3}".prop_map(String::into_bytes),
        3 => proptest::sample::select(vec![&b"="[..], b"&", b"+", b"%"]).prop_map(<[u8]>::to_vec),
        2 => (0..=0x7fu8).prop_map(|byte| format!("%{byte:02X}").into_bytes()),
        2 => any::<char>().prop_map(|c| form_urlencoded::byte_serialize(c.to_string().as_bytes()).collect::<String>().into_bytes()),
        1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Whether another decoder put U+FFFD where bytes are no UTF-8.
fn is_replaced((name, value): &(String, String)) -> bool {
    [name, value].iter().any(|text| text.contains(char::REPLACEMENT_CHARACTER))
}

proptest! {
    #![proptest_config(super::cases(512))]

    #[test]
    fn basic_credentials_are_read_back_as_they_were_written(id in text(), secret in text()) {
        let parameter = encode(&id, &secret);
        // One field value, whatever is in the secret: no line can be added to a request.
        prop_assert!(parameter.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)));
        prop_assert_eq!(decode(&parameter), Some((id.clone(), secret.clone())));
        prop_assert_eq!(decode(parameter.trim_end_matches('=')), Some((id, secret)), "without its padding");
    }

    #[test]
    fn basic_credentials_of_any_form_encoder_are_read(id in text(), secret in text()) {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let parameter = STANDARD.encode(format!("{}:{}", encoded(&id), encoded(&secret)));
        prop_assert_eq!(decode(&parameter), Some((id, secret)));
    }

    #[test]
    fn what_is_no_basic_parameter_is_refused_without_a_panic(text in any::<String>(), bytes in vec(any::<u8>(), 0..40)) {
        let _ = decode(&text);
        let encoded = STANDARD.encode(&bytes);
        match decode(&encoded) {
            // The first colon parts the two; a later one belongs to the secret.
            Some((id, secret)) => {
                let colon = bytes.iter().position(|b| *b == b':').expect("without a colon there are no two parts");
                prop_assert_eq!(form::decode_part(&bytes[..colon]), Some(id));
                prop_assert_eq!(form::decode_part(&bytes[colon + 1..]), Some(secret));
            }
            None => {
                let theirs: Vec<_> = form_urlencoded::parse(&bytes).into_owned().collect();
                prop_assert!(!bytes.contains(&b':') || theirs.iter().any(is_replaced), "{:?}", bytes);
            }
        }
        let without_colon: Vec<u8> = bytes.into_iter().filter(|b| *b != b':').collect();
        prop_assert_eq!(decode(&STANDARD.encode(without_colon)), None);
    }

    #[test]
    fn forms_are_read_as_the_url_standard_reads_them(body in near_form()) {
        let theirs: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        match form::decode_pairs(&body) {
            Some(ours) => prop_assert_eq!(ours, theirs),
            // A parameter that reads as another one is worse than none.
            None => prop_assert!(theirs.iter().any(is_replaced), "{:?}", theirs),
        }
    }

    #[test]
    fn forms_of_the_url_standard_are_read_back(pairs in vec((text(), text()), 0..8)) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        prop_assert_eq!(form::decode_pairs(body.as_bytes()), Some(pairs));
    }

    #[test]
    fn invalid_utf8_is_refused_however_it_is_written(before in "[a-z]{0,4}", byte in 0x80..=0xffu8, after in "[a-z]{0,4}") {
        let raw = [before.as_bytes(), &[byte], after.as_bytes()].concat();
        let escaped = format!("{before}%{byte:02X}{after}");
        prop_assert_eq!(form::decode_part(&raw), None);
        prop_assert_eq!(form::decode_part(escaped.as_bytes()), None);
        prop_assert_eq!(form::decode_pairs(format!("a=b&{escaped}=c").as_bytes()), None);
        prop_assert_eq!(decode(&STANDARD.encode(format!("{escaped}:secret"))), None);
        prop_assert_eq!(decode(&STANDARD.encode([b"id:", &raw[..]].concat())), None);
    }
}

#[test]
fn only_padding_is_forgiven_in_basic() {
    let good = encode("id", "secret?>~~~");
    assert!(decode(&good).is_some());
    for bad in [
        String::new(),
        ":".to_owned(),
        "=".to_owned(),
        STANDARD.encode("id"),
        good.replace('=', "") + "===",
        good.replacen(|c: char| c.is_ascii_lowercase(), "-", 1),
        good.replacen(|c: char| c.is_ascii_lowercase(), " ", 1),
        format!("{good}{good}="),
        format!("{good}, {good}"),
        format!("Basic {good}"),
    ] {
        assert_eq!(decode(&bad), None, "{bad:?}");
    }
    // Both parts may be empty here; who may be called so is for the caller to say.
    assert_eq!(decode(&STANDARD.encode(":")), Some((String::new(), String::new())));
    assert_eq!(decode(&STANDARD.encode("a:b:c")), Some(("a".to_owned(), "b:c".to_owned())));
}
