//! `mintage apply FILE`: a plan, and what becomes of it.

use serde_json::{Value, json};

use super::{Mintage, Place, Ran, clean, finish, mode};

const SETUP: &str = r#"
[[organization]]
id = "acme"
name = "Acme"
secret_max_ttl = "365d"

[[project]]
id = "web"
organization = "acme"
secret_warn_before = "30d"
limits.routes.write = { per_minute = 25, burst = 50 }
quotas.requests.month = 1000000

[[api]]
identifier = "https://orders.example"
organization = "acme"
scopes = ["orders:write", { name = "orders:read", description = "to look at orders" }]
token_ttl = "30m"
introspectors = ["gateway"]

[[role]]
name = "READER"
organization = "acme"
level = "organization"
scopes = ["orders:read", "mintage:projects:read"]

[[client]]
client_id = "gateway"
organization = "acme"
project = "web"
roles = ["READER"]
save = "secrets/gateway.json"

[[client]]
client_id = "billing"
name = "Billing"
organization = "acme"
project = "web"
environment = "test"
scopes = ["orders:write", "orders:read"]
ip_allowlist = ["10.1.2.3/8"]
token_ttl = "10m"
quotas = { tokens = { day = 100, total = "none" }, requests.day = 5 }
secret_ttl = "90d"
description = "pays"
owner = "finance"
labels = { team = "finance", tier = "1" }
status = "disabled"
"#;

fn site(setup: &str) -> (Place, Mintage) {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.write("etc/setup.toml", setup);
    std::fs::create_dir_all(place.at("etc/secrets")).unwrap();
    (place, server)
}

fn apply(place: &Place, args: &[&str]) -> Ran {
    place.run(&[&["apply", "etc/setup.toml"], args].concat())
}

fn outcomes(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap();
    steps.iter().map(|s| format!("{} {}", s["name"].as_str().unwrap(), s["outcome"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_carried_out_once() {
    let (place, server) = site(SETUP);
    let planned = apply(&place, &["--plan"]);
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    for line in [
        "+ create organization acme",
        "+ create project acme/web",
        "    scopes: orders:write orders:read (to look at orders)",
        "    secret: goes into etc/secrets/gateway.json",
        "+ create client billing",
        "    environment: test",
        "    scopes: orders:read orders:write",
        "    ip_allowlist: 10.0.0.0/8",
        "    secret: has nowhere to go (save, --save-dir or --show-secrets)",
        "6 to create, 0 to update, 0 unchanged.",
    ] {
        assert!(planned.out.lines().any(|own| own == line), "{line}: {}", planned.out);
    }
    assert_eq!(place.json(&["client", "list"])["items"], json!([]), "a plan changes nothing");

    // A secret would have nowhere to go: then nothing is done at all.
    let refused = apply(&place, &["--yes"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(
        refused.err.contains("etc/setup.toml:34: client billing") && refused.err.contains("--save-dir"),
        "{}",
        refused.err
    );
    assert_eq!(place.json(&["organization", "list"])["items"].as_array().unwrap().len(), 1);

    let report: Value = serde_json::from_str(&apply(&place, &["--yes", "--save-dir", "etc", "--json"]).out).unwrap();
    assert_eq!(report["applied"], true, "{report}");
    assert!(outcomes(&report).iter().all(|outcome| outcome.ends_with(" created")), "{report}");
    assert_eq!(report["steps"][4]["saved"], "etc/secrets/gateway.json");
    assert_eq!(mode(&place.at("etc/billing.json")), 0o600);
    let saved: Value = serde_json::from_slice(&std::fs::read(place.at("etc/secrets/gateway.json")).unwrap()).unwrap();
    assert_eq!(server.exchange("gateway", saved["client_secret"].as_str().unwrap()).await.0, 200);

    let billing = place.json(&["client", "show", "billing"]);
    for (member, expected) in [
        ("name", json!("Billing")),
        ("environment", json!("test")),
        ("scopes", json!(["orders:read", "orders:write"])),
        ("ip_allowlist", json!(["10.0.0.0/8"])),
        ("token_ttl", json!(600)),
        ("description", json!("pays")),
        ("labels", json!({ "team": "finance", "tier": "1" })),
        ("status", json!("disabled")),
        (
            "quotas",
            json!({
                "tokens": { "day": 100, "month": null, "total": null },
                "requests": { "day": 5, "month": null, "total": null },
            }),
        ),
    ] {
        assert_eq!(billing[member], expected, "{member}");
    }
    let web = place.json(&["project", "show", "web", "--organization", "acme"]);
    assert_eq!(
        (&web["quotas"]["requests"]["month"], &web["limits"]["routes"]["write"]["burst"]),
        (&json!(1_000_000), &json!(50))
    );
    let api = place.json(&["api", "show", "https://orders.example"]);
    assert_eq!((&api["token_ttl"], &api["introspectors"]), (&json!(1800), &json!(["gateway"])));
    assert_eq!(api["scopes"][1]["description"], "to look at orders");
    assert_eq!(place.json(&["role", "show", "READER", "--organization", "acme"])["level"], "organization");

    // And again, and again by the other name.
    for args in [&["apply", "etc/setup.toml"][..], &["client", "create", "--from-file", "etc/setup.toml"]] {
        let again = place.run(&[args, &["--yes"]].concat());
        assert_eq!(
            (again.code, again.out.as_str()),
            (Some(0), "Nothing to do: all 6 that etc/setup.toml names are as it says.\n"),
            "{}",
            again.err
        );
        let again = place.json(&[args, &["--yes"]].concat());
        assert!(outcomes(&again).iter().all(|outcome| outcome.ends_with(" unchanged")), "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_shown_and_what_cuts_tokens_off_is_marked() {
    let (place, server) = site(SETUP);
    assert_eq!(apply(&place, &["--yes", "--save-dir", "etc"]).code, Some(0));
    place.client(&["kept", "--id", "kept"]);
    let issuer = server.url("");
    let get = ["token", "get", "--issuer", &issuer, "--resource", &issuer, "--credentials", "etc/secrets/gateway.json"];
    let token = place.text(&get).trim().to_owned();
    // The API loses a scope that a client has to lose first; another is new, and goes to a client at once.
    let changed = SETUP
        .replace(r#"["orders:write", { name"#, r#"["orders:list", { name"#)
        .replace(r#"["orders:write", "orders:read"]"#, r#"["orders:list", "orders:read"]"#)
        .replace(r#"["orders:read", "mintage:projects:read"]"#, r#"["orders:read"]"#)
        .replace(r#"tier = "1""#, r#"level = "2""#)
        .replace("day = 100, total", "day = 200, total")
        .replace(r#"token_ttl = "10m""#, r#"token_ttl = "none""#)
        .replace(r#"secret_max_ttl = "365d""#, r#"secret_max_ttl = "none""#);
    place.write("etc/setup.toml", &changed);
    let planned = apply(&place, &["--plan"]);
    for line in [
        "~ update organization acme",
        "    secret_policy.max_ttl: 365d → none",
        "= unchanged project acme/web",
        "~ update api https://orders.example",
        "    scopes: orders:write orders:read (to look at orders) → orders:list orders:read (to look at orders)",
        "~ update role acme/READER  cuts off the tokens of the clients that hold it",
        "= unchanged client gateway",
        "~ update client billing  cuts its tokens off",
        "    scopes: orders:read orders:write → orders:list orders:read",
        "    token_ttl: 10m → none",
        "    quotas.tokens.day: 100 → 200",
        "    labels: team=finance tier=1 → level=2 team=finance",
        "0 to create, 4 to update, 2 unchanged.",
    ] {
        assert!(planned.out.lines().any(|own| own == line), "{line}: {}", planned.out);
    }
    let plan = place.json(&["apply", "etc/setup.toml", "--plan"]);
    assert_eq!(
        (&plan["applied"], &plan["steps"][0]["changes"]),
        (&json!(false), &json!([{ "member": "secret_policy.max_ttl", "before": 365 * 24 * 3600, "after": null }]))
    );

    assert_eq!(server.whoami(&token).await.0, 200);
    let done = apply(&place, &["--yes"]);
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    assert_eq!(server.whoami(&token).await.0, 401, "the role cut it off");
    let api = place.json(&["api", "show", "https://orders.example"]);
    assert_eq!(json!([api["scopes"][0]["name"], api["scopes"][1]["name"]]), json!(["orders:list", "orders:read"]));
    let billing = place.json(&["client", "show", "billing"]);
    assert_eq!(
        (&billing["labels"], &billing["token_ttl"]),
        (&json!({ "team": "finance", "level": "2" }), &Value::Null)
    );
    assert_eq!(place.json(&["client", "show", "kept"])["client_id"], "kept", "what is not named stays");
    assert!(apply(&place, &["--yes"]).out.starts_with("Nothing to do"));
}

#[test]
fn a_scope_that_goes_and_is_held_by_a_role_is_no_loss() {
    let (place, _server) = site(SETUP);
    assert_eq!(apply(&place, &["--yes", "--save-dir", "etc"]).code, Some(0));
    place.text(&["client", "update", "gateway", "--add-scope", "orders:read"]);
    place.write("etc/setup.toml", "[[client]]\nclient_id = \"gateway\"\nscopes = []\n");
    let plan = place.json(&["apply", "etc/setup.toml", "--plan"]);
    assert_eq!(
        (&plan["steps"][0]["action"], &plan["steps"][0]["cuts_tokens_off"]),
        (&json!("update"), &json!(false)),
        "{plan}"
    );
    place.write("etc/setup.toml", "[[client]]\nclient_id = \"gateway\"\nroles = []\n");
    assert_eq!(place.json(&["apply", "etc/setup.toml", "--plan"])["steps"][0]["cuts_tokens_off"], true);
}

#[test]
fn a_file_that_cannot_be_meant_is_refused_with_its_place() {
    let (place, _server) = site("");
    for (text, says) in [
        ("[[client]]\nclient_id = \"a\"\ncolour = \"red\"\n", &["line 3", "unknown field `colour`"][..]),
        ("[[clients]]\nclient_id = \"a\"\n", &["line 1", "unknown field `clients`"]),
        ("[[client]]\nname = \"a\"\n", &["line 1", "missing field `client_id`"]),
        ("[[client]]\nclient_id = \"a\"\ntoken_ttl = 600\n", &["line 3", "a duration in quotes"]),
        ("[[client]]\nclient_id = \"a\"\ntoken_ttl = \"soon\"\n", &["line 3", "is not a duration"]),
        ("[[client]]\nclient_id = \"a\"\nscopes = \"orders:read\"\n", &["line 3", "expected a sequence"]),
        ("[[client]]\nclient_id = \"a\"\nenvironment = \"prod\"\n", &["line 3", "prod"]),
        (
            "[[api]]\nidentifier = \"https://a.example\"\nscopes = [{ name = \"a\", text = \"\" }]\n",
            &["line 3", "unknown field `text`"],
        ),
        ("[[role]]\nname = \"R\"\nlevel = \"instance\"\n", &["line 3", "instance"]),
        (
            "[[client]]\nclient_id = \"a\"\n[[client]]\nclient_id = \"a\"\n",
            &["etc/setup.toml:3: client a is named already, at etc/setup.toml:1"],
        ),
        (
            "[[client]]\nclient_id = \"a\"\nsave = \"x\"\n[[client]]\nclient_id = \"b\"\nsave = \"x\"\n",
            &["etc/setup.toml:4", "another client's secret"],
        ),
        ("[[client]]\nclient_id = \"a\"\nip_allowlist = [\"10.0.0\"]\n", &["etc/setup.toml:1: client a: ip_allowlist"]),
        ("client_id = \"a\"\n[[", &["line 2"]),
    ] {
        place.write("etc/setup.toml", text);
        let ran = apply(&place, &["--yes", "--show-secrets"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{text}: {}", ran.err);
        assert!(ran.err.contains("etc/setup.toml:"), "{text}: {}", ran.err);
        for part in says {
            assert!(ran.err.contains(part), "{text}: {part} is not in {}", ran.err);
        }
    }
    assert!(place.fails(&["apply", "nowhere.toml", "--yes"]).contains("nowhere.toml"));
    assert_eq!(place.json(&["client", "list"])["items"], json!([]));
    // What cannot be changed is said before anything is.
    place.client(&["a", "--id", "a"]);
    place.write("etc/setup.toml", "[[project]]\nid = \"new\"\n[[client]]\nclient_id = \"a\"\nenvironment = \"test\"\n");
    let ran = apply(&place, &["--yes"]);
    assert!(ran.err.contains("its environment is \"live\" and cannot be changed to \"test\""), "{}", ran.err);
    assert_eq!(place.json(&["project", "list"])["items"].as_array().unwrap().len(), 1);
}

/// The file of the guide.
#[test]
fn what_the_guide_applies_can_be_applied() {
    let (place, _server) = site(include_str!("../../../docs/guides/setup.toml"));
    let report = place.json(&["apply", "etc/setup.toml", "--yes"]);
    assert_eq!(
        (&report["applied"], &report["steps"][3]["saved"]),
        (&json!(true), &json!("etc/billing.json")),
        "{report}"
    );
    assert!(apply(&place, &["--yes"]).out.starts_with("Nothing to do"));
}

#[test]
fn where_nobody_can_be_asked_it_has_to_be_said() {
    let (place, _server) = site("[[project]]\nid = \"web\"\n");
    let ran = apply(&place, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
    assert!(ran.err.contains("--yes") && ran.err.contains("--plan"), "{}", ran.err);
    for args in [&["--yes", "--plan"][..], &["--prune", "yes"]] {
        assert_eq!(apply(&place, args).code, Some(2), "{args:?}");
    }
    assert_eq!(place.run(&["client", "create", "x", "--yes"]).code, Some(2));
    assert_eq!(place.run(&["client", "create", "x", "--from-file", "etc/setup.toml"]).code, Some(2));
    assert_eq!(place.json(&["project", "list"])["items"].as_array().unwrap().len(), 1);
    assert_eq!(apply(&place, &["--yes", "--prune", "no"]).code, Some(0));
    assert_eq!(place.json(&["project", "list"])["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_failure_in_the_middle_says_what_is_done_and_the_next_run_goes_on() {
    let setup = "[[project]]\nid = \"web\"\n\n[[client]]\nclient_id = \"a\"\n\n[[client]]\nclient_id = \"b\"\nscopes = [\"orders:read\"]\n\n[[client]]\nclient_id = \"c\"\n";
    let (place, _server) = site(setup);
    let ran = apply(&place, &["--yes", "--save-dir", "etc/secrets"]);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    for line in [
        "created project web",
        "created client a; its client_secret is in etc/secrets/a.json, which only you can read",
        "failed client b",
        "not done client c",
    ] {
        assert!(ran.out.lines().any(|own| own == line), "{line}: {}", ran.out);
    }
    assert!(
        ran.err.contains("etc/setup.toml:7: client b: scopes[0]: no API defines the scope orders:read"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("2 done, 1 not begun"), "{}", ran.err);
    assert!(!place.at("etc/secrets/b.json").exists() && !place.at("etc/secrets/c.json").exists());
    place.text(&["api", "create", "https://orders.example", "--scope", "orders:read"]);
    let report = place.json(&["apply", "etc/setup.toml", "--yes", "--save-dir", "etc/secrets"]);
    assert_eq!(outcomes(&report), ["web unchanged", "a unchanged", "b created", "c created"]);
    // A file that is there is left alone, and found before anything is done.
    place.text(&["client", "delete", "c"]);
    let ran = apply(&place, &["--yes", "--save-dir", "etc/secrets"]);
    assert!(ran.code == Some(1) && ran.err.contains("c.json is there already"), "{}", ran.err);
    let shown = place.json(&["apply", "etc/setup.toml", "--yes", "--show-secrets"]);
    assert!(shown["steps"][3]["client_secret"].as_str().unwrap().starts_with("mtg_cs_live_"), "{shown}");
}

/// The program on a terminal, which says `answer`. What the terminal shows.
fn on_a_terminal(place: &Place, line: &str, answer: &str, variables: &[(&str, &str)]) -> String {
    let mut command = clean("script");
    let line = format!("{} {line}", env!("CARGO_BIN_EXE_mintage"));
    command.args(["-qec", &line, "/dev/null"]).current_dir(place.at("")).env("TERM", "xterm").env_remove("NO_COLOR");
    command.envs(variables.iter().copied());
    finish(command, answer).out
}

#[test]
fn a_person_is_asked_and_colours_are_theirs_alone() {
    if clean("script").arg("--version").output().is_err() {
        eprintln!("not tested: a terminal (there is no `script`)");
        return;
    }
    let (place, _server) = site("[[project]]\nid = \"web\"\n");
    let no = on_a_terminal(&place, "apply etc/setup.toml", "n\n", &[]);
    assert!(no.contains("Do it? [y/N]") && no.contains("nothing was done"), "{no}");
    assert!(no.contains("\x1b[32m+ create project web"), "{no:?}");
    assert_eq!(place.json(&["project", "list"])["items"].as_array().unwrap().len(), 1);
    let yes = on_a_terminal(&place, "apply etc/setup.toml", "y\n", &[]);
    assert!(yes.contains("created"), "{yes}");
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let plain = on_a_terminal(&place, "project list", "", &variables);
        assert!(plain.contains("web") && !plain.contains('\x1b'), "{variables:?}: {plain:?}");
    }
    assert!(on_a_terminal(&place, "project list", "", &[]).contains("\x1b[1m"));
    assert!(!place.text(&["project", "list"]).contains('\x1b'));

    place.client(&["a\u{9b}31m\u{202e}b", "--id", "x"]);
    for shown in [
        place.text(&["client", "list"]),
        place.text(&["client", "show", "x"]),
        place.text(&["client", "show", "x", "--json"]),
    ] {
        assert!(!shown.contains(['\u{9b}', '\u{202e}']), "{shown:?}");
    }
    assert_eq!(place.json(&["client", "show", "x"])["name"], "a\u{9b}31m\u{202e}b", "programs read what it is");
    let kept = on_a_terminal(&place, "client delete x", "\n", &[]);
    assert!(
        kept.contains("Delete the client x and cut off every token it holds?") && kept.contains("nothing was deleted"),
        "{kept}"
    );
    assert!(on_a_terminal(&place, "client delete x", "yes\n", &[]).contains("the client x is deleted"));
    on_a_terminal(&place, "project delete web --yes", "", &[]);
    assert_eq!(place.json(&["project", "list"])["items"].as_array().unwrap().len(), 1);
}
