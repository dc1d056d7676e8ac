//! Clients that come from files: lists of our own, and exports of other systems.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Place, Ran, audit, documents, finish, mode};
use crate::import::{CLIENTS, HASHES, HYDRA, HYDRA_ROWS, KEYCLOAK};

/// The last line of what a command says.
fn last(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

/// With one space between the columns.
fn flat(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

fn ran(place: &Place, args: &[&str], code: i32) -> Ran {
    let ran = place.run(args);
    assert_eq!(ran.code, Some(code), "{args:?}: {} {}", ran.out, ran.err);
    ran
}

/// What the store, which no server has, keeps of the secrets of its clients.
fn kept(store: &Path) -> Vec<(String, String)> {
    use mintage::server::store::redb::RedbStore;
    use mintage::server::store::{ClientSearch, ClientStore};
    // Its lock goes with the last process that had a copy of it.
    let now = mintage::clock::UnixTime::from_seconds(0);
    let store = super::wait_for("the store", || RedbStore::open(store, [0; 32], now).ok()).0;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clients =
        runtime.block_on(store.find_clients(ClientSearch { limit: 1000, ..ClientSearch::default() })).unwrap().clients;
    let mut kept = Vec::new();
    for client in clients {
        for secret in &client.secrets {
            let hash = serde_json::to_value(&secret.hash).unwrap().as_str().unwrap().to_owned();
            kept.push((client.client_id.to_string(), hash));
        }
    }
    kept
}

async fn kept_by(place: &Place) -> Vec<(String, String)> {
    let store = place.store();
    tokio::task::spawn_blocking(move || kept(&store)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hydra_client_goes_on_with_its_old_secret() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.write("hydra.json", HYDRA);
    let dry = ran(&place, &["import", "hydra", "hydra.json", "--dry-run"], 1);
    assert!(flat(&dry.out).contains("https://orders.example create orders:read orders:write"), "{}", dry.out);
    assert_eq!(place.json(&["client", "list"])["items"], json!([]), "nothing was done");
    assert_eq!(place.json(&["api", "list"])["items"], json!([]));
    let second = "5c2f9e6e-1c57-4c3e-9a63-7a3a4ba0c2f1";
    let done = ran(&place, &["import", "hydra", "hydra.json", "--api", "https://reports.example"], 1);
    for said in [
        "billing create bcrypt",
        "web skip",
        "spa skip",
        "signer skip",
        "from-the-api fail",
        "climber fail",
        "mintage:keys:write",
        "SELECT row_to_json(c) FROM hydra_client c",
        "without offline_access",
        "metadata.tier",
    ] {
        assert!(flat(&done.out).contains(said), "{said}: {}", done.out);
    }
    assert_eq!(last(&done.out), "4 registered, 0 there already, 2 failed, 3 skipped");
    for secret in ["$2a$", "$2b$", "$pbkdf2", "old-secret", "old~secret"] {
        assert!(!done.out.contains(secret) && !done.err.contains(secret), "{secret}");
    }
    let shown = place.json(&["client", "show", "billing"]);
    assert_eq!((&shown["name"], &shown["owner"]), (&json!("Billing"), &json!("team-money")));
    assert_eq!((&shown["labels"]["pager"], &shown["labels"]["tier"]), (&json!("#money"), &Value::Null));
    assert_eq!(place.json(&["client", "show", "ledger"])["name"], "ledger");
    let scopes = |id: &str| place.json(&["api", "show", id])["scopes"].as_array().unwrap().len();
    assert_eq!((scopes("https://orders.example"), scopes("https://ledger.example")), (2, 1));
    for (id, secret) in
        [("billing", HASHES[0].0), (second, HASHES[2].0), ("ledger", HASHES[3].0), ("legacy", HASHES[1].0)]
    {
        assert_eq!(server.exchange(id, "another secret").await.0, 401);
        let token = server.token(id, secret).await;
        assert_eq!(server.whoami(&token).await.0.as_u16(), if id == "legacy" { 200 } else { 401 }, "{id}");
    }
    // Again: they are there.
    let again = ran(&place, &["import", "hydra", "hydra.json"], 1);
    assert_eq!(last(&again.out), "0 registered, 4 there already, 2 failed, 3 skipped");
    assert!(again.out.contains("0 to create, 4 there already, 3 skipped, 2 that cannot be imported"), "{}", again.out);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    server.stop("-TERM");
    let hashes = kept_by(&place).await;
    assert_eq!(hashes.len(), 4);
    assert!(hashes.iter().all(|(_, hash)| hash.starts_with("$argon2id$")), "after the first use: {hashes:?}");
    // And with what they are kept under now.
    let server = place.start(&[]);
    for (id, secret) in [("billing", HASHES[0].0), (second, HASHES[2].0)] {
        server.token(id, secret).await;
        assert_eq!(server.exchange(id, "another secret").await.0, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_hydras_database_are_read_too() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.write("rows.jsonl", HYDRA_ROWS);
    let refused = ran(&place, &["import", "hydra", "rows.jsonl"], 1);
    assert!(refused.out.contains("reports:read: no API defines it, and the client has 2 audiences"), "{}", refused.out);
    let done = ran(&place, &["import", "hydra", "rows.jsonl", "--api", "https://reports.example", "--json"], 0);
    let done: Value = serde_json::from_str(&done.out).unwrap();
    // The scope that the first run defined is there; the second client's other one is new.
    assert_eq!(done["outcome"]["created"], 1, "{done}");
    assert_eq!(done["plan"]["apis"][0]["scopes"], json!(["reports:read"]));
    assert!(done["plan"]["clients"][2]["plan"] == "exists", "{done}");
    server.token("5c2f9e6e-1c57-4c3e-9a63-7a3a4ba0c2f1", HASHES[2].0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keycloak_client_goes_on_with_its_old_secret() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.write("realm.json", KEYCLOAK);
    let done = ran(&place, &["import", "keycloak", "realm.json"], 1);
    for said in [
        "https://inventory.example create inventory:read inventory:write",
        "account skip",
        "realm-management skip - it is bearer-only",
        "wiki skip - it speaks saml",
        "signed skip - it authenticates by client-jwt",
        "partner fail - its secret is masked",
        "kc.sh export",
        "without web-origins acr profile",
        "parcels:track: no API defines it, and the client has 2 audiences",
    ] {
        assert!(flat(&done.out).contains(said), "{said}: {}", done.out);
    }
    assert!(last(&done.out).starts_with("2 registered, 0 there already, 2 failed, "), "{}", done.out);
    let secret = "IIykoV67FWfyBw84t1DEKcEKiUruGt89";
    assert!(!done.out.contains(secret));
    let (status, token) = server.exchange("inventory-sync", secret).await;
    assert_eq!((status.as_u16(), &token["scope"]), (200, &json!("inventory:read inventory:write")));
    assert_eq!(server.exchange("inventory-sync", "IIykoV67FWfyBw84t1DEKcEKiUruGt88").await.0, 401);
    assert_eq!(server.exchange("old-sync", "9pXc0R2rN5sVtYkH3LqWmZ7bDfGjAeUi").await.0, 401, "it is disabled there");
    place.text(&["client", "enable", "old-sync"]);
    server.token("old-sync", "9pXc0R2rN5sVtYkH3LqWmZ7bDfGjAeUi").await;
    // With an API to put it under, the other one comes, too.
    let done = ran(&place, &["import", "keycloak", "realm.json", "--api", "https://parcels.example"], 1);
    assert!(last(&done.out).starts_with("1 registered, 2 there already, 1 failed, "), "{}", done.out);
    assert!(done.out.contains("without parcels-audience, which tokens do not name"), "{}", done.out);
    server.stop("-TERM");
    assert!(kept_by(&place).await.iter().all(|(_, hash)| hash.starts_with("$argon2id$")));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_any_other_system_come_as_json() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.write("clients.jsonl", CLIENTS);
    let done = ran(&place, &["import", "json", "clients.jsonl", "--api", "https://stock.example"], 1);
    assert!(flat(&done.out).contains("none fail - it has neither a client_secret nor"), "{}", done.out);
    assert_eq!(last(&done.out), "3 registered, 0 there already, 1 failed, 0 skipped");
    for (id, secret) in
        [("warehouse", HASHES[4].0), ("current", crate::import::CURRENT.0), ("plain", "plain-old-secret")]
    {
        server.token(id, secret).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    server.stop("-TERM");
    for (id, hash) in kept_by(&place).await {
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{id}: {hash}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_imported_each_for_itself_and_none_twice() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.text(&["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
    let csv = "client_id,name,scopes,client_secret,token_ttl,labels,ip_allowlist\n\
               a,Anna,orders:read orders:write,anna-old-secret,600,team=money tier=1,10.0.0.0/8 127.0.0.1\n\
               b,\"Bert, the second\",,bert-old-secret,,,\n\
               c,Carl,orders:raed,carl-old-secret,,,\n\
               d,Dora,,dora-old-secret\n\
               e,Emil,,,,,\n\
               f,Fritz,,fritz-old-secret,soon,,\n";
    place.write("clients.csv", csv);
    let refused = place.run(&["client", "import", "clients.csv"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("clients.csv:6") && refused.err.contains("--secrets"), "{}", refused.err);
    assert_eq!(place.json(&["client", "list"])["items"], json!([]));
    let dry = ran(&place, &["client", "import", "clients.csv", "--dry-run"], 1);
    assert_eq!(last(&dry.out), "3 would be registered, 0 there already, 3 failed");
    assert_eq!(place.json(&["client", "list"])["items"], json!([]));
    let done = ran(&place, &["client", "import", "clients.csv", "--secrets", "made.jsonl"], 1);
    assert_eq!(done.out, "3 registered, 0 there already, 3 failed\n", "and no bar: it is no terminal");
    let mut said: Vec<_> = done.err.lines().collect();
    said.sort_unstable();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].starts_with("clients.csv:4: scopes[0]: no API defines the scope orders:raed; did you mean"),
        "{said:?}"
    );
    assert!(said[1].starts_with("clients.csv:5: it has 4 values, and the header names 7 members"), "{said:?}");
    assert!(said[2].starts_with("clients.csv:7: token_ttl: expected u64"), "{said:?}");
    let shown = place.json(&["client", "show", "a"]);
    assert_eq!((&shown["token_ttl"], &shown["labels"]), (&json!(600), &json!({"team": "money", "tier": "1"})));
    server.token("a", "anna-old-secret").await;
    server.token("b", "bert-old-secret").await;
    let made = fs::read_to_string(place.at("made.jsonl")).unwrap();
    let made = documents(&made);
    assert!(made.len() == 1 && made[0]["client_id"] == "e" && mode(&place.at("made.jsonl")) == 0o600, "{made:?}");
    server.token("e", made[0]["client_secret"].as_str().unwrap()).await;
    // Mended and run again.
    place.write(
        "clients.csv",
        csv.replace("raed", "read").replace("dora-old-secret", "dora-old-secret,,,").replace("soon", "60"),
    );
    let done = ran(&place, &["client", "import", "clients.csv", "--secrets", "made.jsonl"], 0);
    assert_eq!(done.out, "3 registered, 3 there already, 0 failed\n");
    assert_eq!(documents(&fs::read_to_string(place.at("made.jsonl")).unwrap()).len(), 1, "none is made in vain");
    let from = place.json(&["client", "import", "clients.csv", "--from-line", "6", "--secrets", "made.jsonl"]);
    assert_eq!((&from["created"], &from["exists"]), (&json!(0), &json!(2)));
    // Out again, and in elsewhere.
    place.text(&["client", "export", "export.jsonl"]);
    let text = place.text(&["client", "export"]);
    assert_eq!(text, fs::read_to_string(place.at("export.jsonl")).unwrap());
    assert_eq!(documents(&text).len(), 6);
    for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        assert_eq!(line, place.json(&["client", "show", line["client_id"].as_str().unwrap()]));
    }
    let other = Place::new();
    let _other = other.start(&["--no-quickstart"]);
    other.text(&["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
    other.write("export.jsonl", &text);
    let done = ran(&other, &["client", "import", "export.jsonl", "--secrets", "new.jsonl"], 0);
    assert_eq!(done.out, "6 registered, 0 there already, 0 failed\n");
    for bad in ["clients.txt", "absent.csv"] {
        other.write("clients.txt", "x");
        assert!(other.run(&["client", "import", bad]).code != Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_loses_no_secret() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let lines: String = (0..3000).map(|n| format!("{{\"client_id\":\"c{n}\",\"name\":\"Client {n}\"}}\n")).collect();
    place.write("clients.jsonl", lines);
    let args = ["client", "import", "clients.jsonl", "--secrets", "made.jsonl"];
    for round in 0..6_u64 {
        let mut child = place.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(150 + 130 * round));
        drop(child.kill());
        child.wait().unwrap();
    }
    let done = finish(place.command(&args), "");
    assert_eq!(done.code, Some(0), "{}", done.err);
    let made = documents(&fs::read_to_string(place.at("made.jsonl")).unwrap());
    let clients = place.json(&["client", "list"])["items"].as_array().unwrap().len();
    assert_eq!((made.len(), clients), (3000, 3000));
    for entry in made.iter().step_by(37) {
        let text = |member: &str| entry[member].as_str().unwrap();
        server.token(text("client_id"), text("client_secret")).await;
    }
    server.stop("-TERM");
    let store = place.store();
    let records = tokio::task::spawn_blocking(move || audit(&store)).await.unwrap();
    assert_eq!(records.iter().filter(|r| r["action"] == "client.create").count(), 3000);
}

#[test]
fn a_stopped_import_says_where_to_go_on() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let lines: String = (0..700).map(|n| format!("{{\"client_id\":\"c{n}\",\"name\":\"x\"}}\n")).collect();
    place.write("clients.jsonl", lines);
    server.stop("-TERM");
    let stopped = place.run(&["client", "import", "clients.jsonl", "--from-line", "3", "--secrets", "made.jsonl"]);
    assert_eq!(stopped.code, Some(1));
    assert!(
        stopped.err.contains("no server is running here") && stopped.err.contains("--from-line 3"),
        "{}",
        stopped.err
    );
    assert_eq!(stopped.out, "0 registered, 0 there already, 0 failed\n");
    for (name, text) in [("other.jsonl", "{\"client_id\":\"a\"}\n"), ("notes.jsonl", "notes\n")] {
        fs::write(place.at(name), text).unwrap();
        let ran = place.run(&["client", "import", "clients.jsonl", "--secrets", name]);
        assert!(ran.code == Some(1) && ran.err.contains("cannot keep the secrets"), "{}", ran.err);
        assert_eq!(fs::read_to_string(place.at(name)).unwrap(), text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_secret_is_found_nowhere_afterwards() {
    use base64::Engine;
    let canary = "c4n4ry/given+secret=%&ü";
    let place = Place::new();
    let server = place.start_with(&["--no-quickstart"], &[("MINTAGE_TELEMETRY__LOG", "trace")]);
    let bulk = json!({"clients": [
        {"client_id": "bulk", "name": "x", "client_secret": canary},
        {"client_id": "broken", "name": 1, "client_secret": canary},
        {"client_id": "both", "name": "x", "client_secret": canary, "client_secret_hash": canary},
    ]});
    let mut answers = String::new();
    let mut ask = |method: &str, path: &str, body: &Value| {
        let (status, answer) = super::ask(&place.socket(), method, path, body).unwrap();
        answers.push_str(&answer.to_string());
        status
    };
    assert_eq!(ask("POST", "clients", &json!({"client_id": "one", "name": "x", "client_secret": canary})), 201);
    assert_eq!(ask("POST", "clients/one/secrets", &json!({"client_secret": canary})), 201);
    assert_eq!(
        ask("POST", "clients", &json!({"name": "x", "client_secret": canary, "client_secret_hash": canary})),
        400
    );
    assert_eq!(ask("POST", "bulk/clients", &bulk), 200);
    assert_eq!(ask("POST", "bulk/clients?dry_run=true", &bulk), 200);
    for path in ["clients", "clients/one", "clients/bulk"] {
        assert_eq!(ask("GET", path, &Value::Null), 200);
    }
    place.write("clients.jsonl", format!("{}\n", json!({"client_id": "line", "name": "x", "client_secret": canary})));
    place.write("import.json", json!([{"client_id": "json", "name": "x", "client_secret": canary}]).to_string());
    let mut said = String::new();
    for args in [&["client", "import", "clients.jsonl"][..], &["import", "json", "import.json"], &["client", "export"]]
    {
        let ran = ran(&place, args, 0);
        said.push_str(&(ran.out + &ran.err));
    }
    for id in ["one", "bulk", "line", "json"] {
        // Form-encoded first (RFC 6749, 2.3.1), as clients do.
        let encoded: String = url::form_urlencoded::byte_serialize(canary.as_bytes()).collect();
        server.token(id, &encoded).await;
        let (_, wrong) = server.exchange(id, &format!("{encoded}x")).await;
        answers.push_str(&wrong.to_string());
    }
    let logged = server.stop("-TERM");
    let store = fs::read(place.store()).unwrap();
    let standard = base64::engine::general_purpose::STANDARD_NO_PAD.encode(canary);
    let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(canary);
    let percent: String = url::form_urlencoded::byte_serialize(canary.as_bytes()).collect();
    let path = percent_encoding::utf8_percent_encode(canary, percent_encoding::NON_ALPHANUMERIC).to_string();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("one:{percent}"));
    let escaped = serde_json::to_string(canary).unwrap().trim_matches('"').to_owned();
    for form in [canary, &standard, &url_safe, &percent, &path, &pair[8..], &escaped, "c4n4ry"] {
        for (what, text) in [("answers", &answers), ("commands", &said), ("stdout", &logged.out), ("log", &logged.err)]
        {
            assert!(!text.contains(form), "{form} is in {what}");
        }
        assert!(!store.windows(form.len()).any(|window| window == form.as_bytes()), "{form} is in the store");
    }
    assert!(logged.err.len() > 1000, "there is a log to look through");
}
