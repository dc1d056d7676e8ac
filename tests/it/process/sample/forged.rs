//! Tokens signed with the deployment's own key, and not good for all that (RFC 8725).

use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::signature::Signer;
use mintage::crypto::{HmacKey, PublicKey, SigningKey};
use mintage::jose::{Algorithm, jwk};
use serde_json::{Value, json};

use super::{API, Answer, Site, decoded};

/// What the one who stole the key has: the key, and a good token.
struct Thief {
    key: SigningKey,
    kid: String,
    header: Value,
    claims: Value,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The text of `object` with `name` left out, or with `value`, which is JSON that `Value` need not be able to hold.
fn edited(object: &Value, name: &str, value: Option<&str>) -> String {
    let kept = object.as_object().unwrap().iter().filter(|(member, _)| *member != name);
    let mut members: Vec<String> = kept.map(|(member, value)| format!("{}:{value}", json!(member))).collect();
    members.extend(value.map(|value| format!("{}:{value}", json!(name))));
    format!("{{{}}}", members.join(","))
}

impl Thief {
    fn of(site: &Site, token: &str) -> Self {
        let (header, claims) = (decoded(token, 0), decoded(token, 1));
        let kid = header["kid"].as_str().unwrap().to_owned();
        let file = site.place.at(&format!("keys/{kid}.pem"));
        let der = pem::parse(std::fs::read(file).unwrap()).unwrap().into_contents();
        let key = SigningKey::from_der(&der, Algorithm::ES256).unwrap();
        Self { key, kid, header, claims }
    }

    fn sign(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", encode(signature))
    }

    fn with_header(&self, name: &str, value: Option<&str>) -> String {
        self.sign(edited(&self.header, name, value), self.claims.to_string())
    }

    fn with_claim(&self, name: &str, value: Option<&str>) -> String {
        self.sign(self.header.to_string(), edited(&self.claims, name, value))
    }

    /// Each forgery and its name.
    fn claims(&self) -> Vec<(String, String)> {
        let iss = self.claims["iss"].as_str().unwrap();
        let now = self.claims["iat"].as_i64().unwrap();
        let quoted = format!("\"{}\"", now + 3600);
        let (slash, array) = (format!("\"{iss}/\""), format!("[\"{iss}\"]"));
        let (later, long_ago) = ((now + 600).to_string(), (now - 600).to_string());
        let joined = format!("\"{API} https://other.example\"");
        let table: Vec<(&str, Vec<Option<&str>>)> = vec![
            ("iss", vec![Some("\"https://evil.example\""), Some(&slash), Some(&array), Some("null"), Some("7"), None]),
            ("aud", vec![None, Some("null"), Some("7"), Some("true"), Some("{}"), Some("[]"), Some("\"\"")]),
            ("aud", vec![Some("\"https://other.example\""), Some("[\"https://other.example\"]"), Some(&joined)]),
            ("aud", vec![Some("[[\"https://orders.example\"]]"), Some("[\"https://orders.example\",7]")]),
            ("aud", vec![Some("\"https://ORDERS.example\""), Some("\"https://orders.example/\"")]),
            ("exp", vec![None, Some(&quoted), Some("null"), Some("true"), Some("1e400"), Some("-1e400"), Some("[]")]),
            ("exp", vec![Some("{}"), Some("0"), Some("-1"), Some(&long_ago), Some("NaN"), Some("Infinity")]),
            ("nbf", vec![Some(&later), Some(&quoted), Some("null"), Some("1e300"), Some("1e400")]),
            ("iat", vec![None, Some("null"), Some(&quoted), Some("1e400")]),
            ("sub", vec![None, Some("null"), Some("7"), Some("\"\""), Some("[]")]),
            ("client_id", vec![None, Some("null"), Some("7"), Some("\"\""), Some("{}")]),
            ("jti", vec![None, Some("null"), Some("7"), Some("\"\"")]),
            ("scope", vec![Some("[\"orders:read\"]"), Some("null"), Some("7"), Some("\"orders:\\\"read\"")]),
            ("cnf", vec![Some("{\"jkt\":\"x\"}"), Some("{}"), Some("null")]),
            ("ip_allowlist", vec![Some("\"127.0.0.1\""), Some("[\"*\"]"), Some("null")]),
            ("gen", vec![Some("7"), Some("null"), Some("[]")]),
        ];
        let one = |(name, values): (&str, Vec<Option<&str>>)| {
            let forged = |value: Option<&str>| (format!("{name}={value:?}"), self.with_claim(name, value));
            values.into_iter().map(forged).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = table.into_iter().flat_map(one).collect();
        let good = self.claims.to_string();
        let first = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
        for (name, payload) in [
            ("aud twice", first("\"aud\":\"https://other.example\"")),
            ("exp twice", first("\"exp\":1")),
            ("sub twice, the same", first(&format!("\"sub\":{}", self.claims["sub"]))),
            ("scope twice, escaped", first("\"\\u0073cope\":\"orders:write\"")),
            ("a member below twice", first("\"x\":{\"a\":1,\"a\":2}")),
            ("no object", "[]".to_owned()),
            ("null", "null".to_owned()),
            ("nothing", String::new()),
            ("something after it", format!("{good}{good}")),
            ("deep", first(&format!("\"x\":{}{}", "[".repeat(3000), "]".repeat(3000)))),
        ] {
            all.push((name.to_owned(), self.sign(self.header.to_string(), payload)));
        }
        all
    }

    fn headers(&self, listener: &str) -> Vec<(String, String)> {
        let stranger = SigningKey::from_der(&SigningKey::generate_pkcs8(Algorithm::ES256).unwrap(), Algorithm::ES256);
        let jwk = jwk::to_jwk(&stranger.unwrap().public_key(), &self.kid, Algorithm::ES256).to_string();
        let own_jwk = jwk::to_jwk(&self.key.public_key(), &self.kid, Algorithm::ES256).to_string();
        let (jku, x5u) = (format!("\"{listener}/jwks.json\""), format!("\"{listener}/chain.pem\""));
        let url_as_kid = format!("\"{listener}/key\"");
        let long_kid = format!("\"{}\"", "k".repeat(4000));
        let table: Vec<(&str, Vec<Option<&str>>)> = vec![
            ("typ", vec![Some("\"JWT\""), None, Some("\"at jwt\""), Some("\"dpop+jwt\""), Some("null"), Some("7")]),
            ("crit", vec![Some("[\"exp\"]"), Some("[\"b64\"]"), Some("[]"), Some("null"), Some("[\"x\"]")]),
            ("b64", vec![Some("false"), Some("true")]),
            ("alg", vec![Some("\"none\""), Some("\"None\""), Some("\"HS256\""), Some("\"RS256\""), Some("null"), None]),
            ("alg", vec![Some("\"es256\""), Some("\"EdDSA\""), Some("\"ES384\""), Some("[\"ES256\"]")]),
            ("jwk", vec![Some(&jwk), Some(&own_jwk), Some("null")]),
            ("jku", vec![Some(&jku)]),
            ("x5u", vec![Some(&x5u)]),
            ("x5c", vec![Some("[\"MIIB\"]")]),
            ("kid", vec![Some("\"unheard-of\""), Some("\"\""), None, Some("null"), Some("7"), Some(&url_as_kid)]),
            ("kid", vec![Some("\"../../../../etc/passwd\""), Some("\"keys/a.pem\""), Some("\"a\\u0000b\"")]),
            ("kid", vec![Some("\"ключ 🗝\""), Some("\"' OR 1=1 --\""), Some(&long_kid)]),
        ];
        let one = |(name, values): (&str, Vec<Option<&str>>)| {
            let forged = |value: Option<&str>| (format!("{name}: {value:?}"), self.with_header(name, value));
            values.into_iter().map(forged).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = table.into_iter().flat_map(one).collect();
        let good = self.header.to_string();
        let first = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
        for (name, header) in [
            ("alg twice, none first", first("\"alg\":\"none\"")),
            ("kid twice", first("\"kid\":\"other\"")),
            ("typ twice, escaped", first("\"\\u0074yp\":\"JWT\"")),
            ("b64 and crit", first("\"b64\":false,\"crit\":[\"b64\"]")),
            ("no object", "\"ES256\"".to_owned()),
            ("nothing", String::new()),
        ] {
            all.push((name.to_owned(), self.sign(header, self.claims.to_string())));
        }
        // A key that came along, and signed.
        let impostor = SigningKey::generate_pkcs8(Algorithm::ES256).unwrap();
        let impostor = SigningKey::from_der(&impostor, Algorithm::ES256).unwrap();
        let impostors =
            Self { key: impostor, kid: self.kid.clone(), header: self.header.clone(), claims: self.claims.clone() };
        let its_jwk = jwk::to_jwk(&impostors.key.public_key(), &self.kid, Algorithm::ES256).to_string();
        all.push(("another key under the kid".to_owned(), impostors.with_header("cty", None)));
        all.push(("the key that signed, brought along".to_owned(), impostors.with_header("jwk", Some(&its_jwk))));
        all.push(("where to find the key that signed".to_owned(), impostors.with_header("jku", Some(&jku))));
        all
    }

    fn signatures(&self) -> Vec<(String, String)> {
        let good = self.sign(self.header.to_string(), self.claims.to_string());
        let (input, signature) = good.rsplit_once('.').unwrap();
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (r, s) = raw.split_at(32);
        let integer = |bytes: &[u8]| {
            let mut digits: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
            if digits[0] >= 0x80 {
                digits.insert(0, 0);
            }
            [&[2, u8::try_from(digits.len()).unwrap()], &digits[..]].concat()
        };
        let integers = [integer(r), integer(s)].concat();
        let der = [&[0x30, u8::try_from(integers.len()).unwrap()], &integers[..]].concat();
        let mut all: Vec<(String, String)> = [
            ("DER", der),
            ("all zero", vec![0; 64]),
            ("r zero", [&[0; 32], s].concat()),
            ("s zero", [r, &[0; 32]].concat()),
            ("r the order", [&ORDER, s].concat()),
            ("s the order", [r, &ORDER].concat()),
            ("all ones", vec![0xff; 64]),
            ("none", vec![]),
            ("cut", raw[..63].to_vec()),
            ("overlong", [&raw[..], &[0]].concat()),
            ("zeros before each half", [&[0], r, &[0], s].concat()),
            ("twice", [&raw[..], &raw[..]].concat()),
        ]
        .map(|(name, signature)| (format!("signature: {name}"), format!("{input}.{}", encode(signature))))
        .into();
        let none = encode(edited(&self.header, "alg", Some("\"none\"")));
        let payload = encode(self.claims.to_string());
        all.push(("alg none without a signature".to_owned(), format!("{none}.{payload}.")));
        all.push(("two parts".to_owned(), input.to_owned()));
        all.push(("four parts".to_owned(), format!("{good}.{signature}")));
        all.push(("five parts".to_owned(), format!("{good}.a.b")));
        all.push(("padded".to_owned(), format!("{good}==")));
        all.push(("20 KiB".to_owned(), self.with_claim("x", Some(&format!("\"{}\"", "x".repeat(20 * 1024))))));
        all.push(("20 KiB of one letter".to_owned(), "A".repeat(20 * 1024)));
        // The public key, which everybody knows, as a shared secret.
        let header = encode(edited(&self.header, "alg", Some("\"HS256\"")));
        let input = format!("{header}.{payload}");
        let PublicKey::P256 { x, y } = self.key.public_key() else { panic!("ES256 is on P-256") };
        let point = [&[4], &x[..], &y[..]].concat();
        let der = [&SPKI[..], &point].concat();
        let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", der.clone()));
        let jwk = jwk::to_jwk(&self.key.public_key(), &self.kid, Algorithm::ES256);
        for (name, secret) in [
            ("PEM", pem.clone().into_bytes()),
            ("PEM with line feeds", pem.replace("\r\n", "\n").into_bytes()),
            ("DER", der),
            ("point", point),
            ("JWK", jwk.to_string().into_bytes()),
            ("JWK Set", json!({ "keys": [jwk] }).to_string().into_bytes()),
            ("nothing", Vec::new()),
        ] {
            let tag = encode(HmacKey::sha256(&secret).tag(input.as_bytes()));
            all.push((format!("HS256 keyed with the public {name}"), format!("{input}.{tag}")));
        }
        all
    }

    /// The other signature that is as good as the one there is: it makes another text of the same token.
    fn mirrored(&self, token: &str) -> String {
        let (input, signature) = token.rsplit_once('.').unwrap();
        let mut raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut borrow = 0_i16;
        for at in (0..32).rev() {
            let digit = i16::from(ORDER[at]) - i16::from(raw[32 + at]) - borrow;
            borrow = i16::from(digit < 0);
            raw[32 + at] = u8::try_from(digit.rem_euclid(256)).unwrap();
        }
        format!("{input}.{}", encode(raw))
    }
}

const ORDER: [u8; 32] = *b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\
                           \xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
const SPKI: &[u8; 26] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// A refusal as section 2.5 of the contract has it.
fn is_refusal(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{what}: {e}: {}", answer.body));
    for member in ["type", "title", "detail", "reason", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{what}: {member}: {problem}");
    }
    assert_eq!(problem["status"], status, "{what}");
    let challenge = answer.header("www-authenticate").unwrap_or_else(|| panic!("{what}: no challenge"));
    let reason = problem["reason"].as_str().unwrap();
    if status == 401 {
        assert!(["token_invalid", "token_expired"].contains(&reason), "{what}: {problem}");
        let rest = challenge.strip_prefix("Bearer error=\"invalid_token\", error_description=\"");
        let text = rest.and_then(|rest| rest.strip_suffix('"')).unwrap_or_else(|| panic!("{what}: {challenge}"));
        assert!(!text.contains('"') && text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{what}: {challenge}");
    } else {
        assert_eq!((reason, challenge), ("malformed_request", "Bearer error=\"invalid_request\""), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_is_refused_with_the_right_words_and_nobody_is_asked() {
    let site = Site::new();
    let client = site.client();
    let good = site.server.token(&client.0, &client.1).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thief = Thief::of(&site, &good);
    site.sample.accepts(&good, "before").await;
    // What is forged is refused for what is wrong with it alone: the same hand makes good ones.
    let twin = thief.sign(thief.header.to_string(), thief.claims.to_string());
    site.sample.accepts(&twin, "the twin").await;
    site.sample.accepts(&thief.with_header("cty", Some("\"json\"")), "an odd twin").await;

    let forged: Vec<_> = [thief.claims(), thief.headers(&url), thief.signatures()].concat();
    assert!(forged.len() > 150, "{}", forged.len());
    // Twice: nothing that was refused is remembered as good.
    for round in 0..2 {
        for (name, token) in &forged {
            is_refusal(&site.sample.get(token).await, 401, &format!("{name} (round {round})"));
        }
        site.sample.accepts(&good, "in between").await;
    }
    let accepted = listener.accept();
    assert!(accepted.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "somebody was asked for a key");

    let (one, two) = (good.clone(), good.clone());
    for authorization in [
        format!("Bearer {one} {two}").into_bytes(),
        format!("Bearer {one},").into_bytes(),
        format!("Bearer \"{one}\"").into_bytes(),
        format!("Bearer {one}\u{e9}").into_bytes(),
        "Bearer токен".as_bytes().to_vec(),
        b"Bearer \xff\xfe".to_vec(),
        b"Bearer a%2Eb.c".to_vec(),
        b"Bearer".to_vec(),
        b"Bearer =".to_vec(),
        format!("Bearer\t{one}").into_bytes(),
        format!("DPoP {one}").into_bytes(),
        one.clone().into_bytes(),
        b"Basic YTpi".to_vec(),
    ] {
        let what = String::from_utf8_lossy(&authorization).into_owned();
        is_refusal(&site.sample.ask(&authorization).await, 400, &what);
    }
    let orders = format!("{}/orders", site.sample.url);
    let get = || site.sample.http.get(&orders);
    for (what, request) in [
        ("in the query", site.sample.http.get(format!("{orders}?access_token={good}"))),
        ("in the query, escaped", site.sample.http.get(format!("{orders}?access%5Ftoken=x")).bearer_auth(&good)),
        ("twice", get().bearer_auth(&good).bearer_auth(&good)),
        ("with a password", get().bearer_auth(&good).basic_auth("a", Some("b"))),
    ] {
        is_refusal(&Answer::of(request).await, 400, what);
    }
    let without = Answer::of(get()).await;
    assert_eq!((without.status, without.reason().as_str()), (401, "no_credentials"));
    let challenge = without.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer realm=\"") && !challenge.contains("error"), "{challenge}");
    let write = Answer::of(site.sample.http.post(&orders).bearer_auth(&good).body("one")).await;
    assert_eq!((write.status, write.reason().as_str()), (403, "insufficient_scope"));
    let needed = "Bearer error=\"insufficient_scope\", scope=\"orders:write\"";
    assert_eq!(write.header("www-authenticate"), Some(needed));
    site.sample.accepts(&good, "after").await;
    assert!(!site.sample.err.now().contains("panicked"), "{}", site.sample.err.now());
    let fresh = site.server.token(&client.0, &client.1).await;
    site.sample.accepts(&fresh, "a fresh one").await;
}

/// An ECDSA signature has a mirror image that is as good; it is no way around a revocation.
#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_image_of_a_token_is_revoked_with_it() {
    let site = Site::new();
    let client = site.client();
    let token = site.server.token(&client.0, &client.1).await;
    let mirrored = Thief::of(&site, &token).mirrored(&token);
    assert_ne!(mirrored, token);
    site.sample.accepts(&token, "at first").await;
    let answer = site.sample.get(&mirrored).await;
    assert!(matches!(answer.status, 200 | 401), "{}", answer.body);
    site.revoke(&client, &token).await;
    site.sample.until_revoked(&token).await;
    assert_eq!(site.sample.get(&mirrored).await.status, 401);
}
