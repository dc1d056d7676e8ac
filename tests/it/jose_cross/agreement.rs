//! What one implementation signs, the other verifies.

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{DecodingKey, Header, TokenData, Validation};
use mintage::clock::UnixTime;
use mintage::crypto::{SigningKey, TOKEN_ALGORITHMS};
use mintage::jose::claims::{Audience, IssuedClaims};
use mintage::jose::{Algorithm, JwsError, KeySet, TokenSigner, jwk};
use mintage::resource::TokenError;
use mintage::source_ip::Allowlist;
use serde_json::{Value, json};

use super::{API, IMPOSTORS, ISSUER, NOW, PARTIES, RSA, claims_of, good_claims, party, verifier_of};

fn decode(token: &str, jwk: &Value, algorithm: Algorithm) -> jsonwebtoken::errors::Result<TokenData<Value>> {
    let jwk: Jwk = serde_json::from_value(jwk.clone()).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[API]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    jsonwebtoken::decode(token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation)
}

fn signer(algorithm: Algorithm) -> TokenSigner {
    let der = match algorithm {
        Algorithm::RS256 | Algorithm::PS256 => pem::parse(&RSA.private_pem).unwrap().into_contents(),
        _ => SigningKey::generate_pkcs8(algorithm).unwrap().to_vec(),
    };
    TokenSigner::new(SigningKey::from_der(&der, algorithm).unwrap())
}

#[test]
fn what_we_sign_they_verify_and_so_do_we() {
    let allowlist = Allowlist::parse(["10.0.0.0/8", "2001:db8::/32"]).unwrap();
    for algorithm in TOKEN_ALGORITHMS {
        let signer = signer(algorithm);
        let token = signer
            .sign(&IssuedClaims {
                iss: ISSUER,
                sub: "billing",
                client_id: "billing",
                aud: Audience::One(API),
                exp: UnixTime::from_seconds(NOW + 300),
                iat: UnixTime::from_seconds(NOW),
                nbf: UnixTime::from_seconds(NOW),
                jti: "AAAAAAAAAAAAAAAAAAAAAA",
                scope: "orders:read orders:write",
                org: "default",
                project: "default",
                env: "live",
                generation: "BBBBBBBBBBBBBBBBBBBBBB",
                ip_allowlist: Some(&allowlist),
            })
            .unwrap();
        let jwk = jwk::to_jwk(&signer.public_key(), signer.kid(), algorithm);
        let decoded = decode(&token, &jwk, algorithm).unwrap_or_else(|why| panic!("{algorithm:?}: {why}"));
        let mut header = Header::new(algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(signer.kid().to_owned());
        assert_eq!(decoded.header, header);
        assert_eq!(decoded.claims, good_claims(), "{algorithm:?}");
        assert_eq!(jwk["kid"], json!(signer.kid()));

        let keys = KeySet::from_keys([(signer.kid().to_owned(), &signer.public_key(), algorithm)]);
        assert_eq!(verifier_of(keys).verify(&token).map(claims_of), Ok(good_claims()), "{algorithm:?}");

        // The other implementation is a judge only if it can say no.
        let impostor = IMPOSTORS.iter().find(|party| party.algorithm == algorithm).unwrap();
        assert!(decode(&token, &impostor.jwk(), algorithm).is_err(), "{algorithm:?} under another key");
    }
}

#[test]
fn several_audiences_are_an_array_and_absent_claims_are_left_out() {
    let signer = signer(Algorithm::EdDSA);
    let token = signer
        .sign(&IssuedClaims {
            iss: ISSUER,
            sub: "c",
            client_id: "c",
            aud: Audience::Many(vec!["https://other.example", API]),
            exp: UnixTime::from_seconds(NOW + 300),
            iat: UnixTime::from_seconds(NOW),
            nbf: UnixTime::from_seconds(NOW),
            jti: "j",
            scope: "",
            org: "o",
            project: "p",
            env: "test",
            generation: "g",
            ip_allowlist: None,
        })
        .unwrap();
    let jwk = jwk::to_jwk(&signer.public_key(), signer.kid(), Algorithm::EdDSA);
    let claims = decode(&token, &jwk, Algorithm::EdDSA).unwrap().claims;
    assert_eq!(claims["aud"], json!(["https://other.example", API]));
    assert!(claims.get("scope").is_none() && claims.get("ip_allowlist").is_none(), "{claims}");
    let keys = KeySet::from_keys([(signer.kid().to_owned(), &signer.public_key(), Algorithm::EdDSA)]);
    let accepted = verifier_of(keys).verify(&token).unwrap();
    assert_eq!(accepted.claims().audience, ["https://other.example", API]);
    assert!(accepted.scopes().is_empty());
}

#[test]
fn what_they_sign_we_verify() {
    for party in PARTIES.iter() {
        let token = party.encode(&good_claims());
        let set = json!({"keys": [party.jwk()]}).to_string();
        let fetched = KeySet::from_jwks(jwk::parse_set(set.as_bytes()).unwrap(), &TOKEN_ALGORITHMS);
        for keys in [party.key_set(), fetched] {
            let accepted = verifier_of(keys).verify(&token).unwrap_or_else(|why| panic!("{}: {why}", party.alg()));
            assert_eq!(accepted.client_id(), "billing");
            assert_eq!(accepted.expires_at(), UnixTime::from_seconds(NOW + 300));
            assert!(accepted.scopes().contains("orders:read") && accepted.scopes().contains("orders:write"));
            assert_eq!(claims_of(accepted), good_claims());
        }
    }
}

#[test]
fn what_they_sign_with_another_key_we_refuse() {
    for (party, impostor) in PARTIES.iter().zip(IMPOSTORS.iter()) {
        assert_eq!(party.kid, impostor.kid);
        party.refuses("an impostor's token", &impostor.encode(&good_claims()), JwsError::BadSignature);
    }
}

#[test]
fn thumbprints_agree() {
    for party in PARTIES.iter() {
        let jwk: Jwk = serde_json::from_value(party.jwk()).unwrap();
        assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), party.kid);
        let theirs = Jwk::from_encoding_key(&party.encoding, party.algorithm).unwrap();
        assert_eq!(theirs.thumbprint(ThumbprintHash::SHA256).unwrap(), party.kid, "{}", party.alg());
    }
}

#[test]
fn our_jwk_is_the_one_that_they_make_of_the_private_key() {
    for party in PARTIES.iter() {
        let mut theirs = Jwk::from_encoding_key(&party.encoding, party.algorithm).unwrap();
        theirs.common.key_id = Some(party.kid.clone());
        let mut theirs = serde_json::to_value(theirs).unwrap();
        // Ours says what it is for as well.
        theirs["use"] = "sig".into();
        assert_eq!(party.jwk(), theirs);
    }
}

#[test]
fn a_jwk_that_names_no_algorithm_serves_all_of_its_kind_and_one_that_does_serves_that_alone() {
    let (pkcs1, pss) = (party(Algorithm::RS256), party(Algorithm::PS256));
    assert_eq!(pkcs1.kid, pss.kid, "one RSA key, so that the algorithm is all that tells the tokens apart");
    let tokens = [pkcs1, pss].map(|party| party.encode(&good_claims()));
    let verdicts = |alg: Option<&str>, accepted: &[Algorithm]| {
        let mut jwk = pkcs1.jwk();
        jwk.as_object_mut().unwrap().remove("alg");
        if let Some(alg) = alg {
            jwk["alg"] = alg.into();
        }
        let keys = KeySet::from_jwks(jwk::parse_set(jwk.to_string().as_bytes()).unwrap(), accepted);
        let verifier = verifier_of(keys);
        tokens.each_ref().map(|token| verifier.verify(token).map(claims_of))
    };
    let unknown = || Err(TokenError::from(JwsError::UnknownKey));
    assert_eq!(verdicts(None, &TOKEN_ALGORITHMS), [Ok(good_claims()), Ok(good_claims())]);
    assert_eq!(verdicts(Some("RS256"), &TOKEN_ALGORITHMS), [Ok(good_claims()), unknown()]);
    assert_eq!(verdicts(Some("PS256"), &TOKEN_ALGORITHMS), [unknown(), Ok(good_claims())]);
    assert_eq!(verdicts(None, &[Algorithm::RS256]), [Ok(good_claims()), unknown()]);
    assert_eq!(verdicts(Some("ES256"), &TOKEN_ALGORITHMS), [unknown(), unknown()]);
    assert_eq!(verdicts(Some("RS512"), &TOKEN_ALGORITHMS), [unknown(), unknown()]);
}
