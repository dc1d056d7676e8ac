//! API keys: what is made and shown, where they are taken, what they are exchanged for, and what projects demand.

mod exchange;
mod feed;
mod layer;
mod limits;
mod management;
mod policies;
mod presented;
mod rotation;
mod secrecy;
mod store;

use mintage::server::config::Config;
use serde_json::{Value, json};

use crate::app::{TestApp, encode};
use crate::client_changes::ask;
use crate::operators::made;
use crate::raw::{Answer, send_from};

pub const ORDERS: &str = "https://orders.example";

/// An API key that was made: its id, and itself.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub key: String,
}

impl Key {
    fn of(answer: &Value) -> Self {
        let text = |member: &str| answer[member].as_str().unwrap_or_else(|| panic!("{member}: {answer}")).to_owned();
        Self { id: text("id"), key: text("api_key") }
    }
}

pub async fn site() -> TestApp {
    site_with(|_| {}).await
}

pub async fn site_with(change: impl FnOnce(&mut Config)) -> TestApp {
    let app = TestApp::builder().config(change).start().await;
    app.api(ORDERS, &["orders:read", "orders:write"]).await;
    app
}

/// An API key with these members besides a name.
pub async fn key_with(app: &TestApp, mut members: Value) -> Key {
    members["name"] = json!("a tool");
    Key::of(&made(app, "api-keys", members).await)
}

/// One that may read orders.
pub async fn key(app: &TestApp) -> Key {
    key_with(app, json!({ "scopes": ["orders:read"] })).await
}

/// What is said of a key: status 200.
pub async fn shown(app: &TestApp, id: &str) -> Value {
    let (status, answer) = ask(app, "GET", &format!("api-keys/{id}"), &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// A request as a proxy asks about it, from this address of the loopback network.
pub async fn forwarded_from(app: &TestApp, from: [u8; 4], query: &[(&str, &str)], bearer: &str) -> Answer {
    let query = encode(query);
    let head = format!("GET /forward-auth?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n");
    send_from(&app.base, from.into(), head).await
}

/// Status and reason of a request that has to read orders.
pub async fn reading(app: &TestApp, bearer: &str) -> (u16, Option<String>) {
    let answer = forwarded_from(app, [127, 0, 0, 1], &[("scope", "orders:read")], bearer).await;
    (answer.status, answer.header("x-auth-reason").map(str::to_owned))
}

pub const GOOD: (u16, Option<String>) = (200, None);

pub fn refused(status: u16, reason: &str) -> (u16, Option<String>) {
    (status, Some(reason.to_owned()))
}
