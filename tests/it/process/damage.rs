//! A store that is not whole is refused and left as it is: it is never mended by going back to an older state, and no
//! new one is made beside it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{Mintage, Place, ask, audit, contents, is_root, random, seed};

/// redb's pages.
const PAGE: usize = 4096;
/// redb's header: its flags, its sizes and two commit slots.
const HEADER: usize = 320;
/// Where its flags are.
const FLAGS: usize = 9;

/// What a store has, as far as it can be asked for.
#[derive(PartialEq)]
struct Facts {
    clients: Value,
    apis: Value,
    keys: Value,
    audit: Vec<Value>,
}

fn facts(place: &Place, server: Mintage) -> Facts {
    let list = |what: &str| match ask(&place.socket(), "GET", &format!("{what}?limit=1000"), &Value::Null).unwrap() {
        (200, items) => items,
        other => panic!("{what}: {other:?}"),
    };
    let (clients, apis, keys) = (list("clients"), list("apis"), list("keys"));
    assert_eq!(server.stop("-TERM").code, Some(0));
    let mut audit = audit(&place.store());
    // Each start after a crash says so, at a time of its own.
    audit.retain(|record| record["action"] != "audit.gap");
    Facts { clients, apis, keys, audit }
}

/// A stopped place with a store that is worth something, and what is in it. `crashed`: its server was not stopped but
/// killed, so that the next start has to recover.
fn filled(crashed: bool) -> (Place, Facts) {
    let place = Place::new();
    let server = place.start(&[]);
    let change = |method: &str, path: &str, body: Value| {
        let (status, body) = ask(&place.socket(), method, path, &body).unwrap();
        assert!((200..300).contains(&status), "{path}: {body}");
    };
    let scopes: Vec<_> = (0..100).map(|n| format!("orders:read:{n}")).collect();
    let definitions: Vec<_> = scopes.iter().map(|name| json!({ "name": name })).collect();
    change("POST", "apis", json!({ "identifier": "https://orders.example", "scopes": definitions }));
    for n in 0..12 {
        let (id, text) = (format!("client-{n}"), "long ".repeat(50));
        let new = json!({ "client_id": id, "name": "billing", "description": text, "scopes": scopes[..20] });
        change("POST", "clients", new);
    }
    for n in 0..6 {
        change("POST", &format!("clients/client-{n}/secrets"), json!({ "overlap": 3600 }));
    }
    change("DELETE", "clients/client-11", Value::Null);
    change("POST", "clients/client-10/revoke", json!({}));
    if crashed {
        server.kill9()
    } else {
        drop(server.stop("-TERM"))
    }
    let copy = place.copy();
    let facts = facts(&copy, copy.start(&[]));
    assert_eq!(facts.clients["items"].as_array().unwrap().len(), 12);
    (place, facts)
}

/// Starts on what is at the store's place, which has to be refused by name and left as it is.
fn refused(what: &str, place: &Place) {
    let before = contents(&place.at("."));
    let message = place.refused(&[]);
    assert!(message.contains("data/mintage.redb"), "{what}: {message}");
    assert!(!message.contains("panicked"), "{what}: {message}");
    let mut after = contents(&place.at("."));
    after.retain(|path, now| before.get(path) != Some(now));
    assert_eq!(after, BTreeMap::new(), "{what}: changed or made by a start that was refused");
}

#[test]
fn a_store_that_is_cut_off_or_overwritten_is_refused() {
    for crashed in [false, true] {
        let (place, _) = filled(crashed);
        let whole = fs::read(place.store()).unwrap();
        let with = |range: Range<usize>, byte: u8| {
            let mut bytes = whole.clone();
            bytes[range].fill(byte);
            bytes
        };
        for (what, bytes) in [
            ("half of it", whole[..whole.len() / 2].to_vec()),
            ("half of it, off a page", whole[..whole.len() / 2 + 1000].to_vec()),
            ("the header alone", whole[..HEADER].to_vec()),
            ("one page", whole[..PAGE].to_vec()),
            ("one byte less", whole[..whole.len() - 1].to_vec()),
            ("one byte", whole[..1].to_vec()),
            ("nothing", Vec::new()),
            ("garbage over all of it", vec![0xa5; whole.len()]),
            ("garbage over its first page", with(0..PAGE, 0xa5)),
            ("a header of zeros", with(0..HEADER, 0)),
            ("a first page of zeros", with(0..PAGE, 0)),
            ("zeros", vec![0; whole.len()]),
            ("no magic number", with(0..9, 0)),
            ("a text", b"these are not the bytes you are looking for\n".to_vec()),
        ] {
            fs::write(place.store(), bytes).unwrap();
            refused(what, &place);
        }
    }
}

#[test]
fn what_is_no_store_is_refused() {
    let (place, _) = filled(false);
    fs::remove_file(place.store()).unwrap();
    fs::create_dir(place.store()).unwrap();
    refused("a folder", &place);
    fs::remove_dir(place.store()).unwrap();

    std::os::unix::fs::symlink("elsewhere.redb", place.store()).unwrap();
    refused("a link to nothing", &place);
    fs::remove_file(place.store()).unwrap();

    fs::write(place.store(), [b"SQLite format 3\0".as_slice(), &[0; 8176]].concat()).unwrap();
    refused("a file of another database", &place);
}

#[test]
fn a_redb_file_of_another_program_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.at("data")).unwrap();
    drop(redb::Database::create(place.store()).unwrap());
    refused("a redb file without tables", &place);
    fs::remove_file(place.store()).unwrap();

    let other = redb::Database::create(place.store()).unwrap();
    let table = redb::TableDefinition::<u64, u64>::new("numbers");
    let transaction = other.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(other);
    refused("a redb file of another program", &place);
}

#[test]
fn an_unreadable_store_is_refused() {
    let (place, facts_before) = filled(false);
    if is_root(&place) {
        eprintln!("SKIPPED an_unreadable_store_is_refused: root can read everything");
        return;
    }
    for bits in [0o000, 0o400] {
        fs::set_permissions(place.store(), fs::Permissions::from_mode(bits)).unwrap();
        let message = place.refused(&[]);
        assert!(message.contains("data/mintage.redb"), "{message}");
        assert_eq!(super::mode(&place.store()), bits);
    }
    fs::set_permissions(place.store(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(facts(&place, place.start(&[])) == facts_before);
}

/// Flips one bit at each of `places`, each in a copy of its own: the start is refused, or everything is there. How
/// many were refused.
fn flip(place: &Place, whole: &[u8], facts_before: &Facts, places: &[(usize, u8)]) -> usize {
    let refusals = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    let work = || {
        let copy = place.copy();
        while let Some((offset, bit)) = places.get(next.fetch_add(1, Ordering::SeqCst)) {
            let what = format!("bit {bit} of byte {offset}");
            let mut bytes = whole.to_vec();
            bytes[*offset] ^= 1 << bit;
            fs::write(copy.store(), &bytes).unwrap();
            match Mintage::try_spawn(copy.command(&["--listen", "127.0.0.1:0"])) {
                Err(ran) => {
                    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{what}: {}", ran.err);
                    assert!(ran.err.contains("data/mintage.redb is damaged"), "{what}: {}", ran.err);
                    assert!(fs::read(copy.store()).unwrap() == bytes, "{what}: the file was changed");
                    assert_eq!(fs::read_dir(copy.at("data")).unwrap().count(), 1, "{what}: made beside the store");
                    refusals.fetch_add(1, Ordering::SeqCst);
                }
                Ok(server) => {
                    let now = facts(&copy, server);
                    let lost = facts_before.audit.len() - now.audit.len().min(facts_before.audit.len());
                    // Not printed: a store is long.
                    assert!(now == *facts_before, "{what} was taken, and {lost} changes are lost");
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for worker in [scope.spawn(work), scope.spawn(work)] {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    refusals.into_inner()
}

fn flips_in_pages(crashed: bool, mut state: u64) {
    let (place, facts_before) = filled(crashed);
    let whole = fs::read(place.store()).unwrap();
    let used: Vec<usize> =
        (1..whole.len() / PAGE).filter(|n| whole[n * PAGE..][..PAGE].iter().any(|b| *b != 0)).collect();
    let places: Vec<_> = (0..80)
        .map(|_| {
            let page = used[random(&mut state) as usize % used.len()];
            let end = whole[page * PAGE..][..PAGE].iter().rposition(|b| *b != 0).unwrap() + 1;
            (page * PAGE + random(&mut state) as usize % end, (random(&mut state) % 8) as u8)
        })
        .collect();
    let refusals = flip(&place, &whole, &facts_before, &places);
    eprintln!("{refusals} of {} flipped bits in {} pages were found (crashed: {crashed})", places.len(), used.len());
    assert!(refusals >= places.len() / 10, "only {refusals} were in pages that are in use: this says nothing");
}

#[test]
fn a_flipped_bit_in_a_page_is_found_or_does_not_matter() {
    flips_in_pages(false, seed("a_flipped_bit_in_a_page_is_found_or_does_not_matter"));
}

#[test]
fn a_flipped_bit_in_a_page_after_a_crash_is_found_or_does_not_matter() {
    flips_in_pages(true, seed("a_flipped_bit_in_a_page_after_a_crash_is_found_or_does_not_matter"));
}

fn flips_in_the_header(crashed: bool) {
    let (place, facts_before) = filled(crashed);
    let whole = fs::read(place.store()).unwrap();
    // All of the flags; of the sizes each byte, and of the commit slots every third.
    let flags = (0..8).map(|bit| (FLAGS, bit));
    let rest = (0..34).chain((64..HEADER).step_by(3)).filter(|offset| *offset != FLAGS);
    let mut places: Vec<_> = flags.chain(rest.map(|offset| (offset, (offset % 8) as u8))).collect();
    if crashed {
        // The bit that names the newer commit slot. That it is the other way round is what a crash between the two
        // steps of a commit leaves, too: which it was, the file cannot say.
        places.retain(|place| *place != (FLAGS, 0));
    }
    let refusals = flip(&place, &whole, &facts_before, &places);
    eprintln!("{refusals} of {} flipped bits of the header were found (crashed: {crashed})", places.len());
    assert!(refusals >= places.len() / 4, "only {refusals} were found");
}

#[test]
fn a_flipped_bit_in_the_header_is_found_or_does_not_matter() {
    flips_in_the_header(false);
}

#[test]
fn a_flipped_bit_in_the_header_after_a_crash_is_found_or_does_not_matter() {
    flips_in_the_header(true);
}

/// The remains of a crash between the last two steps of the first start, and then the advice that the refusal gives:
/// to move the store away. What was moved away must stay what it was.
#[test]
fn beginning_anew_leaves_what_was_moved_away_alone() {
    let (place, facts_before) = filled(false);
    let remains = ["data/mintage.redb.new", "data/mintage.redb.new-1234"];
    for name in remains {
        fs::hard_link(place.store(), place.at(name)).unwrap();
    }
    let started = place.copy();
    assert!(facts(&started, started.start(&[])) == facts_before);
    let moved = place.at("moved.redb");
    fs::rename(place.store(), &moved).unwrap();
    let before = fs::read(&moved).unwrap();
    fs::remove_dir_all(place.at("keys")).unwrap();
    drop(place.start(&[]));
    assert!(fs::read(&moved).unwrap() == before, "the store that was moved away was overwritten by the new one");
}
