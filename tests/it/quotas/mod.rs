//! Quotas and balances: what is granted in a day, a month and altogether, and what was paid for.

mod authority;
mod balance;
mod periods;
mod written;

use mintage::api::{NewClient, NewProject, PeriodQuotas, ProjectPatch, Quotas};
use mintage::server::model::Kind;
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient};
use crate::raw::{Answer, send};

/// What a proxy asks about a request that costs 1.
pub const READ: &str = "/forward-auth?scope=orders:read";

pub fn requests(day: Option<u64>, month: Option<u64>, total: Option<u64>) -> Quotas {
    Quotas { requests: PeriodQuotas { day, month, total }, ..Quotas::default() }
}

pub fn tokens(day: Option<u64>, month: Option<u64>, total: Option<u64>) -> Quotas {
    Quotas { tokens: PeriodQuotas { day, month, total }, ..Quotas::default() }
}

/// A client that may read orders, in a project.
pub async fn client_in(app: &TestApp, project: &str, quotas: Quotas) -> TestClient {
    let new = NewClient {
        scopes: vec!["orders:read".to_owned()],
        organization: Some("default".to_owned()),
        project: Some(project.to_owned()),
        quotas,
        ..NewClient::default()
    };
    app.client_with(new).await
}

pub async fn client(app: &TestApp, quotas: Quotas) -> TestClient {
    client_in(app, "default", quotas).await
}

pub async fn project(app: &TestApp, id: &str, quotas: Quotas) {
    let new = NewProject { id: id.to_owned(), quotas, ..NewProject::default() };
    app.service.create_project(new, &app.caller()).await.unwrap();
}

pub async fn patch_project(app: &TestApp, id: &str, quotas: Value) {
    let patch: ProjectPatch = serde_json::from_value(json!({ "quotas": quotas })).unwrap();
    app.service.update_project(None, id, &patch, &app.caller()).await.unwrap();
}

pub async fn patch_client(app: &TestApp, id: &str, quotas: Value) {
    let patch = serde_json::from_value(json!({ "quotas": quotas })).unwrap();
    app.service.update_client(id, &patch, false, &app.caller()).await.unwrap();
}

pub async fn pay(app: &TestApp, id: &str, change: Value) -> Option<i64> {
    let change = serde_json::from_value(change).unwrap();
    app.service.change_client_balance(Kind::Client, id, &change, &app.caller()).await.unwrap().value.balance
}

pub async fn balance(app: &TestApp, id: &str) -> Option<i64> {
    app.service.client_quotas(Kind::Client, id, &app.caller()).await.unwrap().balance
}

/// What a client has used, and what it has left, of its quota of requests altogether.
pub async fn used(app: &TestApp, id: &str) -> (u64, Option<u64>) {
    let total = app.service.client_quotas(Kind::Client, id, &app.caller()).await.unwrap().requests.total;
    (total.used, total.remaining)
}

pub async fn ask_at(app: &TestApp, path: &str, token: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: auth.example\r\nAuthorization: Bearer {token}\r\n\r\n");
    send(&app.base, request).await
}

pub async fn ask(app: &TestApp, token: &str) -> Answer {
    ask_at(app, READ, token).await
}

/// That a request is refused for this quota, and what it says.
pub fn exceeded(answer: &Answer, whose: &str, period: &str, quota: u64, used: u64) {
    assert_eq!(answer.verdict(), (403, "quota_exceeded".to_owned()), "{answer:?}");
    let problem = answer.json();
    let said = ["whose", "period", "quota", "used"].map(|name| problem[name].clone());
    assert_eq!(said, [json!(whose), json!(period), json!(quota), json!(used)], "{problem}");
}

/// How many of so many requests at once were granted.
pub async fn at_once<F: Future<Output = u16> + Send + 'static>(
    count: usize,
    refused: u16,
    request: impl Fn(usize) -> F,
) -> usize {
    let asked: Vec<_> = (0..count).map(|n| tokio::spawn(request(n))).collect();
    let mut granted = 0;
    for one in asked {
        let status = one.await.unwrap();
        assert!(status == 200 || status == refused, "{status}");
        granted += usize::from(status == 200);
    }
    granted
}
