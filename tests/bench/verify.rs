//! What a guarded request costs: a token that was seen before, one that was not, and the bare signature.
//!
//! `cargo bench --bench verify`. All parts take turns in one run; the figure is the median of the rounds. "cached" is
//! the whole of what a verifier does for a token it remembers; "uncached" the same with nothing remembered; "ring" is
//! the signature alone, over the same bytes, with the key parsed once; "floor" is SHA-256 of the token and one look-up
//! in a map that holds as many entries.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark reads the real clock and prints"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mintage::clock::{Clock, SystemClock};
use mintage::crypto::{PublicKey, Sha256, SigningKey, sha256};
use mintage::jose::claims::{Audience, IssuedClaims};
use mintage::jose::{Algorithm, KeySet, TokenSigner};
use mintage::resource::{RevokedSet, StaticKeys, Verifier};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ISSUER: &str = "https://auth.example.com";
const API: &str = "https://orders.example";
/// A cached token may cost at most this part of the bare signature.
const WANTED_CACHED: f64 = 0.1;
/// An uncached one may cost at most this many times the bare signature.
const WANTED_UNCACHED: f64 = 1.5;
/// As many tokens as are out there at once in a busy service.
const TOKENS: usize = 1000;

/// Nanoseconds that `work` takes for one of `tokens`, over `span`.
fn measure(tokens: &[String], span: Duration, mut work: impl FnMut(&str)) -> f64 {
    let (start, mut done) = (Instant::now(), 0u32);
    while start.elapsed() < span {
        for token in tokens.iter().take(64) {
            work(token);
        }
        done += 64;
    }
    start.elapsed().as_nanos() as f64 / f64::from(done)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Signed tokens that differ in their `jti`, as they are issued.
fn tokens(signer: &TokenSigner) -> Result<Vec<String>> {
    let now = SystemClock.now();
    let token = |number: usize| {
        let jti = format!("{number:022}");
        let claims = IssuedClaims {
            iss: ISSUER,
            sub: "billing",
            client_id: "billing",
            aud: Audience::One(API),
            exp: now.plus(Duration::from_secs(3600)),
            iat: now,
            nbf: now,
            jti: &jti,
            scope: "orders:read orders:write",
            org: "default",
            project: "default",
            env: "live",
            generation: "BBBBBBBBBBBBBBBBBBBBBB",
            ip_allowlist: None,
        };
        Ok(signer.sign(&claims)?)
    };
    (0..TOKENS).map(token).collect()
}

fn verifier(keys: &KeySet, capacity: u64) -> Verifier {
    let keys = Arc::new(StaticKeys(keys.clone()));
    Verifier::builder(ISSUER, API, keys).revocations(Arc::new(RevokedSet::default())).cache_capacity(capacity).build()
}

struct Cost {
    cached: f64,
    uncached: f64,
    ring: f64,
    floor: f64,
}

fn compare(algorithm: Algorithm, rounds: usize, span: Duration) -> Result<Cost> {
    let signer = TokenSigner::new(SigningKey::from_der(&SigningKey::generate_pkcs8(algorithm)?, algorithm)?);
    let public = signer.public_key();
    let keys = KeySet::from_keys([(signer.kid().to_owned(), &public, algorithm)]);
    let tokens = tokens(&signer)?;
    let (cached, uncached) = (verifier(&keys, 10_000), verifier(&keys, 0));
    for token in &tokens {
        cached.verify(token)?;
        uncached.verify(token)?;
    }
    let bare = match &public {
        PublicKey::P256 { x, y } => UnparsedPublicKey::new(
            &ECDSA_P256_SHA256_FIXED as &dyn ring::signature::VerificationAlgorithm,
            [&[4], &x[..], y].concat(),
        ),
        PublicKey::Ed25519 { x } => UnparsedPublicKey::new(&ED25519 as _, x.clone()),
        _ => return Err("no bare verification for this algorithm".into()),
    };
    let signed: HashMap<&str, (&[u8], Vec<u8>)> = tokens
        .iter()
        .map(|token| {
            let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
            Ok((token.as_str(), (signed.as_bytes(), URL_SAFE_NO_PAD.decode(signature)?)))
        })
        .collect::<Result<_>>()?;
    let known: HashMap<Sha256, usize> = tokens.iter().enumerate().map(|(n, t)| (sha256(t.as_bytes()), n)).collect();
    let mut samples: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        samples[0].push(measure(&tokens, span, |token| {
            black_box(cached.verify(token)).ok();
        }));
        samples[1].push(measure(&tokens, span, |token| {
            black_box(uncached.verify(token)).ok();
        }));
        samples[2].push(measure(&tokens, span, |token| {
            let (signed, signature) = &signed[token];
            black_box(bare.verify(signed, signature)).ok();
        }));
        samples[3].push(measure(&tokens, span, |token| {
            black_box(known.get(&sha256(token.as_bytes())));
        }));
    }
    let [cached, uncached, ring, floor] = samples.map(median);
    Ok(Cost { cached, uncached, ring, floor })
}

fn main() -> Result<ExitCode> {
    // `cargo test --all-targets` runs benchmarks too, unoptimized and without `--bench`: then it only has to work.
    let judged = std::env::args().any(|arg| arg == "--bench");
    let (rounds, span) = if judged { (9, Duration::from_millis(300)) } else { (1, Duration::from_millis(20)) };
    let mut good = true;
    println!("algorithm | cached ns  uncached ns  ring ns  floor ns | cached/ring  uncached/ring  cached/floor");
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let Cost { cached, uncached, ring, floor } = compare(algorithm, rounds, span)?;
        println!(
            "{:>9} | {cached:>9.0} {uncached:>12.0} {ring:>8.0} {floor:>9.0} | {:>11.3} {:>14.3} {:>13.2}",
            format!("{algorithm:?}"),
            cached / ring,
            uncached / ring,
            cached / floor
        );
        good &= cached / ring <= WANTED_CACHED && uncached / ring <= WANTED_UNCACHED;
    }
    println!("(at most {WANTED_CACHED} and {WANTED_UNCACHED} of ring wanted)");
    Ok(if good || !judged { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
