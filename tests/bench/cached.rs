//! What a token costs that is at hand: `token().await` of a source, beside the least there is to do and beside a
//! published crate.
//!
//! `cargo bench --bench cached`. All take turns in one run; the figure is the median of the rounds. "floor" reads a
//! `RwLock<Option<String>>`, which hands out tokens that have ended; a source looks at two clocks, the monotonic one, which
//! stands while a machine sleeps, and the date, which can be set back. "peer" is `aliri_tokens`, whose
//! read is a borrow that cannot be held across an `.await`; so what is compared is what a request needs: a token that is
//! owned and was looked at for its end, and the value of the header.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark reads the real clock and prints"
)]

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::RwLock;
use std::time::{Duration, Instant, SystemTime};

use aliri_clock::DurationSecs;
use aliri_tokens::{AccessToken, TokenStatus, TokenWatcher, backoff, jitter, sources};
use mintage::client::{Credentials, TokenSource};
use reqwest::header::HeaderValue;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A token of the length that ours have.
const TOKEN_BYTES: usize = 700;
/// A token that is owned and checked may cost at most this many times a copy of a string behind a lock and a look at the
/// clocks.
const WANTED: f64 = 2.0;

/// Answers one token request, as often as it is asked.
fn endpoint(token: String) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/token", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut seen = Vec::new();
            let mut buffer = [0; 2048];
            while !seen.windows(18).any(|part| part == b"client_credentials") {
                match stream.read(&mut buffer) {
                    Ok(read) if read > 0 => seen.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            drop(write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
    });
    Ok(url)
}

/// Nanoseconds that `work` takes, over `span`.
fn measure(span: Duration, mut work: impl FnMut()) -> f64 {
    let (start, mut done) = (Instant::now(), 0u64);
    while start.elapsed() < span {
        for _ in 0..1000 {
            work();
        }
        done += 1000;
    }
    start.elapsed().as_nanos() as f64 / done as f64
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// What `work` gives, which has to be there at the first poll: no executor is measured.
fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

fn header(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn main() -> Result<ExitCode> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, span) = if quick { (3, 20) } else { (9, 200) };
    let span = Duration::from_millis(span);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let token = "t".repeat(TOKEN_BYTES);

    let source =
        TokenSource::token_url(endpoint(token.clone())?).credentials(Credentials::new("id", "secret")).build()?;
    runtime.block_on(source.token())?;
    let constant =
        sources::ConstTokenSource::new(AccessToken::new(token.clone())).with_token_valid_for(DurationSecs(3600));
    let watcher = runtime.block_on(TokenWatcher::spawn_from_token_source(
        constant,
        jitter::NullJitter,
        backoff::ErrorBackoffConfig::default(),
    ))?;
    let floor = RwLock::new(Some(token));
    let read = || floor.read().map(|held| held.as_ref().map_or(0, String::len)).unwrap_or(0);
    let copy = || floor.read().ok().and_then(|held| held.clone());
    let fresh = || !matches!(watcher.token().token_status(), TokenStatus::Expired);

    let parts: [(&str, &dyn Fn()); 9] = [
        ("floor: RwLock<Option<String>>, read in place", &|| {
            black_box(read());
        }),
        ("floor: the same, copied", &|| drop(black_box(copy()))),
        ("floor: the same, as a header", &|| drop(black_box(copy().and_then(|token| header(&token))))),
        ("floor: to look at both clocks", &|| {
            black_box((SystemTime::now(), Instant::now()));
        }),
        ("mintage: token().await", &|| drop(black_box(at_once(source.token())))),
        ("mintage: token().await, as a header", &|| {
            drop(black_box(at_once(source.token()).and_then(|token| Some(token.ok()?.authorization()))));
        }),
        ("peer: token(), borrowed, not checked", &|| {
            black_box(watcher.token().access_token().as_str().len());
        }),
        ("peer: token(), checked, copied", &|| {
            drop(black_box(fresh().then(|| watcher.token().access_token().as_str().to_owned())));
        }),
        ("peer: token(), checked, as a header", &|| {
            drop(black_box(fresh().then(|| header(watcher.token().access_token().as_str()))));
        }),
    ];
    let mut samples = vec![Vec::new(); parts.len()];
    for _ in 0..rounds {
        for ((_, work), samples) in parts.iter().zip(&mut samples) {
            samples.push(measure(span, work));
        }
    }
    let costs: Vec<f64> = samples.into_iter().map(median).collect();
    for ((name, _), cost) in parts.iter().zip(&costs) {
        println!("{cost:8.1} ns  {name}");
    }
    let ratio = costs[4] / (costs[1] + costs[3]);
    println!("ratio (token to a copy behind a lock, and the clocks): {ratio:.2}   (at most {WANTED} wanted)");
    println!("ratio (header to the peer's): {:.2}", costs[5] / costs[8]);
    Ok(if ratio <= WANTED { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
