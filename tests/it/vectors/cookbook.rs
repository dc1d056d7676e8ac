//! RFC 7520's examples and their relatives (`jose-cookbook`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mintage::crypto::{HmacKey, PublicKey, TOKEN_ALGORITHMS, VerifyingKey};
use mintage::jose::{Algorithm, CompactJws, JwsError, KeySet, jwk};
use serde_json::{Value, json};

use super::{ALL, Stop, files, is_not_accepted, no_single_change_verifies, read_json, verify};

const RSA_V15: &str = "jose-cookbook/jws/4_1.rsa_v15_signature.json";
const RSA_PSS: &str = "jose-cookbook/jws/4_2.rsa-pss_signature.json";
const HMAC: &str = "jose-cookbook/jws/4_4.hmac-sha2_integrity_protection.json";
const DETACHED: &str = "jose-cookbook/jws/4_5.signature_with_detached_content.json";
const ED25519: &str = "jose-cookbook/curve25519/jws.json";
const B64_FALSE: &str = "jose-cookbook/rfc7797/hmac-sha2_b64_false.json";
const B64_FALSE_JSON_ONLY: &str = "jose-cookbook/rfc7797/4.2.hmac-sha2_b64_false.json";

fn vectors() -> Vec<(String, Value)> {
    ["jws", "curve25519", "rfc7797"]
        .into_iter()
        .flat_map(|folder| files(&format!("jose-cookbook/{folder}")))
        .filter(|(name, _)| name.ends_with(".json"))
        .map(|(name, bytes)| (name, serde_json::from_slice(&bytes).unwrap()))
        .collect()
}

fn compact(vector: &Value) -> &str {
    vector["output"]["compact"].as_str().unwrap()
}

fn hmac_key(vector: &Value) -> HmacKey {
    HmacKey::sha256(&URL_SAFE_NO_PAD.decode(vector["input"]["key"]["k"].as_str().unwrap()).unwrap())
}

#[test]
fn every_compact_signature_has_its_verdict() {
    let mut verdicts = Vec::new();
    for (name, vector) in vectors() {
        let Some(token) = vector["output"]["compact"].as_str() else { continue };
        let verified = verify(token, &vector["input"]["key"], &ALL);
        let verdict = match &verified {
            Ok(payload) => {
                assert_eq!(payload, vector["input"]["payload"].as_str().unwrap().as_bytes(), "{name}");
                "good"
            }
            Err(Stop::Key) => "key",
            Err(Stop::Jws(JwsError::NotCompact)) => "not compact",
            Err(_) if is_not_accepted(&verified) => "algorithm",
            Err(stop) => panic!("{name}: {stop:?}"),
        };
        verdicts.push((name, verdict));
    }
    let expected = [
        ("4_1.rsa_v15_signature.json", "good"),
        ("4_2.rsa-pss_signature.json", "good"),
        // ES512: the key type is one we do not know, nor is the algorithm.
        ("4_3.ecdsa_signature.json", "algorithm"),
        ("4_4.hmac-sha2_integrity_protection.json", "key"),
        ("4_5.signature_with_detached_content.json", "key"),
        ("jws.json", "good"),
        ("hmac-sha2_b64_false.json", "not compact"),
    ];
    assert_eq!(verdicts, expected.map(|(name, verdict)| (name.to_owned(), verdict)));
}

#[test]
fn what_tokens_are_not_signed_with_is_refused_by_its_algorithm() {
    let mut refused = Vec::new();
    for (name, vector) in vectors() {
        let Some(token) = vector["output"]["compact"].as_str() else { continue };
        let Ok(jws) = CompactJws::parse(token) else { continue };
        if let Err(error) = jws.checked_header(&TOKEN_ALGORITHMS) {
            assert!(matches!(error, JwsError::AlgorithmNotAccepted { .. }), "{name}: {error:?}");
            refused.push(vector["input"]["alg"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(refused, ["PS384", "ES512", "HS256", "HS256"]);
}

#[test]
fn no_single_change_of_a_cookbook_signature_verifies() {
    let changed: usize = [RSA_V15, RSA_PSS, ED25519]
        .map(read_json)
        .iter()
        .map(|vector| no_single_change_verifies(compact(vector), &vector["input"]["key"]))
        .sum();
    assert!(changed > 2_500, "{changed}");
}

#[test]
fn a_signature_is_good_under_its_own_padding_and_hash_alone() {
    for (path, own) in [(RSA_V15, Algorithm::RS256), (RSA_PSS, Algorithm::PS384)] {
        let vector = read_json(path);
        let jws = CompactJws::parse(compact(&vector)).unwrap();
        let key = jwk::from_jwk(&vector["input"]["key"]).unwrap().key;
        let good: Vec<_> = ALL
            .into_iter()
            .filter(|algorithm| VerifyingKey::new(&key, *algorithm).is_some_and(|k| jws.verify_signature(&k).is_ok()))
            .collect();
        assert_eq!(good, [own], "{path}");
    }
}

#[test]
fn macs_verify_by_hand_alone_and_only_over_what_they_cover() {
    let attached = read_json(HMAC);
    assert!(CompactJws::parse(compact(&attached)).unwrap().verify_hs256(&hmac_key(&attached)));
    let detached = read_json(DETACHED);
    let jws = CompactJws::parse(compact(&detached)).unwrap();
    assert!(jws.payload.is_empty());
    assert!(!jws.verify_hs256(&hmac_key(&detached)), "a detached payload may not pass for an empty one");
}

#[test]
fn a_detached_payload_is_no_payload() {
    for path in [RSA_V15, RSA_PSS, ED25519] {
        let vector = read_json(path);
        let parts: Vec<_> = compact(&vector).split('.').collect();
        let token = format!("{}..{}", parts[0], parts[2]);
        let verdict = verify(&token, &vector["input"]["key"], &ALL);
        assert_eq!(verdict, Err(Stop::Jws(JwsError::BadSignature)), "{path}");
    }
}

#[test]
fn json_serializations_are_refused() {
    let mut seen = 0;
    for (name, vector) in vectors() {
        for form in ["json", "json_flat"] {
            let Some(output) = vector["output"].get(form) else { continue };
            for text in [output.to_string(), serde_json::to_string_pretty(output).unwrap()] {
                assert_eq!(CompactJws::parse(&text).err(), Some(JwsError::NotCompact), "{form} of {name}");
                seen += 1;
            }
        }
    }
    // 4.8 has no flat form; two spellings of each.
    assert_eq!(seen, 2 * (8 + 7 + 2 + 4));
}

#[test]
fn an_unencoded_payload_is_refused() {
    let compatible = read_json(B64_FALSE);
    let alone = read_json(B64_FALSE_JSON_ONLY);
    assert_eq!(CompactJws::parse(compact(&compatible)).err(), Some(JwsError::NotCompact));
    // The payload of §4.2 has a dot of its own: four parts.
    let flat = &alone["output"]["json_flat"];
    let part = |name: &str| flat[name].as_str().unwrap();
    let four = format!("{}.{}.{}", part("protected"), part("payload"), part("signature"));
    assert_eq!(CompactJws::parse(&four).err(), Some(JwsError::NotCompact));

    // What remains is a payload that happens to be base64url: there the header has to be the reason.
    for vector in [&compatible, &alone] {
        let flat = &vector["output"]["json_flat"];
        let (protected, signature) = (flat["protected"].as_str().unwrap(), flat["signature"].as_str().unwrap());
        let token = format!("{protected}.VGhpcw.{signature}");
        let jws = CompactJws::parse(&token).unwrap();
        assert_eq!(jws.header["b64"], json!(false));
        assert_eq!(jws.checked_header(&ALL).err(), Some(JwsError::CriticalExtension));
        assert_eq!(jws.access_token_header(&ALL).err(), Some(JwsError::CriticalExtension));
        assert!(!jws.verify_hs256(&hmac_key(vector)));
    }
}

#[test]
fn of_the_jwks_only_the_public_halves_of_known_kinds_are_taken() {
    let files = files("jose-cookbook/jwk");
    assert_eq!(files.len(), 6);
    let jwks: Vec<Value> = files.iter().map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect();
    let taken: Vec<_> = files
        .iter()
        .zip(&jwks)
        .filter(|(_, json)| jwk::from_jwk(json).is_some())
        .map(|((name, _), _)| name.as_str())
        .collect();
    assert_eq!(taken, ["3_3.rsa_public_key.json", "3_4.rsa_private_key.json"]);

    let (public, private) = (jwk::from_jwk(&jwks[2]).unwrap(), jwk::from_jwk(&jwks[3]).unwrap());
    assert_eq!(public.key, private.key);
    assert_eq!(public.kid.as_deref(), Some("bilbo.baggins@hobbiton.example"));
    assert_eq!(public.algorithm, None);
    let modulus = URL_SAFE_NO_PAD.decode(jwks[2]["n"].as_str().unwrap()).unwrap();
    assert_eq!(public.key, PublicKey::Rsa { n: modulus, e: vec![1, 0, 1] });

    let written = jwk::to_jwk(&private.key, "k", Algorithm::PS256);
    let mut members: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"], "nothing of the private half is written");
    assert_eq!((&written["n"], &written["e"]), (&jwks[2]["n"], &jwks[2]["e"]));

    // RFC 7517 §5: what is not understood is left out of a set, and does not spoil it.
    let set = json!({"keys": jwks}).to_string();
    let parsed = jwk::parse_set(set.as_bytes()).unwrap();
    assert_eq!(parsed.len(), 2);
    let keys = KeySet::from_jwks(parsed, &TOKEN_ALGORITHMS);
    let kid = "bilbo.baggins@hobbiton.example";
    let found: Vec<_> = ALL.into_iter().filter(|algorithm| keys.find(kid, *algorithm).is_some()).collect();
    assert_eq!(found, [Algorithm::RS256, Algorithm::PS256]);
}

#[test]
fn a_key_for_encryption_verifies_nothing() {
    let mut key = read_json("jose-cookbook/jwk/3_3.rsa_public_key.json");
    assert!(jwk::from_jwk(&key).is_some());
    key["use"] = "enc".into();
    assert!(jwk::from_jwk(&key).is_none());
    key["use"] = "sig".into();
    key["alg"] = "RSA-OAEP-256".into();
    assert!(jwk::from_jwk(&key).is_none());
}
