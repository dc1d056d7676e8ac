//! `mintage client update|withdraw` and `mintage api update` against a running server.

use serde_json::{Value, json};

use super::{Place, audit};

const API: [&str; 7] = ["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"];
const CUT: &str = "is cut off";
const KEPT: &str = "are kept";

/// What a change prints as JSON, and what it says of the tokens.
fn update(place: &Place, args: &[&str]) -> (Value, String) {
    let ran = place.run(&[&["client", "update", "billing"], args, &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    assert!(!ran.out.contains("client_secret"), "{}", ran.out);
    (serde_json::from_str(&ran.out).unwrap(), ran.err)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_changed_and_what_became_of_its_tokens_is_said() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.text(&API);
    let made = ["billing", "--id", "billing", "--scope", "mintage:projects:read", "--label", "a=1", "--label", "b=2"];
    let (id, secret) = place.client(&made);
    let mut token = server.token(&id, &secret).await;
    let scopes = |scopes: &[&str]| json!(scopes);
    let read = "mintage:projects:read";
    for (args, member, expected, says) in [
        (
            &["--add-scope", "mintage:keys:read", "--add-scope", read][..],
            "scopes",
            scopes(&["mintage:keys:read", read]),
            "",
        ),
        (&["--remove-scope", "mintage:keys:read"], "scopes", scopes(&[read]), CUT),
        (
            &["--allow-ip", "127.1.2.3/8", "--allow-ip", "10.0.0.0/8"],
            "ip_allowlist",
            scopes(&["127.0.0.0/8", "10.0.0.0/8"]),
            CUT,
        ),
        (&["--allow-ip", "192.0.2.1"], "ip_allowlist", scopes(&["127.0.0.0/8", "10.0.0.0/8", "192.0.2.1/32"]), ""),
        (
            &["--disallow-ip", "192.0.2.1", "--keep-tokens"],
            "ip_allowlist",
            scopes(&["127.0.0.0/8", "10.0.0.0/8"]),
            KEPT,
        ),
        (&["--disallow-ip", "10.7.0.0/8"], "ip_allowlist", scopes(&["127.0.0.0/8"]), CUT),
        (&["--disallow-ip", "127.0.0.0/8", "--allow-ip", "127.0.0.1"], "ip_allowlist", scopes(&["127.0.0.1/32"]), CUT),
        (&["--any-ip"], "ip_allowlist", json!([]), ""),
        (&["--name", "Billing", "--keep-tokens"], "name", json!("Billing"), ""),
        (&["--token-ttl", "10m"], "token_ttl", json!(600), ""),
        (&["--no-token-ttl"], "token_ttl", Value::Null, ""),
        (&["--description", "D", "--owner", "O"], "owner", json!("O"), ""),
        (&["--owner", ""], "owner", json!(""), ""),
        (&["--label", "b=3", "--label", "c=x=y", "--remove-label", "a"], "labels", json!({"b": "3", "c": "x=y"}), ""),
    ] {
        let (shown, note) = update(&place, args);
        assert_eq!(shown[member], expected, "{args:?}");
        assert_eq!((note.is_empty(), note.contains(says)), (says.is_empty(), true), "{args:?}: {note}");
        let status = server.whoami(&token).await.0.as_u16();
        assert_eq!(status, if says == CUT { 401 } else { 200 }, "{args:?}");
        token = server.token(&id, &secret).await;
    }
    let text = place.text(&["client", "update", "billing", "--description", "for people"]);
    assert!(text.lines().any(|line| line.starts_with("description") && line.ends_with("for people")), "{text}");
}

#[test]
fn what_cannot_be_changed_says_why() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.text(&API);
    place.client(&["billing", "--id", "billing", "--scope", "orders:read", "--allow-ip", "10.0.0.0/8"]);
    for (args, says) in [
        (&["--remove-scope", "orders:write"][..], "orders:write is not there to be taken away; there is: orders:read"),
        (&["--add-scope", "orders:write", "--remove-scope", "orders:write"], "both"),
        (&["--add-scope", "orders:raed"], "did you mean orders:read?"),
        (&["--disallow-ip", "192.0.2.1"], "192.0.2.1/32 is not there to be taken away; there is: 10.0.0.0/8"),
        (&["--disallow-ip", "10.0.0.0/9"], "10.0.0.0/9 is not there"),
        (&["--disallow-ip", "10.0.0/8"], "not an IP address or CIDR"),
        (&["--disallow-ip", "10.0.0.0/8"], "--any-ip"),
        (&["--allow-ip", "10.0.0/8"], "ip_allowlist"),
        (&["--remove-label", "a"], "the label a is not there to be taken away; there is: none"),
        (&["--name", ""], "name: 1 to"),
        (&["--token-ttl", "2h"], "token_ttl"),
    ] {
        let message = place.fails(&[&["client", "update", "billing"], args].concat());
        assert!(message.contains(says), "{args:?}: {message}");
    }
    for args in [
        &[][..],
        &["--keep-tokens"],
        &["--any-ip", "--allow-ip", "10.0.0.0/8"],
        &["--token-ttl", "1m", "--no-token-ttl"],
        &["--label", "a"],
    ] {
        assert_eq!(place.run(&[&["client", "update", "billing"], args].concat()).code, Some(2), "{args:?}");
    }
    assert!(place.fails(&["client", "update", "nobody", "--name", "x"]).contains("there is no client"));
    assert!(place.fails(&["client", "withdraw", "nobody", "s_x"]).contains("there is no client"));
    assert!(place.fails(&["client", "withdraw", "billing", "s_x"]).contains("there is no secret"));
    drop(server);
    let actions: Vec<_> = audit(&place.store()).iter().map(|r| r["action"].as_str().unwrap().to_owned()).collect();
    assert!(!actions.iter().any(|action| action == "client.update"), "{actions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_withdrawn_at_once() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    for (flags, expected) in [(&[][..], 200), (&["--cut-tokens"], 401)] {
        let (id, old) = place.client(&["billing"]);
        let token = server.token(&id, &old).await;
        let rotated = place.json(&["client", "rotate", &id]);
        let withdrawn = rotated["secrets"][0]["id"].as_str().unwrap();
        let shown = place.json(&[&["client", "withdraw", &id, withdrawn], flags].concat());
        assert_eq!(shown["secrets"].as_array().unwrap().len(), 1);
        assert!(shown.get("client_secret").is_none());
        assert_eq!(server.exchange(&id, &old).await.0, 401);
        assert_eq!(server.exchange(&id, rotated["client_secret"].as_str().unwrap()).await.0, 200);
        assert_eq!(server.whoami(&token).await.0, expected, "{flags:?}");
        place.json(&["client", "revoke", &id]);
        assert_eq!(server.whoami(&token).await.0, 401);
    }
}

#[test]
fn an_api_is_changed() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    for id in ["one", "two"] {
        place.client(&["gateway", "--id", id]);
    }
    let api = place.json(&[&API[..], &["--introspector", "one"]].concat());
    assert_eq!(api["introspectors"], json!(["one"]));
    let update = |args: &[&str]| place.json(&[&["api", "update", "https://orders.example"], args].concat());
    let shown = update(&["--name", "Orders", "--token-ttl", "10m", "--add-introspector", "two"]);
    assert_eq!((&shown["name"], &shown["token_ttl"]), (&json!("Orders"), &json!(600)));
    assert_eq!(shown["introspectors"], json!(["one", "two"]));
    for args in [&["api", "show", "https://orders.example"][..], &["api", "list"]] {
        assert!(place.text(args).contains("one two"), "{args:?}");
    }
    assert_eq!(update(&["--no-token-ttl", "--remove-introspector", "one"])["introspectors"], json!(["two"]));
    place.text(&["client", "delete", "two"]);
    for args in [&["api", "show", "https://orders.example"][..], &["api", "list"]] {
        assert!(!place.text(args).to_lowercase().contains("introspector"), "{args:?}");
    }
    for (args, says) in [
        (&["--add-introspector", "nobody"][..], "introspectors[0]: there is no client"),
        (&["--remove-introspector", "one"], "the introspector one is not there to be taken away"),
        (&["--name", ""], "name"),
    ] {
        let message = place.fails(&[&["api", "update", "https://orders.example"], args].concat());
        assert!(message.contains(says), "{args:?}: {message}");
    }
    assert!(place.fails(&["api", "update", "https://nowhere.example", "--name", "x"]).contains("there is no API"));
    assert_eq!(place.run(&["api", "update", "https://orders.example"]).code, Some(2));
}
