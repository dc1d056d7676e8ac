//! Quotas: what is granted over two lives with a `kill -9` between them, and the commands.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::kill9::{exchange, whoami};
use super::{Place, random, seed, speak, wait_for};

const CALLERS: usize = 4;
const ARGS: [&str; 2] = ["--issuer", "http://127.0.0.1:1"];

/// The status of a guarded request, as long as the server is there.
fn asks(address: SocketAddr, token: &str) -> Option<u16> {
    let head = format!("GET /api/v1/whoami HTTP/1.1\r\nAuthorization: Bearer {token}");
    speak(TcpStream::connect(address).ok()?, &head, "").ok().map(|(status, _)| status)
}

/// How many are granted until one is refused, or the server is gone.
fn granted(
    address: SocketAddr,
    stop: &AtomicBool,
    count: &AtomicUsize,
    one: &(impl Fn(SocketAddr) -> Option<u16> + Sync),
) {
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    match one(address) {
                        Some(200) => count.fetch_add(1, Ordering::SeqCst),
                        Some(402 | 403) | None => return,
                        Some(other) => panic!("{other}"),
                    };
                }
            });
        }
    });
}

/// Asks until nothing is left, with a kill somewhere before; how many were granted.
fn over_two_lives(place: &Place, pause: Duration, one: impl Fn(SocketAddr) -> Option<u16> + Sync) -> (usize, usize) {
    let mut server = place.start(&ARGS);
    let (address, stop, count) = (server.address, AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| granted(address, &stop, &count, &one));
        wait_for("the first", || (count.load(Ordering::SeqCst) > 0).then_some(()));
        std::thread::sleep(pause);
        server.signal("-KILL");
        stop.store(true, Ordering::SeqCst);
    });
    let first = count.load(Ordering::SeqCst);
    let server = place.start(&ARGS);
    granted(server.address, &AtomicBool::new(false), &count, &one);
    (first, count.load(Ordering::SeqCst))
}

#[test]
fn no_more_is_granted_over_two_lives_than_the_bound_says() {
    let mut state = seed("no_more_is_granted_over_two_lives_than_the_bound_says");
    let place = Place::new();
    let unlimited = "per_minute = 0\nper_day = 0\nconcurrent = 0\n";
    let token = unlimited.lines().take(2).collect::<Vec<_>>().join("\n");
    place.write(
        "mintage.toml",
        format!("[limits.token]\n{token}\n[limits.routes.read]\n{unlimited}[limits.failed_auth]\ndelay = \"0s\"\n"),
    );
    let mut killed_before_the_end = 0;
    // What may be granted twice is a hundredth of it: nothing of the small ones.
    for (quota, rounds) in [(40_usize, 4_u64), (1500, 3)] {
        let bound = quota / 100;
        for round in 0..rounds {
            let id = format!("c{quota}-{round}");
            let server = place.start(&ARGS);
            let quota_of = |measure: &str| format!("{measure}.total={quota}");
            let args = ["c", "--id", &id, "--quota", &quota_of("tokens"), "--quota", &quota_of("requests")];
            let (_, secret) = place.client(&args);
            let (paying, paying_secret) = place.client(&["paying"]);
            place.text(&["client", "balance", &paying, "--set", &quota.to_string()]);
            let paying_token = exchange(server.address, &paying, &paying_secret).unwrap().1["access_token"].clone();
            drop(server.stop("-TERM"));
            let mut pause = || Duration::from_micros(random(&mut state) % (quota as u64 * 300));
            let asked = |(first, all): (usize, usize), what: &str| {
                assert!(all <= quota + bound, "{what} of {quota}: {all} were granted, {first} of them before the kill");
                // Whatever was granted and never heard of.
                assert!(all + CALLERS >= quota, "{what} of {quota}: only {all} were granted");
                usize::from(first < quota)
            };
            let tokens = over_two_lives(&place, pause(), |address| {
                exchange(address, &id, &secret).ok().map(|(status, _)| status)
            });
            killed_before_the_end += asked(tokens, "tokens");
            let bearer = paying_token.as_str().unwrap();
            let requests = over_two_lives(&place, pause(), |address| asks(address, bearer));
            killed_before_the_end += asked(requests, "requests that are paid for");
        }
    }
    eprintln!("{killed_before_the_end} of 14 kills came before all was used");
    assert!(killed_before_the_end >= 5, "only {killed_before_the_end} kills came before all was used");
}

/// What was granted under a wide quota, or a full balance, is written before it is a narrow one.
#[test]
fn what_was_granted_before_a_change_is_counted_after_a_kill() {
    let place = Place::new();
    let unlimited = "per_minute = 0\nper_day = 0\nconcurrent = 0\n";
    place.write("mintage.toml", format!("[limits.routes.read]\n{unlimited}"));
    for round in 0..4 {
        let server = place.start(&ARGS);
        let (wide, wide_secret) = place.client(&["wide", "--quota", "requests.total=100000"]);
        let (paying, paying_secret) = place.client(&["paying"]);
        place.text(&["client", "balance", &paying, "--set", "1000000"]);
        let token = |id: &str, secret: &str| {
            exchange(server.address, id, secret).unwrap().1["access_token"].as_str().unwrap().to_owned()
        };
        let (of_wide, of_paying) = (token(&wide, &wide_secret), token(&paying, &paying_secret));
        let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        for _ in 0..200 {
            assert_eq!(asks(server.address, &of_wide), Some(200));
        }
        place.text(&["client", "update", &wide, "--quota", "requests.total=250"]);
        let mut server = server;
        let one = |address| asks(address, &of_paying);
        std::thread::scope(|scope| {
            scope.spawn(|| granted(server.address, &stop, &count, &one));
            wait_for("some", || (count.load(Ordering::SeqCst) > 50).then_some(()));
            place.text(&["client", "balance", &paying, "--set", "10"]);
            stop.store(true, Ordering::SeqCst);
        });
        server.signal("-KILL");
        let server = place.start(&ARGS);
        let used = place.json(&["client", "quotas", &wide])["requests"]["total"]["used"].as_u64().unwrap();
        assert!(used >= 198, "round {round}: of 200 there are {used}");
        let left = place.json(&["client", "quotas", &paying])["balance"].as_i64().unwrap();
        assert!(left <= 10, "round {round}: {left} are left of 10");
        drop(server.stop("-TERM"));
    }
}

#[test]
fn the_commands() {
    let place = Place::new();
    let server = place.start(&ARGS);
    let (id, secret) = place.client(&["billing", "--quota", "tokens.day=1000"]);
    place.text(&["client", "update", &id, "--quota", "requests.month=50000", "--quota", "tokens.day=none"]);
    let shown = place.json(&["client", "show", &id]);
    assert_eq!(
        (&shown["quotas"]["tokens"]["day"], &shown["quotas"]["requests"]["month"]),
        (&serde_json::Value::Null, &50000.into())
    );
    assert_eq!(place.json(&["client", "balance", &id, "--add", "100", "--note", "invoice 1"])["balance"], 100);
    assert_eq!(place.json(&["client", "balance", &id, "--add", "-30"])["balance"], 70);
    let token = exchange(server.address, &id, &secret).unwrap().1["access_token"].as_str().unwrap().to_owned();
    assert_eq!(whoami(server.address, &token).0, 200);
    let uses = place.json(&["client", "quotas", &id]);
    assert_eq!((&uses["balance"], &uses["requests"]["month"]["remaining"]), (&69.into(), &49_999.into()));
    let table = place.text(&["client", "quotas", &id]);
    assert!(table.contains("requests.month  50000  1     49999"), "{table}");
    assert_eq!(place.json(&["client", "balance", &id, "--none"])["balance"], serde_json::Value::Null);

    place.text(&["project", "update", "default", "--quota", "requests.day=1"]);
    assert_eq!(place.json(&["project", "balance", "default", "--set", "5"])["balance"], 5);
    assert_eq!(whoami(server.address, &token).0, 200);
    assert_eq!(whoami(server.address, &token).0, 403);
    assert_eq!(place.json(&["project", "quotas", "default"])["requests"]["day"]["used"], 1);
    assert!(place.text(&["project", "show", "default"]).contains("requests.day=1"));
    for wrong in ["tokens=1", "tokens.week=1", "tokens.day=-1", "tokens.day=many"] {
        let ran = place.run(&["client", "update", &id, "--quota", wrong]);
        assert!(ran.code == Some(2) && ran.err.contains("--quota"), "{wrong}: {}", ran.err);
    }
    let wrong: [&[&str]; 3] = [
        &["client", "balance", &id],
        &["client", "balance", &id, "--add", "1", "--set", "1"],
        &["project", "update", "default"],
    ];
    for wrong in wrong {
        assert_eq!(place.run(wrong).code, Some(2), "{wrong:?}");
    }
}
