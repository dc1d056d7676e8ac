//! Our tokens against another implementation of the same RFCs, and forged tokens against ours.
//!
//! `jsonwebtoken` with its own backend shares neither the signatures (RustCrypto, not ring) nor the reading of headers
//! and claims with `src/jose`, so that what both agree on is not one mistake made twice.
#![expect(clippy::disallowed_methods, reason = "jsonwebtoken's own encode and decode are what ours is compared with")]

mod agreement;
mod claims;
mod encoding;
mod header;
mod remembered;

use std::process::Command;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::signature::Signer;
use jsonwebtoken::{EncodingKey, Header};
use mintage::clock::{ManualClock, UnixTime};
use mintage::crypto::{PublicKey, SigningKey, TOKEN_ALGORITHMS};
use mintage::jose::{Algorithm, KeySet, algorithm_name, jwk};
use mintage::resource::{AccessToken, StaticKeys, TokenError, Verifier};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.example";
const API: &str = "https://orders.example";
/// Far ahead of any machine's clock, which `jsonwebtoken::decode` reads by itself.
const NOW: i64 = 4_000_000_000;

/// One key in the hands of both implementations.
struct Party {
    algorithm: Algorithm,
    signing: SigningKey,
    encoding: EncodingKey,
    public: PublicKey,
    kid: String,
}

struct Rsa {
    private_pem: String,
    public_pem: String,
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl makes the RSA key of these tests");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn generate_rsa() -> Rsa {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
    let (private, public) = (path("private.pem"), path("public.pem"));
    openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &private]);
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    Rsa { private_pem: read(&private), public_pem: read(&public) }
}

/// Made once a run: a key in the repository would be one that somebody uses.
static RSA: LazyLock<Rsa> = LazyLock::new(generate_rsa);

/// One for each algorithm that tokens are signed with.
static PARTIES: LazyLock<Vec<Party>> = LazyLock::new(|| TOKEN_ALGORITHMS.map(|a| Party::new(a, &RSA)).into());

/// Strangers who give their keys the names of ours.
static IMPOSTORS: LazyLock<Vec<Party>> = LazyLock::new(|| {
    let rsa = generate_rsa();
    let named = |party: &Party| Party { kid: party.kid.clone(), ..Party::new(party.algorithm, &rsa) };
    PARTIES.iter().map(named).collect()
});

fn party(algorithm: Algorithm) -> &'static Party {
    PARTIES.iter().find(|party| party.algorithm == algorithm).unwrap()
}

impl Party {
    fn new(algorithm: Algorithm, rsa: &Rsa) -> Self {
        let (der, encoding) = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => (
                pem::parse(&rsa.private_pem).unwrap().into_contents(),
                EncodingKey::from_rsa_pem(rsa.private_pem.as_bytes()).unwrap(),
            ),
            Algorithm::ES256 => {
                let der = SigningKey::generate_pkcs8(algorithm).unwrap().to_vec();
                let encoding = EncodingKey::from_ec_der(&der);
                (der, encoding)
            }
            _ => {
                let der = SigningKey::generate_pkcs8(algorithm).unwrap().to_vec();
                // PKCS#8 v1, as OpenSSL writes it: theirs makes no JWK of v2, which has the public half at its end.
                let mut v1 = der[..48].to_vec();
                (v1[1], v1[4]) = (46, 0);
                (der, EncodingKey::from_ed_der(&v1))
            }
        };
        let signing = SigningKey::from_der(&der, algorithm).unwrap();
        let public = signing.public_key();
        let kid = jwk::thumbprint(&public);
        Self { algorithm, signing, encoding, public, kid }
    }

    fn alg(&self) -> String {
        algorithm_name(self.algorithm)
    }

    fn jwk(&self) -> Value {
        jwk::to_jwk(&self.public, &self.kid, self.algorithm)
    }

    fn key_set(&self) -> KeySet {
        KeySet::from_keys([(self.kid.clone(), &self.public, self.algorithm)])
    }

    fn header(&self) -> Value {
        json!({"alg": self.alg(), "typ": "at+jwt", "kid": self.kid})
    }

    /// Signed with the real key, whatever is in it.
    fn sign(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        append_signature(&input, &self.signing.sign(input.as_bytes()))
    }

    /// What a forgery is made from, and what has to be accepted beside it.
    fn twin(&self) -> String {
        self.sign(self.header().to_string(), good_claims().to_string())
    }

    /// Signed by the other implementation.
    fn encode(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }

    fn verifier(&self) -> Verifier {
        verifier_of(self.key_set())
    }

    /// Refuses `forged` for `why` and nothing else, and would have accepted it unforged.
    fn refuses(&self, name: &str, forged: &str, why: impl Into<TokenError>) {
        let verifier = self.verifier();
        let (alg, why) = (self.alg(), why.into());
        assert_eq!(verifier.verify(forged).map(claims_of), Err(why), "{name} ({alg}): {forged}");
        let twin = verifier.verify(&self.twin()).map(claims_of);
        assert_eq!(twin, Ok(good_claims()), "the unforged twin of {name} ({alg})");
    }

    fn accepts(&self, name: &str, token: &str) -> AccessToken {
        self.verifier().verify(token).unwrap_or_else(|why| panic!("{name} ({}): {why}: {token}", self.alg()))
    }
}

fn verifier_of(keys: KeySet) -> Verifier {
    let clock = Arc::new(ManualClock::new(UnixTime::from_seconds(NOW)));
    Verifier::builder(ISSUER, API, Arc::new(StaticKeys(keys))).clock(clock).build()
}

fn append_signature(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn claims_of(token: AccessToken) -> Value {
    Value::Object(token.claims().all.clone())
}

fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "billing", "client_id": "billing", "aud": API,
        "exp": NOW + 300, "iat": NOW, "nbf": NOW, "jti": "AAAAAAAAAAAAAAAAAAAAAA", "scope": "orders:read orders:write",
        "org": "default", "project": "default", "env": "live", "gen": "BBBBBBBBBBBBBBBBBBBBBB",
        "ip_allowlist": ["10.0.0.0/8", "2001:db8::/32"],
    })
}

/// The text of `object` with `name` left out, or with `value`, which is JSON that `Value` need not be able to hold.
fn edited(object: &Value, name: &str, value: Option<&str>) -> String {
    let kept = object.as_object().unwrap().iter().filter(|(member, _)| *member != name);
    let mut members: Vec<String> = kept.map(|(member, value)| format!("{}:{value}", json!(member))).collect();
    members.extend(value.map(|value| format!("{}:{value}", json!(name))));
    format!("{{{}}}", members.join(","))
}
