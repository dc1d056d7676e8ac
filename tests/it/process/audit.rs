//! `mintage audit`, of a server that runs, of a store that none runs on, and of one that is damaged.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Captured, Place, Ran, decoded, wait_for};

/// A place whose server has been at work, and is running. A token of it.
async fn at_work() -> (Place, super::Mintage, String) {
    let place = Place::new();
    place.write("mintage.toml", "issuer = \"http://127.0.0.1:1\"\n");
    let server = place.start(&["--no-quickstart"]);
    place.text(&["api", "create", "https://orders.example", "--scope", "orders:read"]);
    let (id, secret) = place.client(&["billing", "--id", "billing", "--scope", "orders:read"]);
    let token = server.token(&id, &secret).await;
    server.exchange(&id, "wrong").await;
    place.text(&["client", "update", "billing", "--name", "Billing"]);
    (place, server, token)
}

fn jti(token: &str) -> String {
    decoded(token, 1)["jti"].as_str().unwrap().to_owned()
}

/// Waits until what was issued and refused is written.
fn written(place: &Place) {
    wait_for("the records", || {
        let lines = place.text(&["audit", "tail", "--json", "-n", "1000"]);
        (lines.contains("\"kind\":\"issuance\"") && lines.contains("\"kind\":\"refusal\"")).then_some(())
    });
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `audit verify --json` says, and how it ends.
fn verdict(ran: &Ran) -> Value {
    assert_eq!(ran.out.lines().count(), 1, "{} {}", ran.out, ran.err);
    let verdict: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.code, Some(if verdict["ok"] == true { 0 } else { 1 }), "{verdict}");
    verdict
}

fn verify(place: &Place, more: &[&str]) -> Value {
    verdict(&place.run(&[&["audit", "verify", "--json"], more].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_of_the_server_and_of_its_store() {
    let (place, server, token) = at_work().await;
    written(&place);
    let read = |place: &Place| {
        let tail = place.text(&["audit", "tail", "--json", "-n", "1000"]);
        let export = place.text(&["audit", "export"]);
        let found = place.text(&["audit", "search", "--jti", &jti(&token), "--json"]);
        let changes = place.text(&["audit", "search", "--action", "client", "--client", "billing", "--json"]);
        (tail, export, found, changes)
    };
    let of_the_server = read(&place);
    let (tail, export, found, changes) = &of_the_server;
    let times: Vec<_> = lines(tail).iter().map(|entry| entry["recorded_at"].as_str().unwrap().to_owned()).collect();
    assert!(times.is_sorted(), "the newest last: {times:?}");
    let [issuance] = &lines(found)[..] else { panic!("{found}") };
    assert_eq!((&issuance["client_id"], &issuance["scope"]), (&json!("billing"), &json!("orders:read")));
    let actions: Vec<_> = lines(changes).iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["client.create", "client.update"]);
    assert!(!tail.contains(&token) && !export.contains(&token) && !export.contains("mtg_cs_live_0"));
    for item in lines(export) {
        let bytes = item["bytes"].as_str().unwrap();
        assert_eq!(item["hash"], mintage::server::model::AuditHead::hash_of(bytes.as_bytes()));
    }
    let shown = place.text(&["audit", "tail", "-n", "3"]);
    assert!(shown.starts_with("WHEN ") && shown.lines().count() == 4, "{shown}");
    let shown = place.text(&["audit", "search", "--kind", "refusals"]);
    assert!(shown.contains("refused invalid_client") && shown.contains("wrong_secret"), "{shown}");
    assert_eq!(lines(&place.text(&["audit", "search", "--since", "1h", "--json"])), lines(tail));
    assert_eq!(place.text(&["audit", "search", "--until", "1h", "--json"]), "");
    assert_eq!(server.stop("-TERM").code, Some(0));
    assert!(read(&place) == of_the_server, "the file has what the server has");
    assert!(
        place
            .fails(&["audit", "tail", "-f", "-n", "1", "--kind", "refusals", "--store", "redb:nowhere"])
            .contains("nowhere")
    );
    assert_eq!(place.run(&["audit", "tail", "--kind", "everything"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed() {
    let (place, _server, _) = at_work().await;
    written(&place);
    let mut command = place.command(&["audit", "tail", "-f", "-n", "1", "--kind", "changes"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let out = Captured::of(child.stdout.take().unwrap());
    wait_for("the first line", || (out.now().lines().count() == 2).then_some(()));
    place.text(&["client", "update", "billing", "--name", "Followed"]);
    place.text(&["client", "revoke", "billing"]);
    let shown = wait_for("what was added", || Some(out.now()).filter(|text| text.contains("client.revoke")));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut once: Vec<_> = shown.lines().collect();
    let all = once.len();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), all, "{shown}");
    let added: Vec<_> = shown.lines().skip(2).filter(|line| line.contains("client.")).collect();
    assert!(added.len() == 2 && added[0].contains("client.update"), "{shown}");
    assert_eq!(shown.matches("WHEN").count(), 1, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_holds_over_servers_and_files() {
    let (place, server, _) = at_work().await;
    written(&place);
    let first = verify(&place, &[]);
    assert_eq!((&first["ok"], &first["problems"]), (&json!(true), &json!([])));
    assert!(first["records"].as_u64().unwrap() >= 4 && first["segments"] == 1, "{first}");
    let head = first["head"].as_str().unwrap();
    place.write("kept.txt", format!("{head}\n"));
    assert_eq!(place.json(&["audit", "head"])["head"].as_str().map(decoded_part), Some(decoded_part(head)));
    place.text(&["client", "update", "billing", "--name", "Later"]);
    for given in [head, "kept.txt"] {
        assert_eq!(verify(&place, &["--head", given])["ok"], true);
    }
    let stopped = place.copy_when_stopped(server);
    let offline = verify(&stopped, &["--head", head]);
    assert_eq!(offline["ok"], true);
    // The head of a file is signed with the key that its keys have.
    let later = offline["head"].as_str().unwrap().to_owned();
    assert_eq!(verify(&place, &["--head", &later])["ok"], true);
    assert_eq!(verify(&place, &["--store", "redb:data/mintage.redb"])["ok"], true);
    let restarted = place.start(&[]);
    assert_eq!(verify(&place, &["--head", &later])["ok"], true);
    let message = place.fails(&["audit", "verify", "--store", "redb:data/mintage.redb"]);
    assert!(message.contains("in use by another process"), "{message}");
    let message = place.fails(&["audit", "verify", "--head", "kept"]);
    assert!(message.contains("it is not a signed head"), "{message}");
    drop(restarted);
    let nowhere = Place::new();
    assert!(nowhere.fails(&["audit", "verify"]).contains("no server is running here"));
}

fn decoded_part(head: &str) -> (Value, Value) {
    let claims = decoded(head, 1);
    (claims["sequence"].clone(), claims["hash"].clone())
}

impl Place {
    /// A copy of this place, whose server ends.
    fn copy_when_stopped(&self, server: super::Mintage) -> Self {
        assert_eq!(server.stop("-TERM").code, Some(0));
        let copy = self.copy();
        fs::copy(self.at("mintage.toml"), copy.at("mintage.toml")).unwrap();
        copy
    }
}

/// The places of a text in a file.
fn places(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text).map(|(at, _)| at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_that_is_flipped_in_the_file_is_named() {
    for crashed in [false, true] {
        let (place, server, _) = at_work().await;
        written(&place);
        let head = verify(&place, &[])["head"].as_str().unwrap().to_owned();
        let change = place.json(&["audit", "search", "--action", "client.update"]);
        if crashed {
            server.kill9()
        } else {
            drop(server.stop("-TERM"))
        }
        let whole = fs::read(place.store()).unwrap();
        // Wherever a page with the record is: older ones may lie about.
        let mut found = 0;
        for at in places(&whole, b"\"action\":\"client.update\"") {
            let mut bytes = whole.clone();
            // Behind it: a letter of the target, `billing`.
            let target = at + places(&bytes[at..], b"\"target\":\"")[0] + 12;
            bytes[target] ^= 1;
            fs::write(place.store(), &bytes).unwrap();
            let verdict = verify(&place, &[]);
            assert!(fs::read(place.store()).unwrap() == bytes, "verify has written");
            if verdict["ok"] == true {
                continue;
            }
            found += 1;
            assert_eq!(verdict["problems"].as_array().unwrap().len(), 1, "{verdict}");
            let problem = &verdict["problems"][0];
            assert_eq!(problem["record"], change["sequence"]);
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("client.update of bi") && detail.contains("was altered"), "{detail}");
            assert!(place.refused(&["--no-quickstart"]).contains("is damaged"), "serve refuses it");
            let shown = place.run(&["audit", "verify", "--head", &head]);
            assert!(shown.out.contains("PROBLEM: record ") && shown.out.contains("NOT as it was"), "{}", shown.out);
            // It can still be looked through and taken out.
            assert!(place.text(&["audit", "tail", "-n", "1000"]).contains("client.update"));
            assert!(lines(&place.text(&["audit", "export"])).len() > 4);
        }
        assert_eq!(found, 1, "crashed: {crashed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_flipped_anywhere_is_found_or_does_not_matter_and_never_a_panic() {
    let (place, server, _) = at_work().await;
    written(&place);
    let whole_verdict = verify(&place, &[]);
    drop(server.stop("-TERM"));
    let whole = fs::read(place.store()).unwrap();
    let mut state = super::seed("what_is_flipped_anywhere_is_found_or_does_not_matter_and_never_a_panic");
    // Pages with records on them: as they are now, or as they were.
    let mut pages: Vec<usize> = places(&whole, b"\"previous\":\"").iter().map(|at| at / 4096).collect();
    pages.dedup();
    let used: Vec<usize> =
        pages.iter().flat_map(|page| page * 4096..(page + 1) * 4096).filter(|at| whole[*at] != 0).collect();
    let mut refused = 0;
    for _ in 0..60 {
        let at = used[super::random(&mut state) as usize % used.len()];
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (super::random(&mut state) % 8);
        fs::write(place.store(), &bytes).unwrap();
        let ran = place.run(&["audit", "verify", "--json"]);
        assert!(!ran.err.contains("panicked"), "byte {at}: {}", ran.err);
        match ran.code {
            // The log is as it was, whatever else is not.
            Some(0) => assert!(verdict(&ran)["records"].as_u64() >= whole_verdict["records"].as_u64(), "byte {at}"),
            Some(1) => refused += 1,
            other => panic!("byte {at}: {other:?} {}", ran.err),
        }
    }
    assert!(refused > 0, "no flipped byte was in the log: this says nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_says_what_may_be_missing() {
    let (place, server, token) = at_work().await;
    written(&place);
    let head = verify(&place, &[])["head"].as_str().unwrap().to_owned();
    let (id, secret) = place.client(&["second", "--scope", "orders:read"]);
    for _ in 0..20 {
        server.token(&id, &secret).await;
    }
    server.kill9();
    // Nobody has started since: the file is read as the crash left it.
    assert_eq!(verify(&place, &["--head", &head])["ok"], true);
    let again = place.start(&[]);
    let verdict = verify(&place, &["--head", &head]);
    assert_eq!((&verdict["ok"], &verdict["problems"]), (&json!(true), &json!([])));
    let gaps = lines(&place.text(&["audit", "search", "--action", "audit.gap", "--json"]));
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    let after = &gap["after"];
    assert_eq!(after["cause"], "unclean_stop");
    assert!(after["from"].as_i64().unwrap() <= after["to"].as_i64().unwrap(), "{gap}");
    assert!(place.text(&["audit", "search", "--jti", &jti(&token)]).contains("billing"), "what was written is there");
    assert_eq!(again.stop("-TERM").code, Some(0));
    drop(place.start(&[]));
    let gaps = lines(&place.text(&["audit", "search", "--action", "audit.gap", "--json"]));
    assert_eq!(gaps.len(), 1, "a server that was stopped leaves none");
}
