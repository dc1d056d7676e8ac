//! `mintage api|client …` against a running server.

use mintage::secret::ClientSecret;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Place, ask};

const API: [&str; 7] = ["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"];

#[test]
fn without_a_server_that_is_said() {
    let place = Place::new();
    for args in [
        &["api", "list"][..],
        &["api", "create", "https://orders.example"],
        &["client", "list"],
        &["client", "create", "billing"],
        &["client", "rotate", "c_x"],
        &["key", "list"],
        &["key", "rotate"],
        &["client", "list", "--json"],
        &["client", "list", "--socket", "elsewhere.sock"],
    ] {
        let message = place.fails(args);
        let socket = if args.contains(&"--socket") { "elsewhere.sock" } else { "data/admin.sock" };
        assert!(message.contains("no server is running") && message.contains(socket), "{args:?}: {message}");
        assert!(message.contains("mintage serve"), "{message}");
    }
    assert!(!place.at("data").exists());
}

/// Whether a secret, whole, is anywhere in `text`. Its masked prefix is not one.
fn has_a_secret(text: &str) -> bool {
    text.match_indices("mtg_cs_").any(|(at, _)| {
        let rest = &text[at..];
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').count() > 20
    })
}

#[test]
fn json_parses_and_has_a_secret_where_one_is_made_alone() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    let api = place.json(&API);
    assert_eq!(api["identifier"], "https://orders.example");
    assert_eq!(
        api["scopes"],
        json!([{ "name": "orders:read", "description": "" }, { "name": "orders:write", "description": "" }])
    );
    for name in ["name", "organization", "token_ttl", "introspectors"] {
        assert!(api.get(name).is_some(), "{name}: {api}");
    }
    let args = ["client", "create", "billing", "--scope", "orders:read", "--env", "test", "--token-ttl", "10m"];
    let made = place.json(&[&args[..], &["--description", "D", "--owner", "O", "--label", "team=a=b"]].concat());
    let secret = made["client_secret"].as_str().unwrap();
    assert!(secret.starts_with("mtg_cs_test_"), "{secret}");
    assert!(ClientSecret::from(secret.to_owned()).is_well_formed(), "{secret}");
    let id = made["client_id"].as_str().unwrap();
    assert!(id.starts_with("c_") && id.len() == 24, "{id}");
    for (name, expected) in [
        ("name", json!("billing")),
        ("environment", json!("test")),
        ("scopes", json!(["orders:read"])),
        ("roles", json!([])),
        ("ip_allowlist", json!([])),
        ("token_ttl", json!(600)),
        ("status", json!("active")),
        ("organization", json!("default")),
        ("project", json!("default")),
        ("description", json!("D")),
        ("owner", json!("O")),
        ("labels", json!({ "team": "a=b" })),
    ] {
        assert_eq!(made[name], expected, "{name}");
    }
    let members: Vec<_> = made["secrets"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["created_at", "expires_at", "id", "last_used_at", "last_used_from", "prefix"]);
    let rotated = place.json(&["client", "rotate", id]);
    assert_ne!(rotated["client_secret"], made["client_secret"]);
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 2);

    for args in [
        &["api", "list"][..],
        &["api", "show", "https://orders.example"],
        &["client", "list"],
        &["client", "show", id],
        &["client", "disable", id],
        &["client", "enable", id],
        &["client", "revoke", id],
        &["client", "delete", id],
        &["key", "list"],
        &["key", "rotate"],
        &["config", "check"],
        &["config", "show"],
    ] {
        let value = place.json(args);
        assert!(value.get("client_secret").is_none() && !has_a_secret(&value.to_string()), "{args:?}: {value}");
    }
}

#[test]
fn the_tables_and_pages_for_people_have_no_secret_either() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    place.text(&API);
    let made = place.run(&["client", "create", "billing", "--id", "billing", "--scope", "orders:read"]);
    assert!(has_a_secret(&made.out) && !has_a_secret(&made.err), "{}{}", made.out, made.err);
    assert!(made.err.contains("shown this once"), "{}", made.err);
    assert!(has_a_secret(&place.text(&["client", "rotate", "billing"])));
    for args in [
        &["api", "list"][..],
        &["api", "show", "https://orders.example"],
        &["client", "list"],
        &["client", "show", "billing"],
        &["client", "disable", "billing"],
        &["client", "enable", "billing"],
        &["client", "revoke", "billing"],
        &["key", "list"],
        &["key", "rotate"],
    ] {
        let text = place.text(args);
        assert!(!text.is_empty() && !has_a_secret(&text), "{args:?}: {text}");
    }
    assert!(place.text(&["client", "list"]).contains("disabled"));
    assert!(place.text(&["client", "delete", "billing"]).contains("billing"));
}

#[test]
fn a_scope_that_no_api_defines_names_the_nearest() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    place.text(&API);
    let message = place.fails(&["client", "create", "billing", "--scope", "orders:raed"]);
    assert!(message.contains("orders:raed") && message.contains("did you mean orders:read?"), "{message}");
    let message = place.fails(&["client", "create", "billing", "--scope", "mintage:client:read"]);
    assert!(message.contains("did you mean mintage:clients:read?"), "{message}");
    let message = place.fails(&["client", "create", "billing", "--scope", "zzz"]);
    assert!(message.contains("zzz") && message.contains("mintage api create"), "{message}");
    // All that is wrong, at once.
    let message =
        place.fails(&["client", "create", " ", "--scope", "a", "--scope", "b", "--allow-ip", "x", "--token-ttl", "2h"]);
    for field in ["name: ", "scopes[0]: ", "scopes[1]: ", "ip_allowlist: ", "token_ttl: "] {
        assert!(message.contains(field), "{field} is not in {message}");
    }
    assert_eq!(place.json(&["client", "list"])["items"], json!([]));
}

#[test]
fn what_is_there_already_is_refused() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.text(&API);
    let issuer = server.url("");
    place.text(&["client", "create", "billing", "--id", "billing"]);
    for (args, says) in [
        (&["api", "create", "https://orders.example"][..], "https://orders.example already"),
        (&["api", "create", "https://other.example", "--scope", "orders:read"], "https://orders.example"),
        (&["api", "create", "https://other.example", "--scope", "a", "--scope", "a"], "twice"),
        (&["api", "create", "https://other.example", "--scope", "mintage:mine"], "built-in"),
        (&["api", "create", &issuer], "issuer"),
        (&["api", "create", "orders"], "absolute URI"),
        (&["api", "create", "https://orders.example/#x"], "fragment"),
        (&["api", "create", "https://other.example", "--scope", "two words"], "scopes[0].name"),
        (&["client", "create", "other", "--id", "billing"], "billing already"),
        (&["client", "create", "other", "--id", "with space"], "client_id"),
        (&["client", "create", "other", "--id", ""], "client_id"),
    ] {
        let message = place.fails(args);
        assert!(message.contains(says), "{args:?}: {message}");
    }
    assert_eq!(place.json(&["api", "list"])["items"].as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["client", "list"])["items"].as_array().unwrap().len(), 1);
    for args in [&["client", "show", "nobody"][..], &["client", "delete", "nobody"], &["client", "revoke", "nobody"]] {
        assert!(place.fails(args).contains("there is no client"), "{args:?}");
    }
    assert!(place.fails(&["api", "show", "https://nowhere.example"]).contains("there is no API"));
}

#[test]
fn addresses_are_taken_strictly_and_shown_masked() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    for cidr in [
        "010.0.0.0/8",
        "10.0.0.01",
        "10.0.0",
        "0x0a.0.0.1",
        "fe80::1%eth0",
        "fe80::1%eth0/64",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/08",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0",
        "/8",
        "",
        " 10.0.0.0/8",
        "localhost",
        "10.0.0.1:80",
        "[::1]",
        "::ffff:10.0.0.256",
    ] {
        let allow = format!("--allow-ip={cidr}");
        let message = place.fails(&["client", "create", "billing", &allow]);
        assert!(message.contains("ip_allowlist: ") && message.contains(&format!("{cidr:?}")), "{cidr}: {message}");
    }
    for (cidrs, shown) in [
        (&["10.1.2.3/8"][..], json!(["10.0.0.0/8"])),
        (&["192.0.2.7"], json!(["192.0.2.7/32"])),
        (&["2001:db8::1/32"], json!(["2001:db8::/32"])),
        (&["::ffff:10.1.2.3/104"], json!(["10.0.0.0/8"])),
        (&["10.1.0.0/16", "10.0.0.0/8", "10.2.0.0/16"], json!(["10.0.0.0/8"])),
        (&["10.9.9.9/0"], json!(["0.0.0.0/0"])),
    ] {
        let args: Vec<_> = cidrs.iter().flat_map(|cidr| ["--allow-ip", cidr]).collect();
        let made = place.json(&[&["client", "create", "billing"], &args[..]].concat());
        assert_eq!(made["ip_allowlist"], shown, "{cidrs:?}");
        let id = made["client_id"].as_str().unwrap();
        assert_eq!(place.json(&["client", "show", id])["ip_allowlist"], shown);
        assert!(place.text(&["client", "show", id]).contains(shown[0].as_str().unwrap()));
    }
    let many: Vec<String> = (0..33).map(|n| format!("--allow-ip=10.{n}.0.0/16")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let create = ["client", "create", "billing"];
    let message = place.fails(&[&create, &many[..]].concat());
    assert!(message.contains("33") && message.contains("32"), "{message}");
    assert_eq!(place.json(&[&create, &many[..32]].concat())["ip_allowlist"].as_array().unwrap().len(), 32);
    // What overlaps is merged before it is counted.
    let merged = place.json(&[&create[..], &many[..], &["--allow-ip=10.0.0.0/11"]].concat());
    assert_eq!(merged["ip_allowlist"], json!(["10.32.0.0/16", "10.0.0.0/11"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowlist_is_enforced_where_tokens_are_fetched() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let (id, secret) = place.client(&["far", "--allow-ip", "192.0.2.0/24"]);
    let (status, body) = server.exchange(&id, &secret).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!((&body["error"], &body["reason"]), (&json!("access_denied"), &json!("ip_not_allowed")));
    assert!(body["error_description"].as_str().unwrap().contains("127.0.0.1"), "{body}");
}

async fn status(server: &super::Mintage, id: &str, secret: &str) -> u16 {
    server.exchange(id, secret).await.0.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_overlaps_as_it_is_told() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let (id, first) = place.client(&["billing"]);
    let rotated = place.json(&["client", "rotate", &id, "--overlap", "24h"]);
    let second = rotated["client_secret"].as_str().unwrap();
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    let [old, new] = &rotated["secrets"].as_array().unwrap()[..] else { panic!("{rotated}") };
    assert_eq!(time(&old["expires_at"]) - time(&new["created_at"]), 24 * 3600);
    assert_eq!(new["expires_at"], Value::Null);
    assert_eq!((status(&server, &id, &first).await, status(&server, &id, second).await), (200, 200));
    let third = place.json(&["client", "rotate", &id, "--overlap", "0s", "--secret-ttl", "90d"]);
    let third_secret = third["client_secret"].as_str().unwrap();
    for secret in [&first, second] {
        assert_eq!(status(&server, &id, secret).await, 401);
    }
    assert_eq!(status(&server, &id, third_secret).await, 200);
    let last = third["secrets"].as_array().unwrap().last().unwrap();
    assert_eq!(time(&last["expires_at"]) - time(&last["created_at"]), 90 * 24 * 3600);
}

/// A client that has as many secrets as it can must still have a way out: the one that ends the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_ends_the_others_works_with_five() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let (id, first) = place.client(&["billing"]);
    for _ in 0..4 {
        place.json(&["client", "rotate", &id]);
    }
    let message = place.fails(&["client", "rotate", &id]);
    assert!(message.contains('5'), "{message}");
    let rotated = place.json(&["client", "rotate", &id, "--overlap", "0s"]);
    assert_eq!(status(&server, &id, rotated["client_secret"].as_str().unwrap()).await, 200);
    assert_eq!(status(&server, &id, &first).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_client_and_its_tokens_stay_dead() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    for verb in ["revoke", "disable"] {
        let (id, secret) = place.client(&["billing"]);
        let (other_id, other_secret) = place.client(&["other"]);
        let token = server.token(&id, &secret).await;
        let other = server.token(&other_id, &other_secret).await;
        assert_eq!(server.whoami(&token).await.0, StatusCode::OK);
        assert_eq!(place.json(&["client", verb, &id])["status"], "disabled");
        let refused = server.whoami(&token).await;
        assert_eq!((refused.0.as_u16(), &refused.1["reason"]), (401, &json!("token_revoked")), "{verb}");
        assert_eq!(status(&server, &id, &secret).await, 401);
        assert_eq!(place.json(&["client", "enable", &id])["status"], "active");
        assert_eq!(server.whoami(&token).await.1["reason"], "token_revoked", "{verb}: enabling raised the dead");
        let new = server.token(&id, &secret).await;
        assert_eq!(server.whoami(&new).await.0, StatusCode::OK);
        assert_eq!(server.whoami(&other).await.0, StatusCode::OK, "{verb} of another client");
        assert_eq!(place.json(&["client", "delete", &id])["deleted"], true);
        assert_eq!(server.whoami(&new).await.1["reason"], "token_revoked");
        assert_eq!(status(&server, &id, &secret).await, 401);
    }
}

/// Dots are allowed in a client_id, and mean something in a path.
#[test]
fn an_id_of_dots_is_refused_or_reachable() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    for id in [".", "..", "...", "a..b", "~"] {
        if place.run(&["client", "create", "billing", "--id", id]).code == Some(0) {
            assert_eq!(place.json(&["client", "show", id])["client_id"], id);
            assert_eq!(place.json(&["client", "revoke", id])["status"], "disabled");
            assert_eq!(place.json(&["client", "delete", id])["deleted"], true);
        }
    }
}

/// A list is read page by page, to its end.
#[test]
fn a_long_list_is_complete() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    let socket = place.socket();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let socket = &socket;
            scope.spawn(move || {
                for n in 0..126 {
                    let new = json!({ "name": "x", "client_id": format!("c-{worker}-{n}") });
                    assert_eq!(ask(socket, "POST", "clients", &new).unwrap().0, 201);
                }
            });
        }
    });
    let list = place.json(&["client", "list"]);
    let ids: std::collections::BTreeSet<_> =
        list["items"].as_array().unwrap().iter().map(|c| c["client_id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), list["items"].as_array().unwrap().len()), (8 * 126, 8 * 126));
    assert_eq!(place.text(&["client", "list"]).lines().count(), 8 * 126 + 1);
}
