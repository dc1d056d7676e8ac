//! The layer of the library, before a service of somebody else's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use mintage::clock::{ManualClock, UnixTime};
use mintage::limit::{BadRate, Limit, Rate};
use mintage::resource::{Guard, RequestLimits, Verifier};
use serde_json::json;
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::follow::{API, Key, NOW, set};

const ISSUER: &str = "https://issuer.example";

struct World {
    clock: Arc<ManualClock>,
    key: Key,
    guard: Guard,
}

impl World {
    fn new() -> Self {
        let (key, clock) = (Key::new(), Arc::new(ManualClock::new(UnixTime::from_seconds(NOW))));
        let builder = Verifier::from_jwks(ISSUER, API, set(&[&key]).to_string().as_bytes()).unwrap();
        let verifier = Arc::new(builder.clock(Arc::clone(&clock) as _).build());
        Self { clock, key, guard: Guard::new(verifier) }
    }

    fn token(&self, client: &str) -> String {
        self.key.token(&json!({
            "iss": ISSUER, "sub": client, "client_id": client, "aud": API, "exp": NOW + 3000, "iat": NOW, "jti": client,
        }))
    }

    fn request(&self, method: Method, client: &str) -> Request<String> {
        let request =
            Request::builder().method(method).header("authorization", format!("Bearer {}", self.token(client)));
        request.body(String::new()).unwrap()
    }
}

async fn good(_: Request<String>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("good".to_owned()))
}

fn number(response: &Response<String>, name: &str) -> Option<u64> {
    response.headers().get(name).map(|value| value.to_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn each_credential_has_an_allowance_for_reads_and_one_for_writes() {
    let world = World::new();
    let limits = RequestLimits::of(&world.guard)
        .read(Rate { per_minute: 2, burst: 2, ..Rate::UNLIMITED })
        .unwrap()
        .write(Rate { per_minute: 1, burst: 1, ..Rate::UNLIMITED })
        .unwrap();
    let inner = limits.layer(service_fn(good));
    let service = mintage::resource::GuardLayer::new(world.guard.clone()).layer(inner);
    let ask = async |method: Method, client: &str| {
        let response = service.clone().oneshot(world.request(method, client)).await.unwrap();
        (response.status().as_u16(), number(&response, "x-ratelimit-remaining"), number(&response, "retry-after"))
    };
    for client in ["a", "b"] {
        assert_eq!(ask(Method::GET, client).await, (200, Some(1), None));
        assert_eq!(ask(Method::HEAD, client).await, (200, Some(0), None));
        assert_eq!(ask(Method::GET, client).await, (429, Some(0), Some(30)));
        assert_eq!(ask(Method::POST, client).await, (200, Some(0), None));
        assert_eq!(ask(Method::DELETE, client).await, (429, Some(0), Some(60)));
    }
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(ask(Method::GET, "a").await, (200, Some(0), None));
    assert_eq!(ask(Method::POST, "a").await, (429, Some(0), Some(30)));
    let stranger = Request::new(String::new());
    let refused = service.clone().oneshot(stranger).await.unwrap();
    assert_eq!((refused.status().as_u16(), number(&refused, "x-ratelimit-limit")), (401, None));
}

#[tokio::test]
async fn nothing_is_limited_unless_asked_and_nothing_without_a_guard() {
    let world = World::new();
    let inner = RequestLimits::of(&world.guard).layer(service_fn(good));
    let service = mintage::resource::GuardLayer::new(world.guard.clone()).layer(inner.clone());
    let response = service.oneshot(world.request(Method::GET, "a")).await.unwrap();
    assert_eq!((response.status().as_u16(), number(&response, "x-ratelimit-limit")), (200, None));
    let response = inner.oneshot(world.request(Method::GET, "a")).await.unwrap();
    assert_eq!(response.status(), 500);
}

#[tokio::test]
async fn so_many_at_once_and_in_shadow_any() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let waits = {
        let gate = Arc::clone(&gate);
        move |_: Request<String>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::new("good".to_owned()))
            }
        }
    };
    let limits = RequestLimits::of(&world.guard).read(Rate { concurrent: 1, ..Rate::UNLIMITED }).unwrap();
    for shadow in [false, true] {
        let limits = if shadow { limits.clone().shadow([Limit::Concurrent]) } else { limits.clone() };
        let inner = limits.layer(service_fn(waits.clone()));
        let mut service = mintage::resource::GuardLayer::new(world.guard.clone()).layer(inner);
        let first = tokio::spawn(service.call(world.request(Method::GET, "a")));
        let second = service.call(world.request(Method::GET, "a"));
        if shadow {
            gate.add_permits(2);
            assert_eq!(tokio::join!(first, second).1.unwrap().status(), 200);
        } else {
            assert_eq!(second.await.unwrap().status(), 429);
            gate.add_permits(1);
            assert_eq!(first.await.unwrap().unwrap().status(), 200);
            // One that is given up has ended, too.
            drop(service.call(world.request(Method::GET, "a")));
            gate.add_permits(1);
            assert_eq!(service.call(world.request(Method::GET, "a")).await.unwrap().status(), 200);
        }
    }
}

#[test]
fn rates_that_limit_nothing_by_mistake_are_refused() {
    let world = World::new();
    let read = |rate| RequestLimits::of(&world.guard).read(rate).map(drop).unwrap_err();
    assert_eq!(read(Rate { per_minute: 5, ..Rate::UNLIMITED }), BadRate::NoBurst(5));
    assert!(matches!(read(Rate { per_minute: 1, burst: 2000, ..Rate::UNLIMITED }), BadRate::Endless { .. }));
    assert!(matches!(read(Rate { per_day: u32::MAX, ..Rate::UNLIMITED }), BadRate::TooMany { field: "per_day" }));
}

/// axum puts a layer on each method of each route, and that for each connection: one value is one allowance all the same.
#[tokio::test]
async fn one_value_on_many_routes_is_one_allowance() {
    use axum::Router;
    use axum::routing::get;
    let world = World::new();
    let limits = RequestLimits::of(&world.guard).read(Rate { per_minute: 3, burst: 3, ..Rate::UNLIMITED }).unwrap();
    let handler = || async { "good" };
    let routes = Router::new()
        .route("/a", get(handler).head(handler).route_layer(limits.clone()).route_layer(world.guard.clone().layer()))
        .route("/b", get(handler).route_layer(limits).route_layer(world.guard.clone().layer()));
    let mut statuses = Vec::new();
    for path in ["/a", "/b", "/a", "/b", "/a"] {
        let mut request = world.request(Method::GET, "a").map(axum::body::Body::from);
        *request.uri_mut() = path.parse().unwrap();
        statuses.push(routes.clone().with_state(()).oneshot(request).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}
