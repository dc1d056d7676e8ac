//! `--save FILE` of `mintage api-key create|rotate`: the same as of clients.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::super::api_keys::whoami;
use super::super::between::{self, Fate};
use super::super::{Mintage, Place, contents, finish, mode};
use super::{after, names};

const CREATE: [&str; 5] = ["api-key", "create", "tool", "--ttl", "10d"];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// The id and the key in a file, which has to have them on one line and nothing besides.
fn saved(place: &Place, file: &str) -> (String, String) {
    let text = fs::read_to_string(place.at(file)).unwrap();
    assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true), "{text:?}");
    assert_eq!(mode(&place.at(file)), 0o600);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 2, "{text}");
    let member = |name: &str| value[name].as_str().unwrap().to_owned();
    (member("id"), member("api_key"))
}

fn site() -> (Place, Mintage, String) {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let url = server.url("");
    (place, server, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_in_the_file_and_nowhere_else() {
    let (place, _server, url) = site();
    let mut last = String::new();
    for (mask, json) in [("000", false), ("777", false), ("022", true)] {
        let id = if last.is_empty() { None } else { Some(saved(&place, "tool.json").0) };
        let mut args = match &id {
            None => CREATE.to_vec(),
            Some(id) => vec!["api-key", "rotate", id, "--overlap", "1h"],
        };
        args.extend(["--save", "tool.json"]);
        args.extend(json.then_some("--json"));
        let ran = finish(after(&place, &format!("umask {mask}"), &args), "");
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let (own, key) = saved(&place, "tool.json");
        assert!(id.as_ref().is_none_or(|id| *id == own) && key != last, "{args:?}");
        for text in [&ran.out, &ran.err] {
            assert!(!text.contains(&key) && !text.contains("shown this once"), "{text}");
        }
        assert!(!ran.out.contains("api_key") && ran.err.contains("The api_key is in tool.json"), "{}", ran.err);
        assert!(ran.out.contains(&own), "the rest is shown: {}", ran.out);
        if json {
            let value: Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!(value, place.json(&["api-key", "show", &own]));
        }
        assert_eq!((names(&place, "."), whoami(&url, &key).await.0), (vec!["tool.json".to_owned()], 200));
        last = key;
    }
    // What `--json` printed once is a file of this key's as well.
    let made = place.text(&[&CREATE[..], &["--json"]].concat());
    place.write("whole.json", &made);
    let id = text(&serde_json::from_str::<Value>(&made).unwrap()["id"]);
    place.text(&["api-key", "rotate", &id, "--save", "whole.json"]);
    assert_eq!(saved(&place, "whole.json").0, id);
}

#[test]
fn what_cannot_be_saved_is_refused_before_a_key_is_made() {
    let (place, _server, _) = site();
    let made = place.json(&CREATE);
    let (id, key) = (text(&made["id"]), text(&made["api_key"]));
    fs::create_dir(place.at("f")).unwrap();
    let own = json!({ "id": id, "api_key": key }).to_string();
    place.write("f/own.json", &own);
    symlink("own.json", place.at("f/link")).unwrap();
    for (file, text) in [
        ("other.json", own.replace(&id, "k_another")),
        ("client.json", json!({ "client_id": id, "client_secret": key }).to_string()),
        ("no_key.json", json!({ "id": id }).to_string()),
        ("empty_key.json", json!({ "id": id, "api_key": "" }).to_string()),
        ("number.json", json!({ "id": id, "api_key": 1 }).to_string()),
        ("half.json", own[..own.len() - 1].to_owned()),
        ("empty", String::new()),
        ("notes", format!("{key} of {id}")),
    ] {
        place.write(&format!("f/{file}"), text);
    }
    let before = place.json(&["api-key", "list"]);
    let files = contents(&place.at("f"));
    let refused = |args: &[&str], file: &str, says: &str| {
        let ran = place.run(&[args, &["--save", file]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{args:?} {file}: {}", ran.err);
        assert!(ran.err.contains(says) && ran.err.contains(file) && !ran.err.contains(&key), "{file}: {}", ran.err);
    };
    let rotate = ["api-key", "rotate", &id];
    for args in [&CREATE[..], &rotate] {
        refused(args, "f", "folder");
        refused(args, "missing/x.json", "its folder is not there; make it first");
        refused(args, "missing/x.json", "so no API key was made");
        refused(args, "/dev/null", "");
        refused(args, "f/link", "");
    }
    for file in
        ["other.json", "client.json", "no_key.json", "empty_key.json", "number.json", "half.json", "empty", "notes"]
    {
        refused(&CREATE, &format!("f/{file}"), "is there already, and may have another API key");
        refused(&rotate, &format!("f/{file}"), "is not replaced");
    }
    refused(&CREATE, "f/own.json", "is there already");
    refused(&["client", "rotate", "nobody"], "f/own.json", "is not replaced");
    // Where the server refuses, none is left.
    let said = place.fails(&["api-key", "rotate", "k_nobody", "--save", "f/x.json"]);
    assert!(said.contains("there is no API key"), "{said}");
    let said = place.fails(&["api-key", "create", "x", "--scope", "nobody:knows", "--save", "f/x.json"]);
    assert!(said.contains("nobody:knows"), "{said}");
    assert_eq!((contents(&place.at("f")), place.json(&["api-key", "list"])), (files, before));
}

/// The file may not grow, as on a full disk; and the connection breaks when the key is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_never_lost_on_the_way() {
    let (place, _server, url) = site();
    fs::create_dir(place.at("out")).unwrap();
    let args = [&CREATE[..], &["--save", "out/tool.json"]].concat();
    let ran = finish(after(&place, "trap '' XFSZ; ulimit -f 0", &args), "");
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("so the api_key stands in the output"), "{}", ran.err);
    let key = ran.out.lines().find_map(|line| line.strip_prefix("api_key ")).unwrap().trim().to_owned();
    assert_eq!((whoami(&url, &key).await.0, names(&place, "out")), (200, vec![]));
    for (n, rotates) in [(1, false), (2, true)] {
        let socket = format!("lossy-{n}.sock");
        let lost = |index, _: &str| if index == 0 { Fate::Lose } else { Fate::Pass };
        between::listen(&place.at(&socket), &place.socket(), lost);
        let id = rotates.then(|| saved(&place, "out/tool.json").0);
        let args = match &id {
            None => CREATE.to_vec(),
            Some(id) => vec!["api-key", "rotate", id, "--overlap", "1h"],
        };
        let ran = place.run(&[&args, &["--save", "out/tool.json", "--socket", &socket][..]].concat());
        assert!(ran.code == Some(0) && ran.err.contains("replaced by another"), "{}", ran.err);
        let (id, key) = saved(&place, "out/tool.json");
        assert_eq!(whoami(&url, &key).await.0, 200);
        let shown = place.json(&["api-key", "show", &id]);
        let time = |value: &Value| text(value).parse::<jiff::Timestamp>().unwrap().as_second();
        let life = time(&shown["expires_at"]) - time(&shown["created_at"]);
        assert!((864_000..864_060).contains(&life), "as long as the lost one would have lived: {shown}");
    }
}
