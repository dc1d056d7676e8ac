//! What is answered to whom.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Agent, At, GUARD, ORDERS, Place, Say, Site, claims, finish, now, scripted, scripted_on_socket, wait_for};
use crate::source::{Endpoint, SECRET};

/// An agent on both, with a token at hand.
fn on_both(site: &Site) -> (Agent, [At; 2]) {
    let (mut agent, socket) = site.on_socket(&["--listen", "127.0.0.1:0"]);
    let tcp = At::Tcp(agent.address());
    socket.token();
    (agent, [tcp, socket])
}

#[test]
fn the_answer_is_that_of_the_contract() {
    let site = Site::new(&ORDERS);
    let (_agent, both) = on_both(&site);
    for at in both {
        let answer = at.get("/token");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        let body = answer.json();
        let mut members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["access_token", "expires_at", "scope", "token_type"]);
        assert_eq!((&body["token_type"], &body["scope"]), (&json!("Bearer"), &json!("orders:read orders:write")));
        let claimed = claims(body["access_token"].as_str().unwrap());
        let (expires_at, exp) = (body["expires_at"].as_i64().unwrap(), claimed["exp"].as_i64().unwrap());
        assert!((exp - 2..=exp).contains(&expires_at), "{expires_at} is not {exp}");
        assert!((now() + 590..=now() + 600).contains(&expires_at), "{expires_at}");
        // The one at hand.
        assert_eq!(at.get("/token").token(), body["access_token"]);
        assert_eq!(at.get("/token?").token(), body["access_token"]);
        assert_eq!(at.get("/token?name=default").token(), body["access_token"]);
        assert_eq!(at.get("/token?name=&scope=").token(), body["access_token"]);

        for query in ["scope=orders:read", "scope=orders%3Aread", "name=default&scope=orders:read"] {
            let narrow = at.get(&format!("/token?{query}")).json();
            assert_eq!(narrow["scope"], "orders:read", "{query}");
            assert_eq!(claims(narrow["access_token"].as_str().unwrap())["scope"], "orders:read");
        }
        let two = at.get("/token?scope=orders:write+orders:read").json();
        assert_eq!(two["scope"], "orders:read orders:write");
        let refused = at.get("/token?scope=orders:delete");
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_scope")), "{refused:?}");
        assert!(refused.json()["error_description"].as_str().unwrap().contains("orders:delete"), "{refused:?}");
    }
}

#[test]
fn each_of_several_has_its_name() {
    let site = Site::new(&[&ORDERS[..], &["--scope", "stock:read"]].concat());
    let url = site.server.url("");
    let token = |name: &str, more: &str| {
        format!("[[token]]\nname = \"{name}\"\nissuer = \"{url}\"\ncredentials = \"credentials.json\"\n{more}\n")
    };
    let both = "resources = [\"https://orders.example\", \"https://stock.example\"]";
    let text =
        ["socket = \"agent.sock\"\n".to_owned(), token("orders", "scopes = [\"orders:read\"]"), token("all", both)];
    site.place.write("agent.toml", text.concat());
    let socket = site.place.at("agent.sock");
    let _agent = Agent::spawn(site.place.command(&["agent", "--config", "agent.toml"])).on(&socket);
    let at = At::Unix(socket);
    let scope = |query: &str| {
        let answer = at.get(&format!("/token{query}"));
        (answer.status, answer.json()["scope"].as_str().map(str::to_owned))
    };
    assert_eq!(scope("?name=orders"), (200, Some("orders:read".into())));
    assert_eq!(scope("?name=all"), (200, Some("orders:read orders:write stock:read".into())));
    assert_eq!(scope("?name=all&scope=stock:read"), (400, None));
    let narrowed = at.get("/token?name=all&scope=stock:read&resource=https://stock.example").json();
    assert_eq!(narrowed["scope"], "stock:read");
    // Which one?
    for query in ["", "?scope=orders:read"] {
        let answer = at.get(&format!("/token{query}"));
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")));
        assert!(answer.json()["error_description"].as_str().unwrap().contains("orders, all"), "{answer:?}");
    }
    for query in ["?name=other", "?name=Orders", "?name=all%00"] {
        assert_eq!(at.get(&format!("/token{query}")).status, 404, "{query}");
    }
}

#[test]
fn no_web_page_and_no_proxy_is_answered() {
    let site = Site::new(&ORDERS);
    let (_agent, [tcp, socket]) = on_both(&site);
    let host = "Host: localhost";
    let get = |lines: &[&str]| format!("GET /token HTTP/1.1\r\n{}", lines.join("\r\n"));
    let both: Vec<String> = [
        &[host][..],
        &[host, "X-Mintage-Agent: 2"],
        &[host, "X-Mintage-Agent: true"],
        &[host, "X-Mintage-Agent:"],
        &[host, "X-Mintage-Agent: 1, 1"],
        &[host, GUARD, GUARD],
        &[host, GUARD, "X-Mintage-Agent: 0"],
        &[host, GUARD, "Origin: http://localhost"],
        &[host, GUARD, "Origin: null"],
        &[host, GUARD, "Sec-Fetch-Site: same-origin"],
        &[host, GUARD, "Sec-Fetch-Site: none"],
        &[host, GUARD, "X-Forwarded-For: 127.0.0.1"],
        &[host, GUARD, "Forwarded: for=127.0.0.1"],
    ]
    .into_iter()
    .map(get)
    .collect();
    let on_tcp: Vec<String> = [
        &[GUARD][..],
        &["Host:", GUARD],
        &["Host: evil.example", GUARD],
        &["Host: evil.example:80", GUARD],
        &["Host: localhost.evil.example", GUARD],
        &["Host: 127.0.0.1.evil.example", GUARD],
        &["Host: 127.0.0.1@evil.example", GUARD],
        &["Host: 0.0.0.0", GUARD],
        &["Host: 192.0.2.1", GUARD],
        &["Host: [::]", GUARD],
        &["Host: [fe80::1]", GUARD],
        &[host, "Host: evil.example", GUARD],
        &["Host: evil.example", host, GUARD],
        &[host, host, GUARD],
    ]
    .into_iter()
    .map(get)
    .chain([
        format!("GET http://evil.example/token HTTP/1.1\r\nHost: evil.example\r\n{GUARD}"),
        format!("GET http://evil.example/token HTTP/1.1\r\n{host}\r\n{GUARD}"),
        format!("GET http://localhost/token HTTP/1.1\r\nHost: evil.example\r\n{GUARD}"),
        format!("GET /token HTTP/1.0\r\n{GUARD}"),
    ])
    .collect();
    for (at, heads) in [(&socket, &both), (&tcp, &both), (&tcp, &on_tcp)] {
        for head in heads {
            let answer = at.say(head);
            assert!(matches!(answer.status, 400 | 403), "{head}\n{answer:?}");
            assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{head}\n{answer:?}");
            assert!(!answer.body.contains("eyJ"), "{head}\n{answer:?}");
            assert_eq!(answer.status == 403, answer.body.contains("access_denied"), "{head}\n{answer:?}");
        }
    }
    let port = match &tcp {
        At::Tcp(address) => address.port(),
        At::Unix(_) => 0,
    };
    for head in [
        get(&[&format!("Host: 127.0.0.1:{port}"), GUARD]),
        get(&["Host: 127.8.9.1", GUARD]),
        get(&["Host: [::1]:1", GUARD]),
        get(&["host: LOCALHOST", "x-mintage-agent:   1  "]),
        format!("GET http://localhost/token HTTP/1.1\r\nHost: localhost\r\n{GUARD}"),
    ] {
        assert_eq!(tcp.say(&head).status, 200, "{head}");
    }
    // Nobody rebinds a path.
    assert_eq!(socket.say(&get(&["Host: agent", GUARD])).status, 200);
}

#[test]
fn nothing_but_get_is_answered_and_no_preflight_allowed() {
    let site = Site::new(&ORDERS);
    let (_agent, both) = on_both(&site);
    for at in &both {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            for path in ["/token", "/status"] {
                let answer = at.say(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{GUARD}"));
                assert_eq!(
                    (answer.status, answer.header("allow")),
                    (405, Some("GET,HEAD")),
                    "{method} {path}: {answer:?}"
                );
            }
        }
        let head = at.say(&format!("HEAD /token HTTP/1.1\r\nHost: localhost\r\n{GUARD}"));
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{head:?}");
        assert_eq!(at.say("HEAD /token HTTP/1.1\r\nHost: localhost").status, 403);
        // What a browser asks before it sends the header; a server that says yes to this is open to every page.
        let preflight = "Origin: http://evil.example\r\nAccess-Control-Request-Method: GET\r\n\
                         Access-Control-Request-Headers: x-mintage-agent\r\nAccess-Control-Request-Private-Network: true";
        for guard in ["", GUARD] {
            let guard = if guard.is_empty() { String::new() } else { format!("\r\n{guard}") };
            let answer = at.say(&format!("OPTIONS /token HTTP/1.1\r\nHost: localhost\r\n{preflight}{guard}"));
            assert_eq!(answer.status, 403, "{answer:?}");
            assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{answer:?}");
        }
        for path in
            ["/", "/token/", "/tokens", "/Token", "/token/x", "//token", "/%74oken/x", "/metrics", "/healthz", "*"]
        {
            let answer = at.get(path);
            assert!(matches!(answer.status, 404 | 400), "{path}: {answer:?}");
        }
        for query in [
            "scopes=orders:read",
            "scop=x",
            "name=default&name=default",
            "name=default&name=",
            "x",
            "scope=a\"b",
            "scope=%00",
            "scope=a&scope=%ff",
            "token=1",
        ] {
            let answer = at.get(&format!("/token?{query}"));
            let repeated = query == "name=default&name=";
            assert_eq!(answer.status, if repeated { 200 } else { 400 }, "{query}: {answer:?}");
        }
    }
}

#[test]
fn without_a_token_the_reason_is_said_and_no_secret() {
    for (say, status, error, retries) in [
        (Say::refused(401, "invalid_client"), 502, "invalid_client", false),
        (Say::refused(403, "access_denied"), 502, "access_denied", false),
        // It is the configuration that asked for it, not the caller.
        (Say::refused(400, "invalid_scope"), 502, "invalid_scope", false),
        (Say::refused(429, "slow_down").with("retry-after", "70"), 503, "temporarily_unavailable", true),
        (Say::refused(503, "temporarily_unavailable"), 503, "temporarily_unavailable", true),
        (Say::status(500), 503, "temporarily_unavailable", true),
        (Say::Half, 503, "temporarily_unavailable", true),
        (Say::This(200, Vec::new(), "<html>".to_owned()), 502, "server_error", false),
        (Say::status(302).with("location", "http://127.0.0.1:1/"), 502, "server_error", false),
        (Say::This(401, Vec::new(), json!({"error": "x", "error_description": SECRET}).to_string()), 502, "x", false),
    ] {
        let place = Place::new();
        let endpoint = Endpoint::new(say.clone());
        let (agent, at) = scripted_on_socket(&place, &endpoint, &[]);
        let answer = wait_for("an answer", || Some(at.get("/token")).filter(|answer| answer.status != 200));
        let body = answer.json();
        assert_eq!((answer.status, &body["error"]), (status, &json!(error)), "{say:?}: {answer:?}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        assert!(body["error_description"].as_str().unwrap().len() > 10, "{body}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let retry: Option<u64> = answer.header("retry-after").map(|seconds| seconds.parse().unwrap());
        assert_eq!(retry.is_some(), retries, "{say:?}: {answer:?}");
        if format!("{say:?}").contains("slow_down") {
            assert!(retry.is_some_and(|seconds| (60..=77).contains(&seconds)), "{answer:?}");
        }
        let status = at.status().to_string();
        let ran = agent.stop("-TERM");
        for text in [answer.body, status, ran.err] {
            assert!(!text.contains(SECRET), "{text}");
        }
    }
}

#[test]
fn a_crowd_at_a_cold_agent_is_one_request() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    endpoint.hold(true);
    let (_agent, at) = scripted_on_socket(&place, &endpoint, &[]);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..200).map(|_| scope.spawn(|| at.get("/token").token())).collect();
        wait_for("the request", || (endpoint.asked() > 0).then_some(()));
        super::pause(300);
        endpoint.hold(false);
        crowd.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    // A kind of its own is one more.
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| at.get("/token?scope=a").token());
        }
    });
    assert_eq!(endpoint.asked(), 2);
}

#[test]
fn those_that_are_slow_do_not_stop_others() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    let mut agent = Agent::spawn(scripted(&place, &endpoint, &["--listen", "127.0.0.1:0", "--socket", "agent.sock"]));
    let (tcp, socket) = (agent.address(), place.at("agent.sock"));
    let agent = agent.on(&socket);
    let mut slow: Vec<Box<dyn Write>> = Vec::new();
    for _ in 0..300 {
        slow.push(Box::new(TcpStream::connect(tcp).unwrap()));
        slow.push(Box::new(UnixStream::connect(&socket).unwrap()));
    }
    for connection in &mut slow {
        connection.write_all(b"GET /token HTTP/1.1\r\nX-Mint").unwrap();
    }
    let start = Instant::now();
    for at in [At::Tcp(tcp), At::Unix(socket)] {
        at.token();
        let long =
            at.try_say(&format!("GET /token HTTP/1.1\r\nHost: localhost\r\n{GUARD}\r\nX: {}", "x".repeat(200_000)));
        assert!(long.is_err() || long.is_ok_and(|answer| answer.status == 431));
        at.token();
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(slow);
    assert_eq!(agent.stop("-TERM").code, Some(0));
}

#[test]
fn it_listens_on_this_machine_alone() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(600));
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.7:0", "10.0.0.1:80", "[fe80::1]:0", "[::ffff:10.0.0.1]:0"] {
        let ran = finish(scripted(&place, &endpoint, &["--listen", address]), "");
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{address}: {}", ran.err);
        assert!(ran.err.contains("loopback"), "{address}: {}", ran.err);
    }
    for address in ["127.0.0.1:0", "127.3.2.1:0", "[::1]:0"] {
        if TcpListener::bind(address).is_err() {
            eprintln!("SKIPPED: there is no {address} here");
            continue;
        }
        let mut agent = Agent::spawn(scripted(&place, &endpoint, &["--listen", address]));
        let bound = agent.address();
        assert_eq!(At::Tcp(bound).say(&format!("GET /token HTTP/1.1\r\nHost: {bound}\r\n{GUARD}")).status, 200);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = finish(scripted(&place, &endpoint, &["--listen", &address]), "");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains(&address) && ran.err.contains("in use"), "{}", ran.err);
}

#[test]
fn a_token_that_a_resource_refused_is_replaced_once_for_all_who_come_with_it() {
    let place = Place::new();
    let endpoint = Endpoint::new(Say::lives(3600));
    let (_agent, at) = scripted_on_socket(&place, &endpoint, &[]);
    let with = |path: &str, refused: &str| {
        let header = format!("X-Mintage-Refused-Token: {refused}");
        at.say(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{GUARD}\r\n{header}")).token()
    };
    for path in ["/token", "/token?scope=x"] {
        let asked = endpoint.asked();
        let first = at.get(path).token();
        assert_eq!(with(path, "another"), first, "{path}");
        let second = with(path, &first);
        assert_ne!(second, first, "{path}");
        assert_eq!((with(path, &first), at.get(path).token()), (second.clone(), second), "{path}");
        assert!(endpoint.asked() <= asked + 2, "{path}");
    }
}
