//! `[[guard]]` in the configuration: what is refused, and what is shown.

use super::Place;

/// One guard with a rule; each row changes it.
const GOOD: &str = r#"
[[guard]]
name = "orders"

[[guard.rule]]
methods = ["GET"]
path = "/orders/{id}"
scopes = ["orders:read"]
"#;

const RULE: &str = "[[guard.rule]]\nmethods = [\"GET\"]\npath = \"/orders/{id}\"\nscopes = [\"orders:read\"]";

/// The message to a configuration that has to be refused: one and the same by the check and by the start.
fn refused(place: &Place, text: &str) -> String {
    place.write("mintage.toml", text);
    let message = place.fails(&["config", "check"]);
    assert_eq!(place.fails(&["config", "show"]), message, "{text}");
    assert_eq!(place.refused(&[]), message, "{text}");
    assert!(!place.at("data").exists() && !place.at("keys").exists(), "something was made: {text}");
    message
}

#[test]
fn a_mistake_in_a_guard_is_named() {
    let place = Place::new();
    let guard = |key: &str| format!("name = \"orders\"\n{key}");
    let rule = |key: &str| format!("scopes = [\"orders:read\"]\n{key}");
    let another = |path: &str, methods: &str| {
        format!("{RULE}\n[[guard.rule]]\nmethods = [{methods}]\npath = \"{path}\"\nscopes = [\"x\"]")
    };
    let second = format!("{RULE}\n[[guard]]\nname = \"orders\"\n{RULE}");
    let long = format!("name = \"{}\"", "x".repeat(65));
    let (name, scopes, path, get) =
        ("name = \"orders\"", "scopes = [\"orders:read\"]", "path = \"/orders/{id}\"", "methods = [\"GET\"]");
    let rows: &[(&str, &str, &str)] = &[
        (RULE, "", "rule"),
        (scopes, "", "scopes"),
        (scopes, "scopes = []", "scopes"),
        (scopes, "audience = \"\"", "audience"),
        (name, &guard("audience = \"\""), "audience"),
        (RULE, &second, "name"),
        (name, "", "name"),
        (name, "name = \"\"", "name"),
        (name, "name = \"a/b\"", "name"),
        (name, "name = \"a b\"", "name"),
        (name, "name = \"..\"", "name"),
        (name, "name = \"caf\u{e9}\"", "name"),
        (name, "name = \"a%20b\"", "name"),
        (name, &long, "name"),
        (RULE, &another("/orders/{id}", "\"GET\""), "path"),
        (RULE, &another("/orders/{id}", "\"POST\", \"GET\""), "path"),
        (RULE, &another("/orders/{id}", "\"GET\", \"HEAD\""), "path"),
        (RULE, &another("/orders/{name}", "\"POST\""), "path"),
        (path, "", "path"),
        (path, "path = \"\"", "path"),
        (path, "path = \"orders\"", "path"),
        (path, "path = \"*\"", "path"),
        (path, "path = \"/orders/{id\"", "path"),
        (path, "path = \"/orders/{}\"", "path"),
        (path, "path = \"/orders/{*rest}/x\"", "path"),
        (path, "path = \"/{a}{b}\"", "path"),
        (name, &guard("rules = []"), "rules"),
        (name, &guard("scopes = [\"orders:read\"]"), "scopes"),
        (name, &guard("alowlist = [\"10.0.0.0/8\"]"), "alowlist"),
        (scopes, &rule("scope = \"orders:read\""), "scope"),
        (scopes, &rule("method = \"GET\""), "method"),
        (scopes, &rule("shadow = [\"scope\"]"), "shadow"),
        (scopes, &rule("ip_allowlist = [\"10.0.0.0/8\"]"), "ip_allowlist"),
        (get, "methods = [\"get\"]", "methods"),
        (get, "methods = [\"Get\"]", "methods"),
        (get, "methods = [\"GET,POST\"]", "methods"),
        (get, "methods = [\"\"]", "methods"),
        (get, "methods = \"GET\"", "methods"),
        (scopes, "scopes = [\"orders:read orders:write\"]", "scopes"),
        (scopes, "scopes = [\"\"]", "scopes"),
        (scopes, "scopes = [\"a\\\\b\"]", "scopes"),
        (scopes, "scopes = \"orders:read\"", "scopes"),
        (name, &guard("allowlist = [\"10.0.0.0/33\"]"), "allowlist"),
        (name, &guard("allowlist = [\"10.0.0.01\"]"), "allowlist"),
        (name, &guard("allowlist = [\"localhost\"]"), "allowlist"),
        (scopes, &rule("allowlist = [\"fe80::1%eth0\"]"), "allowlist"),
        (name, &guard("shadow = [\"signature\"]"), "shadow"),
        (name, &guard("shadow = [\"Scope\"]"), "shadow"),
        (name, &guard("shadow = true"), "shadow"),
        (name, &guard("environment = \"prod\""), "environment"),
        (scopes, &rule("environment = \"Live\""), "environment"),
        (name, &guard("request = \"nginx\""), "request"),
        (name, &guard("request = [\"envoy\"]"), "request"),
    ];
    for (from, to, key) in rows {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let message = refused(&place, &text);
        let named = message.lines().nth(1).unwrap_or_default();
        assert!(named.starts_with("guard"), "{text}: {message}");
        let (keys, _) = named.split_once(": ").unwrap_or((named, ""));
        assert!(
            named.contains("missing field") || keys.ends_with(key) || keys.contains(&format!("{key}.")),
            "{key} {text}: {message}"
        );
        assert!(named.contains(key), "{key} {text}: {message}");
    }
    // So that none of them was refused for something else.
    place.write("mintage.toml", GOOD);
    assert_eq!(place.text(&["config", "check"]), "the configuration is good\n");
}

/// The key says which guard and which rule, where there are several.
#[test]
fn the_guard_and_the_rule_are_named() {
    let place = Place::new();
    let second = |rule: &str| format!("{GOOD}\n[[guard]]\nname = \"second\"\n{RULE}\n[[guard.rule]]\n{rule}\n");
    for (rule, key) in [
        ("path = \"x\"\nscopes = [\"x\"]", "path"),
        ("path = \"/{*x}/y\"\nscopes = [\"x\"]", "path"),
        ("path = \"/orders/{other}\"\nscopes = [\"x\"]", "path"),
        ("path = \"/x\"", "scopes"),
        ("path = \"/x\"\nmethods = [\"get\"]\nscopes = [\"x\"]", "methods"),
    ] {
        let message = refused(&place, &second(rule));
        assert!(message.contains(&format!("guard[1].rule[1].{key}: ")), "{message}");
    }
    let message = refused(&place, &second("path = \"/x\"\nscopes = [\"x\"]\nfoo = 1"));
    assert!(message.contains("guard.1.rule.1.foo: unknown key (in mintage.toml)"), "{message}");
}

#[test]
fn what_is_shown_loads_again_to_the_same() {
    let place = Place::new();
    let text = r#"
[[guard]]
name = "first.guard_1-x"
request = "x-forwarded"
audience = "https://orders.example/\"quoted\\"
environment = "live"
allowlist = ["10.1.2.3/8", "::ffff:192.0.2.0/120", "2001:db8::1/32"]
shadow = ["scope", "address", "environment", "revocation"]

[[guard.rule]]
methods = ["GET", "BREW"]
path = "/café/{id}"
scopes = ["orders:read", "a'b", "c#d"]
audience = "urn:other"
environment = "test"
allowlist = ["203.0.113.7"]

[[guard.rule]]
path = "/{*rest}"

[[guard]]
name = "second"
request = "x-original"
rule = [{ path = "/a", scopes = ["a"] }, { path = "/b", scopes = ["b"] }]

[[guard]]
name = "third"
allowlist = "10.0.0.0/8, 192.0.2.1"
[[guard.rule]]
path = "/"
scopes = ["c"]
"#;
    place.write("mintage.toml", text);
    let shown = place.text(&["config", "show"]);
    let json = place.json(&["config", "show"]);
    assert_eq!(json["guard"].as_array().unwrap().len(), 3);
    assert_eq!(json["guard"][0]["allowlist"], serde_json::json!(["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]));
    assert_eq!(json["guard"][0]["rule"][0]["path"], "/café/{id}");
    assert_eq!(json["guard"][1]["rule"][1]["scopes"], serde_json::json!(["b"]));
    let copy = Place::new();
    copy.write("mintage.toml", &shown);
    assert_eq!(copy.text(&["config", "show"]), shown);
    assert_eq!(copy.json(&["config", "show"]), json);
    assert_eq!(copy.text(&["config", "check"]), "the configuration is good\n");
    copy.start(&[]).stop("-TERM");
}
