//! Changing a client, withdrawing a secret, and what of it cuts tokens off.

use mintage::api::{ApiPatch, ClientPatch, ClientStatus, NewClient, NewSecret};
use mintage::crypto::sha256;
use mintage::id::ClientId;
use mintage::server::model::Actor;
use mintage::server::store::AuditReader;
use mintage::server::store::redb::RedbStore;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::app::{TestApp, TestClient};

const ORDERS: &str = "https://orders.example";
const CUT: u16 = 401;
const KEPT: u16 = 200;

/// One request over the admin socket: its status and its body.
pub async fn ask(app: &TestApp, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut socket = UnixStream::connect(&app.config.admin.socket).await.unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("{method} /api/v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close");
    let kind = format!("content-type: application/merge-patch+json\r\ncontent-length: {}", body.len());
    socket.write_all(format!("{head}\r\n{kind}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(if body.is_empty() { "null" } else { body }).unwrap())
}

async fn patch(app: &TestApp, client: &TestClient, query: &str, body: Value) -> Value {
    let (status, answer) = ask(app, "PATCH", &format!("clients/{}{query}", client.id), &body).await;
    assert_eq!(status, 200, "{body}: {answer}");
    assert!(answer.get("client_secret").is_none() && !answer.to_string().contains(&client.secret), "{answer}");
    answer
}

/// The fields that a request is refused for.
pub async fn fields(app: &TestApp, method: &str, path: &str, body: Value) -> Vec<String> {
    let (status, problem) = ask(app, method, path, &body).await;
    assert_eq!((status, &problem["reason"]), (400, &json!("invalid_field")), "{path} {body}: {problem}");
    problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap().to_owned()).collect()
}

/// What a guarded route answers; a refusal has to be that the token was revoked.
async fn whoami(app: &TestApp, token: &str) -> u16 {
    let response = app.get("/api/v1/whoami", Some(token)).await;
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert!(status == KEPT || body["reason"] == "token_revoked", "{status} {body}");
    status
}

/// The records of the audit chain, once it is found whole. Ends the service.
pub async fn audit(app: TestApp) -> Vec<Value> {
    use base64::Engine;
    let now = app.now();
    let dir = app.stop().await;
    let (store, _) = RedbStore::open(&dir.path().join("data/mintage.redb"), [0; 32], now).unwrap();
    let (head, records) = store.audit(1, usize::MAX).await.unwrap();
    let mut previous = "genesis".to_owned();
    for bytes in &records {
        assert_eq!(serde_json::from_slice::<Value>(bytes).unwrap()["previous"], previous.as_str());
        previous = base64::engine::general_purpose::STANDARD_NO_PAD.encode(sha256(bytes));
    }
    assert_eq!(head.hash, previous);
    records.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
}

/// A service with an API, and a client that everything can be taken from.
async fn with_client() -> (TestApp, TestClient) {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read", "orders:write"]).await;
    let client = another(&app).await;
    (app, client)
}

async fn another(app: &TestApp) -> TestClient {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    app.client_with(NewClient {
        scopes: texts(&["mintage:projects:read", "mintage:keys:read"]),
        ip_allowlist: texts(&["127.0.0.0/8", "10.0.0.0/8"]),
        ..NewClient::default()
    })
    .await
}

#[tokio::test]
async fn what_takes_from_a_client_cuts_its_tokens_off() {
    let (app, other) = with_client().await;
    let others = app.token(&other).await;
    let narrowing = [
        json!({"scopes": ["mintage:projects:read"]}),
        json!({"scopes": []}),
        json!({"scopes": ["mintage:projects:read", "orders:read"]}),
        json!({"ip_allowlist": ["127.0.0.0/8"]}),
        json!({"ip_allowlist": ["127.0.0.1", "10.0.0.0/8"]}),
        json!({"ip_allowlist": ["127.0.0.0/8", "10.0.0.0/9", "10.128.0.0/10"]}),
        json!({"scopes": [], "ip_allowlist": [], "name": "at once"}),
    ];
    let harmless = [
        json!({}),
        json!({"scopes": ["mintage:keys:read", "mintage:projects:read"]}),
        json!({"scopes": ["mintage:projects:read", "mintage:keys:read", "orders:write"]}),
        json!({"ip_allowlist": ["10.0.0.0/9", "10.128.0.0/9", "127.0.0.0/8"]}),
        json!({"ip_allowlist": ["127.0.0.0/8", "10.0.0.0/7"]}),
        json!({"ip_allowlist": ["0.0.0.0/1"]}),
        json!({"ip_allowlist": []}),
        json!({"name": "other", "token_ttl": 60, "description": "d", "owner": "o", "labels": {"a": "b"}}),
        json!({"status": "active"}),
    ];
    for (query, body, expected) in narrowing
        .iter()
        .map(|body| ("", body, CUT))
        .chain(narrowing.iter().map(|body| ("?keep_tokens=false", body, CUT)))
        .chain(narrowing.iter().map(|body| ("?keep_tokens=true", body, KEPT)))
        .chain(
            harmless.iter().flat_map(|body| ["", "?keep_tokens=true", "?keep_tokens=false"].map(|q| (q, body, KEPT))),
        )
    {
        let client = another(&app).await;
        let token = app.token(&client).await;
        assert_eq!(whoami(&app, &token).await, KEPT);
        patch(&app, &client, query, body.clone()).await;
        assert_eq!(whoami(&app, &token).await, expected, "{query} {body}");
        let new = app.token_answer(&client, &[("resource", &app.issuer)]).await;
        assert_eq!(whoami(&app, new["access_token"].as_str().unwrap()).await, KEPT, "{query} {body}: a new one");
    }
    assert_eq!(whoami(&app, &others).await, KEPT, "of a client that nobody touched");
}

#[tokio::test]
async fn from_any_address_to_some_is_narrower() {
    let app = TestApp::start().await;
    for (list, expected) in
        [(json!(["127.0.0.0/8"]), CUT), (json!(["0.0.0.0/0"]), CUT), (json!(["0.0.0.0/0", "::/0"]), KEPT)]
    {
        let client = app.client(&[]).await;
        let token = app.token(&client).await;
        patch(&app, &client, "", json!({"ip_allowlist": list})).await;
        assert_eq!(whoami(&app, &token).await, expected, "{list}");
    }
}

#[tokio::test]
async fn a_cut_reaches_every_secret_and_lasts_over_a_restart() {
    let (app, client) = with_client().await;
    let first = app.token(&client).await;
    // The second rotation takes the first secret's record out.
    let mut newest = client.clone();
    let mut tokens = vec![first];
    for _ in 0..2 {
        let end = NewSecret { overlap: Some(0), ..Default::default() };
        newest.secret =
            app.service.add_secret(&client.id, &end, &app.caller()).await.unwrap().value.client_secret.unwrap();
        tokens.push(app.token(&newest).await);
    }
    let before = app.service.client(&client.id, &app.caller()).await.unwrap().value;
    patch(&app, &newest, "", json!({"scopes": []})).await;
    let after = app.service.client(&client.id, &app.caller()).await.unwrap().value;
    let ids = |client: &mintage::api::Client| client.secrets.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after), "the secrets stay what they are");
    let app = app.restart().await;
    for token in &tokens {
        assert_eq!(whoami(&app, token).await, CUT);
    }
    let fresh = app.token(&newest).await;
    assert_eq!(whoami(&app, &fresh).await, KEPT);
    patch(&app, &newest, "", json!({"status": "disabled"})).await;
    assert_eq!(whoami(&app, &fresh).await, CUT);
    patch(&app, &newest, "", json!({"status": "active"})).await;
    assert_eq!(whoami(&app, &fresh).await, CUT);
}

#[tokio::test]
async fn kept_tokens_are_reached_by_the_next_cut() {
    let (app, client) = with_client().await;
    let token = app.token(&client).await;
    patch(&app, &client, "?keep_tokens=true", json!({"scopes": [], "ip_allowlist": ["127.0.0.1"]})).await;
    let app = app.restart().await;
    assert_eq!(whoami(&app, &token).await, KEPT);
    patch(&app, &client, "", json!({"status": "disabled"})).await;
    assert_eq!(whoami(&app, &token).await, CUT);
}

#[tokio::test]
async fn a_withdrawn_secret_ends_at_once_and_its_tokens_when_they_are_told_to() {
    let (app, client) = with_client().await;
    let withdraw = |client: &TestClient, secret: &str, query: &str| {
        let path = format!("clients/{}/secrets/{secret}{query}", client.id);
        let app = &app;
        async move { ask(app, "DELETE", &path, &Value::Null).await }
    };
    for (query, expected) in [("", KEPT), ("?cut_tokens=false", KEPT), ("?cut_tokens=true", CUT)] {
        let old = another(&app).await;
        let token = app.token(&old).await;
        let rotated = app.service.add_secret(&old.id, &NewSecret::default(), &app.caller()).await.unwrap().value;
        let new = TestClient { id: old.id.clone(), secret: rotated.client_secret.unwrap() };
        let (status, shown) = withdraw(&old, &rotated.secrets[0].id, query).await;
        assert_eq!(status, 200, "{shown}");
        assert!(!shown.to_string().contains(&new.secret) && shown.get("client_secret").is_none(), "{shown}");
        assert_eq!(shown["secrets"].as_array().unwrap().len(), 1);
        assert_eq!(shown["secrets"][0]["id"], rotated.secrets[1].id.as_str());
        assert_eq!(app.token_request(&old, &[]).send().await.unwrap().status(), 401);
        assert_eq!(whoami(&app, &token).await, expected, "{query}");
        let others = app.token(&new).await;
        assert_eq!(whoami(&app, &others).await, KEPT, "of the other secret");
        assert_eq!(withdraw(&old, &rotated.secrets[0].id, query).await.0, 404, "it is gone");
        // What is left of it still belongs to the client.
        app.service.set_client_status(&old.id, ClientStatus::Disabled, "client.revoke", &app.caller()).await.unwrap();
        assert_eq!((whoami(&app, &token).await, whoami(&app, &others).await), (CUT, CUT));
    }

    // The last one may go too; the client is given another when it is wanted again.
    let token = app.token(&client).await;
    let id = app.service.client(&client.id, &app.caller()).await.unwrap().value.secrets.remove(0).id;
    let (status, problem) = withdraw(&client, "mtg_cs_live_pasted", "").await;
    assert_eq!((status, &problem["reason"]), (404, &json!("not_found")));
    assert!(!problem.to_string().contains("pasted"), "{problem}");
    assert_eq!(withdraw(&client, &id, "").await.1["secrets"], json!([]));
    assert_eq!(whoami(&app, &token).await, KEPT);
    let app = app.restart().await;
    assert_eq!(whoami(&app, &token).await, KEPT);
    assert_eq!(app.token_request(&client, &[]).send().await.unwrap().status(), 401);
    patch(&app, &client, "", json!({"scopes": []})).await;
    assert_eq!(whoami(&app, &token).await, CUT, "a client without secrets is cut off like any other");
    let app = app.restart().await;
    assert_eq!(whoami(&app, &token).await, CUT);
    let made = app.service.add_secret(&client.id, &NewSecret::default(), &app.caller()).await.unwrap().value;
    app.token(&TestClient { secret: made.client_secret.unwrap(), ..client }).await;
}

#[tokio::test]
async fn an_ended_secret_can_be_withdrawn_and_its_tokens_stay_within_reach() {
    let (app, client) = with_client().await;
    let token = app.token(&client).await;
    let end = NewSecret { overlap: Some(60), ..Default::default() };
    let shown = app.service.add_secret(&client.id, &end, &app.caller()).await.unwrap().value;
    app.advance(120);
    let withdrawn = app.service.withdraw_secret(&client.id, &shown.secrets[0].id, false, &app.caller()).await.unwrap();
    assert_eq!(withdrawn.value.secrets.len(), 1);
    assert_eq!(whoami(&app, &token).await, KEPT);
    patch(&app, &client, "", json!({"status": "disabled"})).await;
    assert_eq!(whoami(&app, &token).await, CUT);
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names_and_null_takes_away() {
    let (app, client) = with_client().await;
    let full = json!({"name": "n", "token_ttl": 60, "description": "d", "owner": "o", "labels": {"a": "1", "b": "2", "c": ""}});
    let shown = patch(&app, &client, "", full).await;
    assert_eq!(shown["labels"], json!({"a": "1", "b": "2", "c": ""}));
    assert_eq!(app.token_answer(&client, &[]).await["expires_in"], 60);
    let shown = patch(&app, &client, "", json!({"labels": {"a": null, "b": "3", "nothing": null}})).await;
    assert_eq!((&shown["labels"], &shown["token_ttl"]), (&json!({"b": "3", "c": ""}), &json!(60)));
    assert_eq!((&shown["name"], &shown["description"], &shown["owner"]), (&json!("n"), &json!("d"), &json!("o")));
    let shown =
        patch(&app, &client, "", json!({"token_ttl": null, "description": null, "owner": null, "labels": null})).await;
    assert_eq!((&shown["token_ttl"], &shown["labels"]), (&Value::Null, &json!({})));
    assert_eq!((&shown["description"], &shown["owner"]), (&json!(""), &json!("")));
    assert_eq!(app.token_answer(&client, &[]).await["expires_in"], 3600);
    // What cannot be absent takes no null, and what is unknown is not passed over.
    for body in [
        json!({"name": null}),
        json!({"status": null}),
        json!({"scopes": null}),
        json!({"ip_allowlist": null}),
        json!({"client_id": "x"}),
        json!({"secrets": []}),
        json!({"status": "gone"}),
        json!({"token_ttl": "1h"}),
        json!({"token_ttl": -1}),
        json!({"labels": {"a": 1}}),
    ] {
        let (status, problem) = ask(&app, "PATCH", &format!("clients/{}", client.id), &body).await;
        assert_eq!((status, &problem["reason"]), (400, &json!("malformed_request")), "{body}: {problem}");
    }
    assert_eq!(ask(&app, "PATCH", "clients/nobody", &json!({})).await.0, 404);
}

#[tokio::test]
async fn a_change_is_checked_as_a_registration_is() {
    let (app, client) = with_client().await;
    let path = format!("clients/{}", client.id);
    let before = app.service.client(&client.id, &app.caller()).await.unwrap().value;
    let token = app.token(&client).await;
    for (body, expected) in [
        (json!({"name": " "}), &["name"][..]),
        (json!({"name": "x".repeat(513)}), &["name"]),
        (json!({"description": "x".repeat(2049), "owner": "x".repeat(2049)}), &["description", "owner"]),
        (json!({"scopes": ["orders:read", "orders:raed", "a b"]}), &["scopes[1]", "scopes[2]"]),
        (json!({"ip_allowlist": ["10.0.0.0/33"]}), &["ip_allowlist"]),
        (json!({"token_ttl": 0}), &["token_ttl"]),
        (json!({"token_ttl": 3601}), &["token_ttl"]),
        (json!({"labels": {"": "x"}}), &["labels"]),
        (json!({"name": "", "scopes": ["none"], "token_ttl": 0}), &["name", "scopes[0]", "token_ttl"]),
    ] {
        assert_eq!(fields(&app, "PATCH", &path, body).await, expected);
    }
    let many = |from: usize| (from..from + 40).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>();
    patch(&app, &client, "", json!({"labels": many(0)})).await;
    assert_eq!(fields(&app, "PATCH", &path, json!({"labels": many(40)})).await, ["labels"], "all that it would have");
    patch(&app, &client, "", json!({"labels": null})).await;

    for query in
        ["keep_tokens=yes", "keep_tokens", "keep_tokens=", "keep_tokens=TRUE", "keep_tokens=true&keep_tokens=true"]
    {
        assert_eq!(fields(&app, "PATCH", &format!("{path}?{query}"), json!({"scopes": []})).await, ["keep_tokens"]);
    }
    assert_eq!(fields(&app, "PATCH", &format!("{path}?keep=true"), json!({"scopes": []})).await, ["keep"]);
    let body = json!({"status": "disabled"});
    assert_eq!(fields(&app, "PATCH", &format!("{path}?keep_tokens=true"), body).await, ["keep_tokens"]);
    let secret = format!("{path}/secrets/{}", before.secrets[0].id);
    assert_eq!(fields(&app, "DELETE", &format!("{secret}?cut_tokens=1"), Value::Null).await, ["cut_tokens"]);
    assert_eq!(fields(&app, "DELETE", &format!("{secret}?keep_tokens=true"), Value::Null).await, ["keep_tokens"]);

    let after = app.service.client(&client.id, &app.caller()).await.unwrap().value;
    assert_eq!((after.name, after.scopes, after.secrets.len()), (before.name, before.scopes, 1));
    assert_eq!(whoami(&app, &token).await, KEPT);
}

#[tokio::test]
async fn a_change_has_its_record_and_none_has_none() {
    let (app, client) = with_client().await;
    let before = app.service.client(&client.id, &app.caller()).await.unwrap().value;
    app.advance(10);
    let same = json!({"name": before.name, "scopes": before.scopes, "status": "active", "description": null});
    assert_eq!(patch(&app, &client, "", same).await["updated_at"], json!(before.updated_at), "it is all so already");
    for query in ["", "?keep_tokens=true"] {
        assert_eq!(patch(&app, &client, query, json!({})).await["updated_at"], json!(before.updated_at));
    }
    for body in [
        json!({"scopes": []}),
        json!({"status": "disabled"}),
        json!({"status": "active"}),
        json!({"status": "disabled", "name": "off"}),
    ] {
        assert_eq!(patch(&app, &client, "", body).await["updated_at"], json!(mintage::clock::Rfc3339(app.now())));
    }
    app.service.withdraw_secret(&client.id, &before.secrets[0].id, true, &app.caller()).await.unwrap();
    let id = ClientId::parse(&client.id).unwrap();
    let records: Vec<_> = audit(app).await.into_iter().filter(|r| r["target"] == id.as_str()).collect();
    let actions: Vec<_> = records.iter().map(|r| r["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["client.create", "client.update", "client.disable", "client.enable", "client.update", "client.secret.delete"]
    );
    assert_eq!(records[1]["before"]["scopes"], json!(["mintage:keys:read", "mintage:projects:read"]));
    assert_eq!(records[1]["after"]["scopes"], json!([]));
    assert!(records[1]["request_id"].as_str().unwrap().starts_with("r_"));
    assert!(serde_json::from_value::<Actor>(records[1]["actor"].clone()).is_ok());
    assert_eq!(records[5]["after"]["secrets"], json!([]));
    assert!(!json!(records).to_string().contains(&client.secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_once_all_come_to_be() {
    let (app, client) = with_client().await;
    let changes = (0..8).map(|n| {
        let (service, id, caller) = (app.service.clone(), client.id.clone(), app.caller());
        tokio::spawn(async move {
            let patch: ClientPatch = serde_json::from_value(json!({"labels": {n.to_string(): "x"}})).unwrap();
            service.update_client(&id, &patch, false, &caller).await.unwrap();
            let patch = ApiPatch { token_ttl: Some(Some(60 + n)), ..ApiPatch::default() };
            service.update_api(ORDERS, &patch, &caller).await.unwrap();
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap();
    }
    assert_eq!(app.service.client(&client.id, &app.caller()).await.unwrap().value.labels.len(), 8);
    let at_hand = app.service.api(ORDERS, &app.caller()).unwrap().value.token_ttl;
    let app = app.restart().await;
    assert_eq!(
        app.service.api(ORDERS, &app.caller()).unwrap().value.token_ttl,
        at_hand,
        "what is at hand is what was kept"
    );
}
