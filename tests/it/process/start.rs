//! The first start and the ones after it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Mintage, Place, clean, documents, finish, mode, wait_for};

fn curl_lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.trim_start().starts_with("curl")).collect()
}

fn paste(lines: &str) -> Vec<Value> {
    let mut bash = clean("bash");
    bash.args(["-c", lines]);
    let ran = finish(bash, "");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{lines}");
    documents(&ran.out)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_first_start_work_when_pasted() {
    let place = Place::new();
    let server = place.start(&[]);
    let (text, _) = server.introduction();
    let lines = curl_lines(&text);
    assert_eq!(lines.len(), 2, "{text}");

    let [token] = &paste(lines[0])[..] else { panic!("one document was expected") };
    assert_eq!(token["token_type"], "Bearer");
    assert!(token["access_token"].is_string() && token["expires_in"].is_u64(), "{token}");
    let [whoami] = &paste(lines[1])[..] else { panic!("one document was expected") };
    assert_eq!(whoami["claims"]["client_id"], "quickstart");
    assert_eq!(whoami["claims"]["sub"], "quickstart");
    assert_eq!(whoami["claims"]["env"], "test");
    assert_eq!(whoami["claims"]["scope"], "mintage:projects:read");
    assert_eq!(whoami["source_address"], "127.0.0.1");
    assert_eq!(whoami["source_address_from"], "peer");

    let both = paste(&lines.join("\n"));
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both[0]["access_token"].is_string());
    assert_eq!(both[1]["claims"]["client_id"], "quickstart");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_client_is_for_trying_things_out() {
    let place = Place::new();
    let server = place.start(&[]);
    server.introduction();
    let client = place.json(&["client", "show", "quickstart"]);
    assert_eq!(client["environment"], "test");
    assert_eq!(client["scopes"], json!(["mintage:projects:read"]));
    assert_eq!(client["roles"], json!([]));
    let [secret] = &client["secrets"].as_array().unwrap()[..] else { panic!("{client}") };
    let time = |name: &str| secret[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(time("expires_at") - time("created_at"), 24 * 3600);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_ever_has_the_secret_or_a_token() {
    let place = Place::new();
    let server = place.start_with(&[], &[("MINTAGE_TELEMETRY__LOG", "trace")]);
    let (_, secret) = server.introduction();
    let token = server.token("quickstart", &secret).await;
    assert_eq!(server.whoami(&token).await.0, StatusCode::OK);
    // People paste secrets where an id belongs.
    assert_eq!(server.exchange(&secret, "x").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server.exchange("quickstart", &format!("{secret}x")).await.0, StatusCode::UNAUTHORIZED);
    assert!(place.run(&["client", "show", &secret]).code == Some(1));
    let rotated = place.json(&["client", "rotate", "quickstart"]);
    let ran = server.stop("-TERM");
    assert!(ran.err.contains("\"level\":\"DEBUG\""), "the log said no more than usual");
    for (what, text) in [
        ("the secret", secret.clone()),
        ("the secret as Basic", STANDARD.encode(format!("quickstart:{secret}"))),
        ("the rotated secret", rotated["client_secret"].as_str().unwrap().to_owned()),
        ("the token", token.rsplit_once('.').unwrap().1.to_owned()),
    ] {
        assert!(!ran.err.contains(&text), "{what} is in the log");
    }
    assert_eq!(ran.out.matches(&secret).count(), 3, "once a line that needs it: {}", ran.out);
}

/// Nothing relies on the umask, and the socket is closed to others from the moment it exists.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_is_closed_to_others() {
    let place = Place::new();
    // As a checkout leaves it.
    place.write("keys/README.md", "how keys are made\n");
    fs::set_permissions(place.at("keys"), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = place.socket();
    let first_seen = std::thread::spawn(move || wait_for("the socket", || socket.exists().then(|| mode(&socket))));
    let mut command = clean("bash");
    command.args(["-c", "umask 0; exec \"$0\" serve --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_mintage")]);
    command.current_dir(place.at("."));
    let server = Mintage::spawn(command);
    assert_eq!(first_seen.join().unwrap(), 0o600);
    for (path, expected) in [("data", 0o700), ("keys", 0o700), ("data/mintage.redb", 0o600), ("data/admin.sock", 0o600)]
    {
        assert_eq!(mode(&place.at(path)), expected, "{path}");
    }
    // A key that was made while the server ran, too.
    place.json(&["key", "rotate", "--now"]);
    let kids = place.key_files();
    assert_eq!(kids.len(), 3, "{kids:?}");
    for kid in kids {
        assert_eq!(mode(&place.at(&format!("keys/{kid}.pem"))), 0o600, "{kid}");
    }
    let left = super::contents(&place.at("data")).into_keys().collect::<Vec<_>>();
    assert_eq!(left, [place.socket(), place.store()], "only what is needed is left");
    assert_eq!(fs::read_to_string(place.at("keys/README.md")).unwrap(), "how keys are made\n");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_nothing_and_introduces_nobody() {
    let place = Place::new();
    let server = place.start(&[]);
    let (_, secret) = server.introduction();
    place.json(&["api", "create", "https://orders.example", "--scope", "orders:read"]);
    let (id, other) = place.client(&["billing", "--scope", "orders:read", "--allow-ip", "127.0.0.0/8"]);
    let (apis, clients, kids) = (place.json(&["api", "list"]), place.json(&["client", "list"]), server.kids().await);
    assert_eq!(kids.len(), 2);
    assert_eq!(server.stop("-TERM").code, Some(0));

    let again = place.start(&[]);
    assert_eq!(again.kids().await, kids);
    assert_eq!(place.json(&["api", "list"]), apis);
    assert_eq!(place.json(&["client", "list"]), clients);
    let token = again.token("quickstart", &secret).await;
    assert_eq!(again.whoami(&token).await.0, StatusCode::OK);
    again.token(&id, &other).await;
    let ran = again.stop("-TERM");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
}

/// A secret's last use is written in the background; a clean stop loses none.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_writes_the_last_uses() {
    let place = Place::new();
    let server = place.start(&[]);
    let (_, secret) = server.introduction();
    server.token("quickstart", &secret).await;
    server.stop("-TERM");
    let _again = place.start(&[]);
    let client = place.json(&["client", "show", "quickstart"]);
    assert_eq!(client["secrets"][0]["last_used_from"], "127.0.0.1", "{client}");
    assert!(client["secrets"][0]["last_used_at"].is_string(), "{client}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_introduced_where_that_is_not_wanted() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    assert_eq!(place.json(&["client", "list"])["items"], json!([]));
    assert_eq!(server.exchange("quickstart", "x").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server.stop("-TERM").out, "");
}

/// Off loopback a client with a printed secret would be a way in.
#[test]
fn nobody_is_introduced_off_loopback() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "0.0.0.0:0", "--issuer", "http://auth.example"]);
    command.env("MINTAGE_TELEMETRY__FORMAT", "json");
    let server = Mintage::spawn(command);
    assert_eq!(place.json(&["client", "list"])["items"], json!([]));
    assert_eq!(server.stop("-TERM").out, "");
}

/// An attempt that failed must not use up the introduction: the store is as empty as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_failed_leaves_the_introduction_to_the_next() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = place_that_failed(&["serve", "--listen", &taken.local_addr().unwrap().to_string()], |_| {});
    let no_key = place_that_failed(&["serve", "--listen", "127.0.0.1:0"], |place| {
        place.write("mintage.toml", "[keys]\nalgorithm = \"RS256\"\n");
    });
    fs::remove_file(no_key.at("mintage.toml")).unwrap();
    let no_socket = place_that_failed(&["serve", "--listen", "127.0.0.1:0"], |place| {
        place.write("data/admin.sock", "not a socket");
    });
    fs::remove_file(no_socket.socket()).unwrap();

    let mut forgotten = Vec::new();
    for (what, place) in [("the port was in use", in_use), ("no RSA key", no_key), ("no socket", no_socket)] {
        let server = place.start(&[]);
        if place.json(&["client", "list"])["items"] == json!([]) {
            forgotten.push(what);
        } else {
            let (_, secret) = server.introduction();
            server.token("quickstart", &secret).await;
        }
    }
    assert!(forgotten.is_empty(), "nobody was introduced by the start after one that failed as {forgotten:?}");
}

fn place_that_failed(args: &[&str], prepare: impl FnOnce(&Place)) -> Place {
    let place = Place::new();
    prepare(&place);
    place.fails(args);
    place
}
