//! Starting: what is made, what is shown once, and what is refused and left as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::tempdir;

use super::{Server, json, run, stderr, text, token, token_request};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every file below `dir`, and what is in it.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap_or_default());
        }
    }
    found
}

/// A folder in which a server has run, with one client.
fn used() -> (tempfile::TempDir, Value) {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), &["--no-quickstart"]);
    let client = json(&server.dir, &["client", "create", "kept", "--id", "kept"]);
    assert_eq!(server.terminate().0, Some(0));
    (dir, client)
}

/// That a start in `dir` fails, says `words`, and changes nothing.
fn refused(dir: &Path, arguments: &[&str], words: &[&str]) {
    // A good store that was opened and closed again is the same store in other bytes.
    let about_store = words.iter().any(|word| word.contains("mintage.redb"));
    let contents = || {
        let mut all = contents(dir);
        all.retain(|path, _| about_store || !path.ends_with("mintage.redb"));
        all
    };
    let before = contents();
    let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
    all.extend_from_slice(arguments);
    let output = run(dir, all);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for word in words {
        assert!(stderr(&output).contains(word), "{word:?} is not in: {}", stderr(&output));
    }
    assert!(output.stdout.is_empty());
    assert!(contents() == before, "something was changed");
}

#[tokio::test]
async fn the_first_start_prints_two_lines_that_work() {
    let dir = tempdir().unwrap();
    // As a checkout leaves it.
    fs::create_dir(dir.path().join("keys")).unwrap();
    fs::set_permissions(dir.path().join("keys"), fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start(dir.path(), &[]);
    let printed = server.printed_until("--help");
    let lines: Vec<_> = printed.iter().filter(|line| line.trim().starts_with("curl ")).collect();
    assert_eq!(lines.len(), 2);
    let paste = |line: &str| -> Value {
        let output = Command::new("bash").args(["-c", line]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(paste(lines[0])["token_type"], "Bearer");
    assert_eq!(paste(lines[1])["claims"]["client_id"], "quickstart");
    let secret = printed.iter().find_map(|line| line.trim().strip_prefix("client_secret: ")).unwrap().trim().to_owned();
    assert_eq!(paste(lines[0])["scope"], "mintage:projects:read");
    let shown = json(dir.path(), &["client", "show", "quickstart"]);
    assert_eq!(text(&shown, "environment"), "test");
    for (path, wanted) in [("data", 0o700), ("keys", 0o700), ("data/mintage.redb", 0o600), ("data/admin.sock", 0o600)] {
        assert_eq!(mode(&dir.path().join(path)), wanted, "{path}");
    }
    for entry in fs::read_dir(dir.path().join("keys")).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let jwks = |base: String| async move { reqwest_get(&format!("{base}/.well-known/jwks.json")).await };
    let before = jwks(server.base.clone()).await;
    let (code, rest) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(!rest.contains(&secret), "the secret is in the log");

    let again = Server::start(dir.path(), &[]);
    assert_eq!(jwks(again.base.clone()).await, before, "the same keys");
    token(&again.base, "quickstart", &secret).await;
    let (_, rest) = again.terminate();
    assert!(!rest.contains("curl"), "it is shown once");
}

async fn reqwest_get(url: &str) -> String {
    mintage::client::http_client().unwrap().get(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("mintage.toml"), "[telemetry]\nlog = \"trace\"\n").unwrap();
    let server = Server::start(dir.path(), &["--no-quickstart"]);
    let client = json(dir.path(), &["client", "create", "a", "--id", "a"]);
    let secret = text(&client, "client_secret").to_owned();
    let bought = token(&server.base, "a", &secret).await;
    token_request(&server.base, &secret, "pasted").await;
    token_request(&server.base, "a", "wrong-secret-canary").await;
    super::whoami(&server.base, &bought).await;
    let (_, log) = server.terminate();
    assert!(log.contains("token refused"), "{log}");
    for canary in [secret.as_str(), "wrong-secret-canary", bought.as_str()] {
        assert!(!log.contains(canary), "{canary} is in the log");
    }
}

#[tokio::test]
async fn a_first_start_that_fails_does_not_use_the_quickstart_up() {
    let dir = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(dir.path(), ["serve", "--listen", &address]);
    assert!(!output.status.success() && stderr(&output).contains(&address), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let server = Server::start(dir.path(), &[]);
    server.printed_until("curl");
}

#[tokio::test]
async fn a_second_server_is_refused_and_the_first_goes_on() {
    let dir = tempdir().unwrap();
    let first = Server::start(dir.path(), &["--no-quickstart"]);
    for socket in ["data/admin.sock", "data/other.sock"] {
        let output = run(dir.path(), ["serve", "--listen", "127.0.0.1:0", "--socket", socket]);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains("data/mintage.redb") && said.contains("in use"), "{said}");
    }
    // Another store, but the same socket: the first one's is not taken from it.
    let output = run(
        dir.path(),
        ["serve", "--listen", "127.0.0.1:0", "--store-url", "redb:other/x.redb", "--keys-dir", "other-keys"],
    );
    assert!(!output.status.success() && stderr(&output).contains("admin.sock"), "{}", stderr(&output));
    json(dir.path(), &["client", "list"]);
    drop(first);
    // What kill -9 leaves is replaced.
    let again = Server::start(dir.path(), &["--no-quickstart"]);
    json(dir.path(), &["client", "list"]);
    drop(again);
    fs::remove_file(dir.path().join("data/admin.sock")).unwrap();
    fs::write(dir.path().join("data/admin.sock"), "mine").unwrap();
    refused(dir.path(), &[], &["admin.sock"]);
}

#[test]
fn a_damaged_store_is_refused_and_left_alone() {
    let (dir, _) = used();
    let store = dir.path().join("data/mintage.redb");
    let good = fs::read(&store).unwrap();
    let mut header = good.clone();
    header[..512].fill(0);
    let mut start = good.clone();
    start[..8192].fill(0xa5);
    for bad in [&good[..good.len() / 2], &[], &header, &start, b"hello".as_slice()] {
        fs::write(&store, bad).unwrap();
        refused(dir.path(), &[], &["data/mintage.redb"]);
    }
    fs::remove_file(&store).unwrap();
    fs::create_dir(&store).unwrap();
    refused(dir.path(), &[], &["data/mintage.redb"]);
    fs::remove_dir(&store).unwrap();
    fs::write(&store, &good).unwrap();
    Server::start(dir.path(), &[]);
}

#[test]
fn a_flipped_byte_is_found_or_does_not_matter() {
    let (dir, _) = used();
    let store = dir.path().join("data/mintage.redb");
    let good = fs::read(&store).unwrap();
    let (mut found, mut harmless) = (0, 0);
    // One in each page that has anything in it.
    for page in good.chunks(4096).enumerate().filter(|(_, page)| page.iter().any(|b| *b != 0)).map(|(n, _)| n) {
        let mut bad = good.clone();
        let within = bad[page * 4096..(page + 1) * 4096].iter().position(|b| *b != 0).unwrap();
        bad[page * 4096 + within] ^= 0x10;
        fs::write(&store, &bad).unwrap();
        match Server::try_start(dir.path(), &[]) {
            Err((code, said)) => {
                found += 1;
                assert_eq!(code, Some(1), "{said}");
                assert!(said.contains("data/mintage.redb"), "{said}");
                assert!(fs::read(&store).unwrap() == bad, "it was changed");
            }
            Ok(_server) => {
                harmless += 1;
                let clients = json(dir.path(), &["client", "list"]);
                assert_eq!(clients["items"][0]["client_id"], "kept");
            }
        }
    }
    assert!(found > 3, "{found} found, {harmless} harmless");
}

#[test]
fn bad_keys_are_refused_and_left_alone() {
    let (dir, _) = used();
    let keys = json_keys(dir.path());
    let active = keys.join("active");
    let files: Vec<_> = fs::read_dir(&keys).unwrap().map(|e| e.unwrap().path()).filter(|p| p != &active).collect();
    assert_eq!(files.len(), 2);
    let (one, two) = (&files[0], &files[1]);
    let (good, other) = (fs::read(one).unwrap(), fs::read(two).unwrap());
    fs::set_permissions(one, fs::Permissions::from_mode(0o640)).unwrap();
    refused(dir.path(), &[], &["chmod 600", one.file_name().unwrap().to_str().unwrap()]);
    fs::set_permissions(one, fs::Permissions::from_mode(0o600)).unwrap();
    for bad in [&good[..good.len() / 2], b"garbage", &[]] {
        fs::write(one, bad).unwrap();
        refused(dir.path(), &[], &["damaged", one.file_name().unwrap().to_str().unwrap()]);
    }
    fs::write(one, &other).unwrap();
    refused(dir.path(), &[], &["does not hold the key"]);
    fs::remove_file(one).unwrap();
    refused(dir.path(), &[], &["is not there"]);
    fs::write(one, &good).unwrap();
    fs::set_permissions(one, fs::Permissions::from_mode(0o600)).unwrap();
    Server::start(dir.path(), &[]);
    // RSA is not generated here.
    let empty = tempdir().unwrap();
    let output = run(empty.path(), ["serve", "--listen", "127.0.0.1:0", "--config", "rsa.toml"]);
    assert!(!output.status.success());
    fs::write(empty.path().join("rsa.toml"), "[keys]\nalgorithm = \"RS256\"\n").unwrap();
    let output = run(empty.path(), ["serve", "--listen", "127.0.0.1:0", "--config", "rsa.toml"]);
    assert!(stderr(&output).contains("openssl genpkey"), "{}", stderr(&output));
}

fn json_keys(dir: &Path) -> std::path::PathBuf {
    dir.join("keys")
}

#[test]
fn the_configuration_is_checked_and_flags_beat_the_environment() {
    let dir = tempdir().unwrap();
    for (text, named) in [
        ("foo = 1", "foo"),
        ("[token]\ntll = \"1h\"", "token.tll"),
        ("[token]\nttl = \"soon\"", "token.ttl"),
        ("[token]\nttl = 5", "token.ttl"),
        ("[token]\nttl = \"48h\"", "token.ttl"),
        ("listen = \"0.0.0.0:0\"", "issuer"),
        ("issuer = \"https://a.example/?x\"", "issuer"),
        ("issuer = \"https://a.example/:x\"", "issuer"),
        ("[network]\ntrusted_proxies = [\"10.0.0.0/33\"]", "network.trusted_proxies"),
        ("[keys]\nalgorithm = \"HS256\"", "keys.algorithm"),
        ("[limits.token]\nper_minute = 5", "limits.token.per_minute"),
        ("[store]\nurl = \"mysql://x\"", "store.url"),
    ] {
        fs::write(dir.path().join("bad.toml"), text).unwrap();
        let output = run(dir.path(), ["config", "check", "--config", "bad.toml"]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(stderr(&output).contains(named), "{text}: {}", stderr(&output));
    }
    fs::write(dir.path().join("mintage.toml"), "issuer = \"https://file.example\"\n[token]\nttl = \"30m\"\n").unwrap();
    let show = |env: &[(&str, &str)], arguments: &[&str]| -> Value {
        let output = super::command(dir.path(), arguments).envs(env.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let shown = show(&[], &["config", "show", "--json"]);
    assert_eq!((&shown["issuer"], &shown["token"]["ttl"]), (&"https://file.example".into(), &"30m".into()));
    let env = [
        ("MINTAGE_ISSUER", "https://env.example"),
        ("MINTAGE_TOKEN__TTL", "15m"),
        ("MINTAGE_CLIENT_ID", "x"),
        ("MINTAGE_PORT", "tcp://10.0.0.1:1"),
    ];
    let shown = show(&env, &["config", "show", "--json"]);
    assert_eq!((&shown["issuer"], &shown["token"]["ttl"]), (&"https://env.example".into(), &"15m".into()));
    let shown = show(&env, &["config", "show", "--json", "--socket", "x.sock"]);
    assert_eq!(shown["admin"]["socket"], "x.sock");
    let output = super::command(dir.path(), ["config", "check"]).env("MINTAGE_FOO", "1").output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("foo"), "{}", stderr(&output));
}
