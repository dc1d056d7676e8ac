//! The tower layer: over a real client, and over services that are strict about being ready.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use mintage::client::{BearerLayer, BearerService, ClonedBody, Error, SecondBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use super::resource::{Resource, invalid_token, source};
use super::{Endpoint, SECRET, Say, until};

type Body = Full<Bytes>;

fn request(url: &str, body: &'static str) -> Request<Body> {
    Request::post(url).header("x-a", "1").header("x-a", "2").body(Full::from(body)).unwrap()
}

/// Fails where it would otherwise wait for ever.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), future).await.expect("it waits for ever")
}

fn over_http<R: SecondBody<Body>>(
    layer: BearerLayer<R>,
) -> BearerService<Client<hyper_util::client::legacy::connect::HttpConnector, Body>, R> {
    ServiceBuilder::new().layer(layer).service(Client::builder(TokioExecutor::new()).build_http())
}

#[tokio::test]
async fn over_a_real_client_a_refused_token_is_replaced_and_with_retrying_the_request_made_again() {
    let endpoint = Endpoint::new(Say::lives(3600));
    let resource = Resource::that_takes(&["token-2", "token-3"]);
    let url = format!("{}/a?b=c", resource.url);
    let mut once = over_http(BearerLayer::new(source(&endpoint)));
    let statuses = [
        once.ready().await.unwrap().call(request(&url, "x")).await.unwrap().status(),
        once.ready().await.unwrap().call(request(&url, "x")).await.unwrap().status(),
    ];
    assert_eq!(
        (statuses.map(|status| status.as_u16()), resource.tokens()),
        ([401, 200], vec!["token-1".into(), "token-2".into()])
    );
    // A source of its own, whose first token is the third of the endpoint, and none of these.
    let resource = Resource::that_takes(&["token-4"]);
    let url = format!("{}/a?b=c", resource.url);
    let response = over_http(BearerLayer::retrying(source(&endpoint))).oneshot(request(&url, "orders")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
    let seen = resource.seen();
    assert_eq!((seen.len(), seen[0].token(), seen[0].body.as_str()), (2, Some("token-3"), "orders"));
    assert_eq!(seen[0].with_token("token-4"), seen[1]);
    assert_eq!(endpoint.asked(), 4);
}

#[tokio::test]
async fn a_second_refusal_and_an_authorization_of_ones_own_are_the_callers() {
    let endpoint = Endpoint::new(Say::lives(3600));
    let resource = Resource::new(|_| invalid_token());
    let mut client = over_http(BearerLayer::retrying(source(&endpoint)));
    let mut own = request(&resource.url, "");
    own.headers_mut().insert(AUTHORIZATION, "Bearer mine".parse().unwrap());
    assert_eq!(client.ready().await.unwrap().call(own).await.unwrap().status(), 401);
    assert_eq!((resource.tokens(), endpoint.asked()), (vec!["mine".to_owned()], 0));
    let refused = client.ready().await.unwrap().call(request(&resource.url, "")).await.unwrap();
    assert_eq!((refused.status().as_u16(), endpoint.asked()), (401, 2));
    assert_eq!(refused.into_body().collect().await.unwrap().to_bytes(), "not this one");
    assert_eq!(resource.tokens(), ["mine", "token-1", "token-2"]);
}

/// Refuses every token but one, and panics when it is called without having been ready, which a clone is not.
struct Strict {
    ready: bool,
    good: &'static str,
    called: Arc<Mutex<Vec<Request<Body>>>>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, good: self.good, called: Arc::clone(&self.called) }
    }
}

impl Strict {
    fn takes(good: &'static str) -> Self {
        Self { ready: false, good, called: Arc::default() }
    }
}

fn says<B>(request: &Request<Body>, good: &str, body: B) -> Response<B> {
    let response = match request.headers()[AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer ") {
        Some(token) if token == good => Response::builder(),
        _ => Response::builder().status(401).header(WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#),
    };
    response.body(body).unwrap()
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        let response = says(&request, self.good, Full::default());
        self.called.lock().unwrap().push(request);
        ready(Ok(response))
    }
}

#[tokio::test]
async fn a_service_is_ready_whenever_it_is_called() {
    let endpoint = Endpoint::new(Say::lives(3600));
    for good in ["token-1", "token-2", "none"] {
        let strict = Strict::takes(good);
        let mut client = BearerLayer::retrying(source(&endpoint)).layer(strict.clone());
        let mut own = request("http://x/", "");
        own.headers_mut().insert(AUTHORIZATION, "mine".parse().unwrap());
        soon(async { client.ready().await.unwrap().call(own).await.unwrap() }).await;
        for _ in 0..4 {
            soon(async { client.ready().await.unwrap().call(request("http://x/", "")).await.unwrap() }).await;
        }
        // Two that were ready one after the other, and answered in the other order.
        let first = client.ready().await.unwrap().call(request("http://x/", ""));
        let second = client.ready().await.unwrap().call(request("http://x/", ""));
        soon(second).await.unwrap();
        soon(first).await.unwrap();
    }
}

/// What a request carries besides is carried by the second, too.
#[tokio::test]
async fn the_second_request_is_the_first_but_for_the_token() {
    let endpoint = Endpoint::new(Say::lives(3600));
    let strict = Strict::takes("token-2");
    let mut first = request("http://x/path?query", "body");
    *first.version_mut() = http::Version::HTTP_10;
    first.extensions_mut().insert("an extension");
    let mut client = BearerLayer::retrying(source(&endpoint)).layer(strict.clone());
    assert_eq!(client.ready().await.unwrap().call(first).await.unwrap().status(), 200);
    let called = std::mem::take(&mut *strict.called.lock().unwrap());
    let tokens: Vec<_> = called.iter().map(|request| request.headers()[AUTHORIZATION].clone()).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2"]);
    for request in called {
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
        assert!(!format!("{request:?}").contains("token-"), "{request:?}");
        let (mut head, body) = request.into_parts();
        head.headers.remove(AUTHORIZATION);
        assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), ("POST", "http://x/path?query"));
        assert_eq!((head.version, head.extensions.get()), (http::Version::HTTP_10, Some(&"an extension")));
        assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "body");
    }
}

/// Whose only permit is given back when the body of its response is dropped.
struct HeldByTheBody {
    permits: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
    good: &'static str,
}

impl Clone for HeldByTheBody {
    fn clone(&self) -> Self {
        Self { permits: self.permits.clone(), permit: None, good: self.good }
    }
}

impl Service<Request<Body>> for HeldByTheBody {
    type Response = Response<OwnedSemaphorePermit>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.permit.is_none() {
            self.permit = std::task::ready!(self.permits.poll_acquire(context));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ready(Ok(says(&request, self.good, self.permit.take().unwrap())))
    }
}

#[tokio::test]
async fn a_service_that_takes_one_request_at_a_time_is_not_waited_for_for_ever() {
    let endpoint = Endpoint::new(Say::lives(3600));
    // The permit is that of the response's future.
    let layers = ServiceBuilder::new().layer(BearerLayer::retrying(source(&endpoint)));
    let client = layers.layer(ConcurrencyLimitLayer::new(1)).service(Strict::takes("token-2"));
    let responses = (0..20).map(|_| {
        let client = client.clone();
        tokio::spawn(soon(client.oneshot(request("http://x/", ""))))
    });
    for response in responses.collect::<Vec<_>>() {
        assert_eq!(response.await.unwrap().unwrap().status(), 200);
    }
    // The permit is that of the response's body, which a caller that gets it may keep.
    let permits = Arc::new(Semaphore::new(1));
    let service = HeldByTheBody { permits: PollSemaphore::new(Arc::clone(&permits)), permit: None, good: "token-4" };
    let mut client = BearerLayer::retrying(source(&endpoint)).layer(service);
    let response = soon(async { client.ready().await.unwrap().call(request("http://x/", "")).await.unwrap() }).await;
    assert_eq!((response.status().as_u16(), permits.available_permits()), (200, 0));
    drop(response);
    assert_eq!(permits.available_permits(), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_back_what_it_held() {
    let endpoint = Endpoint::new(Say::Hang);
    let permits = Arc::new(Semaphore::new(1));
    let service = HeldByTheBody { permits: PollSemaphore::new(Arc::clone(&permits)), permit: None, good: "token-1" };
    let mut client = BearerLayer::retrying(source(&endpoint)).layer(service);
    let call = tokio::spawn(client.ready().await.unwrap().call(request("http://x/", "")));
    until("a token is asked for", || endpoint.asked() == 1).await;
    assert_eq!(permits.available_permits(), 0);
    call.abort();
    until("the permit is back", || permits.available_permits() == 1).await;
}

/// Never ready: it has failed.
#[derive(Clone)]
struct Broken;

impl Service<Request<Body>> for Broken {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = Ready<Result<Response<Body>, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Err(std::io::ErrorKind::NotConnected.into()))
    }
}

#[tokio::test]
async fn errors_are_those_of_the_service_or_of_the_source_and_hold_no_secret() {
    let endpoint = Endpoint::new(Say::refused(400, "invalid_scope"));
    let mut client = BearerLayer::new(source(&endpoint)).layer(Strict::takes("token-1"));
    let error = client.ready().await.unwrap().call(request("http://x/", "")).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Error::Refused { status: 400, .. })), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(SECRET));
    endpoint.says(Say::lives(60));
    let mut client = BearerLayer::new(source(&endpoint)).layer(Broken);
    let kind = |error: &(dyn std::error::Error + Send + Sync + 'static)| {
        error.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
    };
    assert_eq!(kind(&*client.ready().await.err().unwrap()), Some(std::io::ErrorKind::BrokenPipe));
    let error = client.call(request("http://x/", "")).await.unwrap_err();
    assert_eq!(kind(&*error), Some(std::io::ErrorKind::NotConnected));
}

/// Of the kind that a stack of layers, a spawned task and a boxed service need.
#[tokio::test]
async fn the_service_is_send_and_clone_and_so_are_its_futures() {
    fn is_send_and_clone<T: Send + Clone + 'static>(_: &T) {}
    fn is_send<T: Send + 'static>(value: T) -> T {
        value
    }
    let endpoint = Endpoint::new(Say::lives(60));
    let layer: BearerLayer<ClonedBody> = BearerLayer::retrying(source(&endpoint));
    is_send_and_clone(&layer);
    let mut client = layer.layer(Strict::takes("token-1"));
    is_send_and_clone(&client);
    let future = is_send(client.ready().await.unwrap().call(request("http://x/", "")));
    assert_eq!(future.await.unwrap().status(), 200);
    let boxed = tower::util::BoxCloneService::new(client);
    assert_eq!(boxed.oneshot(request("http://x/", "")).await.unwrap().status(), 200);
}
