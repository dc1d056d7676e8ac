//! `--save FILE` of `mintage client create|rotate` (and in `keys` of `mintage api-key`): where the secret goes, and that it is never lost on the way.

mod keys;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mintage::files::remove_unfinished;
use serde_json::{Value, json};

use super::{Place, Ran, clean, contents, finish, mode, spawn, wait_for};

const CREATE: [&str; 5] = ["client", "create", "billing", "--id", "billing"];
const ROTATE: [&str; 3] = ["client", "rotate", "billing"];

/// The names in a folder, but for those of the server.
fn names(place: &Place, folder: &str) -> Vec<String> {
    let names = fs::read_dir(place.at(folder)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !matches!(name.as_str(), "data" | "keys")).collect();
    names.sort();
    names
}

/// The credentials in a file, which has to have them on one line and nothing besides.
fn saved(place: &Place, file: &str) -> (String, String) {
    let text = fs::read_to_string(place.at(file)).unwrap();
    assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true), "{text:?}");
    assert_eq!(mode(&place.at(file)), 0o600);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 2, "{text}");
    (value["client_id"].as_str().unwrap().to_owned(), value["client_secret"].as_str().unwrap().to_owned())
}

/// The program, after a shell has done something.
fn after(place: &Place, shell: &str, args: &[&str]) -> Command {
    let mut command = clean("bash");
    let script = format!("{shell}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_mintage")]).args(args).current_dir(place.at("."));
    command
}

fn secrets(place: &Place) -> usize {
    place.json(&["client", "show", "billing"])["secrets"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_in_the_file_and_nowhere_else() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let url = server.url("");
    let mut last = String::new();
    for (args, mask) in [(&CREATE[..], "000"), (&ROTATE, "777"), (&ROTATE, "022")] {
        let ran = finish(after(&place, &format!("umask {mask}"), &[args, &["--save", "billing.json"]].concat()), "");
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let (id, secret) = saved(&place, "billing.json");
        assert!(id == "billing" && secret != last, "{args:?}");
        for text in [&ran.out, &ran.err] {
            assert!(!text.contains(&secret) && !text.contains("shown this once"), "{text}");
        }
        assert!(!ran.out.contains("client_secret") && ran.err.contains("billing.json"), "{}{}", ran.out, ran.err);
        assert!(ran.out.contains("SECRET  "), "the rest is shown: {}", ran.out);
        assert_eq!(names(&place, "."), ["billing.json"]);
        let token = place.text(&["token", "get", "--issuer", &url, "--credentials", "billing.json"]);
        assert_eq!(server.whoami(token.trim()).await.0, 200);
        last = secret;
    }
    // As JSON: all but the secret, and nothing more.
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let shown = place.json(&["client", "show", "billing"]);
    let ran = place.run(&[&ROTATE[..], &["--overlap", "0s", "--save", "./billing.json", "--json"]].concat());
    let (_, secret) = saved(&place, "billing.json");
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, members(&value)), (Some(0), members(&shown)));
    assert!(!ran.out.contains(&secret) && !ran.err.contains(&secret));
    assert_eq!(server.exchange("billing", &secret).await.0, 200);
    let made = place.json(&["client", "create", "made", "--save", "made.json"]);
    assert_eq!(members(&made), members(&shown));
    assert_eq!(saved(&place, "made.json").0, made["client_id"].as_str().unwrap());
    // An absolute path, a folder below, and one whose folder is a link.
    fs::create_dir(place.at("below")).unwrap();
    symlink("below", place.at("linked")).unwrap();
    for path in [place.at("below/one").to_str().unwrap(), "below/two", "linked/three", "-four"] {
        let save = format!("--save={path}");
        place.text(&[&ROTATE[..], &["--overlap", "0s", &save]].concat());
        let file = path.strip_prefix('/').map_or_else(|| place.at(path), |_| path.into());
        assert_eq!(mode(&file), 0o600);
    }
    assert_eq!(names(&place, "below"), ["one", "three", "two"]);
}

#[test]
fn a_credentials_file_of_the_same_client_is_replaced_whatever_its_mode() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    let text = place.text(&[&CREATE[..], &["--json"]].concat());
    for mode in [0o600, 0o644, 0o666, 0o400, 0o000] {
        fs::write(place.at("billing.json"), &text).unwrap();
        fs::set_permissions(place.at("billing.json"), fs::Permissions::from_mode(mode)).unwrap();
        let readable = fs::File::open(place.at("billing.json")).is_ok();
        // A reader that has it open reads on what it was.
        let mut reader = fs::File::open(place.at("billing.json")).ok();
        let ran = place.run(&[&ROTATE[..], &["--overlap", "0s", "--save", "billing.json"]].concat());
        if !readable {
            assert!(ran.code == Some(1) && ran.out.is_empty(), "whose it is cannot be known: {}", ran.err);
            fs::remove_file(place.at("billing.json")).unwrap();
            continue;
        }
        assert_eq!(ran.code, Some(0), "{mode:o}: {}", ran.err);
        assert_eq!(saved(&place, "billing.json").0, "billing");
        let mut before = String::new();
        reader.as_mut().unwrap().read_to_string(&mut before).unwrap();
        assert_eq!(before, text);
        fs::remove_file(place.at("billing.json")).unwrap();
    }
}

#[test]
fn what_cannot_be_saved_is_refused_before_anything_is_made() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    let (_, secret) = place.client(&["billing", "--id", "billing"]);
    fs::create_dir(place.at("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(place.at("pipe")).status().unwrap().success());
    assert!(fs::metadata(place.at("pipe")).unwrap().file_type().is_fifo());
    let own = json!({"client_id": "billing", "client_secret": "s3cr3t-of-billing"}).to_string();
    place.write("own.json", &own);
    symlink("own.json", place.at("link")).unwrap();
    symlink("nowhere", place.at("dangling")).unwrap();
    for (file, text) in [
        ("other.json", json!({"client_id": "s3cr3t-pasted", "client_secret": "s3cr3t"}).to_string()),
        ("longer.json", own.replace("billing", "billing2")),
        ("case.json", own.replace("\"billing\"", "\"Billing\"")),
        ("empty", String::new()),
        ("half.json", own[..own.len() - 1].to_owned()),
        ("no_secret.json", json!({"client_id": "billing"}).to_string()),
        ("number.json", json!({"client_id": "billing", "client_secret": 1}).to_string()),
        ("list.json", format!("[{own}]")),
        ("notes", "s3cr3t notes of billing".to_owned()),
        ("mintage.toml", "# s3cr3t".to_owned()),
    ] {
        place.write(file, text);
    }
    let before = (contents(&place.at("folder")), names(&place, "."));
    let files: Vec<_> = before.1.iter().filter(|n| !n.starts_with("pipe") && place.at(n).is_file()).cloned().collect();
    let texts = || files.iter().map(|file| fs::read(place.at(file)).unwrap()).collect::<Vec<_>>();
    let were = texts();
    let everywhere = [
        ("folder", "folder"),
        ("folder/", "folder"),
        ("folder/.", "folder"),
        (".", "folder"),
        ("..", "folder"),
        ("/", "folder"),
        ("new/", "folder"),
        ("missing/x.json", "its folder is not there"),
        ("own.json/x", ""),
        ("/proc/x.json", ""),
        ("pipe", ""),
        ("/dev/null", ""),
        ("/dev/stdout", ""),
        ("link", ""),
        ("dangling", ""),
    ];
    let refused = |args: &[&str], file: &str, says: &str| {
        let ran = place.run(&[args, &["--save", file]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{args:?} {file}: {}", ran.err);
        assert!(
            ran.err.starts_with("error: ") && ran.err.contains(says) && ran.err.contains(file),
            "{file}: {}",
            ran.err
        );
        assert!(!ran.err.contains("s3cr3t") && !ran.err.contains(&secret), "{file}: {}", ran.err);
    };
    let new = ["client", "create", "new", "--id", "new"];
    for (file, says) in everywhere {
        refused(&new, file, says);
        refused(&ROTATE, file, says);
    }
    for file in &files {
        refused(&new, file, "is there already");
        if file != "own.json" && file != "link" {
            refused(&ROTATE, file, "is not replaced");
        }
    }
    assert_eq!((contents(&place.at("folder")), names(&place, ".")), before);
    assert_eq!(texts(), were);
    assert_eq!(place.json(&["client", "list"])["items"].as_array().unwrap().len(), 1);
    assert_eq!(secrets(&place), 1);
    assert!(fs::symlink_metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn where_the_server_refuses_or_is_not_there_no_file_is_left() {
    let place = Place::new();
    fs::create_dir(place.at("out")).unwrap();
    let ran = place.run(&[&CREATE[..], &["--save", "out/x.json"]].concat());
    assert!(ran.code == Some(1) && ran.err.contains("no server is running"), "{}", ran.err);
    let _server = place.start(&["--no-quickstart"]);
    place.client(&["billing", "--id", "billing"]);
    let own = json!({"client_id": "billing", "client_secret": "x"}).to_string();
    for args in [
        &["client", "create", "other", "--id", "billing"][..],
        &["client", "create", "other", "--scope", "nobody:knows"],
        &["client", "rotate", "nobody"],
        &["client", "rotate", "billing", "--overlap", "20000d"],
    ] {
        let ran = place.run(&[args, &["--save", "out/x.json"]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{args:?}: {}", ran.err);
        assert_eq!(names(&place, "out"), [""; 0], "{args:?}");
    }
    place.write("out/own.json", &own);
    let ran = place.run(&["client", "rotate", "billing", "--overlap", "20000d", "--save", "out/own.json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert_eq!(names(&place, "out"), ["own.json"]);
    assert_eq!(fs::read_to_string(place.at("out/own.json")).unwrap(), own);
}

/// The file may not grow: it is begun, and its content does not go in, as on a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_saved_after_all_is_printed() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    fs::create_dir(place.at("out")).unwrap();
    let full = "trap '' XFSZ; ulimit -f 0";
    for (args, json) in [(&CREATE[..], false), (&ROTATE, false), (&ROTATE, true)] {
        let json_flag = if json { &["--json"][..] } else { &[] };
        let before = contents(&place.at("out"));
        let ran = finish(after(&place, full, &[args, &["--save", "out/billing.json"], json_flag].concat()), "");
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("error: out/billing.json could not be written"), "{}", ran.err);
        let secret = if json {
            serde_json::from_str::<Value>(&ran.out).unwrap()["client_secret"].as_str().unwrap().to_owned()
        } else {
            let line = ran.out.lines().find_map(|line| line.strip_prefix("client_secret")).unwrap();
            line.trim().to_owned()
        };
        assert_eq!(server.exchange("billing", &secret).await.0, 200, "it is the one that was made");
        assert_eq!(contents(&place.at("out")), before);
        place.write("out/billing.json", json!({"client_id": "billing", "client_secret": secret}).to_string());
    }
}

/// Answers one request over a socket of its own as a server would that made the secret `s3cr3t`, after `meanwhile`.
fn slow(place: &Place, args: &[&str], meanwhile: impl FnOnce() + Send + 'static) -> Ran {
    let listener = UnixListener::bind(place.at("slow.sock")).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 65536]).unwrap() > 0);
        meanwhile();
        let secret = json!({"id": "s_a", "prefix": "p", "created_at": "2026-11-21T12:00:00Z", "expires_at": null,
                            "last_used_at": null, "last_used_from": null});
        let client = json!({
            "client_id": "billing", "client_secret": "s3cr3t", "name": "n", "organization": "o", "project": "p",
            "environment": "live", "scopes": [], "roles": [], "ip_allowlist": [], "token_ttl": null,
            "status": "active", "secrets": [secret], "description": "", "owner": "", "labels": {},
            "created_at": "2026-11-21T12:00:00Z", "updated_at": "2026-11-21T12:00:00Z",
        });
        let body = client.to_string();
        let head = "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nconnection: close";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        drop(stream.write_all(answer.as_bytes()));
    });
    let ran = place.run(&[args, &["--socket", "slow.sock"]].concat());
    server.join().unwrap();
    fs::remove_file(place.at("slow.sock")).unwrap();
    ran
}

#[test]
fn what_appears_meanwhile_is_not_replaced() {
    let place = Place::new();
    fs::create_dir(place.at("out")).unwrap();
    let path = place.at("out/billing.json");
    let credentials = |id: &str| json!({"client_id": id, "client_secret": "other"}).to_string();
    type Meanwhile = fn(&std::path::Path, &str);
    let write: Meanwhile = |path, text| fs::write(path, text).unwrap();
    let folder: Meanwhile = |path, _| {
        drop(fs::remove_file(path));
        fs::create_dir(path).unwrap();
    };
    let gone: Meanwhile = |path, _| fs::remove_dir_all(path.parent().unwrap()).unwrap();
    for (args, before, meanwhile, text, saves) in [
        (&CREATE[..], None, write, credentials("other"), false),
        (&CREATE, None, folder, String::new(), false),
        (&CREATE, None, gone, String::new(), false),
        (&ROTATE, None, write, credentials("other"), false),
        (&ROTATE, None, write, credentials("billing"), false),
        (&ROTATE, Some("billing"), write, credentials("other"), false),
        (&ROTATE, Some("billing"), write, "notes".to_owned(), false),
        (&ROTATE, Some("billing"), write, credentials("billing"), true),
        (&ROTATE, Some("billing"), folder, String::new(), false),
        (&ROTATE, Some("billing"), gone, String::new(), false),
    ] {
        drop(fs::remove_dir_all(place.at("out")));
        fs::create_dir(place.at("out")).unwrap();
        if let Some(id) = before {
            fs::write(&path, credentials(id)).unwrap();
        }
        let (there, put) = (path.clone(), text.clone());
        let ran = slow(&place, &[args, &["--save", "out/billing.json"]].concat(), move || meanwhile(&there, &put));
        assert_eq!(ran.code, Some(i32::from(!saves)), "{args:?} {before:?} {text}: {}{}", ran.out, ran.err);
        assert_eq!(ran.out.contains("s3cr3t"), !saves, "{}", ran.out);
        assert!(!ran.err.contains("s3cr3t"), "{}", ran.err);
        if saves {
            assert_eq!(saved(&place, "out/billing.json").1, "s3cr3t");
        } else if path.is_file() {
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        if place.at("out").exists() {
            assert_eq!(names(&place, "out"), ["billing.json"]);
        }
    }
}

/// What a killed one leaves is known by its name and its lock, and nothing else is taken for it.
#[test]
fn what_a_killed_one_leaves_can_be_taken_away() {
    let place = Place::new();
    fs::create_dir(place.at("out")).unwrap();
    let path = place.at("out/billing.json");
    let listener = UnixListener::bind(place.at("silent.sock")).unwrap();
    let mut command =
        place.command(&[&CREATE[..], &["--save", "out/billing.json", "--socket", "silent.sock"]].concat());
    let (mut child, _out, _err) = spawn(&mut command);
    let _request = listener.accept().unwrap();
    let names_now = wait_for("the file", || Some(names(&place, "out")).filter(|names| !names.is_empty()));
    assert!(names_now[0].starts_with(".billing.json.") && names_now[0].ends_with(".new"), "{names_now:?}");
    assert_eq!(mode(&place.at("out").join(&names_now[0])), 0o600);
    assert_eq!(remove_unfinished(&path).unwrap(), 0, "it waits, and lives");
    assert_eq!(names(&place, "out"), names_now);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(names(&place, "out"), names_now);
    assert_eq!(remove_unfinished(&place.at("out/other.json")).unwrap(), 0);
    assert_eq!(remove_unfinished(&path).unwrap(), 1);
    assert_eq!(names(&place, "out"), [""; 0]);
}

/// A program that reads the file again and again never sees half of it.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_it_again_always_finds_it_whole() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    place.text(&[&CREATE[..], &["--save", "billing.json"]].concat());
    let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                assert_eq!(saved(&place, "billing.json").0, "billing");
                reads.fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..12 {
            let ran = place.run(&[&ROTATE[..], &["--overlap", "0s", "--save", "billing.json"]].concat());
            assert_eq!(ran.code, Some(0), "{}", ran.err);
            seen.insert(saved(&place, "billing.json").1);
        }
        stop.store(true, Ordering::SeqCst);
        assert_eq!(seen.len(), 12);
    });
    assert!(reads.into_inner() > 12);
    assert_eq!(names(&place, "."), ["billing.json"]);
}

/// Whoever comes second has made a client, too, and is told its secret one way or the other.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_every_secret_is_kept() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let children: Vec<_> =
        (0..6).map(|_| spawn(&mut place.command(&["client", "create", "x", "--save", "x.json", "--json"]))).collect();
    let mut known = vec![saved_later(&place)];
    let mut saved_by = 0;
    for (mut child, mut out, mut err) in children {
        let code = child.wait().unwrap().code();
        let (out, err) = (out.finish(), err.finish());
        match (code, out.is_empty()) {
            (Some(0), false) => saved_by += 1,
            (Some(1), true) => {}
            (Some(1), false) => {
                let made: Value = serde_json::from_str(&out).unwrap();
                let text = |name: &str| made[name].as_str().unwrap().to_owned();
                known.push((text("client_id"), text("client_secret")));
            }
            _ => panic!("{code:?}: {out} {err}"),
        }
    }
    assert_eq!(saved_by, 1);
    let there = place.json(&["client", "list"])["items"].as_array().unwrap().len();
    assert_eq!(known.len(), there, "a client without a secret that anybody knows");
    for (id, secret) in &known {
        assert_eq!(server.exchange(id, secret).await.0, 200);
    }
    assert_eq!(names(&place, "."), ["x.json"]);
}

fn saved_later(place: &Place) -> (String, String) {
    wait_for("the file", || place.at("x.json").exists().then(|| saved(place, "x.json")))
}
