//! An issuer that is down, or says no.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Agent, At, Mintage, Place, SECRET, Say, Site, claims, clean, credentials, pause, scripted_on_socket, wait_for,
};
use crate::source::Endpoint;

impl Site {
    fn comes_back(&mut self) {
        let address = self.server.address.to_string();
        self.server = Mintage::spawn(self.place.command(&["serve", "--no-quickstart", "--listen", &address]));
    }
}

/// Side by side, since they mostly wait: for half a minute, where the endpoint has said no.
pub(super) fn all() {
    let all: [(&str, fn()); 6] = [
        ("it_is_started_before_its_issuer_and_outlives_it", it_is_started_before_its_issuer_and_outlives_it),
        (
            "a_secret_that_was_wrong_is_set_right_without_a_restart",
            a_secret_that_was_wrong_is_set_right_without_a_restart,
        ),
        ("credentials_that_are_not_there_yet_are_waited_for", credentials_that_are_not_there_yet_are_waited_for),
        ("an_endpoint_that_fails_is_left_alone", an_endpoint_that_fails_is_left_alone),
        (
            "a_client_that_was_disabled_is_served_again_when_it_is_enabled",
            a_client_that_was_disabled_is_served_again_when_it_is_enabled,
        ),
        ("no_secret_is_in_a_log_or_on_a_command_line", no_secret_is_in_a_log_or_on_a_command_line),
    ];
    std::thread::scope(|scope| {
        for (name, run) in all {
            std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run).unwrap();
        }
    });
}

fn it_is_started_before_its_issuer_and_outlives_it() {
    let mut site = Site::new(&["--scope", "mintage:projects:read", "--token-ttl", "6s"]);
    site.server.signal("-KILL");
    let (_agent, at) = site.on_socket(&["--file", "token"]);
    let answer = at.get("/token");
    assert_eq!((answer.status, &answer.json()["error"]), (503, &json!("temporarily_unavailable")), "{answer:?}");
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()), "{answer:?}");
    assert_eq!(site.place.run(&["agent", "status", "--socket", "agent.sock"]).code, Some(1));
    site.comes_back();
    let token = at.token();
    assert!(site.may(&token));
    wait_for("the file", || site.place.at("token").exists().then_some(()));

    site.server.signal("-KILL");
    // Past the time when it would have been renewed.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        assert_eq!(at.get("/token").token(), token);
        pause(50);
    }
    let failing = at.status()[0].take();
    assert_eq!(failing["valid"], true);
    assert!(failing["failures"].as_u64().unwrap() > 0 && failing["last_error"].is_string(), "{failing}");
    site.comes_back();
    let next = wait_for("another token", || at.try_token().filter(|next| *next != token));
    assert!(site.may(&next));
    assert!(claims(&next)["exp"].as_i64() > claims(&token)["exp"].as_i64());
    wait_for("the file", || (std::fs::read_to_string(site.place.at("token")).unwrap() != token).then_some(()));
    let good = at.status()[0].take();
    assert_eq!((&good["failures"], &good["last_error"]), (&json!(0), &json!(null)), "{good}");
}

fn a_secret_that_was_wrong_is_set_right_without_a_restart() {
    let site = Site::new(&["--scope", "mintage:projects:read"]);
    site.give("mtg_cs_live_wrong");
    let (_agent, at) = site.on_socket(&["--file", "token"]);
    let answer = at.get("/token");
    assert_eq!((answer.status, &answer.json()["error"]), (502, &json!("invalid_client")), "{answer:?}");
    site.give(&site.secret);
    let start = Instant::now();
    let token = at.token();
    assert!(site.may(&token));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    wait_for("the file", || (std::fs::read_to_string(site.place.at("token")).ok()? == token).then_some(()));
}

fn credentials_that_are_not_there_yet_are_waited_for() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let url = format!("{}/token", endpoint.url);
    let args = ["agent", "--token-url", &url, "--credentials", "credentials.json", "--socket", "agent.sock"];
    let _agent = Agent::spawn(place.command(&args)).on(&place.at("agent.sock"));
    let at = At::Unix(place.at("agent.sock"));
    let answer = at.get("/token");
    assert!(answer.status == 502 && answer.body.contains("credentials.json"), "{answer:?}");
    place.write("credentials.json", credentials("billing", SECRET));
    at.token();
    assert_eq!(endpoint.asked(), 1);
}

/// However many ask, and however often.
fn an_endpoint_that_fails_is_left_alone() {
    for (say, most) in [
        (Say::refused(401, "invalid_client"), 1),
        (Say::status(503), 8),
        (Say::status(429).with("retry-after", "9"), 1),
    ] {
        let place = Place::new();
        let endpoint = Endpoint::new(say.clone());
        let (_agent, at) = scripted_on_socket(&place, &endpoint, &["--file", "token"]);
        let (start, mut answers) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(2) {
            assert!(at.get("/token").status >= 500);
            answers += 1;
        }
        let asked = endpoint.asked();
        assert!(answers > 100 && asked <= most, "{say:?}: {answers} answers, {asked} requests");
    }
}

/// A token of a kind of its own, too.
#[test]
fn so_is_one_that_refuses_a_scope() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let (_agent, at) = scripted_on_socket(&place, &endpoint, &[]);
    let token = at.token();
    endpoint.says(Say::refused(400, "invalid_scope"));
    for _ in 0..200 {
        let answer = at.get("/token?scope=more");
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_scope")));
    }
    assert_eq!((endpoint.asked(), at.token()), (2, token));
}

fn a_client_that_was_disabled_is_served_again_when_it_is_enabled() {
    let site = Site::new(&["--scope", "mintage:projects:read"]);
    site.place.text(&["client", "disable", &site.id]);
    let (_agent, at) = site.on_socket(&[]);
    assert_eq!(at.get("/token").json()["error"], "invalid_client");
    site.place.text(&["client", "enable", &site.id]);
    // It is not asked for half a minute after it has said no.
    let start = Instant::now();
    let token = loop {
        match at.try_token() {
            Some(token) => break token,
            None => assert!(start.elapsed() < Duration::from_secs(35), "{:?}", at.status()),
        }
        pause(100);
    };
    assert!(site.may(&token));
}

/// The same where nobody asks: the file alone. It takes half a minute, for which a refusal stands.
#[test]
fn a_file_is_written_again_when_the_client_is_enabled() {
    let site = Site::new(&["--scope", "mintage:projects:read"]);
    site.place.text(&["client", "disable", &site.id]);
    let mut agent = site.agent(&["--file", "token"]);
    agent.until("the refusal", |agent| agent.err.now().contains("invalid_client").then_some(()));
    site.place.text(&["client", "enable", &site.id]);
    let start = Instant::now();
    let token = loop {
        match std::fs::read_to_string(site.place.at("token")) {
            Ok(token) => break token,
            Err(_) => assert!(start.elapsed() < Duration::from_secs(75), "{}", agent.err.now()),
        }
        pause(100);
    };
    assert!(site.may(&token));
}

/// Whatever is logged, by whichever library.
fn no_secret_is_in_a_log_or_on_a_command_line() {
    let mut site = Site::new(&["--scope", "mintage:projects:read", "--token-ttl", "3s"]);
    let mut command = site.command(&["--socket", "agent.sock", "--listen", "127.0.0.1:0", "--file", "token"]);
    command.env("MINTAGE_TELEMETRY__LOG", "trace");
    let mut agent = Agent::spawn(command);
    let tcp = At::Tcp(agent.address());
    let at = At::Unix(site.place.at("agent.sock"));
    let mut tokens = vec![at.token(), tcp.token(), at.get("/token?scope=mintage:projects:read").token()];
    tokens.push(wait_for("a renewal", || at.try_token().filter(|token| *token != tokens[0])));
    at.get("/token?scope=nothing:at:all");
    site.server.signal("-KILL");
    pause(1000);
    at.get("/token");
    site.comes_back();
    site.give("mtg_cs_live_wrong_s3cr3t");
    pause(500);
    let mut said = vec![at.status().to_string()];
    for args in
        [&["agent", "status", "--socket", "agent.sock"][..], &["agent", "status", "--socket", "agent.sock", "--json"]]
    {
        let ran = site.place.run(args);
        said.extend([ran.out, ran.err]);
    }
    let mut look = clean("cat");
    look.args(["cmdline", "environ"].map(|file| format!("/proc/{}/{file}", agent.pid())));
    said.push(super::finish(look, "").out);
    let ran = agent.stop("-TERM");
    assert!(ran.err.contains("TRACE") && ran.err.len() > 5_000, "this says nothing: {}", ran.err);
    said.extend([ran.out, ran.err]);
    use base64::Engine;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", site.id, site.secret));
    let secrets = [site.secret.clone(), "wrong_s3cr3t".to_owned(), basic];
    for hidden in secrets.iter().chain(&tokens) {
        // Nor a part that somebody could go on from.
        for part in [&hidden[..], hidden.rsplit('.').next().unwrap()] {
            for text in &said {
                assert!(!text.contains(part), "{part} in {text}");
            }
        }
    }
}
