//! Many clients in one request, and all of them in one answer.

use std::sync::{Arc, OnceLock};

use mintage::api::{BulkClients, BulkItem, BulkResult, BulkStatus};
use mintage::server::store::RegistryStore;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{HASHES, status};
use crate::app::{TestApp, TestClient};
use crate::gated_store::GatedStore;

async fn import(app: &TestApp, clients: Vec<Value>, dry_run: bool) -> Vec<BulkResult> {
    let bulk = BulkClients { clients: clients.into_iter().map(BulkItem).collect() };
    app.service.import_clients(bulk, dry_run, &app.caller()).await.unwrap()
}

/// A request over the admin socket: status, headers and body.
async fn ask(app: &TestApp, method: &str, path: &str, body: &str) -> (u16, String, Vec<u8>) {
    let mut socket = UnixStream::connect(&app.config.admin.socket).await.unwrap();
    let head = format!(
        "{method} /api/v1/{path} HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // What is too large is refused, and the connection ended, before all of it is sent.
    drop(socket.write_all(body.as_bytes()).await);
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, answer[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_checked_for_itself() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    let items = vec![
        json!({"client_id": "a", "name": "A", "scopes": ["orders:read"]}),
        json!({"client_id": "b", "name": "B", "client_secret": "b-old-secret"}),
        json!({"client_id": "c", "name": "C", "client_secret_hash": HASHES[2].1, "status": "disabled"}),
        json!({"client_id": "a", "name": "A again"}),
        json!({"name": "no id"}),
        json!({"client_id": "d", "name": "D", "scopes": ["orders:write"]}),
        json!({"client_id": "e", "name": "E", "client_secret_hash": "$9$very-secret"}),
        json!({"client_id": "f", "environment": "hunter2-hunter2", "client_secret": 12_345_678, "token_ttl": "soon"}),
        json!({"client_id": "g", "name": "G", "hunter": 2}),
        json!("hunter2-hunter2"),
        json!({"client_id": "not an id", "name": "H", "status": "hunter2-hunter2", "project": "other"}),
    ];
    let expected = |created| {
        use BulkStatus::{Created, Exists, Failed};
        [created, created, created, Exists, created, Failed, Failed, Failed, Failed, Failed, Failed]
            .map(|status| if status == Exists && created == Created { Exists } else { status })
    };
    let outline = |results: &[BulkResult]| results.iter().map(|r| r.status).collect::<Vec<_>>();
    let tried = import(&app, items.clone(), true).await;
    // Whether one of them takes the id of another is seen when it is done.
    assert_eq!(tried.iter().filter(|r| r.status == BulkStatus::Failed).count(), 6);
    assert!(tried.iter().all(|r| r.client_secret.is_none()));
    assert!(app.service.client("a", &app.caller()).await.is_err(), "nothing was changed");
    let done = import(&app, items.clone(), false).await;
    assert_eq!(outline(&done), expected(BulkStatus::Created));
    let secrets: Vec<_> = done.iter().map(|r| r.client_secret.is_some()).collect();
    assert_eq!(secrets, [true, false, false, false, true, false, false, false, false, false, false]);
    assert!(done[4].client_id.as_deref().unwrap().starts_with("c_"));
    let fields = |result: &BulkResult| result.errors.iter().map(|e| e.field.clone()).collect::<Vec<_>>();
    assert_eq!(fields(&done[5]), ["scopes[0]"]);
    assert_eq!(fields(&done[6]), ["client_secret_hash"]);
    assert_eq!(fields(&done[7]), ["name", "client_secret", "environment", "token_ttl"]);
    assert_eq!(fields(&done[8]), ["hunter"]);
    assert_eq!(fields(&done[9]), [""]);
    assert_eq!((fields(&done[10]), done[10].client_id.as_ref()), (vec!["status".to_owned()], None));
    let said = serde_json::to_string(&done).unwrap();
    for secret in ["hunter2-hunter2", "very-secret", "12345678", "b-old-secret", "soon"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    for (id, secret, expected) in
        [("a", done[0].client_secret.as_deref().unwrap(), 200), ("b", "b-old-secret", 200), ("c", HASHES[2].0, 401)]
    {
        let client = TestClient { id: id.to_owned(), secret: secret.to_owned() };
        assert_eq!(status(&app, &client).await, expected, "{id}");
    }
    // The same again changes nothing, but for the one that cannot be recognized.
    let again = import(&app, items, false).await;
    let recognized = outline(&again).into_iter().filter(|status| *status == BulkStatus::Exists).count();
    assert_eq!((recognized, again[4].status), (4, BulkStatus::Created));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_with_its_bounds() {
    let app = TestApp::start().await;
    let client = |n: usize| json!({"client_id": format!("c{n:05}"), "name": "x", "description": "d".repeat(1000)});
    let body = |count: usize| json!({"clients": (0..count).map(client).collect::<Vec<_>>()}).to_string();
    let (status, _, answer) = ask(&app, "POST", "bulk/clients", &body(1001)).await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer));
    let (status, head, answer) = ask(&app, "POST", "bulk/clients", &body(1000)).await;
    assert!(status == 200 && head.to_ascii_lowercase().contains("cache-control: no-store"), "{head}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let items = answer["items"].as_array().unwrap();
    assert!(answer.as_object().unwrap().len() == 1 && items.len() == 1000);
    for (index, item) in items.iter().enumerate() {
        assert_eq!((item["index"].as_u64(), item["status"].as_str()), (Some(index as u64), Some("created")));
    }
    let (status, _, _) =
        ask(&app, "POST", "bulk/clients", &format!("{{\"clients\":[{}]}}", " ".repeat(9_000_000))).await;
    assert_eq!(status, 413);
    for query in ["?dry_run=yes", "?dry-run=true", "?dry_run=true&dry_run=true"] {
        assert_eq!(ask(&app, "POST", &format!("bulk/clients{query}"), &body(1)).await.0, 400, "{query}");
    }
    import(&app, (1000..2500).map(client).take(1000).collect(), false).await;
    import(&app, (2000..2500).map(client).collect(), false).await;
    let (status, head, lines) = ask(&app, "GET", "bulk/clients", "").await;
    assert!(status == 200 && head.contains("application/x-ndjson"), "{head}");
    let lines = String::from_utf8(lines).unwrap();
    let ids: Vec<_> = lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["client_id"].clone()).collect();
    assert_eq!(ids, (0..2500).map(|n| json!(format!("c{n:05}"))).collect::<Vec<_>>());
    assert!(!lines.contains("sha256:") && !lines.contains("client_secret"));
    // What was exported can be imported elsewhere; it gets new secrets there.
    let elsewhere = TestApp::start().await;
    let exported = lines.lines().take(500).map(|line| serde_json::from_str(line).unwrap()).collect();
    let done = import(&elsewhere, exported, false).await;
    assert!(done.iter().all(|r| r.status == BulkStatus::Created && r.client_secret.is_some()), "{:?}", done[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_has_a_record_in_the_chain() {
    let app = TestApp::start().await;
    let client = |n: usize| json!({"client_id": format!("c{n}"), "name": "x"});
    import(&app, vec![client(1), client(2), client(1)], false).await;
    import(&app, vec![client(2), client(3)], false).await;
    let path = app.config.store_path();
    let dir = app.stop().await;
    let records = tokio::task::spawn_blocking(move || crate::process::audit(&path)).await.unwrap();
    drop(dir);
    let targets: Vec<_> =
        records.iter().filter(|r| r["action"] == "client.create").map(|r| r["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["c1", "c2", "c3"]);
    assert!(records.iter().all(|r| !r.to_string().contains("sha256:")));
}

/// What is taken away while the rest is registered is told of the one that rests on it.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_scope_was_just_taken_away_fails_alone() {
    static GATE: OnceLock<Arc<GatedStore>> = OnceLock::new();
    let app = TestApp::builder()
        .start_on(|store| {
            let gate = GatedStore::new(store);
            GATE.set(Arc::clone(&gate)).unwrap();
            gate
        })
        .await;
    let gate = GATE.get().unwrap();
    app.api("https://orders.example", &["orders:read"]).await;
    gate.hold_verb("add_clients");
    let (service, caller) = (Arc::clone(&app.service), app.caller());
    let items = [json!({"client_id": "a", "name": "A"}), json!({"name": "B", "scopes": ["orders:read"]})];
    let bulk = BulkClients { clients: items.into_iter().map(BulkItem).collect() };
    let importing = tokio::spawn(async move { service.import_clients(bulk, false, &caller).await });
    gate.arrival().await;
    let mut api = gate.registry().await.unwrap().apis.pop().unwrap();
    assert_eq!(api.identifier, "https://orders.example");
    api.scopes.clear();
    let before = gate.registry().await.unwrap().apis.pop().unwrap();
    gate.replace_api(before, api, crate::store_contract::change("api.update")).await.unwrap();
    gate.let_one_pass();
    let done = importing.await.unwrap().unwrap();
    assert_eq!((done[0].status, done[0].client_secret.is_some()), (BulkStatus::Created, true));
    assert_eq!((done[1].status, &done[1].client_id, &done[1].client_secret), (BulkStatus::Failed, &None, &None));
    assert!(done[1].errors[0].detail.contains("taken away"), "{:?}", done[1].errors);
}
