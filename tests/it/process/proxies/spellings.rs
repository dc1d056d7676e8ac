//! Other spellings of a path: what the proxy decides about is what the app gets, in every reading of it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Front, Site, envoy_policy};

/// Targets of a request that an app could take for another path than the proxy does.
const AMBIGUOUS: &[&[u8]] = &[
    b"/orders/../healthz",
    b"/orders/../hello",
    b"/orders/7/../../healthz",
    b"/orders/7/../../hello",
    b"/healthz/../orders/7",
    b"/hello/../orders/7",
    b"/orders/./../healthz",
    b"/./healthz",
    b"/healthz/.",
    b"/orders/..",
    b"/../healthz",
    b"/reports/../healthz",
    b"/orders/../reports/march.txt",
    b"/orders/7/%2e%2e/%2e%2e/healthz",
    b"/orders/%2E%2E/hello",
    b"/orders/.%2e/healthz",
    b"/orders/%2e./healthz",
    b"/%2e/healthz",
    b"/orders%2f..%2fhealthz",
    b"/orders%2F..%2Fhello",
    b"/orders/..%2fhealthz",
    b"/orders/..%2fhello",
    b"/healthz%2f..%2forders%2f7",
    b"/healthz/..%2forders/7",
    b"/hello/..%2forders/7",
    b"/hello%2f7",
    b"/%2fhealthz",
    b"//healthz",
    b"//orders//7",
    b"/orders/..//healthz",
    b"///hello",
    b"/orders\\..\\healthz",
    b"/orders/..\\healthz",
    b"/\\healthz",
    b"/orders%5c..%5chealthz",
    b"/orders/..%5Chello",
    b"/orders/%252e%252e/healthz",
    b"/orders%252f..%252fhealthz",
    b"/orders/%25252e%25252e/hello",
    b"/orders%25%32%66..%25%32%66healthz",
    b"/orders/%%32%65%%32%65/healthz",
    b"/orders/..%255chealthz",
    b"/healthz;/../orders/7",
    b"/orders/..;/healthz",
    b"/orders/..;x=1/hello",
    b"/orders/..%3b/healthz",
    b"/healthz;x=1",
    b"/hello;/7",
    b"/hello%3bx",
    b"/healthz%3f/../orders/7",
    b"/healthz%3fx",
    b"/hello%3Fx",
    b"/healthz#/../orders/7",
    b"/healthz#x",
    b"/hello#",
    b"/healthz%23",
    b"/orders/7%23/../../healthz",
    b"/healthz%00",
    b"/hello%00.txt",
    b"/healthz%0a",
    b"/healthz%0d%0aX-Auth-Client-Id:%20admin",
    b"/hello%7f",
    b"/orders/%c0%ae%c0%ae/healthz",
    b"/orders/..%c0%afhealthz",
    b"/orders/..%e0%80%afhealthz",
    b"/orders/..%f0%80%80%afhello",
    b"/healthz%ff",
    b"/orders/\xc0\xae\xc0\xae/healthz",
    b"/hello\xff",
    b"/orders/..%20/healthz",
    b"/orders/.%20./healthz",
    b"/%68ealthz",
    b"/%6frders/7",
    b"/%68%65llo",
    b"/%48ELLO",
    b"/healthz%",
    b"/hello%zz",
    b"/healthz /../orders/7",
    b"/orders/7 /healthz",
    b"http://127.0.0.1/orders/../healthz",
    b"http://127.0.0.1/orders/..%2fhello",
    b"http://127.0.0.1//healthz",
    b"orders/../healthz",
    b"healthz",
];

/// One reading, and nearly that of what is public or of /hello: these are as guarded as anything else.
const NEAR: &[&str] = &[
    "/",
    "/HEALTHZ",
    "/Healthz",
    "/healthz/",
    "/healthz/7",
    "/healthzz",
    "/healthz.",
    "/healthz.html",
    "/healthz%20",
    "/healthz,x",
    "/healthz:80",
    "/healthz&x",
    "/HELLO",
    "/Hello?healthz",
    "/hello/",
    "/hello/7",
    "/hellothere",
    "/hello%20",
    "/Reports/march.txt",
    "/reports",
    "/orders",
    "/orders/7/lines/v1.2",
    "/orders/7/",
    "/orders/",
];

/// Orders like others. The query may have what it likes.
const PLAIN: &[&str] = &[
    "/orders/7",
    "/orders/v1.2",
    "/orders/v1.2.",
    "/orders/.hidden",
    "/orders/a%20b",
    "/orders/%20",
    "/orders/caf%C3%A9",
    "/orders/%e6%9c%ac",
    "/orders/%F0%9F%93%A6",
    "/orders/100%25",
    "/orders/50%25%20off",
    "/orders/a+b",
    "/orders/a%2Bb%26c%3Dd",
    "/orders/a:b@c!$&'()*,=~_-",
    "/orders/%5B7%5D",
    "/orders/%7Buser%7D",
    "/orders/HEALTHZ",
    "/orders/healthz?x",
    "/orders/7?",
    "/orders/7?next=/../healthz",
    "/orders/7?next=%2f..%2fhealthz;x=//%252e%00&y=?/healthz",
];

/// What a caller has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Nothing,
    /// /hello, where the proxy has it.
    Token,
    Scope,
}

/// The policy of a path as the app reads it.
fn policy(path: &str) -> Need {
    match path {
        "/healthz" => Need::Nothing,
        "/hello" => Need::Token,
        _ => Need::Scope,
    }
}

/// A path without its empty segments and dots.
fn resolved(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment.trim() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// What apps may take a target for: decoded never, once or more often, with and without parameters, and so on.
fn readings(target: &str) -> BTreeSet<String> {
    let path = target.split('?').next().unwrap().to_owned();
    let mut found = BTreeSet::new();
    let mut text = path;
    for _ in 0..4 {
        let slashed = text.replace('\\', "/");
        let bare: Vec<_> = slashed.split('/').map(|segment| segment.split(';').next().unwrap()).collect();
        let cut = slashed.split(['?', '#', '\0', '\r', '\n']).next().unwrap().to_owned();
        for reading in [text.clone(), resolved(&slashed), resolved(&bare.join("/")), resolved(&cut)] {
            found.insert(reading);
        }
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    }
    found
}

/// Whoever asks.
struct Caller {
    authorization: String,
    has: Need,
}

/// Nobody, a token of the weaker policy (`weak`), and the right one.
fn callers(site: &Site, weak: &[&str]) -> [Caller; 3] {
    let token = |args: &[&str]| site.client(args).1 + "\r\n";
    [
        Caller { authorization: String::new(), has: Need::Nothing },
        Caller { authorization: token(weak), has: Need::Token },
        Caller { authorization: token(&["right", "--scope", "orders:read"]), has: Need::Scope },
    ]
}

/// Whether all came that an answer announces.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.is_some_and(|length| body.len() >= length.trim().parse().unwrap())
}

/// Sends a request by hand. The status of its answer (none if the proxy just hangs up), and what the app saw.
fn send(site: &Site, front: &Front, target: &[u8], caller: &Caller) -> (Option<u16>, Vec<String>) {
    site.seen.lock().unwrap().clear();
    let address = front.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let lines = format!(" HTTP/1.1\r\nHost: {address}\r\n{}Connection: close\r\n\r\n", caller.authorization);
    stream.write_all(&[b"GET ", target, lines.as_bytes()].concat()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // Envoy lets a connection that it refused linger for a second.
    while !is_whole(&answer) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{}", target.escape_ascii());
                break;
            }
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("the report of March"), "{}: {answer}", target.escape_ascii());
    let status = answer.split(' ').nth(1).map(|status| status.parse().unwrap());
    let targets = site.seen.lock().unwrap().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    (status, targets)
}

/// Each target, by each caller: what reaches the app is allowed in every reading. What is wrong with each.
fn leaks(site: &Site, front: &Front, callers: &[Caller]) -> Vec<String> {
    let mut leaks = Vec::new();
    let near = NEAR.iter().chain(PLAIN).map(|target| target.as_bytes());
    for target in AMBIGUOUS.iter().copied().chain(near) {
        for caller in callers {
            let (status, seen) = send(site, front, target, caller);
            for path in &seen {
                let needed = readings(path).iter().map(|reading| policy(reading)).max().unwrap();
                if needed > caller.has {
                    leaks.push(format!("{}: the app saw {path}, for {:?}", target.escape_ascii(), caller.has));
                }
            }
            if seen.len() > 1 || (seen.is_empty() && status.is_some_and(|status| !(400..500).contains(&status))) {
                leaks.push(format!("{}: {status:?}, and the app saw {seen:?}", target.escape_ascii()));
            }
        }
    }
    leaks
}

/// What holds where the proxy has the policy, and refuses by itself.
fn refuses(site: &Site, front: &Front) {
    let callers = callers(site, &["weak"]);
    let leaks = leaks(site, front, &callers);
    assert!(leaks.is_empty(), "{} get past:\n{}", leaks.len(), leaks.join("\n"));
    let [nobody, weak, right] = &callers;
    for target in AMBIGUOUS {
        for caller in &callers {
            let (status, seen) = send(site, front, target, caller);
            assert!(matches!(status, Some(400) | None), "{}: {status:?}", target.escape_ascii());
            assert!(seen.is_empty(), "{}: {seen:?}", target.escape_ascii());
        }
    }
    for target in NEAR.iter().chain(PLAIN) {
        let ask = |caller| send(site, front, target.as_bytes(), caller);
        assert_eq!(ask(nobody), (Some(401), vec![]), "{target}");
        // A token for another audience.
        assert_eq!(ask(weak), (Some(401), vec![]), "{target}");
        if !target.starts_with("/reports") {
            assert_eq!(ask(right), (Some(200), vec![(*target).to_owned()]), "{target}");
        }
    }
    for target in ["/healthz", "/healthz?", "/healthz?x=/../hello;//%2f"] {
        let path = target.trim_end_matches('?');
        for caller in &callers {
            let (status, seen) = send(site, front, target.as_bytes(), caller);
            assert_eq!((status, seen.iter().map(|seen| seen.trim_end_matches('?')).collect()), (Some(200), vec![path]));
        }
    }
    for target in ["/hello", "/hello?x=/../healthz;//%2f"] {
        assert_eq!(send(site, front, target.as_bytes(), nobody), (Some(401), vec![]), "{target}");
        assert_eq!(send(site, front, target.as_bytes(), weak), (Some(200), vec![target.to_owned()]), "{target}");
    }
}

#[test]
fn no_spelling_gets_past_nginx() {
    let site = Site::new("");
    let Some(front) = site.nginx() else { return };
    refuses(&site, &front);
}

#[test]
fn no_spelling_gets_past_caddy() {
    let site = Site::new("");
    let Some(front) = site.caddy() else { return };
    refuses(&site, &front);
}

/// Envoy makes one spelling of several, and Mintage refuses what it leaves.
#[test]
fn no_spelling_gets_past_envoy() {
    let site = Site::new(&envoy_policy());
    let Some(front) = site.envoy() else { return };
    // The guard has no /hello.
    let callers = callers(&site, &["weak", "--scope", "orders:write"]);
    let leaks = leaks(&site, &front, &callers);
    assert!(leaks.is_empty(), "{} get past:\n{}", leaks.len(), leaks.join("\n"));
    let [nobody, weak, right] = &callers;
    for target in NEAR {
        for caller in &callers {
            let (status, seen) = send(&site, &front, target.as_bytes(), caller);
            assert!(matches!(status, Some(401 | 403)) && seen.is_empty(), "{target}: {status:?} {seen:?}");
        }
    }
    for target in PLAIN {
        let ask = |caller| send(&site, &front, target.as_bytes(), caller);
        assert_eq!(ask(nobody), (Some(401), vec![]), "{target}");
        assert_eq!(ask(weak), (Some(403), vec![]), "{target}");
        assert_eq!(ask(right), (Some(200), vec![(*target).to_owned()]), "{target}");
    }
    assert_eq!(send(&site, &front, b"/healthz#x", nobody), (Some(400), vec![]), "a fragment");
    assert_eq!(send(&site, &front, b"/healthz", nobody), (Some(200), vec!["/healthz".to_owned()]));
}
