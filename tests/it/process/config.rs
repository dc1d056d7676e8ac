//! Where the configuration comes from, what wins, and what is refused.

use super::{Place, mode};

/// Nothing is made before the configuration is known to be good.
fn untouched(place: &Place) {
    assert!(!place.at("data").exists() && !place.at("keys").exists());
}

#[test]
fn an_unknown_key_is_named() {
    for (text, name) in [
        ("lisen = \"127.0.0.1:0\"", "lisen"),
        ("[store]\nulr = \"redb:x\"", "store.ulr"),
        ("[limits.failed_auth]\ndelays = \"1s\"", "limits.failed_auth.delays"),
        ("[stroe]\nurl = \"redb:x\"", "stroe"),
    ] {
        let place = Place::new();
        place.write("mintage.toml", text);
        for args in [&["serve"][..], &["config", "check"], &["config", "show"], &["client", "list"]] {
            let message = place.fails(args);
            assert!(message.contains(&format!("{name}: unknown key (in mintage.toml)")), "{message}");
        }
        untouched(&place);
    }
}

#[test]
fn an_unknown_variable_is_named() {
    let place = Place::new();
    for (variable, name) in [("MINTAGE_FOO", "foo"), ("MINTAGE_STORE__ULR", "store.ulr")] {
        let ran = place.run_with(&["serve", "--listen", "127.0.0.1:0"], &[(variable, "x")]);
        assert_eq!(ran.code, Some(1), "{variable}: {}", ran.err);
        assert!(ran.err.contains(&format!("{name}: unknown key (in the environment, as {variable};")), "{}", ran.err);
    }
    untouched(&place);
}

/// What a credential or an orchestrator sets under the same prefix is not configuration.
#[test]
fn variables_of_other_things_are_let_be() {
    let variables = [
        ("MINTAGE_CLIENT_ID", "c"),
        ("MINTAGE_CLIENT_SECRET", "s3cr3t"),
        ("MINTAGE_SERVICE_HOST", "10.0.0.1"),
        ("MINTAGE_PORT", "tcp://10.0.0.1:80"),
        ("MINTAGE_PORT_80_TCP", "tcp://10.0.0.1:80"),
    ];
    let ran = Place::new().run_with(&["config", "show"], &variables);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.out.contains("s3cr3t"));
}

#[test]
fn a_bad_value_is_named() {
    let place = Place::new();
    for (text, name) in [
        ("[token]\nttl = \"soon\"", "token.ttl"),
        ("[token]\nttl = 3600", "token.ttl"),
        ("[token]\nttl = \"0s\"", "token.ttl"),
        ("[token]\nttl = \"1500ms\"", "token.ttl"),
        ("[token]\nttl = \"25h\"", "token.ttl"),
        ("[keys]\nrotate_after = \"90\"", "keys.rotate_after"),
        ("[keys]\nalgorithm = \"HS256\"", "keys.algorithm"),
        ("[network]\ntrusted_proxies = [\"10.0.0.1/33\"]", "network.trusted_proxies"),
        ("[network]\nclient_ip_header = \"x-real-ip\"", "network.client_ip_header"),
        ("[store]\nurl = \"postgres://u:p@127.0.0.1/x\"", "store.url"),
        ("[store]\nurl = \"data/mintage.redb\"", "store.url"),
        ("[telemetry]\nlog = \"mintage=loud\"", "telemetry.log"),
        ("issuer = \"auth.example\"", "issuer"),
        ("listen = \"localhost\"", "listen"),
    ] {
        place.write("mintage.toml", text);
        let message = place.fails(&["config", "check"]);
        let line = message.lines().nth(1).unwrap_or_default();
        assert!(line.starts_with(&format!("{name}: ")), "{text}: {message}");
        assert_eq!(place.fails(&["serve"]), message);
    }
    std::fs::remove_file(place.at("mintage.toml")).unwrap();
    let ran = place.run_with(&["serve"], &[("MINTAGE_TOKEN__TTL", "soon")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("token.ttl: ") && ran.err.contains("the environment"), "{}", ran.err);
    untouched(&place);
}

#[test]
fn a_file_that_is_not_toml_or_not_there_is_named() {
    let place = Place::new();
    place.write("mintage.toml", "listen = ");
    assert!(place.fails(&["serve"]).contains("mintage.toml"));
    std::fs::remove_file(place.at("mintage.toml")).unwrap();
    assert!(place.fails(&["serve", "--config", "other.toml"]).contains("other.toml"));
    let ran = place.run_with(&["serve"], &[("MINTAGE_CONFIG", "third.toml")]);
    assert!(ran.code == Some(1) && ran.err.contains("third.toml"), "{}", ran.err);
    untouched(&place);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_beat_variables_beat_the_file() {
    let place = Place::new();
    place.write(
        "mintage.toml",
        "issuer = \"http://file.example\"\n[store]\nurl = \"redb:file/x.redb\"\n[keys]\ndir = \"file-keys\"\n",
    );
    let variables = [
        ("MINTAGE_ISSUER", "http://variable.example"),
        ("MINTAGE_STORE__URL", "redb:variable/x.redb"),
        ("MINTAGE_KEYS__DIR", "variable-keys"),
    ];
    let flags = ["--issuer", "http://flag.example", "--store-url", "redb:flag/x.redb", "--keys-dir", "flag-keys"];
    for (args, variables, winner) in
        [(&[][..], &[][..], "file"), (&[], &variables, "variable"), (&flags, &variables, "flag")]
    {
        let server = place.start_with(args, variables);
        let metadata = server.get("/.well-known/oauth-authorization-server").await;
        assert_eq!(metadata["issuer"], format!("http://{winner}.example"));
        assert_eq!(mode(&place.at(&format!("{winner}/x.redb"))), 0o600);
        assert_eq!(mode(&place.at(&format!("{winner}-keys"))), 0o700);
        server.stop("-TERM");
    }
    assert!(!place.store().exists() && !place.at("keys").exists(), "the defaults were made beside what was wanted");
}

#[test]
fn the_socket_can_be_moved_by_each_of_them() {
    let place = Place::new();
    place.write("mintage.toml", "[admin]\nsocket = \"file.sock\"\n");
    for (args, variables, winner) in [
        (&[][..], &[][..], "file.sock"),
        (&[], &[("MINTAGE_ADMIN__SOCKET", "variable.sock")][..], "variable.sock"),
        (&["--socket", "flag.sock"], &[("MINTAGE_ADMIN__SOCKET", "variable.sock")][..], "flag.sock"),
    ] {
        let server = place.start_with(args, variables);
        assert_eq!(mode(&place.at(winner)), 0o600);
        let ran = place.run_with(&[&["client", "list"], args].concat(), variables);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        server.stop("-TERM");
    }
}

#[test]
fn off_loopback_it_needs_an_issuer() {
    let place = Place::new();
    for args in [&["serve", "--listen", "0.0.0.0:0"][..], &["--listen", "[::]:0"], &["--listen", "192.0.2.1:80"]] {
        let message = place.fails(args);
        assert!(message.contains("issuer: missing") && message.contains("not a loopback address"), "{message}");
    }
    untouched(&place);
}

#[test]
fn check_and_show() {
    let place = Place::new();
    assert_eq!(place.text(&["config", "check"]), "the configuration is good\n");
    assert_eq!(place.json(&["config", "check"])["ok"], true);
    place.write("mintage.toml", "[token]\nttl = \"10m\"\n[network]\ntrusted_proxies = [\"10.1.2.3/8\"]\n");
    let shown = place.text(&["config", "show"]);
    for line in [
        "listen = \"127.0.0.1:8080\"",
        "issuer = \"http://127.0.0.1:8080\"",
        "store.url = \"redb:data/mintage.redb\"",
        "keys.algorithm = \"ES256\"",
        "keys.rotate_after = \"90d\"",
        "token.ttl = \"10m\"",
        "token.ttl_max = \"1d\"",
        "network.trusted_proxies = [\"10.0.0.0/8\"]",
        "admin.socket = \"data/admin.sock\"",
        "telemetry.log = \"info\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in:\n{shown}");
    }
    assert_eq!(place.json(&["config", "show"])["token"]["ttl"], "10m");
    // What is shown can be put back.
    let copy = Place::new();
    copy.write("mintage.toml", &shown);
    assert_eq!(copy.text(&["config", "show"]), shown);
    untouched(&place);
}

#[test]
fn usage_errors_are_code_2_and_help_is_not_an_error() {
    let place = Place::new();
    for args in [&["sevre"][..], &["serve", "--lisen", "x"], &["--listen", "here"], &["client", "create"]] {
        assert_eq!(place.run(args).code, Some(2), "{args:?}");
    }
    assert_eq!(place.run(&["--listen", "127.0.0.1:0", "client", "list"]).code, Some(2));
    for args in [&["--help"][..], &["--version"], &["client", "create", "--help"]] {
        assert_eq!(place.run(args).code, Some(0), "{args:?}");
    }
    untouched(&place);
}

#[test]
fn completions_are_a_script_that_bash_takes() {
    let place = Place::new();
    let script = place.text(&["completions", "bash"]);
    assert!(script.contains("_mintage()"));
    let mut bash = super::clean("bash");
    bash.args(["-n", "/dev/stdin"]);
    let ran = super::finish(bash, &script);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}
