//! Whatever the endpoint does: those who have a valid token do not notice, those who have none are told soon, the
//! endpoint is asked no more than the backoff allows, nothing secret is said, and it mends by itself.

use std::time::Duration;

use mintage::client::{AuthMethod, Error, TokenSource};
use serde_json::json;

use super::raw::Log;
use super::{Endpoint, SECRET, Say, Time, at_once, settle, until};

/// `billing` and [`SECRET`] as Basic has them.
const BASIC: &str = "YmlsbGluZzpzM2NyZXQtb2YtYmlsbGluZw";
/// How long a request may take.
const TIMEOUT: u64 = 10;

/// What a test expects of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Passes,
    /// Asked again by itself, though it should not get better.
    Odd,
    /// Asked again only where somebody wants it.
    Refusal,
}

/// The most requests in `seconds`: pauses of at most 1, 2, 4 and up to 60 s, and each at least a tenth of that. On
/// average each is more than half of it, by which there are less than a third as many in a long time.
pub fn allowed(seconds: u64) -> usize {
    let (mut left, mut bound, mut requests) = (seconds as f64, 1.0_f64, 1);
    while left > 0.0 && requests < 8 {
        left -= bound / 10.0;
        bound = (bound * 2.0).min(60.0);
        requests += 1;
    }
    requests + (seconds as usize) / 20
}

/// Moves time on until all are done; how long that took, in seconds.
pub async fn done(
    time: &Time,
    endpoint: &Endpoint,
    source: &TokenSource,
    tasks: &[tokio::task::JoinHandle<Result<String, Error>>],
) -> u64 {
    for second in 0..70 {
        endpoint.quiet(source).await;
        if tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            return second;
        }
        time.advance(Duration::from_secs(1)).await;
    }
    panic!("somebody still waits");
}

pub fn ask(source: &TokenSource, callers: usize) -> Vec<tokio::task::JoinHandle<Result<String, Error>>> {
    let ask = |source: TokenSource| async move { source.token().await.map(|token| token.reveal().to_owned()) };
    (0..callers).map(|_| tokio::spawn(ask(source.clone()))).collect()
}

pub fn tells_nothing(what: &str, text: &str) {
    for secret in [SECRET, BASIC, "token-1", "token-2", "half"] {
        let said = text.to_ascii_lowercase().contains(&secret.to_ascii_lowercase());
        assert!(!said, "{what} tells {secret}: {text}");
    }
    // Of an error. The log has lines of its own.
    let lines = what == "the log" || !text.contains(|c: char| c.is_control());
    assert!(lines, "{what} has control characters: {text:?}");
}

pub fn looks_at(error: &Error, kind: Kind) {
    tells_nothing("display", &error.to_string());
    tells_nothing("debug", &format!("{error:?}"));
    assert_eq!(error.is_retryable(), kind == Kind::Passes, "{error:?}");
    assert!(error.to_string().len() < 2000);
}

/// A source without a token, then with one, while the endpoint does one and the same thing.
pub async fn goes_through(
    what: &str,
    kind: Kind,
    mut endpoint: Endpoint,
    begins: impl Fn(&mut Endpoint),
    ends: impl Fn(&mut Endpoint),
    source: impl Fn(&Endpoint, &Time) -> TokenSource,
) {
    let (log, time) = (Log::listen(), Time::stands());
    begins(&mut endpoint);
    let source = source(&endpoint, &time);
    // Nobody has a token: all are told, soon.
    let tasks = ask(&source, 50);
    let waited = done(&time, &endpoint, &source, &tasks).await;
    assert!(waited <= TIMEOUT, "{what}: {waited} s");
    for task in tasks {
        looks_at(&task.await.unwrap().expect_err(what), kind);
    }
    // They keep asking, and the endpoint is not asked more for it.
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.extend(ask(&source, 50));
        time.advance(Duration::from_secs(10)).await;
        endpoint.quiet(&source).await;
    }
    let most = if kind == Kind::Refusal { 1 + 210 / 30 } else { allowed(210) };
    assert!(endpoint.asked() <= most && endpoint.asked() > 1, "{what}: {} of {most}", endpoint.asked());
    done(&time, &endpoint, &source, &tasks).await;
    for task in tasks {
        looks_at(&task.await.unwrap().expect_err(what), kind);
    }
    assert!(!source.health().valid && source.health().failures > 1, "{what}");
    // It is well again, and that is found out by one request.
    let first = recovers(what, kind, &time, &mut endpoint, &ends, &source).await;
    // With a token nobody notices.
    time.advance(Duration::from_secs(3200)).await;
    endpoint.quiet(&source).await;
    let before = endpoint.asked();
    begins(&mut endpoint);
    while source.health().valid {
        for _ in 0..10 {
            let token = at_once(source.token()).expect("it waits").expect("it fails");
            assert!(token.is_same(&first), "{what}");
        }
        time.advance(Duration::from_secs(10)).await;
        endpoint.quiet(&source).await;
    }
    let (asked, most) = (endpoint.asked() - before, if kind == Kind::Refusal { 2 } else { allowed(400) });
    assert!((1..=most).contains(&asked), "{what}: {asked} of {most}");
    let tasks = ask(&source, 50);
    let waited = done(&time, &endpoint, &source, &tasks).await;
    assert!(waited <= TIMEOUT, "{what}: {waited} s");
    for task in tasks {
        looks_at(&task.await.unwrap().expect_err(what), kind);
    }
    recovers(what, kind, &time, &mut endpoint, &ends, &source).await;
    tells_nothing("the log", &log.heard());
    let health = serde_json::to_string(&source.health()).unwrap();
    tells_nothing("what there is", &format!("{health}{source:?}"));
}

async fn recovers(
    what: &str,
    kind: Kind,
    time: &Time,
    endpoint: &mut Endpoint,
    ends: &impl Fn(&mut Endpoint),
    source: &TokenSource,
) -> mintage::client::Token {
    endpoint.quiet(source).await;
    settle().await;
    let before = endpoint.asked();
    ends(endpoint);
    for _ in 0..16 {
        if source.health().valid {
            break;
        }
        time.advance(Duration::from_secs(5)).await;
        if kind == Kind::Refusal {
            drop(ask(source, 1));
        }
        endpoint.quiet(source).await;
    }
    assert!(source.health().valid, "{what}: {:?}", source.health());
    assert_eq!(endpoint.asked() - before, 1, "{what}");
    assert!(source.health().failures == 0 && source.health().last_error.is_none(), "{what}");
    source.token().await.unwrap()
}

/// Runs all of these side by side, each in a time of its own.
pub fn side_by_side<F: Future<Output = ()>>(runs: impl IntoIterator<Item = impl FnOnce() -> F + Send>) {
    std::thread::scope(|scope| {
        for run in runs {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
                runtime.unwrap().block_on(run());
            });
        }
    });
}

fn each(faults: impl IntoIterator<Item = (&'static str, Kind, Say)>) {
    side_by_side(faults.into_iter().map(|(what, kind, say)| {
        move || async move {
            let endpoint = Endpoint::new(Say::lives(3600));
            endpoint.closes();
            goes_through(
                what,
                kind,
                endpoint,
                |endpoint| endpoint.says(say.clone()),
                |endpoint| endpoint.says(Say::lives(3600)),
                |endpoint, time| endpoint.source(time).build().unwrap(),
            )
            .await;
        }
    }));
}

fn says(status: u16, body: &str) -> Say {
    Say::This(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

#[test]
fn answers_that_ask_to_come_again() {
    each([
        ("500", Kind::Passes, Say::status(500)),
        ("503 with an OAuth body", Kind::Passes, Say::refused(503, "temporarily_unavailable")),
        ("429 without a time", Kind::Passes, Say::status(429)),
        ("503 and a time that is none", Kind::Passes, Say::status(503).with("retry-after", "soon")),
        ("a time that is over", Kind::Passes, Say::status(503).with("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")),
    ]);
}

#[test]
fn answers_that_do_not_come_or_break_off() {
    each([
        ("hangs", Kind::Passes, Say::Hang),
        ("hangs in the body", Kind::Passes, Say::Stall),
        ("half a body", Kind::Passes, Say::Half),
        ("reset", Kind::Passes, Say::Raw(Vec::new())),
        ("reset in the head", Kind::Passes, Say::Raw(b"HTTP/1.1 200 O".to_vec())),
        ("not HTTP", Kind::Passes, Say::Raw(b"SSH-2.0-OpenSSH_9.9 half\r\n\x1b[31mtoken-1\r\n\r\n".to_vec())),
        (
            "a header without an end",
            Kind::Passes,
            Say::Raw([&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'x'; 1 << 20]].concat()),
        ),
        (
            "headers without an end",
            Kind::Passes,
            Say::Raw([&b"HTTP/1.1 200 OK\r\n"[..], &b"x: y\r\n".repeat(9999)].concat()),
        ),
    ]);
}

#[test]
fn answers_of_200_that_are_no_tokens() {
    let html = Say::This(200, vec![("content-type", "text/html".to_owned())], "<html>half</html>".to_owned());
    each([
        ("HTML", Kind::Odd, html),
        ("nothing", Kind::Odd, Say::status(200)),
        ("null", Kind::Odd, says(200, "null")),
        ("an array", Kind::Odd, says(200, r#"["half","Bearer",3600,null,null]"#)),
        ("a token with a line break", Kind::Odd, says(200, r#"{"access_token":"half\r\nx: y","token_type":"Bearer"}"#)),
        ("another type of token", Kind::Odd, says(200, r#"{"access_token":"half","token_type":"half\u001b"}"#)),
        ("a list of tokens", Kind::Odd, says(200, r#"{"access_token":["half"],"token_type":"Bearer"}"#)),
    ]);
}

#[test]
fn answers_of_somebody_else_than_a_token_endpoint() {
    each([
        ("404 of a proxy", Kind::Odd, Say::This(404, Vec::new(), "404 page not found".to_owned())),
        ("405 of a proxy", Kind::Odd, Say::status(405)),
        ("410 of a proxy", Kind::Odd, Say::status(410)),
        ("204", Kind::Odd, Say::status(204)),
        ("201 and a token", Kind::Odd, says(201, r#"{"access_token":"half","token_type":"Bearer"}"#)),
        ("502 of a proxy", Kind::Passes, Say::This(502, Vec::new(), "<html>Bad Gateway</html>".to_owned())),
    ]);
}

#[test]
fn answers_that_repeat_the_secret_or_control_a_terminal() {
    let description =
        |text: String| says(401, &json!({"error": "invalid_client", "error_description": text}).to_string());
    each([
        ("the secret", Kind::Refusal, description(format!("you sent {SECRET}"))),
        ("Basic", Kind::Refusal, description(format!("you sent Basic {BASIC}=="))),
        ("Basic without its padding", Kind::Refusal, description(format!("you sent {BASIC}"))),
        ("escaped", Kind::Refusal, description(format!("you sent {}", SECRET.replace('-', "%2d")))),
        ("behind much else", Kind::Refusal, description(format!("{}{SECRET}", "x".repeat(495)))),
        ("as the code", Kind::Refusal, says(401, &json!({"error": SECRET, "request_id": SECRET}).to_string())),
        ("as a 500", Kind::Passes, says(500, &json!({"error": SECRET, "error_description": BASIC}).to_string())),
        ("escape codes", Kind::Refusal, description("\u{1b}[2J\u{7}\r\n\u{85}\u{9b}31m".to_owned())),
        ("as the code and long", Kind::Refusal, says(403, &json!({"error": "\n".repeat(60_000)}).to_string())),
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_line_is_not_turned_round_nor_split() {
    let time = Time::stands();
    let body = json!({"error": "invalid_client", "error_description": "a\u{202e}b\u{2028}c\u{2066}d\u{feff}e"});
    let endpoint = Endpoint::new(says(401, &body.to_string()));
    let error = endpoint.source(&time).build().unwrap().token().await.unwrap_err().to_string();
    assert!(error.contains("a b c d e"), "{error:?}");
}

#[test]
fn nobody_asks_before_the_endpoint_wants_it() {
    // 120 s, as a number and as a date; and by a tenth later at most, so that not all come at once.
    let waits = ["120", "Wed, 18 May 2033 03:35:20 GMT"].into_iter();
    side_by_side(waits.flat_map(|wait| [429, 503, 400, 403].map(|status| move || waits_for(wait, status))));
}

async fn waits_for(wait: &str, status: u16) {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::refused(status, "slow_down").with("retry-after", wait)));
    let source = endpoint.source(&time).build().unwrap();
    let error = source.token().await.unwrap_err();
    assert_eq!(error.is_retryable(), status == 429 || status == 503);
    let left = source.health().retry_in.unwrap();
    assert!((119..=132).contains(&left), "{left}");
    for second in 1..120 {
        time.advance(Duration::from_secs(1)).await;
        if second % 10 == 0 {
            for _ in 0..1000 {
                assert!(at_once(source.token()).expect("it waits").is_err());
            }
        }
    }
    assert_eq!(endpoint.asked(), 1, "{wait} {status}");
    endpoint.says(Say::lives(3600));
    time.pass(13).await;
    source.token().await.unwrap();
    assert_eq!(endpoint.asked(), 2, "{wait} {status}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_does_not_come_before_the_endpoint_wants_it_either() {
    let time = Time::stands();
    let endpoint = Endpoint::new(Say::lives(3600));
    let source = endpoint.source(&time).build().unwrap();
    let token = source.token().await.unwrap();
    time.advance(Duration::from_secs(3250)).await;
    endpoint.says(Say::refused(403, "access_denied").with("retry-after", "200"));
    source.replace(&token).await.unwrap_err();
    // Its renewal would have come within these.
    for _ in 0..19 {
        time.advance(Duration::from_secs(10)).await;
        endpoint.quiet(&source).await;
        assert!(at_once(source.token()).unwrap().unwrap().is_same(&token));
    }
    assert_eq!(endpoint.asked(), 2);
    endpoint.says(Say::lives(3600));
    time.advance(Duration::from_secs(35)).await;
    until("the renewal is made up for", || endpoint.asked() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_without_an_end_is_not_read_to_it() {
    for status in [200, 500, 401] {
        let endpoint = Endpoint::new(Say::Endless(status));
        let time = Time::stands();
        let source = endpoint.source(&time).build().unwrap();
        let error = source.token().await.unwrap_err();
        looks_at(&error, if status == 500 { Kind::Passes } else { Kind::Odd });
        settle().await;
        // What the sockets of both sides hold is taken off it, too.
        assert!(endpoint.poured() < 32 << 20, "{status}: {}", endpoint.poured());
    }
}

#[test]
fn answers_without_an_end() {
    each([("200", Kind::Odd, Say::Endless(200)), ("500", Kind::Passes, Say::Endless(500))]);
}

#[tokio::test(start_paused = true)]
async fn credentials_follow_no_redirect() {
    for limit in [None, Some(10)] {
        for method in [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost] {
            for status in [301, 302, 303, 307, 308] {
                let (time, elsewhere) = (Time::stands(), Endpoint::new(Say::lives(3600)));
                let endpoint = Endpoint::new(Say::status(status).with("location", format!("{}/token", elsewhere.url)));
                let mut source = endpoint.source(&time).auth_method(method);
                if let Some(limit) = limit {
                    source = source.http(move |builder| builder.redirect(reqwest::redirect::Policy::limited(limit)));
                }
                let error = source.build().unwrap().token().await.unwrap_err();
                looks_at(&error, Kind::Odd);
                assert!(error.to_string().contains("redirect"), "{error}");
                let seen = endpoint.seen().remove(0);
                let post = method == AuthMethod::ClientSecretPost;
                assert_eq!((seen.authorization.is_none(), seen.body.contains(SECRET)), (post, post));
                assert_eq!((elsewhere.counts().0, endpoint.asked()), (0, 1), "{status} {method:?}");
            }
        }
    }
}

#[test]
fn answers_that_lead_elsewhere() {
    let elsewhere = Endpoint::new(Say::lives(3600));
    let redirect = Say::status(307).with("location", format!("{}/token", elsewhere.url));
    each([("a redirect", Kind::Odd, redirect)]);
    assert_eq!(elsewhere.counts().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_as_long_as_it_may() {
    for (set, least, most) in [(None, 9, 10), (Some(2), 1, 2), (Some(30), 29, 30)] {
        let (time, endpoint) = (Time::stands(), Endpoint::new(Say::Hang));
        let mut source = endpoint.source(&time);
        if let Some(seconds) = set {
            source = source.http(move |builder| builder.timeout(Duration::from_secs(seconds)));
        }
        let source = source.build().unwrap();
        let waited = done(&time, &endpoint, &source, &ask(&source, 10)).await;
        assert!((least..=most).contains(&waited), "{set:?}: {waited}");
    }
}
