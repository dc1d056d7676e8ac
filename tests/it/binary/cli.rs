//! The command line against a running server.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::tempdir;

use super::{Server, command, json, run, stderr, stdout, text, token, whoami};

fn fails(dir: &Path, arguments: &[&str], words: &[&str]) {
    let output = run(dir, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stdout(&output));
    for word in words {
        assert!(stderr(&output).contains(word), "{arguments:?}: {word:?} is not in {}", stderr(&output));
    }
}

async fn reason(response: reqwest::Response) -> String {
    let body: Value = response.json().await.unwrap();
    body["reason"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn apis_and_clients_are_registered_and_mistakes_explained() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    fails(dir, &["client", "list"], &["no server is running", "mintage serve"]);
    let _server = Server::start(dir, &["--no-quickstart"]);
    let api =
        json(dir, &["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
    assert_eq!(api["scopes"][1]["name"], "orders:write");
    assert_eq!(json(dir, &["api", "show", "https://orders.example"]), api);
    assert_eq!(json(dir, &["api", "list"])["items"][0], api);
    fails(dir, &["api", "create", "https://orders.example"], &["already"]);
    fails(dir, &["api", "create", "urn:b", "--scope", "orders:read"], &["orders:read", "https://orders.example"]);
    fails(dir, &["api", "create", "no uri"], &["absolute URI"]);
    fails(dir, &["api", "create", "urn:c", "--scope", "mintage:x"], &["built-in"]);
    fails(dir, &["api", "show", "urn:nothing"], &["no API urn:nothing"]);

    let client = json(
        dir,
        &[
            "client",
            "create",
            "billing",
            "--scope",
            "orders:read",
            "--allow-ip",
            "10.1.2.3/8",
            "--env",
            "test",
            "--token-ttl",
            "10m",
            "--label",
            "team=a",
        ],
    );
    assert!(text(&client, "client_id").starts_with("c_") && text(&client, "client_id").len() == 24);
    assert!(text(&client, "client_secret").starts_with("mtg_cs_test_"));
    assert_eq!(client["ip_allowlist"], serde_json::json!(["10.0.0.0/8"]));
    assert_eq!((&client["token_ttl"], &client["labels"]["team"]), (&600.into(), &"a".into()));
    let id = text(&client, "client_id");
    for shown in [json(dir, &["client", "show", id]), json(dir, &["client", "list"])] {
        assert!(!shown.to_string().contains(text(&client, "client_secret")), "it is shown once");
    }
    fails(dir, &["client", "create", "x", "--scope", "order:read"], &["order:read", "did you mean orders:read?"]);
    fails(dir, &["client", "create", "x", "--id", id], &["already"]);
    fails(dir, &["client", "create", "x", "--id", "a b"], &["client_id"]);
    for bad in ["010.0.0.0/8", "fe80::1%eth0", "10.0.0.0/33", "10.0.0.0/08", "somewhere"] {
        fails(dir, &["client", "create", "x", "--allow-ip", bad], &["ip_allowlist", bad]);
    }
    let many: Vec<String> = (0..33).map(|n| format!("10.0.{n}.0/24")).collect();
    let mut arguments = vec!["client", "create", "x"];
    arguments.extend(many.iter().flat_map(|cidr| ["--allow-ip", cidr.as_str()]));
    fails(dir, &arguments, &["33", "32"]);
    arguments.extend(["--allow-ip", "10.0.0.0/16"]);
    assert_eq!(json(dir, &arguments)["ip_allowlist"], serde_json::json!(["10.0.0.0/16"]));
    fails(dir, &["client", "show", "nobody"], &["no client"]);
    fails(dir, &["client", "create", "x", "--token-ttl", "2h"], &["token_ttl", "3600"]);
    assert_eq!(run(dir, ["client", "create", "x", "--token-ttl", "500ms"]).status.code(), Some(2));
    let shell = run(dir, ["completions", "bash"]);
    assert!(stdout(&shell).contains("_mintage"));
}

#[tokio::test]
async fn a_token_is_fetched_inspected_and_cut_off() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    let server = Server::start(dir, &["--no-quickstart"]);
    let base = server.base.as_str();
    json(dir, &["api", "create", "urn:orders", "--scope", "orders:read"]);
    let client = json(
        dir,
        &["client", "create", "a", "--id", "a", "--scope", "orders:read", "--scope", "mintage:projects:read"],
    );
    fs::write(dir.join("a.json"), client.to_string()).unwrap();
    let secret = text(&client, "client_secret");
    let get = run(dir, ["token", "get", "--issuer", base, "--credentials", "a.json"]);
    let for_orders = stdout(&get);
    assert_eq!(for_orders.trim().split('.').count(), 3, "{}", stderr(&get));
    let ours = command(
        dir,
        ["token", "get", "--token-url", &format!("{base}/oauth/token"), "--scope", "mintage:projects:read"],
    )
    .env("MINTAGE_CLIENT_ID", "a")
    .env("MINTAGE_CLIENT_SECRET", secret)
    .output()
    .unwrap();
    let ours = stdout(&ours).trim().to_owned();
    assert_eq!(whoami(base, &ours).await.status(), 200);
    fails(dir, &["token", "get", "--issuer", base], &["MINTAGE_CLIENT_ID"]);
    fails(dir, &["token", "get", "--issuer", &format!("{base}/"), "--credentials", "a.json"], &["another issuer"]);
    fails(
        dir,
        &["token", "get", "--token-url", "http://u:hunter2@127.0.0.1:1/", "--credentials", "a.json"],
        &["password"],
    );
    let refused = run(dir, ["token", "get", "--token-url", "http://u:hunter2@127.0.0.1:1/", "--credentials", "a.json"]);
    assert!(!stderr(&refused).contains("hunter2"));

    let jwks =
        mintage::client::http_client().unwrap().get(format!("{base}/.well-known/jwks.json")).send().await.unwrap();
    let jwks = jwks.text().await.unwrap();
    fs::write(dir.join("jwks.json"), &jwks).unwrap();
    let mut others: Value = serde_json::from_str(&jwks).unwrap();
    others["keys"] = serde_json::json!([]);
    fs::write(dir.join("others.json"), others.to_string()).unwrap();
    let inspect = |arguments: &[&str]| {
        let mut all = vec!["token", "inspect"];
        all.extend_from_slice(arguments);
        run(dir, all).status.code()
    };
    let token_text = for_orders.trim();
    let url = format!("{base}/.well-known/jwks.json");
    for keys in ["jwks.json", &url] {
        assert_eq!(inspect(&[token_text, "--jwks", keys]), Some(0));
        assert_eq!(inspect(&[token_text, "--jwks", keys, "--issuer", base, "--audience", "urn:orders"]), Some(0));
    }
    assert_eq!(inspect(&[token_text, "--issuer", base]), Some(0));
    assert_eq!(inspect(&[token_text, "--jwks", "jwks.json", "--audience", "urn:other"]), Some(1));
    assert_eq!(inspect(&[token_text, "--jwks", "jwks.json", "--issuer", "urn:other"]), Some(1));
    assert_eq!(inspect(&[token_text, "--jwks", "others.json"]), Some(1));
    assert_eq!(inspect(&[&format!("{token_text}x"), "--jwks", "jwks.json"]), Some(1));
    assert_eq!(inspect(&["nonsense", "--jwks", "jwks.json"]), Some(1));
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/rfc_examples.json");
    let vectors: Value = serde_json::from_str(&fs::read_to_string(vectors).unwrap()).unwrap();
    for vector in vectors["jws"].as_array().unwrap() {
        fs::write(dir.join("key.json"), vector["jwk"].to_string()).unwrap();
        let wanted = if vector["signature_valid"] == true { Some(0) } else { Some(1) };
        let jws = text(vector, "jws");
        assert_eq!(inspect(&[jws, "--jwks", "key.json", "--signature-only"]), wanted, "{}", vector["rfc"]);
        assert_eq!(inspect(&[jws, "--jwks", "key.json"]), Some(1), "{}: no access token", vector["rfc"]);
    }

    json(dir, &["client", "revoke", "a"]);
    assert_eq!(reason(whoami(base, &ours).await).await, "token_revoked");
    fails(dir, &["token", "get", "--issuer", base, "--credentials", "a.json"], &["invalid_client"]);
    json(dir, &["client", "enable", "a"]);
    assert_eq!(reason(whoami(base, &ours).await).await, "token_revoked");
    let rotated = json(dir, &["client", "rotate", "a", "--overlap", "0s"]);
    fails(dir, &["token", "get", "--issuer", base, "--credentials", "a.json"], &["invalid_client"]);
    token(base, "a", text(&rotated, "client_secret")).await;
    json(dir, &["client", "disable", "a"]);
    assert_eq!(text(&json(dir, &["client", "show", "a"]), "status"), "disabled");
    json(dir, &["client", "delete", "a"]);
    fails(dir, &["client", "show", "a"], &["no client"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_refuses_no_valid_token() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("mintage.toml"), "[keys]\njwks_max_age = \"2s\"\n").unwrap();
    let dir = dir.path();
    let server = Server::start(dir, &["--no-quickstart"]);
    let client = json(dir, &["client", "create", "a", "--id", "a"]);
    let secret = text(&client, "client_secret").to_owned();
    let kid = |token: &str| mintage::jose::CompactJws::parse(token).unwrap().header["kid"].as_str().unwrap().to_owned();
    let before = token(&server.base, "a", &secret).await;
    let stop = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let (base, secret, stop, old) = (server.base.clone(), secret.clone(), Arc::clone(&stop), before.clone());
            tokio::spawn(async move {
                let mut kids = std::collections::BTreeSet::new();
                while !stop.load(Ordering::SeqCst) {
                    let fresh = token(&base, "a", &secret).await;
                    for token in [&old, &fresh] {
                        assert_eq!(whoami(&base, token).await.status(), 200);
                    }
                    kids.insert(kid(&fresh));
                }
                kids
            })
        })
        .collect();
    let rotation = json(dir, &["key", "rotate"]);
    let at_once = rotation["rotated"] == true;
    tokio::time::sleep(Duration::from_secs(6)).await;
    stop.store(true, Ordering::SeqCst);
    let mut kids = std::collections::BTreeSet::from([kid(&before)]);
    for one in loops {
        kids.extend(one.await.unwrap());
    }
    assert_eq!(kids.len(), 2, "tokens of both keys were accepted");
    assert!(!at_once, "the next key had just been published");
    assert!(json(dir, &["key", "rotate", "--now"])["rotated"] == true);
    let newest = token(&server.base, "a", &secret).await;
    assert_eq!(whoami(&server.base, &before).await.status(), 200);
    json(dir, &["key", "revoke", &kid(&before)]);
    assert_eq!(reason(whoami(&server.base, &before).await).await, "token_revoked");
    assert_eq!(whoami(&server.base, &newest).await.status(), 200);
    fails(dir, &["key", "revoke", "nothing"], &["no key in use nothing"]);
    let listed = json(dir, &["key", "list"]);
    assert!(listed["items"].as_array().unwrap().iter().any(|key| key["state"] == "revoked"));
}
