//! The audit log: what goes in, what is found when it is not as it was written, what is left when it is pruned.

mod forged;
mod issuances;
mod list;
mod prune;
mod refusals;
mod store;
mod tamper;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mintage::api::{ApiPatch, AuditVerdict, ClientPatch, VerifyAudit};
use mintage::jose::CompactJws;
use mintage::server::model::{AuditHead, Verdict};
use mintage::server::service::{folder_keys, verify_audit};
use mintage::server::store::redb::AuditFile;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient};

const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
const ISSUANCES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("issuances");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

pub const ORDERS: &str = "https://orders.example";

/// The store's file, which somebody gets at who may write it.
pub struct Tampered {
    database: Database,
}

impl Tampered {
    pub fn open(store: &Path) -> Self {
        // A process that another test spawns has this one's locks between its fork and its exec.
        for _ in 0..500 {
            match Database::open(store) {
                Ok(database) => return Self { database },
                Err(redb::DatabaseError::DatabaseAlreadyOpen) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("{} stays in use", store.display());
    }

    /// All records, or segments.
    pub fn all(&self, table: TableDefinition<'static, u64, &'static [u8]>) -> Vec<(u64, Vec<u8>)> {
        let transaction = self.database.begin_read().unwrap();
        let table = transaction.open_table(table).unwrap();
        table.iter().unwrap().map(|entry| entry.unwrap()).map(|(n, b)| (n.value(), b.value().to_vec())).collect()
    }

    /// Puts something there; nothing takes away what is.
    pub fn put(&self, table: TableDefinition<'static, u64, &'static [u8]>, number: u64, bytes: Option<&[u8]>) {
        let transaction = self.database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(table).unwrap();
            match bytes {
                Some(bytes) => drop(table.insert(number, bytes).unwrap()),
                None => drop(table.remove(number).unwrap()),
            }
        }
        transaction.commit().unwrap();
    }

    /// Puts a text there.
    pub fn text(&self, table: TableDefinition<'static, &'static str, &'static [u8]>, key: &str, text: &str) {
        let transaction = self.database.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert(key, text.as_bytes()).unwrap();
        transaction.commit().unwrap();
    }

    pub fn meta(&self, key: &str, value: Option<Value>) {
        let transaction = self.database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(META).unwrap();
            match value {
                Some(value) => drop(meta.insert(key, value.to_string().as_bytes()).unwrap()),
                None => drop(meta.remove(key).unwrap()),
            }
        }
        transaction.commit().unwrap();
    }

    /// Writes the records from `from` on anew, each behind the one before it, as somebody would who hides a change.
    pub fn recompute(&self, from: u64, alter: impl Fn(&mut Value)) {
        let records = self.all(AUDIT);
        let mut previous = records.iter().find(|(n, _)| *n + 1 == from).map(|(_, b)| AuditHead::hash_of(b)).unwrap();
        let mut last = 0;
        for (number, bytes) in records.into_iter().filter(|(n, _)| *n >= from) {
            let mut record: Value = serde_json::from_slice(&bytes).unwrap();
            record["previous"] = json!(previous);
            if number == from {
                alter(&mut record);
            }
            let bytes = serde_json::to_vec(&record).unwrap();
            previous = AuditHead::hash_of(&bytes);
            last = number;
            self.put(AUDIT, number, Some(&bytes));
        }
        self.meta("audit_head", Some(json!({ "sequence": last, "hash": previous })));
    }
}

/// A service that has been at work: changes, rotated keys, and tokens in two segments.
pub async fn at_work() -> (TestApp, TestClient) {
    let app = TestApp::start().await;
    let client = work(&app).await;
    (app, client)
}

/// Some work: changes, a rotation, and two segments.
pub async fn work(app: &TestApp) -> TestClient {
    if app.service.api(ORDERS, &app.caller()).is_err() {
        app.api(ORDERS, &["orders:read", "orders:write"]).await;
    }
    let client = app.client(&["orders:read", "orders:write"]).await;
    for round in 0..2 {
        app.token_answer(&client, &[("scope", "orders:read")]).await;
        app.token_answer(&client, &[]).await;
        app.service.tick().await;
        let name = format!("named {round}");
        let patch = ClientPatch { name: Some(name.clone()), ..ClientPatch::default() };
        app.service.update_client(&client.id, &patch, true, &app.caller()).await.unwrap();
        let patch = ApiPatch { name: Some(name), ..ApiPatch::default() };
        app.service.update_api(ORDERS, &patch, &app.caller()).await.unwrap();
    }
    client
}

pub fn store_of(app: &TestApp) -> PathBuf {
    app.config.store_path()
}

pub async fn head(app: &TestApp) -> String {
    app.service.audit_head(&app.caller()).await.unwrap().head
}

pub async fn verify(app: &TestApp, head: Option<&str>) -> AuditVerdict {
    app.service.verify_audit(&VerifyAudit { head: head.map(str::to_owned), jwks: None }).await.unwrap()
}

/// What a walk through a store comes to that nobody runs on, with the keys in the folder beside it.
pub async fn verify_file(store: &Path, head: Option<&str>) -> Verdict {
    let keys = folder_keys(&store.parent().unwrap().parent().unwrap().join("keys"));
    assert!(!keys.is_empty());
    verify_audit(&AuditFile::open(store).unwrap(), head, keys).await.unwrap()
}

pub fn details(verdict: &Verdict) -> Vec<&str> {
    verdict.problems.iter().map(|problem| problem.detail.as_str()).collect()
}

pub fn record(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

pub fn claims_of(head: &str) -> Value {
    Value::Object(CompactJws::parse(head).unwrap().claims().unwrap())
}
