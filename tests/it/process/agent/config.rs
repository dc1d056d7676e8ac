//! agent.toml, the arguments, and `agent status`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::Value;

use super::{Agent, At, ORDERS, Place, SECRET, Say, Site, finish, pause, scripted_on_socket};
use crate::source::Endpoint;

fn with_file(place: &Place, text: &str) -> super::Ran {
    place.write("agent.toml", text);
    let mut command = place.command(&["agent", "--config", "agent.toml"]);
    command.env("MINTAGE_CLIENT_ID", "billing").env("MINTAGE_CLIENT_SECRET", SECRET);
    finish(command, "")
}

#[test]
fn what_cannot_be_meant_is_refused_and_named() {
    let place = Place::new();
    fs::create_dir(place.at("sub")).unwrap();
    let token =
        |more: &str| format!("socket = \"s\"\n[[token]]\nname = \"a\"\ntoken_url = \"http://127.0.0.1:1/\"\n{more}");
    let second = |more: &str| token(&format!("file = \"f\"\n[[token]]\ntoken_url = \"http://127.0.0.1:1/\"\n{more}"));
    for (text, says) in [
        (token("scope = \"a\""), &["scope", "scopes"][..]),
        (token("client_secret = \"s3cr3t\""), &["client_secret"]),
        (format!("sockets = \"s\"\n{}", token("")), &["sockets", "socket"]),
        (format!("{}[telemetry]\nlogs = \"info\"", token("")), &["logs"]),
        ("socket = \"s\"\n[[token]]\nissuer = \"http://127.0.0.1:1\"".into(), &["name"]),
        ("socket = \"s\"\n[[token]]\nname = \"\"\nissuer = \"http://127.0.0.1:1\"".into(), &["name"]),
        ("socket = \"s\"\n[[token]]\nname = \"a b\"\nissuer = \"http://127.0.0.1:1\"".into(), &["name", "a b"]),
        ("socket = \"s\"\n[[token]]\nname = \"a\"".into(), &["a", "issuer", "token_url"]),
        (token("issuer = \"http://127.0.0.1:1\""), &["a", "issuer", "token_url"]),
        (second("name = \"a\""), &["name", "a", "twice"]),
        (second("name = \"b\"\nfile = \"f\""), &["file", "twice"]),
        (second("name = \"b\"\nfile = \"./f\""), &["file", "twice"]),
        (second("name = \"b\"\nfile = \"sub/../f\""), &["file", "twice"]),
        (token("scopes = [\"a\\\"b\"]"), &["a", "scope"]),
        (token("scopes = \"a\""), &["scopes"]),
        (token("file = \"credentials.json\"\ncredentials = \"credentials.json\""), &["credentials.json"]),
        (token("file = \"agent.toml\""), &["agent.toml"]),
        (token("file = \"s\""), &["s", "socket"]),
        (token("file = \"\""), &["file"]),
        (token("file = \"folder/\""), &["file", "folder"]),
        (token("[telemetry]\nformat = \"xml\""), &["xml"]),
        (token("").replace("http://", "ftp://"), &["a", "http"]),
        (token("").replace("http://", "http://u:s3cr3t@"), &["a", "password"]),
        (token("").replace("http://127.0.0.1:1/", ""), &["a", "http"]),
        (format!("listen = \"0.0.0.0:1\"\n{}", token("")), &["listen", "0.0.0.0:1", "loopback"]),
        (format!("listen = \"localhost\"\n{}", token("")), &["listen"]),
        ("socket = \"s\"".into(), &["[[token]]"]),
        (String::new(), &["[[token]]"]),
        (token("").replace("socket = \"s\"", ""), &["--socket", "--file"]),
        ("socket = ".into(), &["agent.toml"]),
        (token("").replace("[[token]]", "[token]"), &["token"]),
    ] {
        let ran = with_file(&place, &text);
        assert!(matches!(ran.code, Some(1 | 2)) && ran.out.is_empty(), "{text}: {:?} {}{}", ran.code, ran.out, ran.err);
        assert!(ran.err.starts_with("error: ") && !ran.err.contains("s3cr3t"), "{text}: {}", ran.err);
        assert!(says.iter().all(|says| ran.err.contains(says)), "{text}\nhas to be refused with {says:?}: {}", ran.err);
        assert!(!place.at("s").exists() && !place.at("f").exists(), "{text}");
    }
    assert!(fs::read_to_string(place.at("agent.toml")).is_ok());
}

#[test]
fn arguments_that_do_not_go_together() {
    let place = Place::new();
    place.write("agent.toml", "socket = \"s\"\n[[token]]\nname = \"a\"\nissuer = \"http://127.0.0.1:1\"\n");
    let issuer = ["--issuer", "http://127.0.0.1:1"];
    for (args, code, says) in [
        (&["--config", "agent.toml", "--issuer", "http://x"][..], 2, "--config"),
        (&["--config", "agent.toml", "--token-url", "http://x"], 2, "--config"),
        (&["--config", "agent.toml", "--scope", "x"], 2, "--config"),
        (&["--config", "agent.toml", "--file", "x"], 2, "--config"),
        (&["--config", "agent.toml", "--credentials", "x"], 2, "--config"),
        (&["--config", "none.toml"], 1, "none.toml"),
        (&["--config", "."], 1, "."),
        (&[], 2, "--issuer"),
        (&["--socket", "s"], 2, "--issuer"),
        (&[&issuer[..], &["--token-url", "http://x", "--socket", "s"]].concat(), 2, "cannot be used with"),
        (&[&issuer[..], &[]].concat(), 2, "--listen"),
        (&[&issuer[..], &["--exec", "a", "--", "b"]].concat(), 2, "cannot be used with"),
        (&[&issuer[..], &["--exec-token", "x", "--exec", "a"]].concat(), 2, "fd"),
        (&[&issuer[..], &["--scope", "a\"b", "--socket", "s"]].concat(), 1, "scope"),
        (&[&issuer[..], &["--listen", "8081"]].concat(), 2, "--listen"),
    ] {
        let mut command = place.command(&[&["agent"], args].concat());
        command.env("MINTAGE_CLIENT_ID", "billing").env("MINTAGE_CLIENT_SECRET", SECRET);
        let ran = finish(command, "");
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
    // None in the environment, and no file of them.
    let ran = place.run(&["agent", "--issuer", "http://127.0.0.1:1", "--socket", "s"]);
    assert!(ran.code == Some(1) && ran.err.contains("MINTAGE_CLIENT_ID"), "{}", ran.err);
}

/// `MINTAGE_CONFIG` is the service's, and what else is in the environment for it.
#[test]
fn the_configuration_of_the_service_does_not_disturb() {
    let site = Site::new(&ORDERS);
    let file = site.place.at("mintage.toml");
    for args in [&["--socket", "agent.sock"][..], &["--config", "agent.toml"]] {
        let url = site.server.url("");
        site.place.write("agent.toml", format!("socket = \"agent.sock\"\n[[token]]\nname = \"a\"\nissuer = \"{url}\"\ncredentials = \"credentials.json\"\n"));
        let mut command = match args[0] {
            "--config" => site.place.command(&[&["agent"], args].concat()),
            _ => site.command(args),
        };
        command.env("MINTAGE_CONFIG", &file).env("MINTAGE_STORE__URL", "redb:x").env("MINTAGE_LISTEN", "0.0.0.0:1");
        command.env("MINTAGE_TELEMETRY__LOG", "debug").env("MINTAGE_TELEMETRY__FORMAT", "text");
        let agent = Agent::spawn(command).on(&site.place.at("agent.sock"));
        At::Unix(site.place.at("agent.sock")).token();
        let status = site.place.run_with(
            &["agent", "status", "--socket", "agent.sock"],
            &[("MINTAGE_CONFIG", file.to_str().unwrap()), ("MINTAGE_SOCKET", "elsewhere")],
        );
        assert_eq!(status.code, Some(0), "{}", status.err);
        let err = agent.stop("-TERM").err;
        assert!(err.contains("listening") && !err.starts_with('{'), "{err}");
    }
    let ran = site
        .place
        .run_with(&["agent", "--issuer", "http://x", "--socket", "s"], &[("MINTAGE_TELEMETRY__FORMAT", "xml")]);
    assert!(ran.code == Some(1) && ran.err.contains("xml"), "{}", ran.err);
}

#[test]
fn status_says_how_it_goes() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::status(503));
    let (mut agent, at) =
        scripted_on_socket(&place, &endpoint, &["--listen", "127.0.0.1:0", "--file", "token", "--scope", "a b"]);
    let address = agent.address().to_string();
    place.write("agent.toml", format!("listen = \"{address}\"\n"));
    at.get("/token");
    let ways = [["--socket", "agent.sock"], ["--listen", &address], ["--config", "agent.toml"]];
    let status = |way: &[&str], json: bool| {
        let mut command =
            place.command(&[&["agent", "status"][..], way, if json { &["--json"] } else { &[] }].concat());
        // Nobody asks a proxy about what is on this machine.
        command.env("http_proxy", "http://127.0.0.1:1").env("all_proxy", "http://127.0.0.1:1");
        finish(command, "")
    };
    for way in &ways {
        let ran = status(way, false);
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        assert!(["default", "none", "token", "503"].iter().all(|says| ran.out.contains(says)), "{}", ran.out);
    }
    endpoint.says(Say::lives(600));
    at.token();
    pause(100);
    for way in &ways {
        let ran = status(way, false);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
        assert!(ran.out.contains("fresh") && ran.out.contains(" s "), "{}", ran.out);
        let said: Value = serde_json::from_str(&status(way, true).out).unwrap();
        let token = &said["tokens"][0];
        assert_eq!((&token["name"], &token["valid"], &token["fetched"]), (&"default".into(), &true.into(), &1.into()));
        assert_eq!(token["scopes"], serde_json::json!(["a", "b"]));
        assert!(token["expires_at"].is_string() && token["last_error"].is_null(), "{token}");
    }
    // An outage that nobody feels yet.
    let good = agent.stop("-TERM");
    assert_eq!(good.code, Some(0), "{}", good.err);
}

#[test]
fn status_of_what_is_no_agent() {
    let place = Place::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (args, code, says) in [
        (&["--socket", "none.sock"][..], 1, "none.sock"),
        (&["--listen", &closed], 1, &closed),
        (&["--listen", "192.0.2.1:1"], 1, "loopback"),
        (&["--config", "none.toml"], 1, "none.toml"),
        (&[], 2, "--socket"),
    ] {
        let ran = place.run(&[&["agent", "status"], args].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
    for body in [
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\n\r\n{\"tokens\":[]}",
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /status2\r\n\r\n",
        "SSH-2.0-x\r\n",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(body.as_bytes()));
        });
        let ran = place.run(&["agent", "status", "--listen", &address]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{body}: {}", ran.err);
        assert!(ran.err.contains(&address), "{body}: {}", ran.err);
    }
    // The service's own socket speaks HTTP, too.
    let site = Site::new(&ORDERS);
    let ran = site.place.run(&["agent", "status", "--socket", "data/admin.sock"]);
    assert!(ran.code == Some(1) && ran.err.contains("is it an agent?"), "{}", ran.err);
}
