//! `mintage token inspect`

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::{Clock, SystemClock};
use crate::crypto::{HmacKey, TOKEN_ALGORITHMS, VerifyingKey};
use crate::fetch::{http_client, read_bounded};
use crate::jose::claims::AccessTokenClaims;
use crate::jose::jwk::{self, ParsedJwk};
use crate::jose::{Algorithm, CompactJws};
use crate::oauth::metadata::{JWKS_PATH, endpoint};
use crate::server::config::Overrides;
use crate::server::service::LEEWAY;

use super::{Failure, Global, output};

/// The most that a JWK Set may have, in bytes.
const MAX_JWKS: usize = 1024 * 1024;

/// What ring verifies. A token of ours has one of [`TOKEN_ALGORITHMS`]; another JWS may have any of these.
const SIGNATURE_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The token; - reads it from stdin
    token: String,
    /// The keys: a JWK Set or a JWK, in a file or at a URL; those of the configured issuer unless set
    #[arg(long, value_name = "FILE|URL")]
    jwks: Option<String>,
    /// The issuer it has to be from
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The audience it has to be for
    #[arg(long, value_name = "URI")]
    audience: Option<String>,
    /// Check the signature alone; then it may be any compact JWS
    #[arg(long)]
    signature_only: bool,
}

#[derive(Serialize)]
struct Report {
    header: Value,
    claims: Value,
    valid: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
    detail: String,
}

impl Check {
    fn of<T, E: std::fmt::Display>(check: &'static str, good: &str, result: &Result<T, E>) -> Self {
        let detail = result.as_ref().map_or_else(ToString::to_string, |_| good.to_owned());
        Self { check, ok: result.is_ok(), detail }
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let token = read_token(&arguments.token)?;
    let jws = CompactJws::parse(&token).map_err(|error| Failure::new(format!("this is no token: {error}")))?;
    let (keys, issuer) = keys(global, &arguments).await?;
    let mut checks = Vec::new();
    if !arguments.signature_only {
        let header = jws.access_token_header(&TOKEN_ALGORITHMS);
        checks.push(Check::of("header", "an access token (typ at+jwt) of an accepted algorithm", &header));
    }
    checks.push(Check::of("signature", "made with a key of the set", &signature(&jws, &keys)));
    if !arguments.signature_only {
        check_claims(&jws, issuer.as_deref(), arguments.audience.as_deref(), &mut checks);
    }
    let claims = jws.claims().map_or_else(
        |_| match std::str::from_utf8(&jws.payload) {
            Ok(text) => json!(text),
            Err(_) => json!({ "base64url": URL_SAFE_NO_PAD.encode(&jws.payload) }),
        },
        Value::Object,
    );
    let valid = checks.iter().all(|check| check.ok);
    let report = Report { header: Value::Object(jws.header.clone()), claims, valid, checks };
    if global.json {
        output::json(&report)?
    } else {
        output::print(&text(&report)?)?
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_token(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.trim().to_owned());
    }
    let mut token = String::new();
    std::io::stdin().read_to_string(&mut token)?;
    Ok(token.trim().to_owned())
}

/// The bytes of the key set, and the issuer that the token has to be from, if that is known.
async fn keys(global: &Global, arguments: &Arguments) -> Result<(Vec<u8>, Option<String>), Failure> {
    let issuer = arguments.issuer.clone();
    let (source, issuer) = match &arguments.jwks {
        Some(source) => (source.clone(), issuer),
        None => {
            let configured = || global.load(Overrides::default()).map(|config| config.issuer_at(config.listen));
            let issuer = issuer.map_or_else(configured, Ok)?;
            (endpoint(&issuer, JWKS_PATH), Some(issuer))
        }
    };
    Ok((key_set(&source).await?, issuer))
}

/// The bytes of a key set in a file or at a URL.
pub(super) async fn key_set(source: &str) -> Result<Vec<u8>, Failure> {
    if !source.starts_with("http://") && !source.starts_with("https://") {
        return std::fs::read(Path::new(source)).map_err(|error| Failure::new(format!("{source}: {error}")));
    }
    let response = http_client()?.get(source).send().await.map_err(|_| {
        Failure::new(format!("the keys at {source} could not be fetched; name a file or another URL with --jwks"))
    })?;
    if !response.status().is_success() {
        return Err(Failure::new(format!("the keys at {source} were answered with {}", response.status().as_u16())));
    }
    Ok(read_bounded(response, MAX_JWKS).await?)
}

/// Whether a key of the set made the signature. The set is chosen by hand, so a JWS that names no `kid` is tried with
/// every key that its algorithm goes with; the kind of a key still decides which algorithms it serves.
fn signature(jws: &CompactJws<'_>, keys: &[u8]) -> Result<(), String> {
    if jws.header.get("alg").and_then(Value::as_str) == Some("HS256") {
        return hs256(jws, keys);
    }
    let header = jws.checked_header(&SIGNATURE_ALGORITHMS).map_err(|error| error.to_string())?;
    let keys = jwk::parse_set(keys).map_err(|error| error.to_string())?;
    let fits = |key: &&ParsedJwk| {
        key.algorithm.is_none_or(|own| own == header.alg)
            && (header.kid.is_none() || key.kid.is_none() || header.kid == key.kid)
    };
    let candidates: Vec<_> =
        keys.iter().filter(fits).filter_map(|key| VerifyingKey::new(&key.key, header.alg)).collect();
    if candidates.is_empty() {
        return Err("the set has no key of its kid and algorithm".to_owned());
    }
    match candidates.iter().find(|key| jws.verify_signature(*key).is_ok()) {
        Some(_) => Ok(()),
        None => Err("it is not that of any key of the set".to_owned()),
    }
}

/// HS256 with a symmetric JWK (`kty` `oct`): never a token of ours, but a compact JWS all the same.
fn hs256(jws: &CompactJws<'_>, keys: &[u8]) -> Result<(), String> {
    jws.checked_header(&[Algorithm::HS256]).map_err(|error| error.to_string())?;
    let set: Value = serde_json::from_slice(keys).map_err(|_| "the set is not JSON".to_owned())?;
    let all = set.get("keys").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![set]);
    let good = all
        .iter()
        .filter(|key| key.get("kty").and_then(Value::as_str) == Some("oct"))
        .filter_map(|key| URL_SAFE_NO_PAD.decode(key.get("k")?.as_str()?).ok())
        .any(|secret| jws.verify_hs256(&HmacKey::sha256(&secret)));
    if good { Ok(()) } else { Err("HS256, and no symmetric key of the set made it".to_owned()) }
}

fn check_claims(jws: &CompactJws<'_>, issuer: Option<&str>, audience: Option<&str>, checks: &mut Vec<Check>) {
    let claims = jws
        .claims()
        .map_err(|error| error.to_string())
        .and_then(|all| AccessTokenClaims::from_object(all).map_err(|error| error.to_string()));
    checks.push(Check::of("claims", "all that RFC 9068 asks for, each of its type", &claims));
    let Ok(claims) = claims else { return };
    if let Some(issuer) = issuer {
        checks.push(Check::of("issuer", "the one that was asked for", &claims.check_issuer(issuer)));
    }
    if let Some(audience) = audience {
        checks.push(Check::of("audience", "the one that was asked for", &claims.check_audience(audience)));
    }
    let times = claims.check_times(SystemClock.now(), LEEWAY);
    let good = format!("from {} to {}", claims.not_before.unwrap_or(claims.issued_at), claims.expires_at);
    checks.push(Check::of("times", &good, &times));
}

fn text(report: &Report) -> Result<String, Failure> {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).map_err(Failure::new);
    let mut out = format!("header {}\nclaims {}\n\n", pretty(&report.header)?, pretty(&report.claims)?);
    for check in &report.checks {
        out.push_str(&format!("{:10} {:4} {}\n", check.check, if check.ok { "ok" } else { "FAIL" }, check.detail));
    }
    out.push_str(if report.valid {
        "\nvalid (whether it was revoked is for the service to say)\n"
    } else {
        "\nNOT valid\n"
    });
    Ok(out)
}
