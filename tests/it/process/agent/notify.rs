//! What systemd is told (sd_notify(3)).

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::{Agent, Place, Say, finish, scripted};
use crate::source::Endpoint;

/// The other end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn at(place: &Place) -> Self {
        let socket = UnixDatagram::bind(place.at("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self(socket)
    }

    /// What comes within a time, or until something does.
    fn hears(&self, within: Duration, last: Option<&str>) -> Vec<String> {
        let (start, mut heard) = (Instant::now(), Vec::<String>::new());
        let mut buffer = [0; 65536];
        while start.elapsed() < within {
            if let Ok(length) = self.0.recv(&mut buffer) {
                let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                heard.extend(text.lines().map(str::to_owned));
                if last.is_some_and(|last| heard.iter().any(|line| line == last)) {
                    return heard;
                }
            }
        }
        assert!(last.is_none(), "waited in vain for {last:?}: {heard:?}");
        heard
    }
}

const LONG: Duration = Duration::from_secs(20);

fn says(heard: &[String], line: &str) -> bool {
    heard.iter().any(|said| said == line)
}

fn agent(place: &Place, endpoint: &Endpoint, args: &[&str], variables: &[(&str, &str)]) -> Agent {
    let mut command = scripted(place, endpoint, args);
    command.env("NOTIFY_SOCKET", place.at("notify")).envs(variables.iter().copied());
    Agent::spawn(command)
}

#[test]
fn it_is_ready_when_the_tokens_are_there() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::status(503));
    let manager = Manager::at(&place);
    let agent = agent(&place, &endpoint, &["--socket", "agent.sock"], &[]);
    let heard = manager.hears(Duration::from_millis(1500), None);
    assert!(!says(&heard, "READY=1"), "{heard:?}");
    assert!(!heard.iter().any(|line| line.starts_with("WATCHDOG")), "{heard:?}");
    let status = heard.iter().rfind(|line| line.starts_with("STATUS=")).unwrap();
    assert!(status.contains("0 of 1") && status.contains("503"), "{status}");
    // Nor is it killed for it.
    let extends = |line: &String| line.strip_prefix("EXTEND_TIMEOUT_USEC=")?.parse::<u64>().ok();
    assert!(heard.iter().filter_map(extends).filter(|micros| *micros >= 5_000_000).count() >= 1, "{heard:?}");
    endpoint.says(Say::lives(600));
    let heard = manager.hears(LONG, Some("READY=1"));
    let status = heard.iter().rfind(|line| line.starts_with("STATUS=")).unwrap();
    assert!(status.contains("1 of 1"), "{status}");
    let heard = manager.hears(Duration::from_millis(600), None);
    assert!(!heard.iter().any(|line| line.starts_with("READY") || line.starts_with("EXTEND")), "{heard:?}");
    assert_eq!(agent.stop("-TERM").code, Some(0));
    manager.hears(LONG, Some("STOPPING=1"));
}

#[test]
fn a_file_that_cannot_be_written_is_not_ready() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let manager = Manager::at(&place);
    let _agent = agent(&place, &endpoint, &["--file", "later/token"], &[]);
    let heard = manager.hears(Duration::from_millis(1500), None);
    assert!(!says(&heard, "READY=1"), "{heard:?}");
    assert!(heard.iter().any(|line| line.starts_with("STATUS=") && line.contains("later/token")), "{heard:?}");
    fs::create_dir(place.at("later")).unwrap();
    manager.hears(LONG, Some("READY=1"));
    assert!(fs::read_to_string(place.at("later/token")).unwrap().starts_with("token-"));
}

#[test]
fn the_watchdog_is_fed_in_time() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let manager = Manager::at(&place);
    let us = [("WATCHDOG_USEC", "400000")];
    let running = agent(&place, &endpoint, &["--socket", "agent.sock"], &us);
    manager.hears(LONG, Some("READY=1"));
    let heard = manager.hears(Duration::from_millis(1000), None);
    let fed = heard.iter().filter(|line| *line == "WATCHDOG=1").count();
    assert!((3..=14).contains(&fed), "{heard:?}");
    assert_eq!(running.stop("-TERM").code, Some(0));
    // Meant for another process; and what is no time at all is no reason to be busy.
    for variables in [
        &[("WATCHDOG_USEC", "400000"), ("WATCHDOG_PID", "1")][..],
        &[("WATCHDOG_USEC", "0")],
        &[("WATCHDOG_USEC", "soon")],
    ] {
        let running = agent(&place, &endpoint, &["--socket", "agent.sock"], variables);
        manager.hears(LONG, Some("READY=1"));
        let heard = manager.hears(Duration::from_millis(300), None);
        assert!(heard.len() < 20 && !says(&heard, "WATCHDOG=1"), "{variables:?}: {heard:?}");
        assert_eq!(running.stop("-TERM").code, Some(0));
    }
}

#[test]
fn a_program_is_told_nothing_of_it() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let manager = Manager::at(&place);
    let mut command = scripted(&place, &endpoint, &["--exec", "env; sleep 1.2"]);
    command.env("NOTIFY_SOCKET", place.at("notify")).env("WATCHDOG_USEC", "4000000");
    let ran = finish(command, "");
    assert!(ran.code == Some(0) && !ran.out.contains("NOTIFY_SOCKET") && !ran.out.contains("WATCHDOG"), "{}", ran.out);
    let heard = manager.hears(Duration::from_millis(100), None);
    assert!(says(&heard, "READY=1") && says(&heard, "STOPPING=1"), "{heard:?}");
    // Nobody there is no trouble.
    drop(manager);
    let running = agent(&place, &endpoint, &["--socket", "agent.sock"], &[]);
    super::pause(200);
    assert_eq!(running.stop("-TERM").code, Some(0));
}
