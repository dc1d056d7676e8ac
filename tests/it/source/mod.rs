//! The token source, against an endpoint that does what a test tells it, on time that the test moves, and against the
//! real service.

mod bearer;
mod cache;
mod cancel;
mod credentials;
mod discovery;
mod faults;
mod fleet;
mod herd;
mod layer;
mod lifetimes;
mod outage;
mod raw;
mod request;
pub mod resource;
mod secrecy;
mod standstill;
mod state;
mod time;

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use mintage::client::{Credentials, TokenSource, TokenSourceBuilder};
use mintage::crypto::entropy::SeededEntropy;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub use time::{Time, at_once, settle, turns, until};

pub const NOW: i64 = 2_000_000_000;
pub const SECRET: &str = "s3cret-of-billing";

/// What the token endpoint answers.
#[derive(Clone, Debug)]
pub enum Say {
    /// A token of its own each time, with these members besides.
    Token(Value),
    /// Status, headers, body.
    This(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Hang,
    /// 200, and half of a token response, and then the connection is closed.
    Half,
    /// This status, and a body without an end.
    Endless(u16),
    /// 200, and half of a token response, and then nothing, ever.
    Stall,
    /// These bytes, whether or not they are HTTP, and then the connection is reset. Of an endpoint that
    /// [`Endpoint::closes`].
    Raw(Vec<u8>),
}

impl Say {
    pub fn lives(seconds: u64) -> Self {
        Self::Token(json!({"expires_in": seconds}))
    }

    /// Tokens as long as real ones: `token-` and a number of so many digits.
    pub fn padded(digits: usize, seconds: u64) -> Self {
        Self::Token(json!({"expires_in": seconds, "digits": digits}))
    }

    pub fn refused(status: u16, error: &str) -> Self {
        Self::This(status, vec![("content-type", "application/json".to_owned())], json!({"error": error}).to_string())
    }

    pub fn status(status: u16) -> Self {
        Self::This(status, Vec::new(), String::new())
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::This(_, headers, _) = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// A request that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
}

/// A token endpoint on a runtime, and so in a time, of its own.
#[derive(Debug)]
pub struct Endpoint {
    pub url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Shared {
    says: Mutex<Say>,
    /// Said at these paths instead.
    says_at: Mutex<HashMap<String, Say>>,
    /// Said before that, once each.
    first: Mutex<VecDeque<Say>>,
    seen: Mutex<Vec<Seen>>,
    answered: Mutex<usize>,
    /// Whether answers are held back.
    held: watch::Sender<bool>,
    /// Whether each connection is good for one request.
    closes: AtomicBool,
    /// Bytes of bodies without an end.
    poured: Arc<AtomicUsize>,
    /// Requests on their way that get no answer, ever.
    hang: Arc<()>,
}

impl Shared {
    /// What is said to the next request, or was, where it is taken.
    fn next(&self, path: &str) -> Say {
        if let Some(say) = self.says_at.lock().unwrap().get(path) {
            return say.clone();
        }
        let first = self.first.lock().unwrap().pop_front();
        first.unwrap_or_else(|| self.says.lock().unwrap().clone())
    }
}

impl Endpoint {
    pub fn new(say: Say) -> Self {
        let shared = Arc::new(Shared {
            says: Mutex::new(say),
            says_at: Mutex::default(),
            first: Mutex::default(),
            seen: Mutex::default(),
            answered: Mutex::default(),
            held: watch::Sender::new(false),
            closes: AtomicBool::new(false),
            poured: Arc::default(),
            hang: Arc::default(),
        });
        let address = "127.0.0.1:0".parse().unwrap();
        let mut endpoint = Self { url: String::new(), address, shared, runtime: None };
        endpoint.comes_up();
        endpoint.url = format!("http://{}", endpoint.address);
        endpoint
    }

    /// Listens (again) where it did.
    pub fn comes_up(&mut self) {
        // The last one to listen here may not be gone yet.
        let bind = || {
            TcpListener::bind(self.address).ok().or_else(|| {
                std::thread::sleep(Duration::from_millis(2));
                None
            })
        };
        let listener = (0..1000).find_map(|_| bind()).unwrap();
        self.address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::clone(&self.shared);
        runtime.spawn(async move { raw::listen(tokio::net::TcpListener::from_std(listener).unwrap(), shared).await });
        self.runtime = Some(runtime);
    }

    /// Nobody listens any more, and connections are cut.
    pub fn goes_down(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    pub fn says(&self, say: Say) {
        *self.shared.says.lock().unwrap() = say;
    }

    pub fn says_at(&self, path: &str, say: Say) {
        self.shared.says_at.lock().unwrap().insert(path.to_owned(), say);
    }

    /// Each connection is good for one request.
    pub fn closes(&self) {
        self.shared.closes.store(true, Ordering::SeqCst);
    }

    /// How many bytes of bodies without an end were taken off it.
    pub fn poured(&self) -> usize {
        self.shared.poured.load(Ordering::SeqCst)
    }

    /// Said once, before what is said otherwise.
    pub fn says_first(&self, say: Say) {
        self.shared.first.lock().unwrap().push_back(say);
    }

    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How often a token was asked for.
    pub fn asked(&self) -> usize {
        self.asked_at("/token")
    }

    pub fn asked_at(&self, path: &str) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.path == path).count()
    }

    /// How often anything was asked for, and answered.
    pub fn counts(&self) -> (usize, usize) {
        (self.shared.seen.lock().unwrap().len(), *self.shared.answered.lock().unwrap())
    }

    /// Waits, in real time, until `source` has the outcome of its request, or this has it and gives none.
    pub async fn quiet(&self, source: &impl std::fmt::Debug) {
        turns().await;
        let mut hangs = 0;
        for _ in 0..2500 {
            let inside = format!("{source:?}");
            assert!(inside.contains("busy: "), "{inside}");
            if !inside.contains("busy: true") || hangs == 3 {
                return;
            }
            let before = self.counts();
            settle().await;
            let hang = Arc::strong_count(&self.shared.hang) > 1 && before == self.counts();
            hangs = if hang { hangs + 1 } else { 0 };
        }
        panic!("in five seconds there was no outcome");
    }

    /// A source of its tokens, in real time.
    pub fn live(&self) -> TokenSource {
        let source = TokenSource::token_url(format!("{}/token", self.url));
        source.credentials(Credentials::new("billing", SECRET)).build().unwrap()
    }

    /// A source of its tokens, on `time`.
    pub fn source(&self, time: &Time) -> TokenSourceBuilder {
        TokenSource::token_url(format!("{}/token", self.url))
            .credentials(Credentials::new("billing", SECRET))
            .clock(Arc::clone(&time.clock) as _)
            .entropy(Arc::new(SeededEntropy::new(7)))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let say = shared.next(&path);
    let number = {
        let mut seen = shared.seen.lock().unwrap();
        seen.push(Seen { path, authorization, body });
        seen.len()
    };
    shared.held.subscribe().wait_for(|held| !held).await.unwrap();
    *shared.answered.lock().unwrap() += 1;
    let json =
        |body: &Value| Response::builder().header("content-type", "application/json").body(body.to_string().into());
    match say {
        Say::Token(more) => {
            let digits = more["digits"].as_u64().unwrap_or(0) as usize;
            let mut body = json!({"access_token": format!("token-{number:0digits$}"), "token_type": "Bearer"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json(&body).unwrap()
        }
        Say::This(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        }
        Say::Hang => {
            let _hangs = Arc::clone(&shared.hang);
            std::future::pending().await
        }
        Say::Half => {
            let half = bytes::Bytes::from_static(br#"{"access_token":"half","tok"#);
            Response::builder().header("content-length", "1000").body(Body::new(Frames::Once(half, None))).unwrap()
        }
        Say::Stall => {
            let half = bytes::Bytes::from_static(br#"{"access_token":"half","tok"#);
            Response::builder()
                .header("content-length", "1000")
                .body(Body::new(Frames::Once(half, Some(Arc::clone(&shared.hang)))))
                .unwrap()
        }
        Say::Endless(status) => {
            Response::builder().status(status).body(Body::new(Frames::Endless(Arc::clone(&shared.poured)))).unwrap()
        }
        Say::Raw(_) => unreachable!("told before the request was read"),
    }
}

/// One frame and then a failure (or nothing, ever), or spaces without an end.
enum Frames {
    Once(bytes::Bytes, Option<Arc<()>>),
    Endless(Arc<AtomicUsize>),
}

impl axum::body::HttpBody for Frames {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, std::io::Error>>> {
        let frame = match &mut *self {
            Self::Once(once, Some(_)) if once.is_empty() => return std::task::Poll::Pending,
            Self::Once(once, None) if once.is_empty() => Err(std::io::Error::other("cut")),
            Self::Once(once, _) => Ok(hyper::body::Frame::data(std::mem::take(once))),
            Self::Endless(poured) => {
                poured.fetch_add(64 * 1024, Ordering::SeqCst);
                Ok(hyper::body::Frame::data(bytes::Bytes::from_static(&[b' '; 64 * 1024])))
            }
        };
        std::task::Poll::Ready(Some(frame))
    }
}
