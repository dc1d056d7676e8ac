//! The arithmetic and the grammar of RFC 7616.

use mintage::crypto::HashAlgorithm;
use mintage::oauth::digest::{Credentials, challenge, h_a1};

use super::hex;

/// RFC 7616 §3.9.1, the request with SHA-256.
const MUFASA: &str = r#"username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256,
 nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
 cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth,
 response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
 opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;

fn mufasa() -> String {
    MUFASA.replace('\n', "")
}

#[test]
fn the_example_of_the_rfc_is_right_and_nothing_beside_it() {
    let secret = |password| h_a1(HashAlgorithm::Sha256, "Mufasa", "http-auth@example.org", password);
    let credentials = Credentials::parse(&mufasa()).unwrap();
    assert!(credentials.answers(&secret("Circle of Life"), "GET"));
    assert!(!credentials.answers(&secret("Circle of life"), "GET"));
    assert!(!credentials.answers(&secret("Circle of Life"), "HEAD"));
    for (from, to) in
        [("index.html", "index.htm"), ("nc=00000001", "nc=00000002"), ("f2/wE4q", "f2/wE4p"), ("7ypf", "7ypg")]
    {
        let other = Credentials::parse(&mufasa().replace(from, to)).unwrap();
        assert!(!other.answers(&secret("Circle of Life"), "GET"), "{to}");
    }
}

/// FIPS 180-4, the example "abc" of SHA-512/256.
#[test]
fn sha_512_256_is_not_sha_512_cut_short() {
    assert_eq!(
        hex(&HashAlgorithm::Sha512_256.hash(&[b"a", b"bc"])),
        "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    );
}

#[test]
fn what_means_the_same_is_read_the_same() {
    let quoted = mufasa()
        .replace("qop=auth", "qop=\"auth\"")
        .replace("=SHA-256", "=\"SHA-256\"")
        .replace("nc=00000001", "nc=\"00000001\"");
    let spaced = mufasa().replace(", ", " ,\t").replace("realm=", "Realm = ");
    let upper = mufasa().replace("753927fa", "753927FA").replace("algorithm=SHA-256", "ALGORITHM=sha-256");
    let escaped = mufasa().replace("\"Mufasa\"", "\"Mu\\fa\\sa\"");
    let more = mufasa() + ", userhash=false, unheard=of";
    for text in [quoted, spaced, upper, escaped, more, format!("  {} ", mufasa())] {
        let read = Credentials::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(read.answers(&h_a1(HashAlgorithm::Sha256, "Mufasa", "http-auth@example.org", "Circle of Life"), "GET"));
        assert_eq!((read.username.as_str(), read.count), ("Mufasa", 1), "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let all = mufasa();
    let without = |name: &str| {
        let parts = all.split(", ").filter(|part| !part.trim().starts_with(name));
        parts.collect::<Vec<_>>().join(", ")
    };
    let names = ["username", "realm", "uri", "algorithm", "nonce", "nc", "cnonce", "qop", "response"];
    let mut bad: Vec<String> = names.map(|name| without(&format!("{name}="))).into();
    for (from, to) in [
        ("SHA-256", "MD5"),
        ("SHA-256", "SHA-256-sess"),
        ("SHA-256", "SHA-512-256-sess"),
        ("SHA-256", "SHA-512"),
        ("qop=auth", "qop=auth-int"),
        ("qop=auth", "qop=\"auth,auth-int\""),
        ("qop=auth", "qop=AUTH"),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=00000000"),
        ("nc=00000001", "nc=0000000g"),
        ("nc=00000001", "nc=+0000001"),
        ("nc=00000001", "nc=000000001"),
        ("6cb6c1", "6cb6c"),
        ("6cb6c1", "6cb6c1a0"),
        ("6cb6c1", "6cb6cx"),
        ("username=\"Mufasa\"", "username=\"\""),
        ("username=\"Mufasa\"", "username*=UTF-8''Mufasa"),
        ("qop=auth", "qop=auth, userhash=true"),
        ("qop=auth", "qop=auth, qop=auth"),
        ("qop=auth", "qop=auth, QOP=auth"),
        ("qop=auth", "qop"),
        ("qop=auth", "=auth"),
        ("qop=auth", "qop=auth,,"),
        ("qop=auth", "qop=auth;"),
        ("qop=auth", "qop=au th"),
        ("\"Mufasa\"", "\"Mufasa"),
        ("\"Mufasa\"", "\"Mufasa\"x"),
        ("\"Mufasa\"", "Muf/asa"),
    ] {
        bad.push(all.replacen(from, to, 1));
    }
    let many: String = (0..40).map(|n| format!(", p{n}=1")).collect();
    bad.extend([
        "".to_owned(),
        " ".to_owned(),
        ",".to_owned(),
        "x".to_owned(),
        format!("{all},"),
        format!("{all}\\"),
        all.clone() + &many,
    ]);
    for text in bad {
        assert!(Credentials::parse(&text).is_err(), "{text}");
    }
}

#[test]
fn a_challenge_says_what_is_taken() {
    assert_eq!(
        challenge(HashAlgorithm::Sha256, "n", "o", true),
        "Digest realm=\"mintage\", qop=\"auth\", algorithm=SHA-256, nonce=\"n\", opaque=\"o\", stale=true"
    );
    let second = challenge(HashAlgorithm::Sha512_256, "n", "o", false);
    assert_eq!(
        second.to_ascii_lowercase(),
        "digest realm=\"mintage\", qop=\"auth\", algorithm=sha-512-256, nonce=\"n\", opaque=\"o\", stale=false"
    );
}
