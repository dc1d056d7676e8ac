//! A rotation from its beginning to its end: `mintage client rotate [--finish]` and what `show` says meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Mintage, Place, audit};

/// A server with the client `billing`, which has two secrets of different seconds. The ids, and the secrets.
struct Site {
    place: Place,
    server: Mintage,
    ids: [String; 2],
    old: String,
    new: String,
}

/// The next second: what is told apart by the second is now.
async fn next_second() {
    tokio::time::sleep(Duration::from_millis(1050)).await;
}

impl Site {
    /// The older secret was used, before the newer one was made.
    async fn new() -> Self {
        let place = Place::new();
        let server = place.start(&["--no-quickstart"]);
        let (_, old) = place.client(&["billing", "--id", "billing"]);
        server.token("billing", &old).await;
        next_second().await;
        let rotated = place.json(&["client", "rotate", "billing"]);
        let ids = [0, 1].map(|n| rotated["secrets"][n]["id"].as_str().unwrap().to_owned());
        let new = rotated["client_secret"].as_str().unwrap().to_owned();
        Self { place, server, ids, old, new }
    }

    async fn uses(&self, secret: &str) -> u16 {
        self.server.exchange("billing", secret).await.0.as_u16()
    }

    /// What `show` says below the table of secrets.
    fn says(&self) -> Vec<String> {
        let page = self.place.text(&["client", "show", "billing"]);
        let (_, below) = page.split_once("\nSECRET ").unwrap();
        let (_, below) = below.split_once("\n\n").unwrap_or_default();
        below.lines().map(str::to_owned).collect()
    }

    fn finish(&self, args: &[&str]) -> Value {
        self.place.json(&[&["client", "rotate", "billing", "--finish"], args].concat())
    }

    fn refuses(&self, args: &[&str]) -> String {
        self.place.fails(&[&["client", "rotate", "billing", "--finish"], args].concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_followed_to_its_end() {
    let site = Site::new().await;
    let [old, new] = &site.ids;
    let unused = format!("{old} has not been used since {new} was made");
    assert_eq!(site.says(), [format!("{unused}."), format!("{new}, the newest, has not been used yet.")]);
    let message = site.refuses(&["--unused-for", "0s"]);
    assert!(message.contains(&format!("{new}, the newest, has never been used")), "{message}");

    assert_eq!(site.uses(&site.new).await, 200);
    let [line] = &site.says()[..] else { panic!("{:?}", site.says()) };
    let rest = line.strip_prefix(&format!("{unused}; mintage client rotate billing --finish ends it from ")).unwrap();
    assert!(rest.ends_with("Z on."), "{line}");
    next_second().await;
    assert_eq!(site.uses(&site.old).await, 200);
    let [line] = &site.says()[..] else { panic!("{:?}", site.says()) };
    assert!(line.starts_with(&format!("{old} is still in use: last used ")), "{line}");
    assert!(line.ends_with(&format!(" from 127.0.0.1, after {new} was made.")), "{line}");

    let shown = site.place.json(&["client", "show", "billing"]);
    for args in [&[][..], &["--unused-for", "1h"], &["--unused-for", "10d"]] {
        let message = site.refuses(args);
        for secret in shown["secrets"].as_array().unwrap() {
            let (id, at) = (secret["id"].as_str().unwrap(), secret["last_used_at"].as_str().unwrap());
            let whose = if id == new { ", the newest," } else { "" };
            assert!(message.contains(&format!("{id}{whose} was last used at {at} from 127.0.0.1")), "{message}");
        }
        assert!(message.contains("move to the newest") && message.contains("force"), "{message}");
    }
    assert_eq!(site.place.json(&["client", "show", "billing"]), shown, "nothing has changed");

    let token = site.server.token("billing", &site.old).await;
    let left = site.finish(&["--force"]);
    assert_eq!(left["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(left["secrets"][0]["id"], new.as_str());
    assert!(left.get("client_secret").is_none());
    assert_eq!((site.uses(&site.old).await, site.uses(&site.new).await), (401, 200));
    assert_eq!(site.server.whoami(&token).await.0, 200, "its tokens live on");
    assert_eq!(site.says(), [""; 0]);

    // Again, and there is nothing to do.
    for args in [&[][..], &["--force"], &["--json"]] {
        let ran = site.place.run(&[&["client", "rotate", "billing", "--finish"], args].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.out.contains(new) && ran.err.contains("nothing to finish"), "{} {}", ran.out, ran.err);
    }
    let Site { place, server, .. } = site;
    drop(server);
    let records = audit(&place.store());
    assert_eq!(records.iter().filter(|record| record["action"] == "client.secret.retire").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_been_unused_long_enough_ends() {
    let site = Site::new().await;
    site.uses(&site.new).await;
    next_second().await;
    next_second().await;
    let message = site.refuses(&[]);
    assert!(message.contains("14400 seconds"), "four hours unless something else is said: {message}");
    let ran = site.place.run(&["client", "rotate", "billing", "--finish", "--unused-for", "1s"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.out.contains(&site.ids[0]) && ran.out.contains(&site.ids[1]), "{}", ran.out);
    assert!(ran.err.contains(&format!("The secret {} is gone", site.ids[0])), "{}", ran.err);
    assert!(!ran.out.contains("client_secret") && !ran.err.contains("client_secret"), "{}{}", ran.out, ran.err);
    assert_eq!((site.uses(&site.old).await, site.uses(&site.new).await), (401, 200));
}

/// The end takes no more than the server knows: a restart in between forgets no use that was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_use_before_a_restart_counts() {
    let site = Site::new().await;
    site.uses(&site.new).await;
    site.uses(&site.old).await;
    let Site { place, server, ids, .. } = site;
    server.stop("-TERM");
    let _server = place.start(&["--no-quickstart"]);
    let message = place.fails(&["client", "rotate", "billing", "--finish"]);
    assert!(message.contains(&format!("{} was last used at ", ids[0])), "{message}");
}

#[test]
fn what_does_not_go_together_is_wrong_usage() {
    let place = Place::new();
    let _server = place.start(&["--no-quickstart"]);
    place.client(&["billing", "--id", "billing"]);
    for args in [
        &["--finish", "--overlap", "1h"][..],
        &["--finish", "--overlap", "24h"],
        &["--finish", "--secret-ttl", "1d"],
        &["--finish", "--save", "x.json"],
        &["--unused-for", "1h"],
        &["--force"],
        &["--force", "--unused-for", "1h"],
        &["--finish", "--unused-for", "4"],
        &["--finish", "--unused-for", "500ms"],
        &["--finish", "--unused-for", "-1h"],
    ] {
        let ran = place.run(&[&["client", "rotate", "billing"], args].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}: {}", ran.err);
    }
    assert_eq!(place.json(&["client", "show", "billing"])["secrets"].as_array().unwrap().len(), 1);
    assert!(!place.at("x.json").exists());
    assert!(place.fails(&["client", "rotate", "nobody", "--finish"]).contains("there is no client"));
    // What is said of secrets is said by `show` alone.
    let rotated = place.text(&["client", "rotate", "billing"]);
    assert!(!rotated.contains("has not been used"), "{rotated}");
    let shown = place.run(&["client", "show", "billing", "--json"]);
    assert_eq!((shown.out.lines().count(), shown.err.as_str()), (1, ""));
    assert_eq!(serde_json::from_str::<Value>(&shown.out).unwrap()["secrets"][1]["last_used_at"], json!(null));
}
