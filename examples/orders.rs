//! A resource server: orders that are read with `orders:read` and written with `orders:write`.
//!
//! ```text
//! cargo run --example orders --no-default-features --features resource
//! ```
//!
//! | variable | default | |
//! |---|---|---|
//! | `ORDERS_ISSUER` | `http://127.0.0.1:8080` | whose tokens are taken |
//! | `ORDERS_AUDIENCE` | `https://orders.example` | whom they have to be for |
//! | `ORDERS_LISTEN` | `127.0.0.1:3000` | where it listens |
//! | `ORDERS_URL` | `http://<listen>` | what callers know it by |
//! | `ORDERS_SNAPSHOT` | `orders-verifier.json` | what it starts from while the issuer is down |
//! | `ORDERS_TRUSTED_PROXIES` | none | CIDRs, with commas between, whose `X-Forwarded-For` is believed |

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{ConnectInfo, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use mintage::oauth::metadata::{PROTECTED_RESOURCE_PATH, ProtectedResourceMetadata};
use mintage::resource::{AccessToken, Guard, Health, RequireScopes, Verifier};
use mintage::source_ip::{Allowlist, ClientIpHeader, SourcePolicy};

type Orders = Arc<Mutex<Vec<String>>>;

/// `GET /orders`: behind the guard, the token is in the request's extensions.
async fn list(State(orders): State<Orders>, Extension(token): Extension<AccessToken>) -> Json<serde_json::Value> {
    let orders = orders.lock().map(|orders| orders.clone()).unwrap_or_default();
    Json(serde_json::json!({ "client_id": token.client_id(), "orders": orders }))
}

/// `POST /orders`: the body is the order.
async fn create(State(orders): State<Orders>, Extension(token): Extension<AccessToken>, order: String) -> String {
    if let Ok(mut orders) = orders.lock() {
        orders.push(order);
    }
    format!("taken from {}\n", token.client_id())
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Refusals are told to the log.
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let issuer = setting("ORDERS_ISSUER", "http://127.0.0.1:8080");
    let audience = setting("ORDERS_AUDIENCE", "https://orders.example");
    let listener = tokio::net::TcpListener::bind(setting("ORDERS_LISTEN", "127.0.0.1:3000")).await?;
    let address = listener.local_addr()?;

    // Finds keys and revocations by the issuer's metadata, and follows them in the background.
    let verifier = Verifier::discover(&issuer)
        .audience(&audience)
        .snapshot(setting("ORDERS_SNAPSHOT", "orders-verifier.json"))
        .build()
        .await?;
    let verifier = Arc::new(verifier);

    let proxies = setting("ORDERS_TRUSTED_PROXIES", "");
    let sources = SourcePolicy {
        trusted_proxies: Allowlist::parse(proxies.split(',').map(str::trim).filter(|one| !one.is_empty()))?,
        header: ClientIpHeader::XForwardedFor,
    };
    let url = setting("ORDERS_URL", &format!("http://{address}"));
    let guard = Guard::new(Arc::clone(&verifier))
        .sources(Arc::new(sources))
        .peer_from(|extensions| Some(extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip()))
        .resource_metadata(format!("{url}{PROTECTED_RESOURCE_PATH}"));
    let read = guard.clone().scopes(RequireScopes::all(["orders:read"])?).layer();
    let write = guard.scopes(RequireScopes::all(["orders:write"])?).layer();

    let scopes = vec!["orders:read".to_owned(), "orders:write".to_owned()];
    let metadata = ProtectedResourceMetadata::new(&issuer, &audience, scopes);
    let health = move || async move { Json::<Option<Health>>(verifier.health()) };
    let app = Router::new()
        .route("/orders", get(list).layer(read).merge(post(create).layer(write)))
        .route(PROTECTED_RESOURCE_PATH, get(move || async move { Json(metadata) }))
        .route("/health", get(health))
        .with_state(Orders::default());
    writeln!(std::io::stdout(), "listening on http://{address}")?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
