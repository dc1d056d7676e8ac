//! kill -9 at random moments: nothing acknowledged is lost, and nothing is half there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use mintage::clock::UnixTime;
use mintage::crypto::entropy::{Entropy, SeededEntropy, SystemEntropy};
use mintage::crypto::sha256;
use mintage::server::store::Store;
use mintage::server::store::redb::RedbStore;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Server, command, json, token_request};

const ROUNDS: usize = 16;
const WRITERS: usize = 3;

/// What the server has acknowledged of a client: its newest secret, and whether it is disabled.
#[derive(Clone, Debug)]
struct Known {
    secret: String,
    disabled: bool,
    /// Whether a change was sent that was never answered: it may or may not have been made.
    in_doubt: bool,
}

type Ledger = Arc<Mutex<BTreeMap<String, Known>>>;

/// One request over the admin socket. None where the server went away before it answered.
async fn call(socket: &Path, method: &str, path: &str, body: &Value) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    let body = body.to_string();
    let request = format!(
        "{method} /api/v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 2"), "{answer}");
    serde_json::from_str(body).ok()
}

/// Makes and changes clients until the server goes away.
async fn write(socket: PathBuf, ledger: Ledger, prefix: String, in_flight: Arc<AtomicUsize>) {
    for n in 0.. {
        let id = format!("{prefix}-{n}");
        in_flight.fetch_add(1, Ordering::SeqCst);
        let made = call(&socket, "POST", "clients", &json!({"name": id, "client_id": id})).await;
        let Some(made) = made else { return };
        in_flight.fetch_sub(1, Ordering::SeqCst);
        let secret = made["client_secret"].as_str().unwrap().to_owned();
        ledger.lock().unwrap().insert(id.clone(), Known { secret, disabled: false, in_doubt: false });
        let (method, path, body) = match n % 3 {
            0 => ("POST", format!("clients/{id}/secrets"), json!({"overlap": 3600})),
            1 => ("POST", format!("clients/{id}/revoke"), json!({})),
            _ => continue,
        };
        ledger.lock().unwrap().get_mut(&id).unwrap().in_doubt = true;
        in_flight.fetch_add(1, Ordering::SeqCst);
        let Some(changed) = call(&socket, method, &path, &body).await else { return };
        in_flight.fetch_sub(1, Ordering::SeqCst);
        let mut ledger = ledger.lock().unwrap();
        let known = ledger.get_mut(&id).unwrap();
        known.in_doubt = false;
        known.disabled = changed["status"] == "disabled";
        if let Some(secret) = changed["client_secret"].as_str() {
            known.secret = secret.to_owned();
        }
    }
}

fn random(entropy: &dyn Entropy, below: u64) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

fn seed() -> u64 {
    let seed = std::env::var("MINTAGE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| random(&SystemEntropy::new(), u64::MAX));
    println!("MINTAGE_TEST_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost() {
    let entropy = SeededEntropy::new(seed());
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("data/admin.sock");
    let ledger: Ledger = Ledger::default();
    let mut during_a_write = 0;
    for round in 0..ROUNDS {
        let mut server = Server::start(dir.path(), &["--no-quickstart"]);
        check(&server, &ledger, &entropy).await;
        let in_flight = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let prefix = format!("r{round}w{writer}");
                tokio::spawn(write(socket.clone(), Arc::clone(&ledger), prefix, Arc::clone(&in_flight)))
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(random(&entropy, 400_000))).await;
        if in_flight.load(Ordering::SeqCst) > 0 {
            during_a_write += 1;
        }
        server.kill();
        for writer in writers {
            writer.await.unwrap();
        }
    }
    assert!(during_a_write * 4 >= ROUNDS, "only {during_a_write} of {ROUNDS} kills were during a write");
    let server = Server::start(dir.path(), &["--no-quickstart"]);
    check(&server, &ledger, &entropy).await;
    assert!(ledger.lock().unwrap().len() > ROUNDS, "too few changes to tell");
    assert_eq!(server.terminate().0, Some(0));
    the_chain_holds(&dir.path().join("data/mintage.redb")).await;
}

/// That every acknowledged client is as it was acknowledged: all in the list, a sample at the token endpoint.
async fn check(server: &Server, ledger: &Ledger, entropy: &dyn Entropy) {
    let listed = json(&server.dir, &["client", "list"]);
    let status: BTreeMap<_, _> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| (client["client_id"].as_str().unwrap().to_owned(), client["status"] == "disabled"))
        .collect();
    let known = ledger.lock().unwrap().clone();
    for (id, known) in &known {
        let disabled = status.get(id).unwrap_or_else(|| panic!("{id} is lost"));
        assert!(known.in_doubt || *disabled == known.disabled, "{id}: {known:?}");
    }
    let sure: Vec<_> = known.iter().filter(|(_, known)| !known.in_doubt).collect();
    for _ in 0..sure.len().min(10) {
        let (id, known) = sure[random(entropy, sure.len() as u64) as usize];
        let answer = token_request(&server.base, id, &known.secret).await;
        assert_eq!(answer.status(), if known.disabled { 401 } else { 200 }, "{id}: {known:?}");
    }
}

/// That each record holds the hash of the one before it, and the last that of the head.
async fn the_chain_holds(path: &Path) {
    let (store, _) = RedbStore::open(path, [0; 32], UnixTime::from_seconds(0)).unwrap();
    let (head, records) = store.audit(1, usize::MAX).await.unwrap();
    assert_eq!(records.len() as u64, head.sequence);
    let mut previous = "genesis".to_owned();
    for (index, bytes) in records.iter().enumerate() {
        let record: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!((&record["sequence"], &record["previous"]), (&json!(index + 1), &json!(previous)));
        previous = STANDARD_NO_PAD.encode(sha256(bytes));
    }
    assert_eq!(head.hash, previous);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_is_killed_can_be_made_again() {
    let entropy = SeededEntropy::new(seed());
    for _ in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let mut child = command(dir.path(), ["serve", "--listen", "127.0.0.1:0"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            tokio::time::sleep(Duration::from_micros(random(&entropy, 120_000))).await;
            drop(child.kill());
            drop(child.wait());
        }
        let server = Server::start(dir.path(), &[]);
        let keys = json(dir.path(), &["key", "list"]);
        assert_eq!(keys["items"].as_array().unwrap().len(), 2);
        assert_eq!(server.terminate().0, Some(0));
        let left: Vec<_> =
            std::fs::read_dir(dir.path().join("data")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["mintage.redb"], "nothing unfinished is left");
    }
}
