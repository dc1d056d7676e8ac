//! Operators' commands with `--url`, from anywhere, with a client's credentials.

use serde_json::{Value, json};

use super::{Mintage, Place};

/// A server, and another place that knows of it only what `ops.json` and the issuer say.
struct Remote {
    home: Place,
    away: Place,
    server: Mintage,
}

impl Remote {
    /// `ops` holds these roles.
    fn new(roles: &[&str]) -> Self {
        let (home, away) = (Place::new(), Place::new());
        let server = home.start(&["--no-quickstart"]);
        home.text(&["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
        let remote = Self { home, away, server };
        remote.operator("ops", &roles.iter().flat_map(|role| ["--role", role]).collect::<Vec<_>>());
        remote
    }

    /// Registers a client whose credentials are away, in `ID.json`.
    fn operator(&self, id: &str, args: &[&str]) {
        let file = self.away.at(&format!("{id}.json"));
        let args = [&["client", "create", id, "--id", id, "--save", file.to_str().unwrap()][..], args].concat();
        self.home.text(&args);
    }

    fn with(&self, args: &[&str], id: &str) -> Vec<String> {
        let own = ["--url".to_owned(), self.server.url(""), "--credentials".to_owned(), format!("{id}.json")];
        args.iter().map(|arg| (*arg).to_owned()).chain(own).collect()
    }

    fn json(&self, args: &[&str]) -> Value {
        let args = self.with(args, "ops");
        self.away.json(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn fails(&self, args: &[&str], id: &str) -> String {
        let args = self.with(args, id);
        self.away.fails(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_does_from_anywhere_what_the_socket_does() {
    let remote = Remote::new(&["ORG_OWNER"]);
    let project = remote.json(&["project", "create", "web", "--secret-max-ttl", "90d"]);
    assert_eq!(
        project["secret_policy"],
        json!({
            "max_ttl": 90 * 24 * 3600, "warn_before": null,
            "require_expiry": false, "require_allowlist": false, "max_keys": null,
        })
    );
    let role = remote.json(&["role", "create", "READER", "--scope", "orders:read", "--scope", "mintage:projects:read"]);
    assert_eq!(role["level"], "project");
    let made = remote.json(&["client", "create", "billing", "--id", "billing", "--project", "web", "--role", "READER"]);
    assert_eq!((&made["project"], &made["roles"]), (&json!("web"), &json!(["READER"])));
    assert!(made["secrets"][0]["expires_at"].is_string(), "the project says for how long: {made}");
    assert_eq!(remote.server.exchange("billing", made["client_secret"].as_str().unwrap()).await.0, 200);
    let list = remote.json(&["client", "list", "--project", "web", "--role", "READER", "--expiring-within", "100d"]);
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    for filter in
        [&["--status", "disabled"][..], &["--env", "test"], &["--name", "other*"], &["--expiring-within", "1d"]]
    {
        let list = remote.json(&[&["client", "list", "--project", "web"], filter].concat());
        assert_eq!(list["items"], json!([]), "{filter:?}");
    }
    let shown = remote.json(&["client", "update", "billing", "--add-scope", "orders:write", "--remove-role", "READER"]);
    assert_eq!((&shown["scopes"], &shown["roles"]), (&json!(["orders:write"]), &json!([])));
    assert_eq!(remote.json(&["role", "delete", "READER"]), json!({ "name": "READER", "deleted": true }));
    assert_eq!(remote.json(&["client", "delete", "billing", "--yes"])["deleted"], true);
    assert_eq!(remote.json(&["project", "delete", "web"])["deleted"], true);
    let api = remote.json(&[
        "api",
        "update",
        "https://orders.example",
        "--add-scope",
        "orders:list",
        "--scope-description",
        "orders:list=to list them",
    ]);
    assert_eq!(api["scopes"][2], json!({ "name": "orders:list", "description": "to list them" }));
    remote.json(&["api", "update", "https://orders.example", "--remove-scope", "orders:list"]);
    assert_eq!(remote.json(&["api", "delete", "https://orders.example"])["deleted"], true);
    assert!(!remote.away.at("data").exists(), "nothing is made where the command runs");
}

#[test]
fn the_issuer_and_the_credentials_come_from_the_environment_too() {
    let remote = Remote::new(&["ORG_OWNER"]);
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(remote.away.at("ops.json")).unwrap()).unwrap();
    let (url, id, secret) =
        (remote.server.url(""), saved["client_id"].as_str().unwrap(), saved["client_secret"].as_str().unwrap());
    let variables = [("MINTAGE_URL", url.as_str()), ("MINTAGE_CLIENT_ID", id), ("MINTAGE_CLIENT_SECRET", secret)];
    let ran = remote.away.run_with(&["client", "list"], &variables);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains("ops") && ran.out.contains("ORG_OWNER") && ran.out.contains("seconds ago")
            || ran.out.contains("just now"),
        "{}",
        ran.out
    );
    // A socket that is named is meant.
    let ran = remote
        .home
        .run_with(&["client", "list", "--socket", "data/admin.sock"], &[("MINTAGE_URL", "http://127.0.0.1:1")]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    // It is no key of the configuration.
    assert_eq!(remote.home.run_with(&["config", "check"], &variables).code, Some(0));
}

#[test]
fn a_refusal_says_which_and_what_to_do() {
    let remote = Remote::new(&["PROJECT_READ_ONLY"]);
    remote.operator("bare", &["--scope", "orders:read"]);
    remote.operator("far", &["--role", "ORG_OWNER", "--allow-ip", "192.0.2.1"]);
    remote.operator("manager", &["--role", "PROJECT_CLIENT_MANAGER"]);
    for (args, id, says) in [
        (
            &["client", "create", "x"][..],
            "ops",
            &["mintage:clients:write", "--add-scope mintage:clients:write", "request_id r_"][..],
        ),
        (&["client", "show", "nobody"], "ops", &["there is no client", "outside the reach of ops"]),
        (&["organization", "create", "acme"], "ops", &["mintage:organizations:write", "over the admin socket alone"]),
        (
            &["client", "update", "far", "--name", "x"],
            "manager",
            &["does not hold", "(organization level)", "manager can do this when"],
        ),
        (&["client", "create", "x", "--role", "ORG_OWNER"], "manager", &["does not hold", "admin socket"]),
        (&["client", "create", "x", "--project", "other"], "manager", &["there is no project other"]),
    ] {
        let message = remote.fails(args, id);
        for part in says {
            assert!(message.contains(part), "{args:?}: {part} is not in {message}");
        }
    }
    // No token at all.
    std::fs::write(remote.away.at("wrong.json"), r#"{"client_id":"ops","client_secret":"wrong"}"#).unwrap();
    for (id, code, says) in [
        ("wrong", 3, "its secret is wrong or has ended"),
        ("far", 3, "came from 127.0.0.1"),
        ("bare", 1, "mintage client update bare --add-scope mintage:clients:read, or a role"),
        ("absent", 1, "absent.json"),
    ] {
        let args = remote.with(&["client", "list"], id);
        let ran = remote.away.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{id}: {}", ran.err);
        assert!(ran.err.contains(says), "{id}: {}", ran.err);
    }
}

#[test]
fn another_address_is_told_from_another_issuer() {
    let remote = Remote::new(&["ORG_OWNER"]);
    let port = remote.server.address.port();
    let other_name = format!("http://localhost:{port}");
    for (url, code, says) in [
        ("http://127.0.0.1:1", 4, "could not be reached"),
        (other_name.as_str(), 1, "of another issuer"),
        ("ftp://127.0.0.1", 2, "http or https"),
        ("http://user:pw@127.0.0.1", 2, "http or https"),
    ] {
        let ran = remote.away.run(&["client", "list", "--url", url, "--credentials", "ops.json"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{url}: {}", ran.err);
        assert!(ran.err.contains(says) && !ran.err.contains("pw@"), "{url}: {}", ran.err);
    }
    let url = remote.server.url("");
    for args in [
        &["client", "list", "--url", &url, "--socket", "x.sock"][..],
        &["client", "list", "--credentials", "ops.json"],
        &["explain", "r_x", "--url", &url],
        &["token", "explain", "x", "--url", &url],
    ] {
        assert_eq!(remote.away.run(args).code, Some(2), "{args:?}");
    }
    let message = remote.away.fails(&["client", "list", "--url", &url]);
    assert!(message.contains("MINTAGE_CLIENT_ID") && message.contains("--credentials"), "{message}");
}

/// What an operator does to itself: the token that it came with is cut off, and it has another at once.
#[test]
fn an_operator_outlives_a_change_of_its_own_client() {
    let remote = Remote::new(&["PROJECT_OWNER"]);
    remote.home.text(&["client", "update", "ops", "--add-scope", "orders:read"]);
    let file =
        "[[client]]\nclient_id = \"ops\"\nscopes = []\n\n[[client]]\nclient_id = \"x\"\nscopes = [\"orders:read\"]\n";
    remote.away.write("setup.toml", file);
    let applied = remote.json(&["apply", "setup.toml", "--yes", "--show-secrets"]);
    assert_eq!(
        (&applied["applied"], &applied["steps"][0]["cuts_tokens_off"]),
        (&json!(true), &json!(true)),
        "{applied}"
    );
    assert_eq!(applied["steps"][1]["outcome"], "created");
}

#[test]
fn an_operator_of_one_project_applies_there_alone() {
    let remote = Remote::new(&["PROJECT_OWNER"]);
    remote.home.text(&["project", "create", "other"]);
    remote.home.client(&["theirs", "--id", "theirs", "--project", "other", "--owner", "them"]);
    let before = remote.home.json(&["client", "show", "theirs"]);
    remote
        .away
        .write("own.toml", "[[client]]\nclient_id = \"mine\"\nscopes = [\"orders:read\"]\nsave = \"mine.json\"\n");
    assert_eq!(remote.json(&["apply", "own.toml", "--yes"])["steps"][0]["saved"], "mine.json");
    assert_eq!(remote.json(&["apply", "own.toml", "--yes"])["steps"][0]["outcome"], "unchanged");
    for (text, says) in [
        ("[[client]]\nclient_id = \"theirs\"\nowner = \"me\"\n", "theirs"),
        ("[[client]]\nclient_id = \"new\"\nproject = \"other\"\n", "there is no project other"),
        ("[[client]]\nclient_id = \"new\"\nroles = [\"ORG_OWNER\"]\n", "does not hold"),
        ("[[organization]]\nid = \"acme\"\n", "mintage:organizations"),
        ("[[project]]\nid = \"third\"\n", "organization"),
    ] {
        remote.away.write("foreign.toml", text);
        let args = remote.with(&["apply", "foreign.toml", "--yes", "--show-secrets"], "ops");
        let ran = remote.away.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ran.code, Some(1), "{text}: {}", ran.out);
        assert!(ran.err.contains(says), "{text}: {}", ran.err);
    }
    assert_eq!(remote.home.json(&["client", "show", "theirs"]), before);
    assert_eq!(remote.home.json(&["client", "list", "--project", "other"])["items"].as_array().unwrap().len(), 1);
}
