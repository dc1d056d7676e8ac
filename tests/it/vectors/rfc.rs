//! The examples of the RFCs themselves (`rfc_examples.json`).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mintage::crypto::{HmacKey, PublicKey, TOKEN_ALGORITHMS, VerifyingKey};
use mintage::jose::{Algorithm, CompactJws, JwsError, KeySet, jwk};
use mintage::oauth::{basic, form};
use mintage::secret::ClientSecret;
use serde_json::{Value, json};

use super::{ALL, Stop, is_not_accepted, no_single_change_verifies, read_json, verify};

fn examples(kind: &str) -> Vec<Value> {
    read_json("rfc_examples.json")[kind].as_array().unwrap().clone()
}

fn text<'v>(example: &'v Value, member: &str) -> &'v str {
    example[member].as_str().unwrap_or_else(|| panic!("{member} of {example}"))
}

fn example_of(kind: &str, rfc: &str) -> Value {
    examples(kind).into_iter().find(|e| text(e, "rfc") == rfc).unwrap()
}

#[test]
fn signatures_have_the_verdicts_of_their_rfcs() {
    let mut verdicts = Vec::new();
    for example in examples("jws") {
        let (token, valid) = (text(&example, "jws"), example["signature_valid"].as_bool().unwrap());
        let verdict = verify(token, &example["jwk"], &TOKEN_ALGORITHMS);
        match example["jwk"]["kty"].as_str() {
            // The two whose signature no token may rest on, whatever the RFC says of it.
            None | Some("oct") => assert!(is_not_accepted(&verdict), "{example}: {verdict:?}"),
            Some(_) => assert_eq!(verdict.is_ok(), valid, "{example}: {verdict:?}"),
        }
        verdicts.push((text(&example, "rfc").to_owned(), verdict.is_ok()));
    }
    let expected = [
        ("RFC7515 A.1 HS256", false),
        ("RFC7515 A.2 RS256", true),
        ("RFC7515 A.3 ES256", true),
        ("RFC7515 A.5 unsecured", false),
        ("RFC8037 A.4 EdDSA", true),
    ];
    assert_eq!(verdicts, expected.map(|(name, verdict)| (name.to_owned(), verdict)));
}

#[test]
fn the_payloads_are_read_as_their_rfcs_print_them() {
    let claims: Vec<_> =
        examples("jws").iter().map(|example| CompactJws::parse(text(example, "jws")).unwrap().claims()).collect();
    let joe = json!({"iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true});
    assert_eq!(claims.len(), 5);
    for claims in &claims[..4] {
        assert_eq!(Value::Object(claims.clone().unwrap()), joe);
    }
    // RFC 8037's is text, which no access token may be.
    assert_eq!(claims[4], Err(JwsError::BadClaims));
}

#[test]
fn no_single_change_of_an_rfc_example_verifies() {
    let changed: usize = ["RFC7515 A.2 RS256", "RFC7515 A.3 ES256", "RFC8037 A.4 EdDSA"]
        .map(|rfc| example_of("jws", rfc))
        .iter()
        .map(|example| no_single_change_verifies(text(example, "jws"), &example["jwk"]))
        .sum();
    assert!(changed > 1_000, "{changed}");
}

#[test]
fn alg_none_is_refused_even_where_everything_is_accepted() {
    let example = example_of("jws", "RFC7515 A.5 unsecured");
    let unsecured = text(&example, "jws");
    let (_, payload) = unsecured.split_once('.').unwrap();
    let any_key = &example_of("jws", "RFC7515 A.2 RS256")["jwk"];
    for alg in ["none", "None", "NONE", "nOnE", "", "none "] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
        let verdict = verify(&format!("{header}.{payload}"), any_key, &ALL);
        assert!(is_not_accepted(&verdict), "{alg:?}: {verdict:?}");
    }
    for header in [json!({}), json!({"alg": null}), json!({"alg": ["RS256"]})] {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let verdict = verify(&format!("{header}.{payload}"), any_key, &ALL);
        assert_eq!(verdict, Err(Stop::Jws(JwsError::BadHeader)));
    }
}

#[test]
fn hs256_serves_inspection_and_nothing_else() {
    let example = example_of("jws", "RFC7515 A.1 HS256");
    let (token, key) = (text(&example, "jws"), &example["jwk"]);
    let secret = URL_SAFE_NO_PAD.decode(text(key, "k")).unwrap();
    let jws = CompactJws::parse(token).unwrap();
    assert!(jws.verify_hs256(&HmacKey::sha256(&secret)));
    assert!(!jws.verify_hs256(&HmacKey::sha256(&secret[1..])));

    assert!(is_not_accepted(&verify(token, key, &TOKEN_ALGORITHMS)));
    // A caller that lists it gets no further: there is no such key.
    assert_eq!(verify(token, key, &ALL), Err(Stop::Key));
    assert!(jwk::from_jwk(key).is_none());
    let mut named = key.clone();
    named["kid"] = "shared".into();
    named["alg"] = "HS256".into();
    let set = json!({"keys": [named]}).to_string();
    assert!(!KeySet::from_jwks(jwk::parse_set(set.as_bytes()).unwrap(), &ALL).contains("shared"));
}

#[test]
fn no_public_key_is_ever_readied_for_a_mac() {
    let mut kinds = 0;
    for example in examples("jws") {
        let Some(parsed) = jwk::from_jwk(&example["jwk"]) else { continue };
        kinds += 1;
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert!(VerifyingKey::new(&parsed.key, algorithm).is_none(), "{algorithm:?} on {example}");
        }
    }
    assert_eq!(kinds, 3);
}

#[test]
fn a_key_serves_the_algorithms_of_its_kind_alone() {
    let mut served = Vec::new();
    for rfc in ["RFC7515 A.2 RS256", "RFC7515 A.3 ES256", "RFC8037 A.4 EdDSA"] {
        let key = jwk::from_jwk(&example_of("jws", rfc)["jwk"]).unwrap().key;
        served.push(ALL.into_iter().filter(|a| VerifyingKey::new(&key, *a).is_some()).collect::<Vec<_>>());
    }
    let rsa = vec![
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ];
    assert_eq!(served, [rsa, vec![Algorithm::ES256], vec![Algorithm::EdDSA]]);
}

#[test]
fn a_coordinate_has_the_size_that_its_curve_asks_for() {
    let jwk = example_of("jws", "RFC7515 A.3 ES256")["jwk"].clone();
    let PublicKey::P256 { x, y } = jwk::from_jwk(&jwk).unwrap().key else { panic!("{jwk} is no P-256 key") };
    let readied = |x: &[u8], y: &[u8]| {
        VerifyingKey::new(&PublicKey::P256 { x: x.to_vec(), y: y.to_vec() }, Algorithm::ES256).is_some()
    };
    assert!(readied(&x, &y));
    // The same point, if only the two together were measured: two JWKs, and two thumbprints, of one key.
    let joined = [&x[..], &y[..]].concat();
    assert!(!readied(&joined[..31], &joined[31..]) && !readied(&joined[..33], &joined[33..]));
    assert!(!readied(&joined, &[]) && !readied(&[], &joined) && !readied(&[], &[]));
    assert!(!readied(&[&[0], &x[..]].concat(), &y) && !readied(&x, &[&[0], &y[..]].concat()));

    let okp = example_of("jws", "RFC8037 A.4 EdDSA")["jwk"].clone();
    let PublicKey::Ed25519 { x } = jwk::from_jwk(&okp).unwrap().key else { panic!("{okp} is no Ed25519 key") };
    let readied = |x: &[u8]| VerifyingKey::new(&PublicKey::Ed25519 { x: x.to_vec() }, Algorithm::EdDSA).is_some();
    assert!(readied(&x) && !readied(&x[..31]) && !readied(&[&x[..], &[0]].concat()) && !readied(&[]));
}

#[test]
fn thumbprints_are_those_of_the_rfcs() {
    let examples = examples("thumbprints");
    assert_eq!(examples.len(), 2);
    for example in examples {
        let parsed = jwk::from_jwk(&example["jwk"]).unwrap();
        assert_eq!(jwk::thumbprint(&parsed.key), text(&example, "thumbprint"), "{example}");
        assert_eq!(parsed.kid.as_deref(), example["jwk"]["kid"].as_str());
    }
    let rsa = jwk::from_jwk(&example_of("thumbprints", "RFC7638 3.1")["jwk"]).unwrap();
    assert!(matches!(rsa.key, PublicKey::Rsa { .. }));
    assert_eq!(rsa.algorithm, Some(Algorithm::RS256));
}

fn decode_header(header: &str) -> (String, String) {
    let (id, secret) = basic::decode(header.strip_prefix("Basic ").unwrap()).unwrap();
    (id, secret.reveal().to_owned())
}

#[test]
fn basic_credentials_are_read_as_their_rfcs_print_them() {
    assert_eq!(examples("http_basic").len(), 3);

    let oauth = example_of("http_basic", "RFC6749 4.4.2");
    let (id, secret) = (text(&oauth, "client_id").to_owned(), text(&oauth, "client_secret").to_owned());
    assert_eq!(decode_header(text(&oauth, "header")), (id.clone(), secret.clone()));
    assert_eq!(*basic::encode(&id, &ClientSecret::from(secret)), text(&oauth, "header"));

    let http = example_of("http_basic", "RFC7617 2.1");
    let (user, password) = (text(&http, "user").to_owned(), text(&http, "password").to_owned());
    assert_eq!(decode_header(text(&http, "header")), (user, password));
}

#[test]
fn form_encoding_is_that_of_appendix_b() {
    let example = example_of("http_basic", "RFC6749 App. B form encoding of U+0020 % & + U+00A3 U+20AC");
    let (decoded, encoded) = (text(&example, "decoded").to_owned(), text(&example, "encoded"));
    assert_eq!(form::decode_part(encoded.as_bytes()).as_ref(), Some(&decoded));
    let body = format!("a={encoded}&{encoded}=b");
    let pairs = [("a".to_owned(), decoded.clone()), (decoded.clone(), "b".to_owned())];
    assert_eq!(form::decode_pairs(body.as_bytes()).unwrap(), pairs);

    let header = format!("Basic {}", STANDARD.encode(format!("{encoded}:{encoded}")));
    assert_eq!(decode_header(&header), (decoded.clone(), decoded.clone()));
    let ours = basic::encode(&decoded, &ClientSecret::from(decoded.clone()));
    assert_eq!(decode_header(&ours), (decoded.clone(), decoded));
}
