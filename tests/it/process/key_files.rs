//! The files of the signing keys: which are taken, and that a bad one is never passed over or replaced.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Place, clean, contents, decoded, finish};

/// A place whose server has stopped, and the file of its active key.
fn stopped() -> (Place, PathBuf) {
    let place = Place::new();
    let server = place.start(&[]);
    let keys = place.json(&["key", "list"]);
    let active = keys["items"].as_array().unwrap().iter().find(|key| key["state"] == "active").unwrap();
    let file = place.at(&format!("keys/{}.pem", active["kid"].as_str().unwrap()));
    server.stop("-TERM");
    (place, file)
}

fn openssl(place: &Place, args: &[&str]) {
    let mut command = clean("bash");
    command.args(["-c", "umask 077; exec openssl \"$@\"", "openssl"]).args(args).current_dir(place.at("."));
    let ran = finish(command, "");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

fn rsa(place: &Place, file: &str) {
    fs::create_dir_all(place.at("keys")).unwrap();
    openssl(place, &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file]);
}

fn write_closed(path: &PathBuf, text: impl AsRef<[u8]>) {
    use std::io::Write;
    drop(fs::remove_file(path));
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap()
        .write_all(text.as_ref())
        .unwrap();
}

#[test]
fn an_open_key_file_is_refused_with_the_command_that_mends_it() {
    for bits in [0o644, 0o640, 0o604, 0o660] {
        let (place, file) = stopped();
        fs::set_permissions(&file, fs::Permissions::from_mode(bits)).unwrap();
        let before = contents(&place.at("keys"));
        let message = place.refused(&[]);
        let command =
            message.lines().find_map(|line| Some(&line[line.find("chmod ")?..])).unwrap_or_else(|| panic!("{message}"));
        assert_eq!(contents(&place.at("keys")), before);
        let mut bash = clean("bash");
        bash.args(["-c", command]).current_dir(place.at("."));
        assert_eq!(finish(bash, "").code, Some(0), "{command}");
        place.start(&[]);
    }
}

/// Damages `keys/` of a stopped server, and sees that the start is refused, changes nothing there, and works again once
/// the folder is as it was.
fn refused_and_left(what: &str, says: &[&str], damage: impl FnOnce(&Place, &PathBuf)) {
    let (place, file) = stopped();
    let whole = place.copy();
    damage(&place, &file);
    let before = contents(&place.at("keys"));
    let message = place.refused(&[]);
    for word in says {
        assert!(message.contains(word), "{what}: {word:?} is not in {message}");
    }
    assert!(!message.contains("PRIVATE KEY-----\n"), "{what}: {message}");
    assert_eq!(contents(&place.at("keys")), before, "{what}: keys/ was changed");
    fs::remove_dir_all(place.at("keys")).unwrap();
    fs::rename(whole.at("keys"), place.at("keys")).unwrap();
    drop(place.start(&[]));
}

fn name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_damaged_key_file_is_refused() {
    refused_and_left("half of it", &["damaged"], |_, file| {
        let text = fs::read(file).unwrap();
        fs::write(file, &text[..text.len() / 2]).unwrap();
    });
    refused_and_left("nothing of it", &["damaged"], |_, file| fs::write(file, "").unwrap());
    refused_and_left("garbage", &["damaged"], |_, file| fs::write(file, [0xa5; 300]).unwrap());
    refused_and_left("PEM of garbage", &["damaged"], |_, file| {
        fs::write(file, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    });
    refused_and_left("a letter changed", &[], |_, file| {
        let mut text = fs::read(file).unwrap();
        // Within the scalar: still a key perhaps, but another.
        text[90] = if text[90] == b'A' { b'B' } else { b'A' };
        fs::write(file, text).unwrap();
    });
    refused_and_left("a folder", &[], |_, file| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn a_key_that_is_not_the_one_of_the_name_is_refused() {
    refused_and_left("the other key", &["does not hold the key"], |place, file| {
        let kids = place.key_files();
        let other = kids.iter().find(|kid| !name(file).starts_with(kid.as_str())).unwrap();
        fs::copy(place.at(&format!("keys/{other}.pem")), file).unwrap();
    });
    refused_and_left("an RSA key", &["does not hold the key"], |place, file| {
        rsa(place, &format!("keys/{}", name(file)));
    });
    refused_and_left("an Ed25519 key", &["does not hold the key"], |place, file| {
        openssl(place, &["genpkey", "-algorithm", "ED25519", "-out", &format!("keys/{}", name(file))]);
    });
}

#[test]
fn a_missing_key_file_is_refused() {
    refused_and_left("the active key", &["active", "is not there", ".pem"], |_, file| fs::remove_file(file).unwrap());
    refused_and_left("the next key", &["next", "is not there", ".pem"], |place, file| {
        for kid in place.key_files() {
            if !name(file).starts_with(&kid) {
                fs::remove_file(place.at(&format!("keys/{kid}.pem"))).unwrap();
            }
        }
    });
    refused_and_left("all keys", &["is not there"], |place, _| {
        fs::remove_dir_all(place.at("keys")).unwrap();
        fs::create_dir(place.at("keys")).unwrap();
        fs::set_permissions(place.at("keys"), fs::Permissions::from_mode(0o700)).unwrap();
    });
}

/// A file that an operator put there is meant to be used; one that cannot be is said, not passed over.
#[test]
fn a_key_of_no_use_is_refused() {
    refused_and_left("P-384", &["keys/mine.pem"], |place, _| {
        openssl(
            place,
            &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "keys/mine.pem"],
        );
    });
    refused_and_left("RSA of 1024 bits", &["keys/mine.pem", "2048"], |place, _| {
        openssl(place, &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "keys/mine.pem"]);
    });
    refused_and_left("encrypted", &["keys/mine.pem", "openssl pkcs8"], |place, _| {
        let pass = ["-aes-256-cbc", "-pass", "pass:x"];
        let args = ["genpkey", "-algorithm", "ED25519", "-out", "keys/mine.pem"];
        openssl(place, &[&args[..], &pass].concat());
    });
    refused_and_left("a certificate's name, no key", &["keys/mine.pem"], |place, _| {
        write_closed(&place.at("keys/mine.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    });
}

#[test]
fn rsa_without_a_key_is_refused_with_the_command_that_makes_one() {
    for algorithm in ["RS256", "PS256"] {
        let place = Place::new();
        place.write("mintage.toml", format!("[keys]\nalgorithm = \"{algorithm}\"\n"));
        let message = place.refused(&[]);
        let command = message.lines().find_map(|line| Some(&line[line.find("openssl genpkey")?..]));
        let command = command.unwrap_or_else(|| panic!("{message}"));
        assert_eq!(place.key_files(), [""; 0]);
        // As it stands there, it makes a key that is taken.
        let mut bash = clean("bash");
        bash.args(["-c", command]).current_dir(place.at("."));
        assert_eq!(finish(bash, "").code, Some(0), "{command}");
        drop(place.start(&[]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_signs_and_is_published_as_itself() {
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256"] {
        let place = Place::new();
        place.write("mintage.toml", format!("[keys]\nalgorithm = \"{algorithm}\"\n"));
        if algorithm.ends_with("S256") && !algorithm.starts_with('E') {
            rsa(&place, "keys/first.pem");
            rsa(&place, "keys/second.pem");
        }
        let server = place.start(&[]);
        let (_, secret) = server.introduction();
        let jwks = server.get("/.well-known/jwks.json").await;
        let keys = jwks["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2, "{algorithm}: an active and a next one");
        for key in keys {
            assert_eq!(key["alg"], algorithm);
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(key.get(private).is_none(), "{algorithm}: {private} is published");
            }
        }
        let metadata = server.get("/.well-known/oauth-authorization-server").await;
        let token = server.token("quickstart", &secret).await;
        assert_eq!(decoded(&token, 0)["alg"], algorithm);
        assert_eq!(server.whoami(&token).await.0, reqwest::StatusCode::OK, "{algorithm}");
        let issuer = metadata["issuer"].as_str().unwrap();
        place.text(&["token", "inspect", &token, "--issuer", issuer, "--audience", issuer]);
        // The next one signs, too, and what the first one signed stays good.
        place.json(&["key", "rotate", "--now"]);
        let other = server.token("quickstart", &secret).await;
        assert_ne!(decoded(&other, 0)["kid"], decoded(&token, 0)["kid"]);
        for token in [&token, &other] {
            assert_eq!(server.whoami(token).await.0, reqwest::StatusCode::OK, "{algorithm}");
        }
        server.stop("-TERM");
    }
}

/// Without a third RSA key there is nothing to rotate to: that is said, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn rsa_keys_that_run_out_are_told_of() {
    let place = Place::new();
    place.write("mintage.toml", "[keys]\nalgorithm = \"RS256\"\n");
    rsa(&place, "keys/only.pem");
    let server = place.start(&[]);
    let (_, secret) = server.introduction();
    let message = place.fails(&["key", "rotate", "--now"]);
    assert!(message.contains("openssl genpkey"), "{message}");
    server.token("quickstart", &secret).await;
    // One that is brought while the server runs is found.
    rsa(&place, "keys/second.pem");
    assert_eq!(place.json(&["key", "rotate", "--now"])["rotated"], true);
    let token = server.token("quickstart", &secret).await;
    assert_eq!(server.whoami(&token).await.0, reqwest::StatusCode::OK);
    // An operator's own file is not ours to remove.
    assert!(place.at("keys/only.pem").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_algorithm_takes_over_with_the_next_rotation() {
    let place = Place::new();
    let issuer = ["--issuer", "http://127.0.0.1:1"];
    let server = place.start(&issuer);
    let (_, secret) = server.introduction();
    let old = server.token("quickstart", &secret).await;
    server.stop("-TERM");
    place.write("mintage.toml", "[keys]\nalgorithm = \"EdDSA\"\n");
    let server = place.start(&issuer);
    place.json(&["key", "rotate", "--now"]);
    let new = server.token("quickstart", &secret).await;
    assert_eq!((&decoded(&old, 0)["alg"], &decoded(&new, 0)["alg"]), (&"ES256".into(), &"EdDSA".into()));
    for token in [&old, &new] {
        assert_eq!(server.whoami(token).await.0, reqwest::StatusCode::OK);
    }
}
