//! `mintage api-key`, at the socket and from anywhere, and policies on the command line.

use serde_json::{Value, json};

use super::Place;

/// What a guarded route says to a bearer.
async fn whoami(url: &str, bearer: &str) -> (u16, Value) {
    let http = mintage::client::http_client().unwrap();
    let response = http.get(format!("{url}/api/v1/whoami")).bearer_auth(bearer).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lives_on_the_command_line() {
    let (home, away) = (Place::new(), Place::new());
    let server = home.start(&["--no-quickstart"]);
    let url = server.url("");
    home.text(&["api", "create", "https://orders.example", "--scope", "orders:read"]);
    let credentials = away.at("ops.json");
    home.text(&[
        "client",
        "create",
        "ops",
        "--role",
        "ORG_OWNER",
        "--scope",
        "orders:read",
        "--save",
        credentials.to_str().unwrap(),
    ]);
    let own = ["--url".to_owned(), url.clone(), "--credentials".to_owned(), "ops.json".to_owned()];
    let from_away: Vec<&str> = own.iter().map(String::as_str).collect();
    for (place, way) in [(&home, &[][..]), (&away, &from_away[..])] {
        let json_of = |args: &[&str]| place.json(&[&["api-key"], args, way].concat());
        let made = json_of(&["create", "tool", "--scope", "mintage:projects:read", "--label", "a=b", "--ttl", "90d"]);
        let (id, key) = (text(&made["id"]), text(&made["api_key"]));
        assert!(made["expires_at"].is_string() && made["labels"] == json!({ "a": "b" }), "{made}");
        assert_eq!(whoami(&url, &key).await.0, 200);
        let list = json_of(&["list", "--name", "to*", "--env", "live", "--status", "active"]);
        assert!(list.to_string().contains(&id) && !list.to_string().contains(&key), "{list}");
        let shown = json_of(&["show", &id]);
        assert_eq!((&shown["id"], shown.get("api_key")), (&json!(id), None));
        let listed = place.text(&[&["api-key", "list"], way].concat());
        assert!(listed.contains(&text(&shown["prefix"])) && !listed.contains(&key), "{listed}");
        let changed = json_of(&[
            "update",
            &id,
            "--add-scope",
            "mintage:apis:read",
            "--allow-ip",
            "127.0.0.1",
            "--remove-label",
            "a",
        ]);
        assert_eq!(changed["scopes"], json!(["mintage:apis:read", "mintage:projects:read"]));
        assert_eq!((&changed["ip_allowlist"], &changed["labels"]), (&json!(["127.0.0.1/32"]), &json!({})));
        let rotated = json_of(&["rotate", &id, "--overlap", "1h"]);
        let newer = text(&rotated["api_key"]);
        for key in [&key, &newer] {
            assert_eq!(whoami(&url, key).await.0, 200);
        }
        json_of(&["revoke", &id]);
        let (status, problem) = whoami(&url, &newer).await;
        assert_eq!((status, &problem["reason"]), (401, &json!("token_revoked")), "{problem}");
        assert!(text(&problem["detail"]).contains("API key"), "{problem}");
        json_of(&["update", &id, "--status", "active"]);
        assert_eq!(whoami(&url, &newer).await.0, 200);
        assert_eq!(json_of(&["delete", &id, "--yes"]), json!({ "id": id, "deleted": true }));
        assert_eq!(whoami(&url, &newer).await.0, 401);
        let nothing = place.fails(&[&["api-key", "show", &newer], way].concat());
        assert!(nothing.contains("API key") && !nothing.contains(&newer), "{nothing}");
    }
    drop(server);
}

#[test]
fn policies_are_set_by_commands_and_by_a_file() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    let policy = |shown: Value| {
        let one = |member: &str| shown["secret_policy"][member].clone();
        (one("require_expiry"), one("require_allowlist"), one("max_keys"))
    };
    let update = |args: &[&str]| policy(place.json(&[&["project", "update", "default"], args].concat()));
    let set = update(&["--require-expiry", "true", "--require-allowlist", "true", "--max-keys", "1"]);
    assert_eq!(set, (json!(true), json!(true), json!(1)));
    let said = place.fails(&["api-key", "create", "x", "--ttl", "1d"]);
    assert!(said.contains("require_allowlist"), "{said}");
    let said = place.fails(&["client", "create", "x", "--allow-ip", "127.0.0.1"]);
    assert!(said.contains("require_expiry"), "{said}");
    place.text(&["api-key", "create", "x", "--ttl", "1d", "--allow-ip", "127.0.0.1"]);
    let said = place.fails(&["api-key", "create", "y", "--ttl", "1d", "--allow-ip", "127.0.0.1"]);
    assert!(said.contains("max_keys"), "{said}");
    assert_eq!(update(&["--require-allowlist", "false", "--max-keys", "0"]), (json!(true), json!(false), Value::Null));
    let file = "[[project]]\nid = \"default\"\nrequire_expiry = false\nrequire_allowlist = true\nmax_keys = 9\n";
    place.write("setup.toml", file);
    place.text(&["apply", "setup.toml", "--yes"]);
    let shown = policy(place.json(&["project", "show", "default"]));
    assert_eq!(shown, (json!(false), json!(true), json!(9)));
    assert!(place.text(&["apply", "setup.toml", "--yes"]).contains("Nothing to do"), "the file says what is there");
}
