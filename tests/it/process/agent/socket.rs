//! The socket: whose it is, and that nobody else's is taken away.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Agent, At, Over, Place, Say, clean, finish, mode, others, scripted, scripted_on_socket, wait_for};
use crate::source::Endpoint;

#[test]
fn it_is_its_owners_alone_from_the_moment_it_exists() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let socket = place.at("agent.sock");
    let over = AtomicBool::new(false);
    let modes = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut modes = Vec::new();
            while !over.load(Ordering::Relaxed) {
                if let Ok(metadata) = fs::symlink_metadata(&socket) {
                    modes.push(metadata.permissions().mode() & 0o7777);
                }
            }
            modes.dedup();
            modes
        });
        let end = Over(&over);
        for _ in 0..10 {
            let mut loose = clean("sh");
            let told = scripted(&place, &endpoint, &["--socket", "agent.sock"]);
            loose.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(told.get_program()).args(told.get_args());
            loose.envs(told.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(place.at(""));
            assert_eq!(Agent::spawn(loose).on(&socket).stop("-TERM").code, Some(0));
        }
        drop(end);
        watching.join().unwrap()
    });
    assert_eq!(modes, [0o600]);
    assert_eq!(others(&place.at(""), &[]), [""; 0], "left behind");
}

#[test]
fn a_stale_one_is_replaced_and_a_live_one_is_not() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let (mut agent, at) = scripted_on_socket(&place, &endpoint, &[]);
    let token = at.token();
    let inode = || fs::symlink_metadata(place.at("agent.sock")).unwrap().ino();
    let (first, second) = (inode(), scripted(&place, &endpoint, &["--socket", "agent.sock"]));
    let ran = finish(second, "");
    assert!(ran.code == Some(1) && ran.err.contains("agent.sock"), "{}", ran.err);
    assert_eq!((inode(), at.token()), (first, token));
    agent.hint("-KILL");
    agent.end();
    assert!(fs::symlink_metadata(place.at("agent.sock")).unwrap().file_type().is_socket());
    let (agent, at) = scripted_on_socket(&place, &endpoint, &[]);
    at.token();
    assert_eq!(agent.stop("-INT").code, Some(0));
    assert!(!place.at("agent.sock").exists());
    assert_eq!(others(&place.at(""), &[]), [""; 0], "left behind");
}

#[test]
fn what_is_no_socket_stays() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    place.write("file", "mine");
    fs::create_dir(place.at("folder")).unwrap();
    symlink(place.at("file"), place.at("link")).unwrap();
    for name in ["file", "folder", "link"] {
        let ran = finish(scripted(&place, &endpoint, &["--socket", name]), "");
        assert!(ran.code == Some(1) && ran.err.contains("no socket"), "{name}: {}", ran.err);
    }
    assert_eq!(fs::read_to_string(place.at("link")).unwrap(), "mine");
    // Somebody else's, that a link leads to.
    let other = UnixListener::bind(place.at("other.sock")).unwrap();
    symlink(place.at("other.sock"), place.at("linked.sock")).unwrap();
    for name in ["other.sock", "linked.sock"] {
        assert_eq!(finish(scripted(&place, &endpoint, &["--socket", name]), "").code, Some(1), "{name}");
    }
    drop(other);
    assert!(place.at("other.sock").exists());
    let long = format!("{}/agent.sock", "x".repeat(200));
    let ran = finish(scripted(&place, &endpoint, &["--socket", &long]), "");
    assert!(ran.code == Some(1) && ran.err.contains("xxx"), "{}", ran.err);
    assert_eq!(endpoint.asked(), 0, "one that cannot serve asked for a token");
}

/// An agent that ends removes its own socket, and not that of the one that took its place.
#[test]
fn the_place_of_another_is_left_to_it() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let (old, _) = scripted_on_socket(&place, &endpoint, &[]);
    fs::remove_file(place.at("agent.sock")).unwrap();
    let (_new, at) = scripted_on_socket(&place, &endpoint, &[]);
    assert_eq!(old.stop("-TERM").code, Some(0));
    at.token();
}

/// However they meet, one of several that are started at once has the socket, and the others are refused.
#[test]
fn of_several_that_start_at_once_one_has_it() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let socket = place.at("agent.sock");
    for round in 0..6 {
        let mut agents: Vec<_> =
            (0..4).map(|_| Agent::spawn(scripted(&place, &endpoint, &["--socket", "agent.sock"]))).collect();
        let mut ended = 0;
        wait_for("three to be refused", || {
            agents.retain_mut(|agent| match agent.child.try_wait().unwrap() {
                Some(status) => {
                    assert_eq!(status.code(), Some(1), "{}", agent.err.now());
                    ended += 1;
                    false
                }
                None => true,
            });
            let serving = agents.iter().filter(|agent| agent.err.now().contains("\"listening\"")).count();
            (agents.len() == serving).then_some(())
        });
        assert_eq!((ended, agents.len()), (3, 1), "round {round}");
        At::Unix(socket.clone()).token();
        // The next round finds a stale one.
        drop(agents);
        assert!(UnixStream::connect(&socket).is_err());
    }
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(others(&place.at(""), &["agent.sock"]), [""; 0], "left behind");
}
