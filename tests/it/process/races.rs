//! Commands whose connection breaks, and commands that others get ahead of: nothing is done twice, no change is lost.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::json;

use super::between::{self, Fate};
use super::{Place, ask};

fn place() -> (Place, super::Mintage) {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.text(&["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
    (place, server)
}

/// The value of a header in a request.
fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_answer_is_lost_is_made_once_and_has_a_secret_that_is_known() {
    let (place, server) = place();
    let lost = |index, _: &str| if index == 0 { Fate::Lose } else { Fate::Pass };
    let seen = between::listen(&place.at("lossy.sock"), &place.socket(), lost);
    let args = [
        "client",
        "create",
        "billing",
        "--scope",
        "orders:read",
        "--secret-ttl",
        "90d",
        "--socket",
        "lossy.sock",
        "--json",
    ];
    let ran = place.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("replaced by another"), "{}", ran.err);
    let made: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    assert_eq!(server.exchange(id, secret).await.0, 200);
    let list = place.json(&["client", "list"]);
    let [client] = &list["items"].as_array().unwrap()[..] else { panic!("{list}") };
    let live = client["secrets"].as_array().unwrap();
    assert!(live.last().unwrap()["expires_at"].is_string(), "as long as the first would have lived: {client}");
    let seen = seen.lock().unwrap();
    let keys: Vec<_> = seen.iter().map(|request| header(request, "idempotency-key").unwrap()).collect();
    assert_eq!((keys.len(), keys[0] == keys[1], keys[1] == keys[2]), (3, true, false), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_whose_answer_is_lost_gives_one_new_secret() {
    let (place, server) = place();
    place.client(&["billing", "--id", "billing", "--secret-ttl", "10d"]);
    let lost = |index, _: &str| if index == 0 { Fate::Lose } else { Fate::Pass };
    between::listen(&place.at("lossy.sock"), &place.socket(), lost);
    let rotated = place.json(&["client", "rotate", "billing", "--socket", "lossy.sock"]);
    let [_, newest] = &rotated["secrets"].as_array().unwrap()[..] else { panic!("{rotated}") };
    let time = |member: &str| newest[member].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(time("expires_at") - time("created_at"), 864_000, "as long as the one that is replaced: {rotated}");
    assert_eq!(server.exchange("billing", rotated["client_secret"].as_str().unwrap()).await.0, 200);
}

/// From anywhere, what makes something is carried out once as well, and who is late is not refused.
#[tokio::test(flavor = "multi_thread")]
async fn over_the_network_nothing_is_done_twice_either() {
    let (home, target) = (Place::new(), Arc::new(OnceLock::new()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let server = home.start(&["--no-quickstart", "--issuer", &issuer]);
    target.set(server.address).unwrap();
    home.text(&["client", "create", "ops", "--id", "ops", "--role", "PROJECT_OWNER", "--save", "ops.json"]);
    let (socket, lost, overtaken) = (home.socket(), AtomicBool::new(false), AtomicBool::new(false));
    let decide = move |_, request: &str| {
        if request.starts_with("PATCH") && !overtaken.swap(true, Ordering::SeqCst) {
            assert_eq!(ask(&socket, "PATCH", "clients/billing", &json!({ "owner": "them" })).unwrap().0, 200);
        }
        let first = request.starts_with("POST /api/v1/clients") && !lost.swap(true, Ordering::SeqCst);
        if first { Fate::Lose } else { Fate::Pass }
    };
    between::listen_tcp(listener, target, decide);
    let away = ["--url", &issuer, "--credentials", "ops.json"];
    let made = home.json(&[&["client", "create", "billing", "--id", "billing"][..], &away].concat());
    assert_eq!(server.exchange("billing", made["client_secret"].as_str().unwrap()).await.0, 200);
    let changed = home.json(&[&["client", "update", "billing", "--label", "a=1"][..], &away].concat());
    assert_eq!((&changed["owner"], &changed["labels"]), (&json!("them"), &json!({ "a": "1" })));
}

#[test]
fn what_may_have_been_carried_out_is_said_to_be_so_and_not_repeated() {
    let (place, _server) = place();
    place.client(&["billing", "--id", "billing"]);
    let lost = |_, request: &str| if request.starts_with("PATCH") { Fate::Lose } else { Fate::Pass };
    let seen = between::listen(&place.at("lossy.sock"), &place.socket(), lost);
    let message = place.fails(&["client", "update", "billing", "--name", "Billing", "--socket", "lossy.sock"]);
    assert!(message.contains("Whether it was carried out is not known"), "{message}");
    assert_eq!(seen.lock().unwrap().iter().filter(|request| request.starts_with("PATCH")).count(), 1);
    assert_eq!(place.json(&["client", "show", "billing"])["name"], "Billing");
}

/// Others change the same list, between the look at it and the change.
#[test]
fn who_is_late_changes_what_the_others_made() {
    let (place, _server) = place();
    place.client(&["billing", "--id", "billing"]);
    let socket = place.socket();
    let other = move |index, request: &str| {
        let api = "https%3A%2F%2Forders.example";
        match (request.starts_with("PATCH"), index) {
            (true, 1) if request.contains("/clients/") => {
                let patch = json!({ "scopes": ["orders:read"], "labels": { "by": "another" } });
                assert_eq!(ask(&socket, "PATCH", "clients/billing", &patch).unwrap().0, 200);
            }
            (true, _) if request.contains("/apis/") && !request.contains("orders:delete") => {
                let scopes = ["orders:read", "orders:write", "orders:delete"].map(|name| json!({ "name": name }));
                assert_eq!(ask(&socket, "PATCH", &format!("apis/{api}"), &json!({ "scopes": scopes })).unwrap().0, 200);
            }
            _ => {}
        }
        Fate::Pass
    };
    let seen = between::listen(&place.at("slow.sock"), &place.socket(), other);
    let update = ["client", "update", "billing", "--add-scope", "orders:write", "--socket", "slow.sock"];
    let changed = place.json(&update);
    assert_eq!(changed["scopes"], json!(["orders:read", "orders:write"]));
    assert_eq!(changed["labels"], json!({ "by": "another" }));
    let patches = seen.lock().unwrap().iter().filter(|request| request.starts_with("PATCH")).count();
    assert_eq!(patches, 2, "the first is refused, the second made from what the other left");
    assert!(seen.lock().unwrap().iter().all(|r| !r.starts_with("PATCH") || header(r, "if-match").is_some()));

    let api = ["api", "update", "https://orders.example", "--add-scope", "orders:list", "--socket", "slow.sock"];
    let names: Vec<_> = place.json(&api)["scopes"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(json!(names), json!(["orders:read", "orders:write", "orders:delete", "orders:list"]));
}

/// Ten at once, each with a scope of its own.
#[test]
fn of_many_changes_at_once_none_is_lost() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    place.text(&["api", "create", "https://orders.example", "--scope", "s0"]);
    let add = |n: usize| place.command(&["api", "update", "https://orders.example", "--add-scope", &format!("s{n}")]);
    let mut running: Vec<_> = (1..=6).map(|n| add(n).stdout(std::process::Stdio::null()).spawn().unwrap()).collect();
    for child in &mut running {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(place.json(&["api", "show", "https://orders.example"])["scopes"].as_array().unwrap().len(), 7);
}

/// A plan is made of what is there: whoever changes the same member meanwhile is not overruled, who changes another is
/// not hindered.
#[test]
fn a_plan_does_not_overrule_what_it_has_not_seen() {
    for (patch, fails) in [(json!({ "owner": "them" }), true), (json!({ "name": "Theirs" }), false)] {
        let (place, _server) = place();
        place.client(&["billing", "--id", "billing", "--owner", "us"]);
        let file = "[[client]]\nclient_id = \"billing\"\nowner = \"me\"\n";
        place.write("setup.toml", file);
        let (socket, change) = (place.socket(), patch.clone());
        let other = move |index, request: &str| {
            // The plan is made of the first request, and carried out by the second.
            if index == 1 && request.starts_with("PATCH") {
                drop(ask(&socket, "PATCH", "clients/billing", &change));
            }
            Fate::Pass
        };
        between::listen(&place.at("slow.sock"), &place.socket(), other);
        let ran = place.run(&["apply", "setup.toml", "--yes", "--socket", "slow.sock"]);
        let shown = place.json(&["client", "show", "billing"]);
        if fails {
            assert_eq!(ran.code, Some(1), "{}", ran.out);
            assert!(
                ran.err.contains("setup.toml:1: client billing: its owner was changed by somebody else"),
                "{}",
                ran.err
            );
            assert_eq!(shown["owner"], "them");
        } else {
            assert_eq!(
                (ran.code, &shown["owner"], &shown["name"]),
                (Some(0), &json!("me"), &json!("Theirs")),
                "{}",
                ran.err
            );
        }
    }
}
