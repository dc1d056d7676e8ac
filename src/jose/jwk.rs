//! JSON Web Keys (RFC 7517) and their thumbprints (RFC 7638).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, Jwk, KeyAlgorithm,
    OctetKeyPairParameters, PublicKeyUse, RSAKeyParameters,
};
use serde_json::{Value, json};

use crate::crypto::{PublicKey, sha256};

use super::algorithm_name;

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The RFC 7638 thumbprint, SHA-256 in base64url: the `kid` of every key here.
#[must_use]
pub fn thumbprint(key: &PublicKey) -> String {
    // §3.2: the required members alone, in lexicographic order, without white space. All values are base64url.
    let required = match key {
        PublicKey::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y)),
        PublicKey::P384 { x, y } => format!(r#"{{"crv":"P-384","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y)),
        PublicKey::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
        PublicKey::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(e), encode(n)),
    };
    encode(&sha256(required.as_bytes()))
}

/// The JWK of a key that verifies signatures: public members, `kid`, `alg` and `use`.
#[must_use]
pub fn to_jwk(key: &PublicKey, kid: &str, algorithm: Algorithm) -> Value {
    let parameters = match key {
        PublicKey::P256 { x, y } => AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
            curve: EllipticCurve::P256,
            x: encode(x),
            y: encode(y),
            ..Default::default()
        }),
        PublicKey::P384 { x, y } => AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
            curve: EllipticCurve::P384,
            x: encode(x),
            y: encode(y),
            ..Default::default()
        }),
        PublicKey::Ed25519 { x } => AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            curve: EllipticCurve::Ed25519,
            x: encode(x),
            ..Default::default()
        }),
        PublicKey::Rsa { n, e } => {
            AlgorithmParameters::RSA(RSAKeyParameters { n: encode(n), e: encode(e), ..Default::default() })
        }
    };
    let common = CommonParameters {
        public_key_use: Some(PublicKeyUse::Signature),
        key_algorithm: algorithm_name(algorithm).parse::<KeyAlgorithm>().ok(),
        key_id: Some(kid.to_owned()),
        ..Default::default()
    };
    serde_json::to_value(Jwk { common, algorithm: parameters }).unwrap_or_else(|_| json!({}))
}

/// A public key out of a JWK, with the `kid` and the `alg` that it names.
#[derive(Clone, Debug)]
pub struct ParsedJwk {
    /// The key.
    pub key: PublicKey,
    /// Its `kid`, if it names one.
    pub kid: Option<String>,
    /// Its `alg`, if it names one: then it serves that one alone.
    pub algorithm: Option<Algorithm>,
}

/// Reads one JWK. `None` where it is not a public key that we know how to use for signatures: RFC 7517 §5 has such a
/// member of a set ignored, not the set refused.
#[must_use]
pub fn from_jwk(jwk: &Value) -> Option<ParsedJwk> {
    let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let key = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(ec) => {
            let (x, y) = (decode(&ec.x)?, decode(&ec.y)?);
            match ec.curve {
                EllipticCurve::P256 => PublicKey::P256 { x, y },
                EllipticCurve::P384 => PublicKey::P384 { x, y },
                _ => return None,
            }
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            PublicKey::Ed25519 { x: decode(&okp.x)? }
        }
        AlgorithmParameters::RSA(rsa) => PublicKey::Rsa { n: decode(&rsa.n)?, e: decode(&rsa.e)? },
        _ => return None,
    };
    let algorithm = match jwk.common.key_algorithm {
        Some(named) => Some(named.to_string().parse().ok()?),
        None => None,
    };
    Some(ParsedJwk { key, kid: jwk.common.key_id, algorithm })
}

/// Reads a JWK Set (RFC 7517 §5), or a single JWK, leaving out what is not usable.
///
/// # Errors
/// Where it is neither.
pub fn parse_set(json: &[u8]) -> Result<Vec<ParsedJwk>, NotAJwkSet> {
    let value: Value = serde_json::from_slice(json).map_err(|_| NotAJwkSet)?;
    match value.get("keys") {
        Some(Value::Array(keys)) => Ok(keys.iter().filter_map(from_jwk).collect()),
        None if value.get("kty").is_some() => Ok(from_jwk(&value).into_iter().collect()),
        _ => Err(NotAJwkSet),
    }
}

/// It was neither a JWK Set nor a JWK.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it is not a JWK Set (a JSON object with a \"keys\" array), nor a single JWK")]
pub struct NotAJwkSet;
