//! `mintage api-key`, at the socket and from anywhere, and policies on the command line.

use serde_json::{Value, json};

use super::Place;

/// What a guarded route says to a bearer.
pub async fn whoami(url: &str, bearer: &str) -> (u16, Value) {
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

/// The lines of a page that begin with this word.
fn lines(page: &str, name: &str) -> Vec<String> {
    let own = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    own.map(|line| line.trim().to_owned()).collect()
}

fn life(shown: &Value) -> Option<i64> {
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    (!shown["expires_at"].is_null()).then(|| time(&shown["expires_at"]) - time(&shown["updated_at"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_keeps_the_life_and_says_what_goes_on() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let url = server.url("");
    let made = place.json(&["api-key", "create", "tool", "--ttl", "10d"]);
    let (id, first) = (text(&made["id"]), text(&made["api_key"]));
    assert_eq!((life(&made), &made["retiring"]), (Some(864_000), &json!([])));
    assert_eq!(lines(&place.text(&["api-key", "show", &id]), "retiring"), [""; 0]);
    let rotated = place.json(&["api-key", "rotate", &id, "--overlap", "24h"]);
    assert_eq!(life(&rotated), Some(864_000), "{rotated}");
    let until = text(&rotated["retiring"][0]["expires_at"]);
    let prefix = text(&made["prefix"]);
    let said = lines(&place.text(&["api-key", "show", &id]), "retiring");
    assert_eq!(said, [format!("{prefix} goes on until {until}, never used")]);
    assert_eq!(whoami(&url, &first).await.0, 200);
    let shown = place.json(&["api-key", "show", &id]);
    let used = text(&shown["retiring"][0]["last_used_at"]);
    let said = lines(&place.text(&["api-key", "show", &id]), "retiring");
    assert_eq!(said, [format!("{prefix} goes on until {until}, last used {used} from 127.0.0.1")]);
    assert_eq!(place.json(&["api-key", "list"])["items"][0]["retiring"], shown["retiring"]);
    for (args, expected) in
        [(&["--ttl", "none"][..], None), (&[], None), (&["--ttl", "90s"], Some(90)), (&["--overlap", "1h"], Some(90))]
    {
        let rotated = place.json(&[&["api-key", "rotate", &id], args].concat());
        assert_eq!(life(&rotated), expected, "{args:?}: {rotated}");
    }
    // A revoked key comes back alone.
    let newest = text(&place.json(&["api-key", "rotate", &id, "--ttl", "1d"])["api_key"]);
    let last = text(&place.json(&["api-key", "rotate", &id, "--overlap", "24h"])["api_key"]);
    place.text(&["api-key", "revoke", &id]);
    place.text(&["api-key", "update", &id, "--status", "active"]);
    assert_eq!((whoami(&url, &newest).await.0, whoami(&url, &last).await.0), (401, 200));
    for bad in ["never", "None", "10", "1.5s", "-1d", ""] {
        let ran = place.run(&["api-key", "rotate", &id, "--ttl", bad]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{bad}: {}", ran.err);
    }
    for command in ["api-key", "client"] {
        let help = place.run(&[command, "rotate", "--help"]).out;
        assert!(help.contains("or none") && help.contains("was made to live"), "{help}");
    }
}

#[test]
fn a_secret_keeps_its_life_and_refusals_speak_as_people_type() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    place.text(&["client", "create", "n", "--id", "billing", "--secret-ttl", "10d"]);
    let newest = |args: &[&str]| {
        let mut client = place.json(&[&["client", "rotate", "billing"], args].concat());
        let updated_at = client["updated_at"].clone();
        let mut secret = client["secrets"].as_array_mut().unwrap().pop().unwrap();
        secret["updated_at"] = updated_at;
        life(&secret)
    };
    assert_eq!((newest(&[]), newest(&["--overlap", "0s"])), (Some(864_000), Some(864_000)));
    assert_eq!((newest(&["--secret-ttl", "none"]), newest(&["--overlap", "0s"])), (None, None));
    assert_eq!((newest(&["--overlap", "0s", "--secret-ttl", "90d"]), newest(&[])), (Some(7_776_000), Some(7_776_000)));
    let id = text(&place.json(&["api-key", "create", "x", "--ttl", "90d"])["id"]);
    place.text(&["project", "update", "default", "--secret-max-ttl", "80d", "--max-keys", "1"]);
    for args in
        [&["api-key", "rotate", &id, "--ttl", "100d"][..], &["client", "rotate", "billing", "--secret-ttl", "100d"]]
    {
        let said = place.fails(args);
        assert!(said.contains("ttl: at most 80d (6912000 seconds): the secret_policy"), "{said}");
    }
    let said = place.fails(&["api-key", "create", "y"]);
    assert!(said.contains("a project has 1 API key at most"), "{said}");
    assert_eq!(life(&place.json(&["api-key", "rotate", &id])), Some(6_912_000));
    assert_eq!(newest(&["--overlap", "0s"]), Some(6_912_000));
}
