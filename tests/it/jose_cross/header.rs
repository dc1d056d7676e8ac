//! Headers that a signature alone does not make good.

use std::sync::Arc;

use jsonwebtoken::{EncodingKey, Header};
use mintage::crypto::{HmacKey, PublicKey, TOKEN_ALGORITHMS};
use mintage::jose::JwsError::{self, *};
use mintage::jose::{Algorithm, KeySet, algorithm_name};
use mintage::resource::{StaticKeys, TokenError, Verifier};
use serde_json::json;

use super::{API, IMPOSTORS, ISSUER, PARTIES, Party, RSA, claims_of, edited, good_claims, party, verifier_of};

fn not_accepted(algorithms: &[Algorithm]) -> JwsError {
    let accepted = algorithms.iter().map(|a| algorithm_name(*a)).collect::<Vec<_>>().join(", ");
    AlgorithmNotAccepted { accepted }
}

fn with(party: &Party, name: &str, value: Option<&str>) -> String {
    party.sign(edited(&party.header(), name, value), good_claims().to_string())
}

#[test]
fn forged_headers_are_refused() {
    let not_accepted = || not_accepted(&TOKEN_ALGORITHMS);
    let table: &[(&str, Option<&str>, JwsError)] = &[
        ("typ", Some(r#""JWT""#), WrongType),
        ("typ", Some(r#""jwt""#), WrongType),
        ("typ", Some(r#""""#), WrongType),
        ("typ", Some(r#""at+jwt ""#), WrongType),
        ("typ", Some(r#""at jwt""#), WrongType),
        ("typ", Some(r#""id_token+jwt""#), WrongType),
        ("typ", Some(r#""dpop+jwt""#), WrongType),
        ("typ", Some(r#""xat+jwt""#), WrongType),
        ("typ", Some(r#""application/jwt""#), WrongType),
        ("typ", Some(r#""application/application/at+jwt""#), WrongType),
        ("typ", Some(r#""text/at+jwt""#), WrongType),
        ("typ", Some("null"), WrongType),
        ("typ", None, WrongType),
        ("typ", Some("7"), BadHeader),
        ("typ", Some(r#"["at+jwt"]"#), BadHeader),
        ("kid", None, NoKeyId),
        ("kid", Some("null"), NoKeyId),
        ("kid", Some(r#""unheard-of""#), UnknownKey),
        ("kid", Some(r#""""#), UnknownKey),
        ("kid", Some(r#""../../../../dev/null""#), UnknownKey),
        ("kid", Some("7"), BadHeader),
        ("kid", Some(r#"["k"]"#), BadHeader),
        ("kid", Some("{}"), BadHeader),
        ("crit", Some(r#"["exp"]"#), CriticalExtension),
        ("crit", Some(r#"["b64"]"#), CriticalExtension),
        ("crit", Some(r#"["typ"]"#), CriticalExtension),
        ("crit", Some("[]"), CriticalExtension),
        ("crit", Some("null"), CriticalExtension),
        ("crit", Some("7"), CriticalExtension),
        ("b64", Some("false"), CriticalExtension),
        ("b64", Some("true"), CriticalExtension),
        ("jku", Some(r#""https://evil.example/jwks.json""#), KeyInHeader),
        ("x5u", Some(r#""https://evil.example/chain.pem""#), KeyInHeader),
        ("x5c", Some(r#"["MIIB"]"#), KeyInHeader),
        ("x5c", Some("[]"), KeyInHeader),
        ("jwk", Some("null"), KeyInHeader),
        ("alg", Some(r#""none""#), not_accepted()),
        ("alg", Some(r#""None""#), not_accepted()),
        ("alg", Some(r#""NONE""#), not_accepted()),
        ("alg", Some(r#""""#), not_accepted()),
        ("alg", Some(r#""es256""#), not_accepted()),
        ("alg", Some(r#""ES256 ""#), not_accepted()),
        ("alg", Some(r#""ES256K""#), not_accepted()),
        ("alg", Some(r#""ES384""#), not_accepted()),
        ("alg", Some(r#""RS512""#), not_accepted()),
        ("alg", Some(r#""HS256""#), not_accepted()),
        ("alg", Some(r#""HS512""#), not_accepted()),
        ("alg", None, BadHeader),
        ("alg", Some("null"), BadHeader),
        ("alg", Some("7"), BadHeader),
        ("alg", Some(r#"["ES256","RS256","PS256","EdDSA"]"#), BadHeader),
    ];
    for party in PARTIES.iter() {
        for (name, value, why) in table {
            let forged = with(party, name, *value);
            party.refuses(&format!("{name}: {}", value.unwrap_or("(none)")), &forged, why.clone());
        }
    }
    assert!(table.len() > 50, "{}", table.len());
}

#[test]
fn headers_that_only_look_odd_are_accepted() {
    for party in PARTIES.iter() {
        for (name, value) in [
            ("typ", r#""at+JWT""#),
            ("typ", r#""AT+JWT""#),
            ("typ", r#""application/at+jwt""#),
            ("typ", r#""Application/AT+jwt""#),
            ("cty", r#""json""#),
            // RFC 7515 §4: what is not understood is ignored.
            ("unheard_of", r#"{"deep":[1,{"deeper":null}]}"#),
        ] {
            party.accepts(&format!("{name}: {value}"), &with(party, name, Some(value)));
        }
    }
}

#[test]
fn headers_that_are_no_json_object_with_each_member_once_are_refused() {
    for party in PARTIES.iter() {
        let good = party.header();
        let first = |member: &str| good.to_string().replacen('{', &format!("{{{member},"), 1);
        let mut invalid_utf8 = good.to_string().into_bytes();
        let at = invalid_utf8.windows(6).position(|w| w == b"at+jwt").unwrap();
        invalid_utf8[at] = 0xff;
        let headers: Vec<(&str, Vec<u8>)> = vec![
            ("alg twice, the same", first(&format!("\"alg\":\"{}\"", party.alg())).into()),
            ("alg twice, none first", first(r#""alg":"none""#).into()),
            ("alg twice, HS256 last", good.to_string().replace('}', r#","alg":"HS256"}"#).into()),
            ("alg twice, one escaped", first(r#""\u0061lg":"none""#).into()),
            ("kid twice", first(r#""kid":"other""#).into()),
            ("typ twice", first(r#""typ":"JWT""#).into()),
            ("a member below twice", first(r#""x":{"a":1,"a":2}"#).into()),
            ("a member below an array twice", first(r#""x":[{"a":{"b":1,"b":1}}]"#).into()),
            ("an array", json!([good]).to_string().into()),
            ("a string", json!(good.to_string()).to_string().into()),
            ("null", b"null".to_vec()),
            ("nothing", Vec::new()),
            ("something after it", format!("{good}{{}}").into()),
            ("a byte order mark before it", format!("\u{feff}{good}").into()),
            ("invalid UTF-8", invalid_utf8),
            ("a thousand arrays", first(&format!("\"x\":{}{}", "[".repeat(1000), "]".repeat(1000))).into()),
        ];
        for (name, header) in headers {
            party.refuses(name, &party.sign(header, good_claims().to_string()), BadHeader);
        }
    }
}

#[test]
fn a_key_that_a_stranger_brings_along_is_not_used() {
    for (party, impostor) in PARTIES.iter().zip(IMPOSTORS.iter()) {
        let url = r#""https://evil.example/key""#;
        for (name, value) in
            [("jwk", impostor.jwk().to_string().as_str()), ("jku", url), ("x5u", url), ("x5c", r#"["MIIB"]"#)]
        {
            party.refuses(name, &with(impostor, name, Some(value)), KeyInHeader);
        }
        // Nor is the issuer's own key, if it comes this way.
        party.refuses("its own jwk", &with(party, "jwk", Some(&party.jwk().to_string())), KeyInHeader);
    }
}

#[test]
fn the_key_decides_the_algorithm_and_not_the_header() {
    for party in PARTIES.iter() {
        for algorithm in TOKEN_ALGORITHMS.into_iter().filter(|a| *a != party.algorithm) {
            let alg = json!(algorithm_name(algorithm)).to_string();
            party.refuses(&format!("{alg} in the header"), &with(party, "alg", Some(&alg)), UnknownKey);
        }
    }
    // Where both keys are published, it is the other's kid that would have to be good for it.
    let all = KeySet::from_keys(PARTIES.iter().map(|p| (format!("{} {}", p.kid, p.alg()), &p.public, p.algorithm)));
    let verifier = verifier_of(all);
    for signer in PARTIES.iter() {
        for named in PARTIES.iter() {
            for alg in PARTIES.iter() {
                let kid = format!("{} {}", named.kid, named.alg());
                let header = json!({"alg": alg.alg(), "typ": "at+jwt", "kid": kid}).to_string();
                let verdict = verifier.verify(&signer.sign(header, good_claims().to_string())).map(claims_of);
                let expected = if alg.algorithm != named.algorithm {
                    Err(UnknownKey.into())
                } else if signer.algorithm != named.algorithm {
                    Err(BadSignature.into())
                } else {
                    Ok(good_claims())
                };
                let case = format!("signed by {}, kid of {}, alg {}", signer.alg(), named.alg(), alg.alg());
                assert_eq!(verdict, expected, "{case}");
            }
        }
    }
}

#[test]
fn algorithms_that_the_verifier_was_not_told_of_are_refused() {
    let rs256 = party(Algorithm::RS256);
    let keys = Arc::new(StaticKeys(rs256.key_set()));
    let verifier = Verifier::builder(ISSUER, API, keys).algorithms([Algorithm::ES256, Algorithm::EdDSA]).build();
    let why = TokenError::from(not_accepted(&[Algorithm::ES256, Algorithm::EdDSA]));
    assert_eq!(verifier.verify(&rs256.twin()).map(claims_of), Err(why));
}

#[test]
fn alg_none_is_refused_with_and_without_a_signature() {
    for party in PARTIES.iter() {
        let signed = with(party, "alg", Some(r#""none""#));
        let (input, _) = signed.rsplit_once('.').unwrap();
        for token in [signed.clone(), format!("{input}."), format!("{input}.AA")] {
            party.refuses("none", &token, not_accepted(&TOKEN_ALGORITHMS));
        }
    }
}

/// What an attacker can know of a key, each a candidate for a shared secret.
fn public_texts(party: &Party) -> Vec<(&'static str, Vec<u8>)> {
    let jwk = party.jwk();
    let mut texts = vec![
        ("the JWK", jwk.to_string().into_bytes()),
        ("the JWK, pretty", serde_json::to_vec_pretty(&jwk).unwrap()),
        ("the JWK Set", json!({"keys": [jwk]}).to_string().into_bytes()),
        ("the kid", party.kid.clone().into_bytes()),
        ("nothing", Vec::new()),
    ];
    let spki = |prefix: &[u8], key: &[u8]| [prefix, key].concat();
    let (raw, der) = match &party.public {
        PublicKey::P256 { x, y } => {
            let point = [&[4], &x[..], &y[..]].concat();
            let der = spki(b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00", &point);
            (point, der)
        }
        PublicKey::Ed25519 { x } => (x.clone(), spki(b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", x)),
        PublicKey::Rsa { n, .. } => (n.clone(), pem::parse(&RSA.public_pem).unwrap().into_contents()),
        other => panic!("no token is signed with {other:?}"),
    };
    let text = pem::encode(&pem::Pem::new("PUBLIC KEY", der.clone()));
    texts.extend([("the key", raw), ("the DER", der)]);
    texts.push(("the PEM without its last line end", text.trim_end().into()));
    texts.push(("the PEM with line feeds", text.replace("\r\n", "\n").into()));
    texts.push(("the PEM", text.into()));
    texts
}

#[test]
fn a_public_key_is_no_shared_secret() {
    for party in PARTIES.iter() {
        let texts = public_texts(party);
        assert_eq!(texts.len(), 10);
        for (name, secret) in texts {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let mut header = Header::new(algorithm);
                header.typ = Some("at+jwt".to_owned());
                header.kid = Some(party.kid.clone());
                let forged = jsonwebtoken::encode(&header, &good_claims(), &EncodingKey::from_secret(&secret)).unwrap();
                party.refuses(name, &forged, not_accepted(&TOKEN_ALGORITHMS));

                // Nor would a verifier that was carelessly told of it have such a key.
                let keys = Arc::new(StaticKeys(party.key_set()));
                let careless = Verifier::builder(ISSUER, API, keys).algorithms([party.algorithm, algorithm]).build();
                assert_eq!(careless.verify(&forged).map(claims_of), Err(UnknownKey.into()), "{name}");
            }
            // And under the header of a good token a MAC is no signature.
            let twin = party.twin();
            let (input, _) = twin.rsplit_once('.').unwrap();
            let tag = HmacKey::sha256(&secret).tag(input.as_bytes());
            party.refuses(name, &super::append_signature(input, &tag), BadSignature);
        }
    }
}
