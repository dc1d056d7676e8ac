//! `mintage token get|inspect`.

use std::io::{Read, Write};
use std::net::TcpListener;

use mintage::clock::{Clock, SystemClock, UnixTime};
use mintage::crypto::SigningKey;
use mintage::jose::claims::{Audience, IssuedClaims};
use mintage::jose::{Algorithm, TokenSigner};
use serde_json::{Value, json};

use super::{Mintage, Place, Ran, decoded, finish};

/// A server with an API, and a client of it whose credentials are in `credentials.json`.
struct Site {
    place: Place,
    server: Mintage,
    id: String,
    secret: String,
}

impl Site {
    fn new() -> Self {
        let place = Place::new();
        let server = place.start(&["--no-quickstart"]);
        place.text(&["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
        place.text(&["api", "create", "https://stock.example", "--scope", "stock:read"]);
        let scopes = ["--scope", "orders:read", "--scope", "orders:write", "--scope", "stock:read"];
        let made = place.text(&[&["client", "create", "billing", "--json"], &scopes[..]].concat());
        place.write("credentials.json", &made);
        let made: Value = serde_json::from_str(&made).unwrap();
        let (id, secret) = (made["client_id"].as_str().unwrap().into(), made["client_secret"].as_str().unwrap().into());
        Self { place, server, id, secret }
    }

    fn get(&self, args: &[&str]) -> Ran {
        let url = self.server.url("");
        let credentials = ["--issuer", &url, "--credentials", "credentials.json"];
        self.place.run(&[&["token", "get"], &credentials[..], args].concat())
    }

    fn token(&self, args: &[&str]) -> String {
        let ran = self.get(args);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        ran.out.trim_end().to_owned()
    }

    fn inspect(&self, token: &str, args: &[&str]) -> Ran {
        self.place.run(&[&["token", "inspect", token], args].concat())
    }

    /// The issuer and its keys, as arguments of `inspect`.
    fn asked(&self) -> [String; 2] {
        ["--issuer".to_owned(), self.server.url("")]
    }
}

fn is_a_token_alone(ran: &Ran) {
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let line = ran.out.strip_suffix('\n').unwrap();
    assert!(!line.contains(char::is_whitespace), "{line:?}");
    assert_eq!(decoded(line, 0)["typ"], "at+jwt");
}

#[test]
fn get_prints_the_token_and_nothing_else() {
    let site = Site::new();
    let (issuer, token_url) = (site.server.url(""), site.server.url("/oauth/token"));
    let variables = [("MINTAGE_CLIENT_ID", site.id.as_str()), ("MINTAGE_CLIENT_SECRET", site.secret.as_str())];
    for from in [["--issuer", &issuer], ["--token-url", &token_url]] {
        let args = [&["token", "get"], &from[..]].concat();
        is_a_token_alone(&site.place.run_with(&args, &variables));
        is_a_token_alone(&site.place.run(&[&args[..], &["--credentials", "credentials.json"]].concat()));
    }
    let body: Value = serde_json::from_str(&site.get(&["--json"]).out).unwrap();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert!((3270..=3300).contains(&body["refresh_in"].as_u64().unwrap()), "{body}");
}

#[test]
fn get_asks_for_what_it_is_told() {
    let site = Site::new();
    let claims = |args: &[&str]| decoded(&site.token(args), 1);
    let all = claims(&[]);
    assert_eq!(all["aud"], json!(["https://orders.example", "https://stock.example"]));
    assert_eq!(all["scope"], "orders:read orders:write stock:read");
    let one = claims(&["--scope", "orders:read"]);
    assert_eq!((&one["aud"], &one["scope"]), (&json!("https://orders.example"), &json!("orders:read")));
    let two = claims(&["--scope", "orders:write", "--scope", "orders:read"]);
    assert_eq!(two["scope"], "orders:read orders:write");
    let resource = claims(&["--resource", "https://stock.example"]);
    assert_eq!((&resource["aud"], &resource["scope"]), (&json!("https://stock.example"), &json!("stock:read")));
    for (args, says) in [
        (&["--scope", "orders:delete"][..], "orders:delete"),
        (&["--resource", "https://elsewhere.example"], "invalid_target"),
    ] {
        let ran = site.get(args);
        assert!(ran.code == Some(3) && ran.out.is_empty() && ran.err.contains(says), "{}", ran.err);
    }
}

#[test]
fn get_says_why_there_is_no_token_and_repeats_no_secret() {
    let site = Site::new();
    let (issuer, other) = (site.server.url(""), site.server.url("/"));
    let wrong = [("MINTAGE_CLIENT_ID", site.id.as_str()), ("MINTAGE_CLIENT_SECRET", "s3cr3t-that-is-wrong")];
    site.place.write("broken.json", "{\"client_id\": \"c\", \"client_secret\": \"s3cr3t-in-a-file\"");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    for (args, variables, code, says) in [
        (&["--issuer", issuer.as_str()][..], &wrong[..], 3, "invalid_client"),
        (&["--issuer", &issuer], &[], 1, "MINTAGE_CLIENT_ID and MINTAGE_CLIENT_SECRET"),
        (&["--issuer", &issuer], &wrong[..1], 1, "MINTAGE_CLIENT_SECRET"),
        (&["--issuer", &other], &wrong, 1, "another issuer"),
        (&["--issuer", &closed], &wrong, 4, &closed),
        (&["--token-url", &closed], &wrong, 4, &closed),
        (&["--token-url", "ftp://127.0.0.1/"], &wrong, 2, "http or https"),
        (&["--token-url", "http://c:s3cr3t-in-a-url@127.0.0.1/"], &wrong, 2, "no user or password"),
        (&["--issuer", &issuer, "--credentials", "none.json"], &[], 1, "none.json"),
        (&["--issuer", &issuer, "--credentials", "broken.json"], &[], 1, "broken.json"),
        (&["--issuer", &issuer, "--token-url", &closed], &wrong, 2, "cannot be used with"),
        (&[], &wrong, 2, "--issuer"),
    ] {
        let ran = site.place.run_with(&[&["token", "get"], args].concat(), variables);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("s3cr3t"), "{args:?}: {}", ran.err);
    }
}

/// Wherever a redirect leads, credentials do not follow it.
#[test]
fn get_follows_no_redirect() {
    let (near, far) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}/oauth/token", near.local_addr().unwrap());
    let target = far.local_addr().unwrap();
    let redirect = std::thread::spawn(move || {
        let (mut stream, _) = near.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap();
        let answer =
            format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).to_ascii_lowercase()
    });
    let variables = [("MINTAGE_CLIENT_ID", "c"), ("MINTAGE_CLIENT_SECRET", "s")];
    let ran = Place::new().run_with(&["token", "get", "--token-url", &url], &variables);
    assert!(ran.code == Some(1) && ran.err.contains("redirect"), "{}", ran.err);
    assert!(redirect.join().unwrap().contains("authorization: basic "));
    far.set_nonblocking(true).unwrap();
    assert!(far.accept().is_err(), "the redirect was followed");
}

#[test]
fn inspect_says_good_of_a_good_token() {
    let site = Site::new();
    let (url, jwks) = (site.server.url(""), site.server.url("/.well-known/jwks.json"));
    let token = site.token(&["--scope", "orders:read"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    site.place.write("jwks.json", runtime.block_on(site.server.get("/.well-known/jwks.json")).to_string());
    for args in [
        &["--issuer", &url][..],
        &["--issuer", &url, "--audience", "https://orders.example"],
        &["--jwks", &jwks],
        &["--jwks", "jwks.json"],
        &["--jwks", "jwks.json", "--issuer", &url, "--audience", "https://orders.example"],
        &["--jwks", "jwks.json", "--signature-only"],
    ] {
        let ran = site.inspect(&token, args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("\nvalid"), "{}", ran.out);
    }
    let ran = site.inspect(&token, &["--issuer", &url, "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["valid"], &report["header"]["alg"]), (&json!(true), &json!("ES256")));
    assert_eq!(report["claims"], decoded(&token, 1));
    // The issuer of the configuration, where none is named; the token, where it is piped.
    site.place.write("mintage.toml", format!("issuer = \"{url}\"\n"));
    assert_eq!(site.inspect(&token, &[]).code, Some(0));
    let piped = finish(site.place.command(&["token", "inspect", "-", "--jwks", "jwks.json"]), &format!("{token}\n"));
    assert_eq!(piped.code, Some(0), "{}", piped.err);
    // A file of keys needs no server.
    let Site { place, server, .. } = site;
    server.stop("-TERM");
    assert_eq!(place.run(&["token", "inspect", &token, "--jwks", "jwks.json"]).code, Some(0));
}

/// A token as the server itself would have signed it with its active key, but for the times.
fn signed_by(site: &Site, issued: UnixTime, expires: UnixTime) -> String {
    let keys = site.place.json(&["key", "list"]);
    let active = keys["items"].as_array().unwrap().iter().find(|key| key["state"] == "active").unwrap();
    let file = site.place.at(&format!("keys/{}.pem", active["kid"].as_str().unwrap()));
    let der = pem::parse(std::fs::read(file).unwrap()).unwrap().into_contents();
    let signer = TokenSigner::new(SigningKey::from_der(&der, Algorithm::ES256).unwrap());
    let claims = IssuedClaims {
        iss: &site.server.url(""),
        sub: &site.id,
        client_id: &site.id,
        aud: Audience::One("https://orders.example"),
        exp: expires,
        iat: issued,
        nbf: issued,
        jti: "AAAAAAAAAAAAAAAAAAAAAA",
        scope: "orders:read",
        org: "default",
        project: "default",
        env: "live",
        generation: "AAAAAAAAAAAAAAAAAAAAAA",
        ip_allowlist: None,
    };
    signer.sign(&claims).unwrap()
}

#[test]
fn inspect_says_what_is_wrong_with_a_bad_one() {
    let site = Site::new();
    let [flag, url] = site.asked();
    let asked = [flag.as_str(), url.as_str()];
    let token = site.token(&["--scope", "orders:read"]);
    let parts: Vec<&str> = token.split('.').collect();
    let changed = |text: &str, at: usize| {
        let mut bytes = text.to_owned().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let encode = |value: Value| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
    };
    let mut more = decoded(&token, 1);
    more["scope"] = json!("orders:read orders:write");
    let mut none = decoded(&token, 0);
    none["alg"] = json!("none");
    let now = SystemClock.now();
    let at = |seconds: i64| UnixTime::from_seconds(now.seconds() + seconds);
    // What the helper signs is good, so that what follows fails for its times alone.
    let good = signed_by(&site, at(-10), at(600));
    assert_eq!(site.inspect(&good, &asked).code, Some(0));
    for (what, token, check) in [
        ("its signature changed", format!("{}.{}.{}", parts[0], parts[1], changed(parts[2], 10)), "signature"),
        ("its claims changed", format!("{}.{}.{}", parts[0], encode(more), parts[2]), "signature"),
        ("its header changed", format!("{}.{}.", encode(none), parts[1]), "signature"),
        ("expired", signed_by(&site, at(-4000), at(-40)), "times"),
        ("not yet good", signed_by(&site, at(100), at(600)), "times"),
    ] {
        let ran = site.inspect(&token, &[&asked[..], &["--json"]].concat());
        let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{what}: {}{}", ran.out, ran.err));
        assert_eq!((ran.code, &report["valid"]), (Some(1), &json!(false)), "{what}: {report}");
        let failed = report["checks"].as_array().unwrap().iter().find(|c| c["ok"] == false && c["check"] == check);
        assert!(failed.is_some(), "{what}: {report}");
        assert!(site.inspect(&token, &asked).out.contains("NOT valid"), "{what}");
    }
    let other = Site::new();
    let other_jwks = other.server.url("/.well-known/jwks.json");
    for args in [
        &[&asked[..], &["--audience", "https://stock.example"]].concat()[..],
        &[&asked[..], &["--audience", "https://orders.example/"]].concat(),
        &["--jwks", &site.server.url("/.well-known/jwks.json"), "--issuer", "https://elsewhere.example"],
        &["--jwks", &other_jwks],
        &["--jwks", &other_jwks, "--signature-only"],
        &["--jwks", "none.json"],
        &["--jwks", "mintage.redb"],
        &["--jwks", &site.server.url("/nowhere")],
    ] {
        let ran = site.inspect(&token, args);
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.out);
    }
    for garbage in ["", "a.b.c", "no token", &parts[..2].join("."), &format!("{token}.x")] {
        let ran = site.inspect(garbage, &asked);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{garbage}: {}", ran.err);
    }
}

#[test]
fn inspect_takes_the_examples_of_the_rfcs() {
    let place = Place::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/rfc_examples.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let all = vectors["jws"].as_array().unwrap();
    for name in ["RFC7515 A.2", "RFC7515 A.3", "RFC8037 A.4"] {
        assert!(all.iter().any(|vector| vector["rfc"].as_str().unwrap().starts_with(name)), "{name} is missing");
    }
    for vector in all {
        let (name, jws) = (vector["rfc"].as_str().unwrap(), vector["jws"].as_str().unwrap());
        let expected = Some(i32::from(vector["signature_valid"] != true));
        place.write("jwk.json", vector["jwk"].to_string());
        place.write("set.json", json!({ "keys": [all[1]["jwk"], vector["jwk"]] }).to_string());
        for file in ["jwk.json", "set.json"] {
            let ran = place.run(&["token", "inspect", jws, "--jwks", file, "--signature-only"]);
            assert_eq!(ran.code, expected, "{name} with {file}: {}{}", ran.out, ran.err);
        }
        // None of them is an access token.
        assert_eq!(place.run(&["token", "inspect", jws, "--jwks", "jwk.json"]).code, Some(1), "{name}");
        // Nor is it good for another signature, or another key.
        let (signed, signature) = jws.rsplit_once('.').unwrap();
        let mut other = signature.to_owned().into_bytes();
        if let Some(byte) = other.get_mut(20) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
            let changed = format!("{signed}.{}", String::from_utf8(other).unwrap());
            let ran = place.run(&["token", "inspect", &changed, "--jwks", "jwk.json", "--signature-only"]);
            assert_eq!(ran.code, Some(1), "{name}, changed: {}", ran.out);
        }
        for stranger in all.iter().filter(|other| other["rfc"] != vector["rfc"]) {
            place.write("stranger.json", stranger["jwk"].to_string());
            let ran = place.run(&["token", "inspect", jws, "--jwks", "stranger.json", "--signature-only"]);
            assert_eq!(ran.code, Some(1), "{name} with the key of {}: {}", stranger["rfc"], ran.out);
        }
    }
}
