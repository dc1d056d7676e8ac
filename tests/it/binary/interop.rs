//! Real clients with their default settings: curl, authlib, PyJWT, requests-oauthlib.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, json, run, stderr, text};

/// The Python that `tests/run` makes. Where it is absent CI fails, and elsewhere that is said loudly.
fn python() -> Option<PathBuf> {
    let made = std::env::var_os("MINTAGE_TEST_PYTHON").map(PathBuf::from);
    let path = made.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python"));
    if path.exists() {
        return Some(path);
    }
    let how = "NOT TESTED: Python's authlib and PyJWT are absent; tests/run installs them";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{how}");
    eprintln!("{how}");
    None
}

fn script(python: &Path, name: &str, arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop").join(name);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", stderr(&output));
    assert_eq!(super::stdout(&output), "good\n");
}

#[test]
fn authlib_fetches_and_pyjwt_verifies() {
    let Some(python) = python() else { return };
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mintage.toml"), format!("[keys]\nalgorithm = \"{algorithm}\"\n")).unwrap();
        if algorithm.ends_with("S256") && algorithm != "ES256" {
            std::fs::create_dir(dir.path().join("keys")).unwrap();
            let make = "umask 077; for n in 1 2; do openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out keys/$n.pem; done";
            assert!(Command::new("sh").args(["-c", make]).current_dir(dir.path()).status().unwrap().success());
        }
        let server = Server::start(dir.path(), &["--no-quickstart"]);
        run(dir.path(), ["api", "create", "https://orders.example", "--scope", "orders:read"]);
        let client = json(dir.path(), &["client", "create", "a", "--scope", "orders:read"]);
        let (id, secret) = (text(&client, "client_id"), text(&client, "client_secret"));
        script(
            &python,
            "authlib_pyjwt.py",
            &[&server.base, id, secret, "https://orders.example", "orders:read", algorithm],
        );
    }
}

#[test]
fn requests_oauthlib_fetches_and_calls() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--no-quickstart"]);
    let client = json(dir.path(), &["client", "create", "a"]);
    script(
        &python,
        "requests_oauthlib_client.py",
        &[&server.base, text(&client, "client_id"), text(&client, "client_secret")],
    );
}

#[test]
fn curl_authenticates_both_ways_and_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--no-quickstart"]);
    let client = json(dir.path(), &["client", "create", "a"]);
    let (id, secret) = (text(&client, "client_id"), text(&client, "client_secret"));
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["-si", "-d", "grant_type=client_credentials"])
            .args(arguments)
            .arg(format!("{}/oauth/token", server.base))
            .output()
            .unwrap();
        super::stdout(&output)
    };
    let (user, in_body) = (format!("{id}:{secret}"), format!("client_id={id}&client_secret={secret}"));
    for good in [vec!["-u", &user], vec!["-d", &in_body]] {
        let answer = curl(&good).to_lowercase();
        assert!(answer.starts_with("http/1.1 200 ok\r\n"), "{answer}");
        assert!(answer.contains("cache-control: no-store\r\n") && answer.contains("pragma: no-cache\r\n"), "{answer}");
    }
    let answer = curl(&["-u", &format!("{id}:wrong")]).to_lowercase();
    assert!(answer.starts_with("http/1.1 401 unauthorized\r\n"), "{answer}");
    assert!(answer.contains("www-authenticate: basic realm=\"mintage\"\r\n"), "{answer}");
    assert!(answer.contains("\"error\":\"invalid_client\""), "{answer}");
}
