//! The verifier that follows an issuer, against one that does what a test tells it, and against the real one.

mod build;
mod feed;
mod guard;
mod keys;
mod lost;
mod real;
mod snapshot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::signature::Signer;
use mintage::clock::{ManualClock, UnixTime};
use mintage::crypto::{PublicKey, SigningKey};
use mintage::jose::{Algorithm, JwsError, jwk};
use mintage::resource::{AccessToken, Discovered, TokenError, Verifier, VerifierBuilder};
use serde_json::{Value, json};
use tokio::sync::watch;

pub const API: &str = "https://orders.example";
pub const NOW: i64 = 2_000_000_000;
const METADATA: &str = "/.well-known/oauth-authorization-server";
const JWKS: &str = "/jwks";
const FEED: &str = "/feed";

/// What an endpoint answers.
#[derive(Clone, Debug)]
enum Say {
    This(u16, Vec<(&'static str, String)>, String),
    /// 200, and a body without an end.
    Endless,
    /// Nothing, ever.
    Hang,
    /// What a well-behaved feed does with [`Fake::news`].
    News,
}

impl Say {
    fn json(value: &Value) -> Self {
        Self::This(200, Vec::new(), value.to_string())
    }

    fn text(text: impl Into<String>) -> Self {
        Self::This(200, Vec::new(), text.into())
    }

    fn status(status: u16) -> Self {
        Self::This(status, Vec::new(), String::new())
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::This(_, headers, _) = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// A request that was seen.
#[derive(Clone, Debug)]
struct Seen {
    path: String,
    query: String,
    if_none_match: Option<String>,
}

/// An issuer that does what it is told, and counts what it is asked.
#[derive(Debug)]
struct Fake {
    url: String,
    clock: Arc<ManualClock>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    says: Mutex<HashMap<&'static str, Say>>,
    seen: Mutex<Vec<Seen>>,
    /// Whether answers about keys are held back.
    held: watch::Sender<bool>,
    news: watch::Sender<Vec<(&'static str, String)>>,
    /// A header of the feed's answers.
    etag: Mutex<Option<String>>,
}

impl Fake {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            says: Mutex::default(),
            seen: Mutex::default(),
            held: watch::Sender::new(false),
            news: watch::Sender::new(Vec::new()),
            etag: Mutex::default(),
        });
        let fake = Self { url, clock: Arc::new(ManualClock::new(UnixTime::from_seconds(NOW))), shared };
        fake.says(METADATA, Say::json(&fake.metadata()));
        fake.says(JWKS, Say::json(&json!({"keys": []})));
        fake.says(FEED, Say::News);
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&fake.shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    /// One that publishes `keys`.
    async fn with(keys: &[&Key]) -> Self {
        let fake = Self::new().await;
        fake.publishes(keys);
        fake
    }

    fn metadata(&self) -> Value {
        let at = |path| format!("{}{path}", self.url);
        json!({"issuer": self.url, "jwks_uri": at(JWKS), "revocation_feed": at(FEED)})
    }

    fn says(&self, path: &'static str, say: Say) {
        self.shared.says.lock().unwrap().insert(path, say);
    }

    fn publishes(&self, keys: &[&Key]) {
        self.says(JWKS, Say::json(&set(keys)));
    }

    /// All endpoints fail.
    fn goes_down(&self) {
        for path in [METADATA, JWKS, FEED] {
            self.says(path, Say::status(503));
        }
    }

    fn comes_back(&self, keys: &[&Key]) {
        self.says(METADATA, Say::json(&self.metadata()));
        self.publishes(keys);
        self.says(FEED, Say::News);
    }

    /// Publishes that a `jti`, `gen` or `kid` is revoked.
    fn revokes(&self, kind: &'static str, name: &str) {
        self.shared.news.send_modify(|news| news.push((kind, name.to_owned())));
    }

    fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    fn seen(&self, path: &str) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    fn count(&self, path: &str) -> usize {
        self.seen(path).len()
    }

    fn discover(&self) -> VerifierBuilder<Discovered> {
        Verifier::discover(&self.url).audience(API).clock(Arc::clone(&self.clock) as _)
    }

    async fn verifier(&self) -> Verifier {
        self.discover().build().await.unwrap()
    }

    /// A good token that `key` signed.
    fn token(&self, key: &Key, jti: &str) -> String {
        key.token(&self.claims(jti))
    }

    fn claims(&self, jti: &str) -> Value {
        json!({
            "iss": self.url, "sub": "billing", "client_id": "billing", "aud": API, "exp": NOW + 1_000_000,
            "iat": NOW, "nbf": NOW, "jti": jti, "scope": "orders:read", "env": "live", "gen": format!("of {jti}"),
        })
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let if_none_match = request.headers().get("if-none-match").map(|value| value.to_str().unwrap().to_owned());
    let seen = Seen { path: path.clone(), query, if_none_match: if_none_match.clone() };
    shared.seen.lock().unwrap().push(seen.clone());
    let say = shared.says.lock().unwrap().get(path.as_str()).cloned().unwrap_or(Say::status(404));
    if path == JWKS {
        shared.held.subscribe().wait_for(|held| !held).await.unwrap();
    }
    let (status, headers, body) = match say {
        Say::This(200, headers, _)
            if headers.iter().any(|(n, v)| *n == "etag" && Some(v) == if_none_match.as_ref()) =>
        {
            (304, headers, Body::empty())
        }
        Say::This(status, headers, body) => (status, headers, Body::from(body)),
        Say::Endless => (200, Vec::new(), endless()),
        Say::Hang => std::future::pending().await,
        Say::News => {
            let etag = shared.etag.lock().unwrap().clone();
            let headers = etag.into_iter().map(|etag| ("mintage-jwks-etag", etag)).collect();
            (200, headers, Body::from(news(&shared, &seen.parameters()).await.to_string()))
        }
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).unwrap()
}

/// A body of spaces, which JSON may begin with.
fn endless() -> Body {
    struct Spaces;
    impl axum::body::HttpBody for Spaces {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
            let spaces = bytes::Bytes::from_static(&[b' '; 64 * 1024]);
            std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(spaces))))
        }
    }
    Body::new(Spaces)
}

impl Seen {
    fn parameters(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }
}

/// What a feed answers: what came after the cursor, or the whole list to one that it does not know.
async fn news(shared: &Shared, parameters: &HashMap<String, String>) -> Value {
    let since: Option<usize> = parameters.get("since").and_then(|since| since.parse().ok());
    let wait = Duration::from_secs(parameters["wait"].parse().unwrap());
    let mut news = shared.news.subscribe();
    let more = news.wait_for(|news| since.is_none_or(|since| since < news.len()));
    drop(tokio::time::timeout(wait, more).await);
    let news = shared.news.borrow().clone();
    let start = since.unwrap_or(0).min(news.len());
    feed(&news.len().to_string(), since.is_none(), &news[start..])
}

fn feed(cursor: &str, reset: bool, news: &[(&'static str, String)]) -> Value {
    let of = |kind: &str| -> Vec<Value> {
        let named = news.iter().filter(|(its_kind, _)| *its_kind == kind);
        named.map(|(kind, name)| json!({*kind: name, "until": NOW + 1_000_000})).collect()
    };
    json!({"cursor": cursor, "reset": reset, "jtis": of("jti"), "generations": of("gen"), "kids": of("kid")})
}

pub fn set(keys: &[&Key]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}

/// A key that signs tokens.
#[derive(Debug)]
pub struct Key {
    signing: SigningKey,
    kid: String,
}

impl Key {
    pub fn new() -> Self {
        let der = SigningKey::generate_pkcs8(Algorithm::ES256).unwrap();
        let signing = SigningKey::from_der(&der, Algorithm::ES256).unwrap();
        let kid = jwk::thumbprint(&signing.public_key());
        Self { signing, kid }
    }

    fn named(kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..Self::new() }
    }

    fn public(&self) -> PublicKey {
        self.signing.public_key()
    }

    fn jwk(&self) -> Value {
        jwk::to_jwk(&self.public(), &self.kid, Algorithm::ES256)
    }

    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid}).to_string();
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.signing.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The verdict on a token, without what is in it.
fn verdict(verifier: &Verifier, token: &str) -> Result<(), TokenError> {
    verifier.verify(token).map(|_: AccessToken| ())
}

fn unknown_key() -> Result<(), TokenError> {
    Err(JwsError::UnknownKey.into())
}

/// Waits until it is so. Where time is paused, it passes meanwhile.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets this much time pass: in earnest, or at once where time is paused.
async fn pass(span: Duration) {
    tokio::time::sleep(span).await;
}
