//! API keys before the routes of another service, which asks the issuer about them.

mod asked;
mod away;
mod decided;

use std::convert::Infallible;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use mintage::resource::{
    AccessToken, Credentials, Guard, GuardLayer, IntrospectedKeys, IntrospectedKeysBuilder, RequireScopes, Verifier,
};
use mintage::source_ip::Peer;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::{Layer, ServiceExt, service_fn};

use crate::app::{TestApp, TestClient};
use crate::client_changes::ask;

use super::ORDERS;

const INTROSPECTION: &str = "/oauth/introspect";

/// What stands before the issuer: it counts the questions about keys, and answers them itself if it is told to.
struct Front {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    behind: Mutex<String>,
    asked: AtomicUsize,
    /// The status that questions are answered with; 0 is the issuer's own.
    status: AtomicU16,
    /// The body of such an answer.
    body: Mutex<String>,
    held: watch::Sender<bool>,
}

impl Front {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let routes = axum::Router::new().fallback(passed_on).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, shared }
    }

    fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    fn says(&self, status: u16, body: &str) {
        *self.shared.body.lock().unwrap() = body.to_owned();
        self.shared.status.store(status, Ordering::SeqCst);
    }

    fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }
}

async fn passed_on(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().unwrap().to_string();
    if path == INTROSPECTION {
        shared.asked.fetch_add(1, Ordering::SeqCst);
        shared.held.subscribe().wait_for(|held| !held).await.unwrap();
        let status = shared.status.load(Ordering::SeqCst);
        if status != 0 {
            let response = Response::builder().status(status).header(RETRY_AFTER, "2");
            return response.body(Body::from(shared.body.lock().unwrap().clone())).unwrap();
        }
    }
    let behind = shared.behind.lock().unwrap().clone();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let mut request = mintage::fetch::http_client().unwrap().request(head.method, behind + &path).body(body);
    for name in [AUTHORIZATION, CONTENT_TYPE] {
        if let Some(value) = head.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let Ok(answer) = request.timeout(Duration::from_secs(40)).send().await else {
        return Response::builder().status(502).body(Body::empty()).unwrap();
    };
    let response = Response::builder().status(answer.status());
    response.body(Body::from(answer.bytes().await.unwrap_or_default())).unwrap()
}

/// An issuer with an API, a client of the service that guards it, and that service's verifier.
struct Site {
    app: TestApp,
    front: Front,
    own: TestClient,
    verifier: Arc<Verifier>,
}

impl Site {
    async fn new() -> Self {
        let front = Front::new().await;
        let app = super::site_with(|config| config.issuer = Some(front.url.clone())).await;
        *front.shared.behind.lock().unwrap() = app.base.clone();
        let own = app.client(&[]).await;
        introspects(&app, &own).await;
        let verifier = follower(&app).await;
        Self { app, front, own, verifier }
    }

    fn keys(&self) -> IntrospectedKeysBuilder {
        IntrospectedKeys::of(&self.verifier).credentials(Credentials::new(&self.own.id, &self.own.secret))
    }

    /// A guard of routes that need `orders:read`.
    fn guard(&self) -> Guard {
        self.guard_with(self.keys())
    }

    fn guard_with(&self, keys: IntrospectedKeysBuilder) -> Guard {
        guard(&self.verifier, keys)
    }
}

/// Makes `client` an introspector of the API.
async fn introspects(app: &TestApp, client: &TestClient) {
    let path = format!("apis/{}", percent_encoding::utf8_percent_encode(ORDERS, percent_encoding::NON_ALPHANUMERIC));
    let (status, answer) = ask(app, "PATCH", &path, &json!({ "introspectors": [client.id] })).await;
    assert_eq!(status, 200, "{answer}");
}

async fn follower(app: &TestApp) -> Arc<Verifier> {
    let verifier = Verifier::discover(&app.issuer).audience(ORDERS).clock(Arc::clone(&app.clock) as _);
    Arc::new(verifier.build().await.unwrap())
}

fn guard(verifier: &Arc<Verifier>, keys: IntrospectedKeysBuilder) -> Guard {
    let keys = Arc::new(keys.build().unwrap());
    Guard::new(Arc::clone(verifier)).api_keys(keys).scopes(RequireScopes::all(["orders:read"]).unwrap())
}

/// What a guarded route answers: the client that is let through, or status, reason and the problem.
async fn asks(guard: &Guard, bearer: &str) -> Result<String, (u16, String, Value)> {
    let inner = service_fn(|request: http::Request<()>| async move {
        let token: &AccessToken = request.extensions().get().unwrap();
        Ok::<_, Infallible>(http::Response::new(token.client_id().to_owned()))
    });
    let request = http::Request::get("/orders").header("authorization", format!("Bearer {bearer}"));
    let request = request.extension(Peer([127, 0, 0, 1].into())).body(()).unwrap();
    let response = GuardLayer::new(guard.clone()).layer(inner).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    if status == 200 {
        return Ok(response.into_body());
    }
    assert_eq!(response.headers().contains_key("retry-after"), status == 503);
    let problem: Value = serde_json::from_str(response.body()).unwrap();
    Err((status, problem["reason"].as_str().unwrap().to_owned(), problem))
}

/// The same: nothing where it is let through, or status and reason.
async fn verdict(guard: &Guard, bearer: &str) -> Option<(u16, String)> {
    asks(guard, bearer).await.err().map(|(status, reason, _)| (status, reason))
}

fn says(status: u16, reason: &str) -> Option<(u16, String)> {
    Some((status, reason.to_owned()))
}

fn invalid() -> Option<(u16, String)> {
    says(401, "token_invalid")
}

fn unavailable() -> Option<(u16, String)> {
    says(503, "unavailable")
}

/// Waits until a key is answered so. How long that took.
async fn until(guard: &Guard, key: &str, expected: &Option<(u16, String)>) -> Duration {
    let start = std::time::Instant::now();
    loop {
        let found = verdict(guard, key).await;
        if found == *expected {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{found:?}, and never {expected:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
