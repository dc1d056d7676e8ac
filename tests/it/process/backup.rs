//! Backups: taken while the service works, looked through, put in place elsewhere; and tokens from what was restored.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use redb::{ReadableDatabase, ReadableTable, TableHandle};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Mintage, PATIENCE, Place, ask, audit, contents, mode, speak};

/// A second place with the keys of this one, and nothing else.
fn elsewhere(place: &Place) -> Place {
    let other = Place::new();
    fs::create_dir(other.at("keys")).unwrap();
    for entry in fs::read_dir(place.at("keys")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), other.at("keys").join(entry.file_name())).unwrap();
    }
    other
}

/// Says when it is over, however that comes about.
struct Stops<'s>(&'s AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The tables of a file, by redb itself.
fn tables(file: &Path) -> Vec<String> {
    let database = redb::Database::open(file).unwrap();
    let transaction = database.begin_read().unwrap();
    let mut names: Vec<_> = transaction.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    names.sort();
    assert_eq!(transaction.list_multimap_tables().unwrap().count(), 0);
    names
}

/// How many records each table has, as `store check` counts them.
fn counts(place: &Place, file: &Path) -> BTreeMap<String, u64> {
    let report = place.json(&["store", "check", file.to_str().unwrap()]);
    assert_eq!((&report["ok"], &report["damaged"]), (&json!(true), &json!(0)), "{report}");
    assert_eq!(report["unknown_tables"], json!([]), "say in store/redb/inspect.rs what a record of it has to be");
    serde_json::from_value(report["tables"].clone()).unwrap()
}

/// A webhook, and what says that it was told something.
fn webhook() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (told, tells) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let mut request = BufReader::new(&stream);
            let mut length = 0;
            let mut line = String::new();
            while request.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            request.read_exact(&mut vec![0; length]).unwrap();
            (&stream).write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            if told.send(()).is_err() {
                return;
            }
        }
    });
    (url, tells)
}

/// Something in every table that a store has, but for what a webhook was told.
async fn fill(place: &Place, server: &Mintage) -> (String, String) {
    place.text(&["api", "create", "https://orders.example", "--scope", "orders:read"]);
    place.text(&["role", "create", "READER", "--scope", "orders:read"]);
    let (id, secret) = place.client(&["billing", "--scope", "orders:read", "--quota", "tokens.total=1000000000"]);
    server.token(&id, &secret).await;
    assert_eq!(server.exchange(&id, "wrong").await.0, StatusCode::UNAUTHORIZED);
    let (gone, _) = place.client(&["gone"]);
    place.text(&["client", "revoke", &gone]);
    place.text(&["api-key", "create", "tool", "--scope", "orders:read"]);
    place.text(&["client", "digest-key", "create", &id]);
    (id, secret)
}

#[tokio::test]
async fn a_backup_taken_while_the_service_works_gives_tokens_elsewhere() {
    let place = Place::new();
    let server = place.start(&["--issuer", "https://auth.example"]);
    let (id, secret) = fill(&place, &server).await;
    let (revoked, revoked_secret) = place.client(&["revoked"]);
    let dead = server.token(&revoked, &revoked_secret).await;
    place.text(&["client", "revoke", &revoked]);
    let token = server.token(&id, &secret).await;
    let (stop, made, issued) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    // Clients are made and tokens issued all the while.
    let backups: Vec<_> = std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let name = json!({ "name": "n", "client_id": format!("c-{}", made.load(Ordering::SeqCst)) });
                assert_eq!(ask(&place.socket(), "POST", "clients", &name).unwrap().0, 201);
                made.fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            let head = "POST /oauth/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded";
            let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
            while !stop.load(Ordering::SeqCst) {
                let stream = std::net::TcpStream::connect(server.address).unwrap();
                let (status, answer) = speak(stream, head, &form).unwrap();
                assert_eq!(status, 200, "{answer}");
                issued.fetch_add(1, Ordering::SeqCst);
            }
        });
        (0..3)
            .map(|n| {
                let before = (made.load(Ordering::SeqCst), issued.load(Ordering::SeqCst));
                super::wait_for("clients and tokens", || {
                    (made.load(Ordering::SeqCst) > before.0 && issued.load(Ordering::SeqCst) > before.1).then_some(())
                });
                let least = made.load(Ordering::SeqCst);
                let file = place.at(&format!("backup-{n}"));
                place.text(&["store", "backup", file.to_str().unwrap()]);
                (file, least, made.load(Ordering::SeqCst))
            })
            .collect()
    });
    assert_eq!(server.stop("-TERM").code, Some(0));
    let store = place.store();
    for (file, least, most) in &backups {
        assert_eq!(mode(file), 0o600);
        assert_eq!(tables(file), tables(&store), "a table of the store is not in the backup, or the other way round");
        let counted = counts(&place, file);
        let clients = counted["clients"] as usize;
        // billing, gone, revoked, quickstart; and one more may have been made that was not answered yet.
        assert!((least + 4..=most + 5).contains(&clients), "{clients} is not between {least} and {most}");
        // One record a change, and the moment is one and the same for all tables.
        assert_eq!(audit(file).len() as u64, counted["audit"]);
    }
    let (file, least, _) = backups.last().unwrap();

    let other = elsewhere(&place);
    let restored = other.json(&["store", "restore", file.to_str().unwrap()]);
    assert_eq!((&restored["ok"], &restored["missing_keys"]), (&json!(true), &json!([])));
    assert_eq!(mode(&other.store()), 0o600);
    let server = other.start(&["--issuer", "https://auth.example"]);
    let bought = server.token(&id, &secret).await;
    assert_eq!(server.whoami(&bought).await.0, StatusCode::UNAUTHORIZED, "it is for orders alone");
    let (status, known) = ask(&other.socket(), "GET", &format!("clients/c-{}", least - 1), &Value::Null).unwrap();
    assert_eq!(status, 200, "{known}");
    // What was revoked stays so, and what was not is still good.
    assert_eq!(server.exchange(&revoked, &revoked_secret).await.0, StatusCode::UNAUTHORIZED);
    let verdict = |token: &str| {
        let asked = json!({ "token": token });
        ask(&other.socket(), "POST", "tokens/explain", &asked).unwrap().1.to_string()
    };
    assert!(verdict(&dead).contains("token_revoked"), "{}", verdict(&dead));
    assert!(!verdict(&token).contains("token_revoked"), "{}", verdict(&token));
    // Figures are kept, and go on.
    let usage = other.json(&["client", "usage", &id]);
    assert!(usage["issued"].as_u64().unwrap() >= 3, "{usage}");
}

#[tokio::test]
async fn every_table_comes_along_with_all_it_has_and_without_a_server_too() {
    let place = Place::new();
    let (url, told) = webhook();
    let webhook = format!("[webhook]\nurl = \"{url}\"\nsecret = \"{}\"\n", "s".repeat(32));
    place.write("mintage.toml", format!("[review]\nevery = \"1s\"\n{webhook}"));
    let server = place.start(&[]);
    fill(&place, &server).await;
    // What the webhook was told is remembered before it is told of the next.
    for name in ["ends soon", "ends soon, too"] {
        place.client(&[name, "--secret-ttl", "1h"]);
        told.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(server.stop("-TERM").code, Some(0));
    let whole = counts(&place, &place.store());
    assert!(whole.values().all(|count| *count > 0), "the test leaves a table empty: {whole:?}");
    let before = contents(&place.at("data"));
    place.text(&["store", "backup", "b"]);
    assert_eq!(contents(&place.at("data")), before, "a backup touches nothing");
    assert_eq!(counts(&place, &place.at("b")), whole);
    // A table that this version knows nothing of comes along as well.
    let store = redb::Database::open(place.store()).unwrap();
    let transaction = store.begin_write().unwrap();
    let later: redb::TableDefinition<'_, (&str, u64), &[u8]> = redb::TableDefinition::new("of_a_later_version");
    transaction.open_table(later).unwrap().insert(("k", 7), &b"v"[..]).unwrap();
    transaction.commit().unwrap();
    drop(store);
    place.text(&["store", "backup", "c"]);
    let copy = redb::Database::open(place.at("c")).unwrap();
    let transaction = copy.begin_read().unwrap();
    assert_eq!(transaction.open_table(later).unwrap().get(("k", 7)).unwrap().unwrap().value(), b"v");
    drop((transaction, copy));
    // One that it cannot even read is named, and no backup is made without it.
    let store = redb::Database::open(place.store()).unwrap();
    let transaction = store.begin_write().unwrap();
    let odd: redb::TableDefinition<'_, bool, f64> = redb::TableDefinition::new("odd");
    transaction.open_table(odd).unwrap().insert(true, 1.0).unwrap();
    transaction.commit().unwrap();
    drop(store);
    assert!(place.fails(&["store", "backup", "d"]).contains("the table odd"));
    assert!(!place.at("d").exists());
}

#[tokio::test]
async fn a_store_is_put_in_place_whole_or_not_at_all() {
    let place = Place::new();
    let server = place.start(&[]);
    let (id, secret) = fill(&place, &server).await;
    place.text(&["store", "backup", "b"]);
    // Neither while a server runs, nor over anything.
    assert!(place.fails(&["store", "restore", "b"]).contains("stop it first"));
    assert!(place.fails(&["store", "backup", "b"]).contains("left alone"));
    assert!(place.fails(&["store", "check"]).contains("in use"));
    assert_eq!(server.stop("-TERM").code, Some(0));
    assert!(place.fails(&["store", "restore", "b"]).contains("--replace"));

    // A damaged one is found out and put nowhere, wherever the damage is.
    let bytes = fs::read(place.at("b")).unwrap();
    for cut in [bytes.len() / 2, bytes.len() - 1, 0] {
        place.write("cut", &bytes[..cut]);
        let before = contents(&place.at("data"));
        assert!(place.fails(&["store", "restore", "--replace", "cut"]).contains("cut is damaged"));
        assert!(place.fails(&["store", "check", "cut"]).contains("cut is damaged"));
        assert_eq!(contents(&place.at("data")), before);
    }
    let text = b"client.create";
    // All of them: a page that is no longer in use may have one, too.
    let places = bytes.windows(text.len()).enumerate().filter(|(_, window)| window == text).map(|(at, _)| at);
    let mut altered = bytes.clone();
    places.for_each(|at| altered[at] ^= 1);
    place.write("altered", &altered);
    assert!(place.fails(&["store", "check", "altered"]).contains("altered is damaged"));

    // With --replace the old one is kept, and what is missing is named.
    let server = place.start(&[]);
    let (later, _) = place.client(&["later"]);
    assert_eq!(server.stop("-TERM").code, Some(0));
    let old = fs::read(place.store()).unwrap();
    let key = place.key_files()[0].clone();
    fs::rename(place.at(&format!("keys/{key}.pem")), place.at("taken.pem")).unwrap();
    let restored = place.json(&["store", "restore", "--replace", "b"]);
    assert_eq!(restored["missing_keys"][0]["kid"], json!(key), "{restored}");
    assert_eq!(fs::read(restored["kept"].as_str().map(|kept| place.at(kept)).unwrap()).unwrap(), old);
    fs::rename(place.at("taken.pem"), place.at(&format!("keys/{key}.pem"))).unwrap();
    let server = place.start(&[]);
    server.token(&id, &secret).await;
    assert_eq!(ask(&place.socket(), "GET", &format!("clients/{later}"), &Value::Null).unwrap().0, 404);
    let left: Vec<_> = fs::read_dir(place.at("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".new")), "{left:?}");
}

#[test]
fn a_record_that_was_altered_with_its_checksum_is_named() {
    let place = Place::new();
    drop(place.start(&[]).stop("-TERM"));
    let alter = |table: &str, key: u64| {
        let store = redb::Database::open(place.store()).unwrap();
        let transaction = store.begin_write().unwrap();
        let audit: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new(table);
        let record = transaction.open_table(audit).unwrap().get(key).unwrap().unwrap().value().to_vec();
        let text = String::from_utf8(record).unwrap().replacen("\"at\":1", "\"at\":2", 1);
        transaction.open_table(audit).unwrap().insert(key, text.as_bytes()).unwrap();
        transaction.commit().unwrap();
    };
    alter("audit", 1);
    let ran = place.run(&["store", "check"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("the chain is broken at record 2"), "{}", ran.err);
    // And no backup is made of it that would be taken for a good one.
    assert!(place.fails(&["store", "backup", "b"]).contains("audit"));
    assert!(!place.at("b").exists());
}
