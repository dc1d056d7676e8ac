//! One server a store, its socket, its port and its signals.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::Duration;

use reqwest::StatusCode;

use super::{Mintage, Place, contents};

async fn works(server: &Mintage, place: &Place, secret: &str) {
    let token = server.token("quickstart", secret).await;
    assert_eq!(server.whoami(&token).await.0, StatusCode::OK);
    assert_eq!(place.json(&["client", "show", "quickstart"])["client_id"], "quickstart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_store_is_refused() {
    let place = Place::new();
    let server = place.start(&[]);
    let (_, secret) = server.introduction();
    let inode = fs::metadata(place.socket()).unwrap().ino();
    let keys = contents(&place.at("keys"));
    let same_port = server.address.to_string();
    for args in [
        &["serve", "--listen", "127.0.0.1:0", "--socket", "data/other.sock"][..],
        &["serve", "--listen", "127.0.0.1:0"],
        &["serve", "--listen", &same_port],
        &["serve", "--listen", "127.0.0.1:0", "--keys-dir", "other-keys", "--socket", "other.sock"],
    ] {
        let message = place.fails(args);
        assert!(message.contains("data/mintage.redb") && message.contains("in use"), "{message}");
        assert_eq!(fs::metadata(place.socket()).unwrap().ino(), inode, "{args:?} replaced the socket");
        works(&server, &place, &secret).await;
    }
    assert!(!place.at("data/other.sock").exists() && !place.at("other.sock").exists());
    assert!(!place.at("other-keys").exists(), "the refused server made keys");
    assert_eq!(contents(&place.at("keys")), keys);
    assert_eq!(server.stop("-TERM").code, Some(0));
}

/// However they meet, one of several that are started at once has the store, and the others are refused.
#[test]
fn of_several_that_start_at_once_one_runs() {
    for round in 0..8 {
        let place = Place::new();
        if round % 2 == 0 {
            place.start(&[]).stop("-TERM");
        }
        let start = || Mintage::try_spawn(place.command(&["--listen", "127.0.0.1:0"]));
        let ends: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        let refusals: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
        let messages: Vec<_> = refusals.iter().map(|ran| ran.err.as_str()).collect();
        assert_eq!(refusals.len(), 3, "round {round}: {messages:?}");
        for ran in refusals {
            assert!(ran.code == Some(1) && ran.err.contains("data/mintage.redb"), "round {round}: {messages:?}");
        }
        assert_eq!(place.json(&["client", "list"])["items"].as_array().unwrap().len(), 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_a_crash_left_is_replaced() {
    let place = Place::new();
    let server = place.start(&[]);
    let (_, secret) = server.introduction();
    // So that the crash does not fall into the first start.
    works(&server, &place, &secret).await;
    server.kill9();
    assert!(fs::metadata(place.socket()).unwrap().file_type().is_socket(), "the crash left no socket to replace");
    let message = place.fails(&["client", "list"]);
    assert!(message.contains("no server is running"), "{message}");
    let again = place.start(&[]);
    works(&again, &place, &secret).await;
    again.stop("-TERM");
    assert!(!place.socket().exists(), "a clean stop takes the socket away");
}

#[test]
fn what_is_no_socket_is_left_alone() {
    type Make = fn(&Place);
    let makes: [(&str, Make); 4] = [
        ("a file", |place| drop(place.write("data/admin.sock", "notes"))),
        ("a folder", |place| drop(place.write("data/admin.sock/file", "notes"))),
        ("a link to a file", |place| {
            place.write("data/notes", "notes");
            std::os::unix::fs::symlink("notes", place.socket()).unwrap();
        }),
        ("a link to nothing", |place| {
            fs::create_dir(place.at("data")).unwrap();
            std::os::unix::fs::symlink("nothing", place.socket()).unwrap();
        }),
    ];
    for (what, make) in makes {
        let place = Place::new();
        make(&place);
        let before = contents(&place.at("data"));
        let message = place.refused(&[]);
        assert!(message.contains("data/admin.sock") && message.contains("no socket"), "{what}: {message}");
        let after = contents(&place.at("data"));
        for (path, was) in before {
            assert_eq!(after.get(&path), Some(&was), "{what}: {path:?}");
        }
    }
}

#[test]
fn a_signal_ends_it_well() {
    for signal in ["-TERM", "-INT"] {
        let place = Place::new();
        let server = place.start(&[]);
        let ran = server.stop(signal);
        assert_eq!(ran.code, Some(0), "{signal}: {}", ran.err);
        assert!(ran.err.contains("\"stopping\""), "{}", ran.err);
        assert!(!place.socket().exists());
    }
}

/// A connection that idles must not hold the stop up.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_it_up() {
    let place = Place::new();
    let server = place.start(&[]);
    // reqwest keeps this one open.
    server.get("/.well-known/jwks.json").await;
    let _silent = std::net::TcpStream::connect(server.address).unwrap();
    let start = std::time::Instant::now();
    assert_eq!(server.stop("-TERM").code, Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let message = place.fails(&["--listen", &address]);
    assert!(message.contains(&address) && message.contains("in use"), "{message}");
    assert!(!place.socket().exists());
}
