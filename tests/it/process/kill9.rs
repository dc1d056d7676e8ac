//! What was acknowledged is there after a crash, whenever it comes.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Mintage, Place, ask, audit, random, seed, spawn, speak};

const ROUNDS: usize = 24;
const FIRST_STARTS: usize = 10;
const WRITERS: usize = 4;
/// The issuer has to be the same on whatever port the next start listens.
const ARGS: [&str; 2] = ["--issuer", "http://127.0.0.1:1"];

/// A change that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Create,
    /// A new secret; `true` ends the others at once.
    Rotate(bool),
    Enable,
    Disable,
    Revoke,
    Delete,
}

/// A client as far as the server has acknowledged it.
#[derive(Debug, Default)]
struct Known {
    /// Whether it was made, and is not deleted.
    is_there: bool,
    is_disabled: bool,
    /// Whether a change that was not answered left it without a secret that anybody knows: it is left alone then.
    is_lost: bool,
    /// Secrets that authenticate while it is enabled.
    live: Vec<String>,
    /// Secrets that never do again.
    ended: Vec<String>,
    /// A token that is good unless it was cut off.
    token: Option<String>,
    cut_off: Vec<String>,
    /// How many changes were acknowledged.
    changes: usize,
    /// A change that was sent and not answered: it may have been made, or not.
    unanswered: Option<Change>,
}

impl Known {
    fn acknowledge(&mut self, change: Change, answer: &Value) {
        self.changes += 1;
        let secret = || answer["client_secret"].as_str().unwrap().to_owned();
        match change {
            Change::Create => {
                self.is_there = true;
                self.live = vec![secret()];
            }
            Change::Rotate(alone) => {
                if alone {
                    self.ended.append(&mut self.live);
                }
                self.live.push(secret());
            }
            Change::Enable => self.is_disabled = false,
            Change::Disable | Change::Revoke => {
                self.is_disabled = true;
                self.cut_off.extend(self.token.take());
            }
            Change::Delete => {
                self.is_there = false;
                self.cut_off.extend(self.token.take());
            }
        }
    }
}

pub(super) fn exchange(address: SocketAddr, id: &str, secret: &str) -> io::Result<(u16, Value)> {
    let basic = STANDARD.encode(format!("{id}:{secret}"));
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nAuthorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded"
    );
    speak(TcpStream::connect(address)?, &head, "grant_type=client_credentials")
}

pub(super) fn whoami(address: SocketAddr, token: &str) -> (u16, Value) {
    let head = format!("GET /api/v1/whoami HTTP/1.1\r\nAuthorization: Bearer {token}");
    speak(TcpStream::connect(address).unwrap(), &head, "").unwrap()
}

/// Changes clients of its own until the server is gone. Whether that cut a request off.
fn write(
    writer: usize,
    socket: &Path,
    address: SocketAddr,
    state: &mut u64,
    known: &mut BTreeMap<String, Known>,
    stop: &AtomicBool,
) -> bool {
    while !stop.load(Ordering::SeqCst) {
        let there: Vec<String> =
            known.iter().filter(|(_, k)| k.is_there && !k.is_lost).map(|(id, _)| id.clone()).collect();
        let draw = random(state);
        let (id, change) = if there.len() < 3 || (there.len() < 6 && draw.is_multiple_of(4)) {
            (format!("w{writer}-{}", known.len()), Change::Create)
        } else {
            let id = there[(draw >> 8) as usize % there.len()].clone();
            let change = match (draw >> 32) % 16 {
                0..=4 => Change::Rotate(false),
                5..=8 => Change::Rotate(true),
                9 | 10 => Change::Disable,
                11 | 12 => Change::Revoke,
                // What is enabled already is no change, and leaves no record.
                13 | 14 if known.get(&id).is_some_and(|client| client.is_disabled) => Change::Enable,
                13 | 14 => Change::Disable,
                _ => Change::Delete,
            };
            (id, change)
        };
        let client = known.entry(id.clone()).or_default();
        if let (None, Some(secret), false) = (&client.token, client.live.last(), client.is_disabled) {
            match exchange(address, &id, secret) {
                Ok((200, body)) => client.token = Some(body["access_token"].as_str().unwrap().to_owned()),
                Ok(other) => panic!("{id}: an acknowledged secret is refused: {other:?}"),
                Err(_) => return false,
            }
        }
        let path = format!("clients/{id}");
        client.unanswered = Some(change);
        let answer = match change {
            Change::Create => ask(socket, "POST", "clients", &json!({ "name": "written", "client_id": id })),
            Change::Rotate(alone) => {
                let overlap = if alone { 0 } else { 3600 };
                ask(socket, "POST", &format!("{path}/secrets"), &json!({ "overlap": overlap }))
            }
            Change::Enable => ask(socket, "PATCH", &path, &json!({ "status": "active" })),
            Change::Disable => ask(socket, "PATCH", &path, &json!({ "status": "disabled" })),
            Change::Revoke => ask(socket, "POST", &format!("{path}/revoke"), &json!({})),
            Change::Delete => ask(socket, "DELETE", &path, &Value::Null),
        };
        match answer {
            Ok((200..=299, body)) => {
                client.acknowledge(change, &body);
                client.unanswered = None;
            }
            // As many secrets as there can be.
            Ok((409, _)) if matches!(change, Change::Rotate(_)) => client.unanswered = None,
            Ok(other) => panic!("{change:?} of {id}: {other:?}"),
            Err(error) => {
                let sent = !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
                if !sent {
                    client.unanswered = None;
                }
                return sent;
            }
        }
    }
    false
}

/// Compares what is there with what was acknowledged, and takes over what a change that was not answered did.
fn check(server: &Mintage, place: &Place, known: &mut BTreeMap<String, Known>) {
    let (_, list) = ask(&place.socket(), "GET", "clients?limit=1000", &Value::Null).unwrap();
    let list: HashMap<&str, &Value> =
        list["items"].as_array().unwrap().iter().map(|c| (c["client_id"].as_str().unwrap(), c)).collect();
    for (id, known) in known {
        let unanswered = known.unanswered.take();
        let found = list.get(id.as_str());
        if found.is_some() != known.is_there && !known.is_lost {
            assert!(
                matches!(unanswered, Some(Change::Create | Change::Delete)),
                "{id}: there is {found:?}; acknowledged was {known:?}"
            );
            known.is_there = found.is_some();
            known.is_lost = unanswered == Some(Change::Create);
            known.cut_off.extend(known.token.take().filter(|_| found.is_none()));
        }
        for token in &known.cut_off {
            let (status, body) = whoami(server.address, token);
            assert_eq!((status, body["reason"].as_str()), (401, Some("token_revoked")), "{id}: a dead token lives");
        }
        let Some(found) = found.filter(|_| !known.is_lost) else { continue };
        let disabled = found["status"] == "disabled";
        if disabled != known.is_disabled {
            assert!(
                matches!(
                    (disabled, unanswered),
                    (true, Some(Change::Disable | Change::Revoke)) | (false, Some(Change::Enable))
                ),
                "{id}: there is {found}; acknowledged was {known:?}"
            );
            known.is_disabled = disabled;
        }
        let cut = matches!(unanswered, Some(Change::Disable | Change::Revoke));
        if let Some(token) = known.token.take() {
            match whoami(server.address, &token).0 {
                200 => known.token = Some(token),
                401 if cut => known.cut_off.push(token),
                other => panic!("{id}: a token that was not cut off is answered with {other}"),
            }
        }
        let ended = unanswered == Some(Change::Rotate(true));
        known.live.retain(|secret| match exchange(server.address, id, secret).unwrap().0 {
            200 => !disabled,
            // Its successor was made, and nobody has that; or that cannot be told as long as it is disabled.
            401 if ended => false,
            401 if disabled => true,
            other => panic!("{id}: an acknowledged secret is answered with {other}"),
        });
        known.is_lost = known.live.is_empty();
        for secret in known.ended.iter().rev().take(2) {
            assert_eq!(exchange(server.address, id, secret).unwrap().0, 401, "{id}: a secret that had ended lives");
        }
    }
}

/// A chain without a gap that has each acknowledged change once.
fn check_audit(place: &Place, known: &mut BTreeMap<String, Known>, unanswered: &HashMap<String, Change>) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for record in audit(&place.store()) {
        if record["action"].as_str().unwrap().starts_with("client.") {
            *counts.entry(record["target"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    for (id, known) in known {
        let count = counts.get(id).copied().unwrap_or(0);
        let most = known.changes + usize::from(unanswered.contains_key(id));
        assert!(
            (known.changes..=most).contains(&count),
            "{id}: {count} records of {} to {most} changes",
            known.changes
        );
        known.changes = count;
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let mut state = seed("what_was_acknowledged_survives_kill_9");
    let place = Place::new();
    place.write("mintage.toml", "[limits.failed_auth]\ndelay = \"0s\"\n");
    let mut known: Vec<BTreeMap<String, Known>> = (0..WRITERS).map(|_| BTreeMap::new()).collect();
    let (mut in_flight, mut acknowledged) = (0, 0);
    for round in 0..ROUNDS {
        let mut server = place.start(&ARGS);
        let (address, socket, stop) = (server.address, place.socket(), AtomicBool::new(false));
        let pause = Duration::from_micros(random(&mut state) % 200_000);
        let seeds: Vec<u64> = (0..WRITERS).map(|_| random(&mut state)).collect();
        let cut = std::thread::scope(|scope| {
            let writers: Vec<_> = known
                .iter_mut()
                .zip(seeds)
                .enumerate()
                .map(|(writer, (known, mut state))| {
                    let (socket, stop) = (&socket, &stop);
                    scope.spawn(move || write(writer, socket, address, &mut state, known, stop))
                })
                .collect();
            std::thread::sleep(pause);
            if round % 5 == 4 {
                // In the middle of a stop.
                server.hint("-TERM");
                std::thread::sleep(Duration::from_micros(random(&mut state) % 4000));
            }
            server.signal("-KILL");
            stop.store(true, Ordering::SeqCst);
            writers.into_iter().map(|writer| writer.join().unwrap()).filter(|sent| *sent).count()
        });
        in_flight += usize::from(cut > 0);

        let unanswered: HashMap<String, Change> =
            known.iter().flatten().filter_map(|(id, known)| Some((id.clone(), known.unanswered?))).collect();
        // A crash while the last one is being recovered from.
        if round % 3 == 0 {
            let (mut child, _out, _err) = spawn(&mut place.command(&["--listen", "127.0.0.1:0"]));
            std::thread::sleep(Duration::from_micros(random(&mut state) % 30_000));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let server = place.start(&ARGS);
        for known in &mut known {
            check(&server, &place, known);
        }
        if round % 2 == 0 {
            drop(server.stop("-TERM"))
        } else {
            server.kill9()
        }
        for known in &mut known {
            check_audit(&place, known, &unanswered);
        }
        acknowledged = known.iter().flat_map(BTreeMap::values).map(|known| known.changes).sum();
    }
    eprintln!("{ROUNDS} kills, {in_flight} while a write was in flight, {acknowledged} changes");
    assert!(in_flight * 4 >= ROUNDS, "only {in_flight} of {ROUNDS} kills came while a write was in flight");
    assert!(acknowledged > ROUNDS * 3, "only {acknowledged} changes were acknowledged: this says nothing");
}

#[test]
fn a_kill_during_the_first_start_spoils_nothing() {
    let mut state = seed("a_kill_during_the_first_start_spoils_nothing");
    let start = Instant::now();
    drop(Place::new().start(&[]));
    let mut usual = start.elapsed().as_micros() as u64;
    let (mut unfinished, mut without) = (0, Vec::new());
    for round in 0..FIRST_STARTS {
        let place = Place::new();
        let pause = usual * (round as u64 + 1) / FIRST_STARTS as u64 + random(&mut state) % (usual / 8 + 1);
        let (mut child, _out, mut err) = spawn(&mut place.command(&["--listen", "127.0.0.1:0"]));
        std::thread::sleep(Duration::from_micros(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        match err.finish().contains("listening") {
            false => unfinished += 1,
            // What is usual while the machine is busy is long when it is not.
            true => usual = usual.min(pause * 3 / 4),
        }

        let server = place.start(&[]);
        // It may have been killed before it could show the secret; but the client is there, or is made and shown now.
        if place.run(&["client", "show", "quickstart"]).code != Some(0) {
            without.push(pause);
        }
        let keys = place.json(&["key", "list"]);
        let states: Vec<_> = keys["items"].as_array().unwrap().iter().map(|k| k["state"].as_str().unwrap()).collect();
        assert_eq!((states.contains(&"active"), states.contains(&"next"), states.len()), (true, true, 2), "{keys}");
        assert_eq!(server.stop("-TERM").code, Some(0));
        audit(&place.store());
    }
    eprintln!("{unfinished} of {FIRST_STARTS} kills came before the server listened");
    assert!(unfinished >= 3, "only {unfinished} kills came during the start");
    assert!(without.is_empty(), "nobody was introduced after kills at {without:?} µs");
}
