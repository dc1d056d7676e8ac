//! The program that an agent runs: what it is given, what it is not, and how they end together.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Agent, Place, Say, Site, clean, finish, pause, scripted, spawn, wait_for};
use crate::source::{Endpoint, SECRET};

fn site() -> (Place, Endpoint) {
    (Place::new(), Endpoint::new(Say::lives(600)))
}

fn run(place: &Place, endpoint: &Endpoint, args: &[&str]) -> super::Ran {
    finish(scripted(place, endpoint, args), "")
}

#[test]
fn the_token_is_in_the_environment_or_in_a_descriptor() {
    let (place, endpoint) = site();
    for args in [
        &["--exec", "printf %s \"$MINTAGE_ACCESS_TOKEN\""][..],
        &["--exec", "exec printf '%s' \"$MINTAGE_ACCESS_TOKEN\"", "--exec-token", "env"],
        &["--", "sh", "-c", "printf %s \"$MINTAGE_ACCESS_TOKEN\""],
        &["--exec-token", "fd", "--exec", "cat /dev/fd/$MINTAGE_ACCESS_TOKEN_FD"],
        &["--exec-token", "fd", "--", "sh", "-c", "cat <\"/proc/self/fd/$MINTAGE_ACCESS_TOKEN_FD\""],
    ] {
        let ran = run(&place, &endpoint, args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        assert!(ran.out.starts_with("token-") && !ran.out.contains('\n'), "{args:?}: {:?}", ran.out);
    }
    // Neither in both, nor what somebody else left in the environment.
    let mut command = scripted(&place, &endpoint, &["--exec-token", "fd", "--exec", "env; ls /proc/self/fd"]);
    for name in
        ["MINTAGE_ACCESS_TOKEN", "MINTAGE_ACCESS_TOKEN_BILLING", "MINTAGE_AGENT_SOCKET", "MINTAGE_ACCESS_TOKEN_FILE"]
    {
        command.env(name, "token-of-yesterday");
    }
    let ran = finish(command, "");
    assert!(ran.out.contains("MINTAGE_ACCESS_TOKEN_FD=") && !ran.out.contains("token-"), "{}", ran.out);
    let numbers = |text: &str| text.lines().filter(|line| line.parse::<u32>().is_ok()).count();
    let without = finish(clean_with("sh", &["-c", "ls /proc/self/fd"]), "").out;
    assert_eq!(numbers(&ran.out), numbers(&without) + 1, "{}\n{without}", ran.out);
}

#[test]
fn each_of_several_has_a_variable() {
    let (place, endpoint) = site();
    let token = |name: &str, more: &str| {
        format!("[[token]]\nname = \"{name}\"\ntoken_url = \"{}/token\"\nscopes = [\"s\"]\n{more}\n", endpoint.url)
    };
    let run = |text: String, args: &[&str]| {
        place.write("agent.toml", text);
        let mut command = place.command(&[&["agent", "--config", "agent.toml"], args].concat());
        command.env("MINTAGE_CLIENT_ID", "billing").env("MINTAGE_CLIENT_SECRET", SECRET);
        finish(command, "")
    };
    let text = token("orders-eu", "file = \"orders\"") + &token("stock.v2", "resources = [\"https://stock.example\"]");
    let show = "echo $MINTAGE_ACCESS_TOKEN_ORDERS_EU,$MINTAGE_ACCESS_TOKEN_STOCK_V2,$MINTAGE_ACCESS_TOKEN_FILE_ORDERS_EU,\
                $MINTAGE_ACCESS_TOKEN";
    let ran = run(text.clone(), &["--exec", show]);
    let said: Vec<_> = ran.out.trim_end().split(',').collect();
    assert!(said[0].starts_with("token-") && said[1].starts_with("token-") && said[0] != said[1], "{said:?}");
    assert_eq!(said[2..], [place.at("orders").to_str().unwrap(), ""], "whatever folder it changes to: {said:?}");
    let show = "cat /dev/fd/$MINTAGE_ACCESS_TOKEN_FD_ORDERS_EU /dev/fd/$MINTAGE_ACCESS_TOKEN_FD_STOCK_V2";
    let ran = run(text.clone(), &["--exec", show, "--exec-token", "fd"]);
    assert_eq!(ran.out.matches("token-").count(), 2, "{}{}", ran.out, ran.err);
    // Two that would have the same, one of which would be lost.
    let text = token("a-b", "") + &token("a.b", "");
    let ran = run(text.clone(), &["--exec", "touch started"]);
    assert!(ran.code == Some(1) && ran.err.contains("a-b") && ran.err.contains("a.b"), "{}", ran.err);
    assert!(!place.at("started").exists());
    let _agent = Agent::spawn(place.command(&["agent", "--config", "agent.toml", "--socket", "x"]));
}

#[test]
fn it_ends_as_the_program_does() {
    let (place, endpoint) = site();
    let plain = place.write("plain", "no program");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    for (line, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("kill -ABRT $$", 134),
        ("exec ./nowhere", 127),
    ] {
        assert_eq!(run(&place, &endpoint, &["--exec", line]).code, Some(code), "{line}");
    }
    for (program, code) in [("./nowhere", 127), ("./plain", 126)] {
        let ran = run(&place, &endpoint, &["--", program]);
        assert_eq!(ran.code, Some(code), "{program}: {}", ran.err);
        assert!(ran.err.contains(program), "{}", ran.err);
    }
}

#[test]
fn what_does_not_pass_by_itself_is_not_waited_for() {
    let (place, endpoint) = site();
    endpoint.says(Say::refused(401, "invalid_client"));
    let ran = run(&place, &endpoint, &["--exec", "touch started"]);
    assert!(ran.code == Some(3) && ran.err.contains("invalid_client"), "{}", ran.err);
    let ran =
        place.run(&["agent", "--token-url", &endpoint.url, "--credentials", "none.json", "--", "touch", "started"]);
    assert!(ran.code == Some(1) && ran.err.contains("none.json"), "{}", ran.err);
    assert!(!place.at("started").exists());
}

#[test]
fn it_says_nothing_in_between() {
    let (place, endpoint) = site();
    let input: String = (0..200_000).map(|n| char::from(b'\x01' + (n % 120) as u8)).collect();
    let ran = finish(scripted(&place, &endpoint, &["--", "cat"]), &input);
    assert!(ran.out == input, "{} bytes became {}", input.len(), ran.out.len());
    let mut command = scripted(&place, &endpoint, &["--socket", "x", "--exec", "cat; printf out; printf err >&2"]);
    command.env("MINTAGE_TELEMETRY__LOG", "off");
    let ran = finish(command, "in ");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "in out", "err"));
    // Nor does its log get between.
    let ran = run(&place, &endpoint, &["--socket", "x", "--exec", "true"]);
    assert!(ran.out.is_empty() && ran.err.lines().all(|line| line.starts_with('{')), "{}{}", ran.out, ran.err);
}

#[test]
fn the_secret_is_the_agents_alone() {
    let (place, endpoint) = site();
    let look = "tr '\\0' '\\n' </proc/$$/environ; tr '\\0' ' ' </proc/$$/cmdline; tr '\\0' ' ' </proc/$PPID/cmdline; \
                tr '\\0' '\\n' </proc/self/environ";
    let mut command = scripted(&place, &endpoint, &["--exec", look]);
    command.env("HARMLESS", "kept").env("NOTIFY_SOCKET", "/nowhere").env("WATCHDOG_USEC", "9000000");
    let ran = finish(command, "");
    assert!(ran.out.contains("HARMLESS=kept") && ran.out.contains("MINTAGE_ACCESS_TOKEN=token-"), "{}", ran.out);
    for hidden in [SECRET, "MINTAGE_CLIENT_SECRET", "MINTAGE_CLIENT_ID", "NOTIFY_SOCKET", "WATCHDOG"] {
        assert!(!ran.out.contains(hidden), "{hidden}: {}", ran.out);
    }
}

/// An agent with a program that says what it hears.
fn listening(place: &Place, endpoint: &Endpoint, script: &str) -> Agent {
    let mut agent = Agent::spawn(scripted(place, endpoint, &["--exec", script]));
    agent.until("the program to be up", |agent| agent.out.now().contains("up\n").then_some(()));
    agent
}

const HEARS: &str = "for s in INT TERM HUP QUIT USR1 USR2; do trap \"echo $s\" $s; done; trap 'exit 9' ALRM; echo up; \
                     while :; do sleep 0.02; done";

#[test]
fn signals_are_passed_on_as_often_as_they_come() {
    let (place, endpoint) = site();
    let mut agent = listening(&place, &endpoint, HEARS);
    for (count, signal) in ["HUP", "INT", "USR1", "TERM", "USR2", "QUIT", "TERM", "INT", "HUP"].iter().enumerate() {
        agent.hint(&format!("-{signal}"));
        agent.until(signal, |agent| (agent.out.now().lines().count() == count + 2).then_some(()));
        assert_eq!(agent.out.now().lines().last(), Some(*signal));
    }
    // What the program does with them is its own affair.
    let group = finish(clean_with("pgrep", &["-P", &agent.pid().to_string()]), "").out;
    assert!(Command::new("kill").args(["-ALRM", group.trim()]).status().unwrap().success());
    assert_eq!(agent.ended().code, Some(9));
    for (signal, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129), ("-USR1", 138)] {
        let agent = listening(&place, &endpoint, "echo up; sleep 60");
        let start = Instant::now();
        assert_eq!(agent.stop(signal).code, Some(code), "{signal}");
        assert!(start.elapsed() < Duration::from_secs(5), "{signal}");
    }
}

fn clean_with(program: &str, args: &[&str]) -> Command {
    let mut command = clean(program);
    command.args(args);
    command
}

fn is_running(pid: &str) -> bool {
    let state = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

#[test]
fn what_it_started_ends_too() {
    let (place, endpoint) = site();
    let agent = listening(&place, &endpoint, "sleep 300 & echo $!; sh -c 'sleep 301 & echo $!; wait' & echo up; wait");
    wait_for("three lines", || (agent.out.now().lines().count() == 3).then_some(()));
    let said = agent.out.now();
    let pids: Vec<_> = said.lines().filter(|line| *line != "up").collect();
    assert!(pids.iter().all(|pid| is_running(pid)), "{said}");
    assert_eq!(agent.stop("-TERM").code, Some(143));
    wait_for("grandchildren to end", || (!pids.iter().any(|pid| is_running(pid))).then_some(()));
}

#[test]
fn it_starts_when_there_is_a_token_and_not_before() {
    let (place, endpoint) = site();
    endpoint.hold(true);
    for (signal, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
        let args = ["--socket", "agent.sock", "--exec", "touch started"];
        let agent = Agent::spawn(scripted(&place, &endpoint, &args)).on(&place.at("agent.sock"));
        pause(100);
        let start = Instant::now();
        assert_eq!(agent.stop(signal).code, Some(code), "{signal}");
        assert!(start.elapsed() < Duration::from_secs(2), "{signal}: {:?}", start.elapsed());
        assert!(!place.at("started").exists() && !place.at("agent.sock").exists(), "{signal}");
    }
    let mut agent = Agent::spawn(scripted(&place, &endpoint, &["--exec", "touch started"]));
    pause(300);
    assert!(!place.at("started").exists());
    endpoint.hold(false);
    assert_eq!(agent.ended().code, Some(0));
    assert!(place.at("started").exists());
    // Nor before its file is there.
    for _ in 0..10 {
        let show = "cat \"$MINTAGE_ACCESS_TOKEN_FILE\"; rm token; echo; echo $MINTAGE_ACCESS_TOKEN";
        let ran = run(&place, &endpoint, &["--file", "token", "--exec", show]);
        let lines: Vec<_> = ran.out.lines().collect();
        assert!(lines.len() == 2 && lines[0] == lines[1], "{}{}", ran.out, ran.err);
    }
}

#[test]
fn it_can_ask_for_the_next_one() {
    let site = Site::new(&["--scope", "mintage:projects:read"]);
    let whoami = site.server.url("/api/v1/whoami");
    let ask = "answer() { curl -sf -H 'X-Mintage-Agent: 1' \"$@\"; }; answer --unix-socket $MINTAGE_AGENT_SOCKET http://a/token \
               && answer $MINTAGE_AGENT_URL/token && curl -sf -H \"Authorization: Bearer $MINTAGE_ACCESS_TOKEN\" $0";
    let args = ["--socket", "agent.sock", "--listen", "127.0.0.1:0", "--", "sh", "-c", ask, &whoami];
    let ran = finish(site.command(&args), "");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let [over_socket, over_tcp, whoami] = &super::super::documents(&ran.out)[..] else { panic!("{}", ran.out) };
    assert_eq!(over_socket["access_token"], over_tcp["access_token"]);
    assert_eq!(whoami["claims"]["client_id"], site.id.as_str());
}

/// ^C at a terminal reaches the program itself; it is for it to say what that means.
#[test]
fn at_a_terminal_the_program_is_who_is_interrupted() {
    let (place, endpoint) = site();
    let told = scripted(
        &place,
        &endpoint,
        &[
            "--exec",
            "trap 'echo heard' INT; echo up; while read -r line; do echo $line; \
                                                        [ $line = quit ] && exit 5; done; while read -r line; do echo $line; \
                                                        [ $line = quit ] && exit 5; done; exit 6",
        ],
    );
    let terminal = "import os, pty, sys\n\
                    status = pty.spawn(sys.argv[1:])\n\
                    sys.exit(os.waitstatus_to_exitcode(status))";
    let mut command = clean("python3");
    command.args(["-c", terminal]).arg(told.get_program()).args(told.get_args()).current_dir(place.at(""));
    command.envs(told.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::piped());
    let (mut child, out, _err) = spawn(&mut command);
    let mut keys = child.stdin.take().unwrap();
    wait_for("the program", || out.now().contains("up\r\n").then_some(()));
    keys.write_all(b"\x03").unwrap();
    wait_for("the interruption", || out.now().contains("heard").then_some(()));
    pause(300);
    keys.write_all(b"ping\n").unwrap();
    wait_for("an answer", || (out.now().matches("ping").count() >= 2).then_some(()));
    keys.write_all(b"quit\n").unwrap();
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert_eq!((status.code(), out.now().matches("heard").count()), (Some(5), 1), "{}", out.now());
}
