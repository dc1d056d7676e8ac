//! Token files: whole, fresh, and nobody else's to read, whatever happens.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{
    Agent, At, Over, Place, Say, Site, claims, clean, finish, mode, now, others, pause, random, scripted,
    scripted_on_socket, seed, wait_for,
};
use crate::source::Endpoint;

fn written(path: &Path) -> String {
    wait_for("the token file", || fs::read_to_string(path).ok())
}

#[test]
fn it_is_the_bare_token_and_its_owners_alone() {
    let site = Site::new(&["--scope", "mintage:projects:read"]);
    let told = site.command(&["--file", "token", "--socket", "agent.sock"]);
    let mut loose = clean("sh");
    loose.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(told.get_program()).args(told.get_args());
    let _agent = Agent::spawn({
        loose.current_dir(site.place.at(""));
        loose
    });
    let path = site.place.at("token");
    let token = written(&path);
    assert!(!token.contains(char::is_whitespace) && token.split('.').count() == 3, "{token:?}");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(At::Unix(site.place.at("agent.sock")).token(), token);
    assert!(site.may(&token));
}

/// One name, one length: whatever a reader finds has to be one of the tokens.
fn is_whole(token: &str) -> bool {
    token.strip_prefix("token-").is_some_and(|number| number.len() == PAD && number.parse::<u64>().is_ok())
}

/// As long as what the endpoint says, so that half of it is no token.
const PAD: usize = 2000;

fn many(count: usize, url: &str) -> String {
    let token = |n| {
        format!("[[token]]\nname = \"t{n}\"\ntoken_url = \"{url}/token\"\nscopes = [\"s{n}\"]\nfile = \"out/t{n}\"\n")
    };
    (0..count).map(token).collect()
}

#[test]
fn a_reader_never_sees_less_than_a_token() {
    const FILES: usize = 60;
    let place = Place::new();
    let endpoint = Endpoint::new(Say::padded(PAD, 2));
    fs::create_dir(place.at("out")).unwrap();
    place.write("agent.toml", many(FILES, &endpoint.url));
    let mut command = place.command(&["agent", "--config", "agent.toml"]);
    command.env("MINTAGE_CLIENT_ID", "billing").env("MINTAGE_CLIENT_SECRET", "x");
    let _agent = Agent::spawn(command);
    let paths: Vec<_> = (0..FILES).map(|n| place.at(&format!("out/t{n}"))).collect();
    paths.iter().for_each(|path| drop(written(path)));
    let over = AtomicBool::new(false);
    let (reads, renewals) = std::thread::scope(|scope| {
        let read = || {
            let (mut reads, mut renewals, mut last) = (0_u64, 0_u64, vec![String::new(); FILES]);
            while !over.load(Ordering::Relaxed) {
                for (path, last) in paths.iter().zip(&mut last) {
                    let token = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
                    assert!(is_whole(&token), "{path:?}: {token:?}");
                    reads += 1;
                    if *last != token {
                        renewals += 1;
                        *last = token;
                    }
                }
            }
            (reads, renewals)
        };
        let reader = scope.spawn(read);
        let end = Over(&over);
        let start = Instant::now();
        wait_for("renewals", || (endpoint.asked() >= 4 * FILES || start.elapsed().as_secs() > 20).then_some(()));
        drop(end);
        reader.join().unwrap()
    });
    eprintln!("{reads} reads, {renewals} tokens in {FILES} files");
    assert!(renewals >= 200, "{renewals} renewals say nothing");
    let names: Vec<_> = (0..FILES).map(|n| format!("t{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    wait_for("nothing unfinished to be left", || others(&place.at("out"), &names).is_empty().then_some(()));
}

#[test]
fn after_kill_9_it_is_whole_and_fresh() {
    const ROUNDS: usize = 16;
    let mut state = seed("after_kill_9_it_is_whole_and_fresh");
    let site = Site::new(&["--scope", "mintage:projects:read", "--token-ttl", "2s"]);
    fs::create_dir(site.place.at("out")).unwrap();
    let path = site.place.at("out/token");
    let mut before = String::new();
    for round in 0..ROUNDS {
        let mut agent = site.agent(&["--file", "out/token"]);
        if round % 4 == 0 {
            let since = now();
            let token = wait_for("a fresh file", || fs::read_to_string(&path).ok().filter(|token| *token != before));
            assert!(claims(&token)["iat"].as_i64().unwrap() >= since, "{token}");
            assert!(site.may(&token), "round {round}");
            // In the middle of renewals, the other times.
            pause(random(&mut state) % 1700);
        } else {
            std::thread::sleep(Duration::from_micros(random(&mut state) % 60_000));
        }
        agent.hint("-KILL");
        agent.end();
        if let Ok(token) = fs::read_to_string(&path) {
            assert!(token.split('.').count() == 3 && claims(&token)["exp"].is_i64(), "round {round}: {token:?}");
            assert_eq!(mode(&path), 0o600);
            before = token;
        }
    }
    // As many as there were kills may be left; the next start takes them away.
    site.place.write("out/.token.AAAAAAAAAAAA.new", "eyJ");
    let _agent = site.agent(&["--file", "out/token"]);
    let token = wait_for("a fresh file", || fs::read_to_string(&path).ok().filter(|token| *token != before));
    assert!(site.may(&token));
    wait_for("leftovers to go", || others(&site.place.at("out"), &["token"]).is_empty().then_some(()));
}

/// What `agent status` says of the one token.
fn health(place: &Place) -> (Option<i32>, serde_json::Value) {
    let ran = place.run(&["agent", "status", "--socket", "agent.sock", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
    (ran.code, said["tokens"][0].clone())
}

/// The path of a token file that cannot be written at first, and how that is mended.
fn mends_itself(place: &Place, file: &str, says: &str, mend: impl FnOnce()) {
    let endpoint = Endpoint::new(Say::lives(600));
    let (mut agent, at) = scripted_on_socket(place, &endpoint, &["--file", file]);
    let token = at.token();
    let said = agent.until("the failure", |_| Some(health(place)).filter(|said| said.1["file_error"].is_string()));
    assert_eq!(said.0, Some(1), "{}", said.1);
    let error = said.1["file_error"].as_str().unwrap();
    assert!(error.contains(file) && error.contains(says), "{error}");
    assert_eq!(said.1["valid"], true);
    let table = place.run(&["agent", "status", "--socket", "agent.sock"]);
    assert!(table.code == Some(1) && table.out.contains(file) && table.out.contains("failing"), "{}", table.out);
    mend();
    assert_eq!(agent.until("the file", |_| fs::read_to_string(place.at(file)).ok()), token);
    agent.until("all to be good", |_| (health(place).0 == Some(0)).then_some(()));
    assert_eq!(endpoint.asked(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_said_and_waited_for() {
    let place = Place::new();
    mends_itself(&place, "later/token", "No such file", || fs::create_dir(place.at("later")).unwrap());
}

#[test]
fn a_disk_that_is_full_is_said_and_waited_for() {
    let place = Place::new();
    let full = place.at("full");
    fs::create_dir(&full).unwrap();
    let mounted = finish(
        {
            let mut mount = clean("mount");
            mount.args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&full);
            mount
        },
        "",
    );
    if mounted.code != Some(0) {
        eprintln!("SKIPPED: no disk can be mounted here: {}", mounted.err);
        return;
    }
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            drop(Command::new("umount").arg("-l").arg(self.0).status());
        }
    }
    let _mounted = Mounted(&full);
    assert!(fs::write(full.join("ballast"), vec![0; 1 << 20]).is_err());
    mends_itself(&place, "full/token", "No space", || fs::remove_file(full.join("ballast")).unwrap());
    assert_eq!(others(&full, &["token"]), [""; 0], "left behind");
}

/// Whatever somebody does to it.
#[test]
fn it_comes_back() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    place.write("another", "somebody else's");
    let path = place.at("token");
    symlink(place.at("another"), &path).unwrap();
    let (mut agent, at) = scripted_on_socket(&place, &endpoint, &["--file", "token"]);
    let token = at.token();
    let is_good = || fs::symlink_metadata(&path).is_ok_and(|m| m.is_file()) && mode(&path) == 0o600;
    let mut whole = |_: &mut Agent| (fs::read_to_string(&path).ok()? == token && is_good()).then_some(());
    agent.until("the file", &mut whole);
    let start = Instant::now();
    fs::remove_file(&path).unwrap();
    agent.until("it to come back", &mut whole);
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    fs::remove_file(&path).unwrap();
    symlink(place.at("another"), &path).unwrap();
    agent.until("it to be a file again", &mut whole);
    assert_eq!(fs::read_to_string(place.at("another")).unwrap(), "somebody else's");
    assert_eq!(endpoint.asked(), 1);
}

#[test]
fn two_agents_on_one_file_spoil_nothing() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::padded(PAD, 2));
    let agents = [(); 2].map(|()| Agent::spawn(scripted(&place, &endpoint, &["--file", "token"])));
    let path = place.at("token");
    written(&path);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert!(is_whole(&fs::read_to_string(&path).unwrap()));
    }
    for agent in agents {
        let ran = agent.stop("-TERM");
        assert!(ran.code == Some(0) && !ran.err.contains("could not be written"), "{}", ran.err);
    }
    assert_eq!(others(&place.at(""), &["token"]), [""; 0], "left behind");
}
