//! Tokens in form bodies, before routes of somebody else's: refused, and every other body arrives as it was sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready as done};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use mintage::id::RequestId;
use mintage::reason::Reason;
use mintage::resource::{Guard, Peeked, RefusalObserver, RefuseTokenInBody, Refused, Verifier};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, Sleep, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::app::TestApp;
use crate::raw::{self, Answer};

const FORM: &str = "application/x-www-form-urlencoded";
const LOOKED_AT: usize = 64 * 1024;

/// What an observer was told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<(String, Refused)>>);

impl RefusalObserver for Told {
    fn request_refused(&self, request_id: &RequestId, refused: &Refused) {
        self.0.lock().unwrap().push((request_id.to_string(), refused.clone()));
    }
}

/// A service of somebody else's, which says what arrived.
struct Orders {
    _app: TestApp,
    base: String,
    token: String,
    told: Arc<Told>,
    arrived: Arc<Mutex<Vec<Bytes>>>,
    called: Arc<AtomicUsize>,
}

impl Orders {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let token = app.token(&app.client(&[]).await).await;
        let told = Arc::new(Told::default());
        let guard = Guard::new(Arc::clone(app.service.verifier()))
            .errors_base("https://orders.example/errors")
            .observer(Arc::clone(&told) as _)
            .peer_from(|e| e.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()));
        let (arrived, called) = (Arc::<Mutex<Vec<Bytes>>>::default(), Arc::<AtomicUsize>::default());
        let (keep, count) = (Arc::clone(&arrived), Arc::clone(&called));
        let take = async move |body: Body| {
            count.fetch_add(1, Ordering::SeqCst);
            match body.collect().await {
                Ok(body) => {
                    keep.lock().unwrap().push(body.to_bytes());
                    StatusCode::OK
                }
                Err(_) => StatusCode::IM_A_TEAPOT,
            }
        };
        let routes = Router::new().route("/orders", post(take).layer(guard.layer()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = listener.local_addr().unwrap().to_string();
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { _app: app, base, token, told, arrived, called }
    }

    fn head(&self, authorized: bool, lines: &str) -> String {
        let authorization =
            if authorized { format!("Authorization: Bearer {}\r\n", self.token) } else { String::new() };
        format!("POST /orders HTTP/1.1\r\nHost: orders\r\n{authorization}{lines}\r\n")
    }

    async fn post(&self, authorized: bool, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let lines = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        raw::send(&self.base, [self.head(authorized, &lines).as_bytes(), body].concat()).await
    }

    fn arrived(&self) -> Option<Bytes> {
        self.arrived.lock().unwrap().pop()
    }

    /// Posts it with a token in the header, and it arrives byte for byte.
    async fn passes(&self, content_type: &str, body: impl AsRef<[u8]>) {
        let answer = self.post(true, content_type, &body).await;
        assert_eq!(answer.status, 200, "{content_type}: {answer:?}");
        assert!(self.arrived().unwrap() == body.as_ref(), "{content_type}");
    }
}

fn is_refusal(answer: &Answer) {
    assert_eq!(answer.verdict(), (400, "malformed_request".to_owned()), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_request\""), "{answer:?}");
    assert_eq!(answer.json()["type"], "https://orders.example/errors/malformed_request");
}

/// `HTTP/1.1` pieces, each with its length.
fn chunked(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    pieces.iter().map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).collect()
}

#[tokio::test]
async fn a_token_in_a_form_is_refused_whatever_the_header_says() {
    let orders = Orders::start().await;
    for content_type in
        [FORM, "Application/X-WWW-Form-URLEncoded ; charset=UTF-8", "application/x-www-form-urlencoded;"]
    {
        for body in ["access_token=x", "a=b&access_token=x", "access%5Ftoken=x", "%61ccess_token", "access_token=&a=b"]
        {
            for authorized in [false, true] {
                is_refusal(&orders.post(authorized, content_type, body).await);
            }
        }
    }
    let two_types = format!("application/json\r\nContent-Type: {FORM}");
    is_refusal(&orders.post(true, &two_types, "access_token=x").await);
    assert_eq!((orders.called.load(Ordering::SeqCst), orders.arrived()), (0, None));
    // Any other form is for the guard to decide on.
    assert_eq!(orders.post(false, FORM, "a=b").await.verdict(), (401, "no_credentials".to_owned()));
}

#[tokio::test]
async fn the_observer_is_told_of_it() {
    let orders = Orders::start().await;
    let answer = orders.post(true, FORM, "access_token=x").await;
    let told = orders.told.0.lock().unwrap();
    let [(request_id, refused)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(answer.json()["request_id"], request_id.as_str());
    assert_eq!(refused.reason(), Reason::MalformedRequest);
    assert_eq!(refused.ip(), Some(Ipv4Addr::LOCALHOST.into()));
}

#[tokio::test]
async fn other_bodies_arrive_untouched() {
    let orders = Orders::start().await;
    for body in ["", "&", "a=b", "access_tokens=x", "token=access_token", "Access_Token=x", "%ff=x&a=access_token"] {
        orders.passes(FORM, body).await;
    }
    orders.passes("application/json", r#"{"access_token":"x"}"#).await;
    orders.passes("application/json", "access_token=x").await;
    orders.passes("text/plain", "access_token=x").await;
    orders.passes("application/x-www-form-urlencoded-not", "access_token=x").await;
    let part = "--b\r\nContent-Disposition: form-data; name=\"access_token\"\r\n\r\nx\r\n--b--\r\n";
    orders.passes("multipart/form-data; boundary=b", part).await;
}

#[tokio::test]
async fn a_form_of_any_size_arrives_whole() {
    let orders = Orders::start().await;
    for length in [LOOKED_AT - 1, LOOKED_AT, LOOKED_AT + 1, 3 * LOOKED_AT + 5, 1024 * 1024] {
        let body: Vec<u8> = (0..length).map(|at| b"abc=%&"[at % 6]).collect();
        orders.passes(FORM, &body).await;
        let head = orders.head(true, &format!("Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n"));
        let pieces: Vec<&[u8]> = body.chunks(1000).chain([&b""[..]]).collect();
        let answer = raw::send(&orders.base, [head.into_bytes(), chunked(&pieces).concat()].concat()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(orders.arrived().unwrap() == body, "{length} in chunks");
    }
    // The last name that is looked at, and the first that is not.
    let fits = format!("{}&access_token=", "a".repeat(LOOKED_AT - 14));
    assert_eq!(fits.len(), LOOKED_AT);
    is_refusal(&orders.post(true, FORM, &fits).await);
    is_refusal(&orders.post(true, FORM, &fits[..LOOKED_AT - 1]).await);
    orders.passes(FORM, format!("a{fits}")).await;
    // What is cut off there is not taken for the whole of a name.
    orders.passes(FORM, format!("a{}s=x", &fits[..LOOKED_AT - 1])).await;
}

#[tokio::test]
async fn a_name_that_comes_in_pieces_is_found() {
    let orders = Orders::start().await;
    let head = orders.head(true, &format!("Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n"));
    for (body, refused) in
        [([&b"a=b&acc"[..], b"ess_%7", b"4oken=x", b""], true), ([&b"a=b&acc"[..], b"ess_to", b"kens=x", b""], false)]
    {
        let mut stream = raw::connect(&orders.base, Ipv4Addr::LOCALHOST).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let [first @ .., last] = &chunked(&body)[..] else { panic!() };
        for piece in first {
            stream.write_all(piece).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        let answer = raw::finish(stream, last).await;
        if refused { is_refusal(&answer) } else { assert_eq!(answer.status, 200, "{answer:?}") }
    }
    assert_eq!(orders.arrived().as_deref(), Some(&b"a=b&access_tokens=x"[..]));
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_the_service() {
    let orders = Orders::start().await;
    let lines = format!("Content-Type: {FORM}\r\nContent-Length: 100\r\n");
    let mut stream = raw::connect(&orders.base, Ipv4Addr::LOCALHOST).await;
    stream.write_all(orders.head(true, &lines).as_bytes()).await.unwrap();
    stream.write_all(b"a=b").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(orders.called.load(Ordering::SeqCst), 0, "the form is still being read");
    drop(stream);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(orders.arrived(), None);
    // The next one is none the worse for it.
    orders.passes(FORM, "a=b").await;
}

/// The layer alone, around `inner`.
fn layer() -> RefuseTokenInBody {
    let verifier = Verifier::from_jwks("https://auth.example", "https://orders.example", br#"{"keys":[]}"#).unwrap();
    RefuseTokenInBody::new(Guard::new(Arc::new(verifier.build())))
}

/// What a [`Scripted`] body does next.
enum Step {
    Data(&'static str),
    Wait(u64),
    Trailers(HeaderMap),
    Break,
}

/// A body that does as it is told.
struct Scripted {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
    polled: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), waiting: None, polled: Arc::default() }
    }
}

impl HttpBody for Scripted {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.polled.fetch_add(1, Ordering::SeqCst);
        if let Some(waiting) = &mut self.waiting {
            done!(waiting.as_mut().poll(context));
            self.waiting = None;
        }
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(Bytes::from_static(data.as_bytes())))),
            Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Step::Break) => Some(Err("gone")),
            Some(Step::Wait(seconds)) => {
                self.waiting = Some(Box::pin(sleep(Duration::from_secs(seconds))));
                return self.poll_frame(context);
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_none()
    }
}

type Sent<B> = Request<Peeked<B>>;
type Read = (Bytes, Option<HeaderMap>, bool);

/// What a service reads of a body, its trailers, and whether it broke off.
async fn read<B>(body: &mut B) -> Read
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let (mut data, mut trailers, mut broke) = (BytesMut::new(), None, false);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(piece)) => data.extend_from_slice(&piece),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(_) => broke = true,
        }
    }
    (data.freeze(), trailers, broke)
}

/// What arrives of a form with this body; nothing of one that is refused.
async fn through<B>(body: B) -> Option<(SizeHint, Read)>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let inner = service_fn(move |request: Sent<B>| {
        let keep = Arc::clone(&keep);
        async move {
            let mut body = request.into_body();
            let hint = body.size_hint();
            let read = read(&mut body).await;
            assert!(body.is_end_stream());
            keep.lock().unwrap().replace((hint, read));
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let answer = layer().layer(inner).oneshot(form(body)).await.unwrap();
    let seen = seen.lock().unwrap().take();
    assert_eq!(answer.status(), if seen.is_some() { 200 } else { 400 });
    seen
}

fn form<B>(body: B) -> Request<B> {
    let mut request = Request::new(body);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
    request
}

#[tokio::test]
async fn lengths_trailers_and_errors_are_handed_on() {
    for length in [1, LOOKED_AT, LOOKED_AT * 2 + 1] {
        let (hint, (data, ..)) = through(Full::new(Bytes::from(vec![b'a'; length]))).await.unwrap();
        assert_eq!((hint.exact(), data.len()), (Some(length as u64), length));
    }
    let trailers: HeaderMap = [(CONTENT_TYPE, HeaderValue::from_static("x"))].into_iter().collect();
    let body = |data| Scripted::new([Step::Data(data), Step::Trailers(trailers.clone())]);
    assert_eq!(through(body("a=b")).await.unwrap().1, (Bytes::from("a=b"), Some(trailers.clone()), false));
    assert!(through(body("access_token")).await.is_none());

    // An error comes to the service after what came before it; only a whole name is refused before it breaks off.
    let body = |data| Scripted::new([Step::Data(data), Step::Break]);
    let piece = "a=b&access_token";
    assert_eq!(through(body(piece)).await.unwrap().1, (Bytes::from(piece), None, true));
    assert!(through(body("access_token=")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_form_is_looked_at_as_far_as_it_came() {
    let late = |data| Scripted::new([Step::Data(data), Step::Wait(60), Step::Data("s=late")]);
    let began = Instant::now();
    let (_, read) = through(late("a=b&access_token")).await.unwrap();
    assert_eq!(read, (Bytes::from("a=b&access_tokens=late"), None, false));
    assert_eq!(began.elapsed().as_secs(), 60);
    let began = Instant::now();
    assert!(through(late("access_token=")).await.is_none());
    assert_eq!(began.elapsed().as_secs(), 10);
}

/// Empty pieces without an end do not hold the thread.
#[tokio::test]
async fn empty_pieces_count() {
    let pieces = std::iter::repeat_n("", 3 * LOOKED_AT).chain(["access_token=x"]);
    let body = Scripted::new(pieces.map(Step::Data));
    let polled = Arc::clone(&body.polled);
    let (_, read) = through(body).await.unwrap();
    assert_eq!(read.0, "access_token=x");
    assert_eq!(polled.load(Ordering::SeqCst), 3 * LOOKED_AT + 2);
}

/// A service that may be called once for each time it said that it was ready.
#[derive(Debug)]
struct Strict(bool);

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self(false)
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0 = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.0), "called before it was ready");
        ready(Ok(Response::new(String::new())))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_called() {
    let mut service = layer().layer(Strict(false));
    let body = || Full::new(Bytes::from_static(b"a=b"));
    for request in [form(body()), Request::new(body()), form(body())] {
        let answer = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service).await.unwrap().call(request).await;
        assert_eq!(answer.unwrap().status(), 200);
    }
}
