//! The program as it is run: real processes, real files, real signals, and nothing but 127.0.0.1.
#![allow(clippy::print_stderr, reason = "what was skipped, and the seed that repeats a failure, have to be seen")]

mod agent;
mod api_keys;
mod apply;
mod audit;
mod backup;
mod between;
mod canary;
mod changes;
mod cli;
mod config;
mod damage;
mod digest;
mod explain;
mod guards;
mod guide;
mod import;
mod interop;
mod key_files;
mod key_life;
mod kill9;
mod place;
mod proxies;
mod quotas;
mod races;
mod remote;
mod rotate;
mod running;
mod sample;
mod save;
mod schemathesis;
mod server;
mod start;
mod token_get;
mod tokens;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mintage::crypto::{Sha256, sha256};
use serde_json::Value;

use place::Place;
use server::Mintage;

/// Slower than this is hung, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a command printed, and how it ended.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// What a stream said so far.
struct Captured {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Captured {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&text);
        let read = move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        };
        Self { text, reader: Some(std::thread::spawn(read)) }
    }

    fn now(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// Everything, once the process has ended.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.now()
    }
}

/// Asks until there is an answer.
fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_for_as_long_as(PATIENCE, what, ask)
}

/// The same, for what takes longer.
fn wait_for_as_long_as<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A command whose environment says nothing to the program, and sends nothing to a proxy.
fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        if upper.starts_with("MINTAGE_") || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command
}

/// Cargo, with what the tests' own cargo set taken out.
fn cargo() -> Command {
    let mut command = clean(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_") || name == "CARGO_TARGET_DIR" {
            command.env_remove(&*name);
        }
    }
    command
}

/// Starts a command and listens to what it says.
fn spawn(command: &mut Command) -> (Child, Captured, Captured) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    (child, Captured::of(out), Captured::of(err))
}

/// Runs a command to its end.
fn finish(mut command: Command, input: &str) -> Ran {
    command.stdin(Stdio::piped());
    let (mut child, mut out, mut err) = spawn(&mut command);
    // A program that does not read its input may have gone already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} does not end; so far: {} {}", out.now(), err.now());
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    Ran { code: status.code(), out: out.finish(), err: err.finish() }
}

/// The names, modes and hashed contents (of files) below a folder: what must not change.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, Option<Sha256>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(contents(&path));
        }
        let hash = metadata.is_file().then(|| sha256(&fs::read(&path).unwrap()));
        found.insert(path, (metadata.permissions().mode(), hash));
    }
    found
}

/// The permission bits of a path.
fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Root reads everything, so that nothing can be made unreadable for it.
fn is_root(place: &Place) -> bool {
    let path = place.at("who-am-i");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::File::open(&path).is_ok();
    fs::remove_file(&path).unwrap();
    readable
}

/// The JSON documents that `text` is made of.
fn documents(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A member of a token, read without any check.
fn decoded(token: &str, part: usize) -> Value {
    use base64::Engine;
    let part = token.split('.').nth(part).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A request to the REST API over the admin socket. An error is one of the connection: nothing was answered, or not
/// all.
fn ask(socket: &Path, method: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("{method} /api/v1/{path} HTTP/1.1\r\nContent-Type: application/json");
    speak(UnixStream::connect(socket)?, &head, &body)
}

/// One request and its answer, without a client that tries again or keeps connections.
fn speak(mut stream: impl Read + Write, head: &str, body: &str) -> io::Result<(u16, Value)> {
    let length = body.len();
    // In one piece: a server that needs no body may answer and close before it came.
    let request = format!("{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::UnexpectedEof)?;
    let body = if body.is_empty() { "null" } else { body };
    Ok((status, serde_json::from_str(body).map_err(|_| io::ErrorKind::UnexpectedEof)?))
}

/// The audit records of a store that no server has, once their chain is found whole.
pub fn audit(store: &Path) -> Vec<Value> {
    use base64::Engine;
    use mintage::server::store::AuditReader;
    use mintage::server::store::redb::{OpenError, RedbStore};
    // Opening silences the process's panic hook for a moment, and two at once would silence it for good.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let (head, records) = std::thread::scope(|scope| {
        let read = || {
            let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let now = mintage::clock::UnixTime::from_seconds(0);
            // A process that another test spawns has this one's locks between its fork and its exec.
            let (store, fresh) = wait_for("the store's lock", || match RedbStore::open(store, [0; 32], now) {
                Err(OpenError::InUse(_)) => None,
                opened => Some(opened.unwrap()),
            });
            assert!(!fresh);
            runtime.block_on(store.audit(0, usize::MAX)).unwrap()
        };
        // Its own thread: the caller may be within a runtime.
        scope.spawn(read).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let mut previous = "genesis".to_owned();
    let mut parsed = Vec::new();
    for (index, bytes) in records.iter().enumerate() {
        let record: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(record["sequence"], index + 1);
        assert_eq!(record["previous"], previous, "the chain is broken before record {}", index + 1);
        previous = base64::engine::general_purpose::STANDARD_NO_PAD.encode(sha256(bytes));
        parsed.push(record);
    }
    assert_eq!((head.sequence, head.hash), (parsed.len() as u64, previous), "the head is not that of the last record");
    parsed
}

/// The next value of a generator that a seed starts (splitmix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The seed of a test that draws: `MINTAGE_TEST_SEED`, or a new one; printed, so that a failure can be repeated.
fn seed(test: &str) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = match std::env::var("MINTAGE_TEST_SEED") {
        Ok(text) => text.parse().expect("MINTAGE_TEST_SEED is a number"),
        Err(_) => now.as_nanos() as u64,
    };
    eprintln!("{test}: repeat with MINTAGE_TEST_SEED={seed}");
    seed
}
