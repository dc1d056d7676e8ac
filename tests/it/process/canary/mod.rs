//! Secrets that are made in every way there is, used and misused, and then looked for wherever anything is kept, shown
//! or logged.

mod needles;
mod search;

use std::fs;

use mintage::oauth::metadata::{API_KEY_TYPE, TOKEN_EXCHANGE};
use mintage::scope::BUILT_IN;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{Mintage, Place, ask};
use crate::import::{HASHES, KEYCLOAK};

use needles::Needles;

/// It is hard to write anywhere without being written otherwise.
const GIVEN: &str = r#"given "canary"/+ %41&~=\ end"#;
/// What signs what the webhook is told.
const WEBHOOK: &str = "webhook-canary-0123456789abcdef";
/// It is said about a client, and found where that is: what looks for the others can find something.
const KNOWN: &str = "known to be kept, found in what is shown";

/// A server that makes secrets, and what is known of them.
struct Site {
    place: Place,
    server: Mintage,
    http: reqwest::Client,
    /// Of an operator that may do everything.
    token: String,
    needles: Needles,
    /// Who has which secret.
    made: Vec<(String, String)>,
    /// The API keys.
    keys: Vec<(String, String)>,
    /// All that was answered and printed where no secret was to be shown.
    said: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

impl Site {
    async fn new() -> Self {
        let place = Place::new();
        // Whatever it is told, nobody is there.
        let webhook = format!("[webhook]\nurl = \"http://127.0.0.1:1/\"\nsecret = \"{WEBHOOK}\"\n");
        place.write("mintage.toml", format!("[telemetry]\nlog = \"trace\"\n[review]\nevery = \"1s\"\n{webhook}"));
        let server = place.start(&[]);
        let (_, quickstart) = server.introduction();
        let all: Vec<_> = BUILT_IN.iter().flat_map(|scope| ["--scope", scope]).collect();
        let (id, secret) = place.client(&[&["ops", "--id", "ops", "--role", "ORG_OWNER"], &all[..]].concat());
        let token = server.token(&id, &secret).await;
        let mut needles = Needles::default();
        needles.add("the secret of the webhook", WEBHOOK);
        needles.add("a token", token.rsplit('.').next().unwrap());
        let http = mintage::client::http_client().unwrap();
        let mut site =
            Self { place, server, http, token, needles, made: Vec::new(), keys: Vec::new(), said: String::new() };
        site.keep("the first start", "quickstart", &quickstart);
        site.keep("a client of the command line", &id, &secret);
        site
    }

    /// A secret is there, and nobody is shown it again.
    fn keep(&mut self, how: &str, id: &str, secret: &str) {
        self.needles.add(how, secret);
        self.made.push((id.to_owned(), secret.to_owned()));
    }

    /// An API key is there, and nobody is shown it again.
    fn keep_key(&mut self, how: &str, made: &Value) {
        let (id, key) = (text(&made["id"]), text(&made["api_key"]));
        self.needles.add(how, &key);
        self.keys.push((id, key));
    }

    /// The secret of a credentials file.
    fn keep_saved(&mut self, how: &str, file: &str) {
        for line in fs::read_to_string(self.place.at(file)).unwrap().lines() {
            let saved: Value = serde_json::from_str(line).unwrap();
            self.keep(how, &text(&saved["client_id"]), &text(&saved["client_secret"]));
        }
    }

    /// A command that shows no secret. What it prints.
    fn run(&mut self, args: &[&str]) -> String {
        let ran = self.place.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.out, ran.err);
        self.said += &format!("{}{}", ran.out, ran.err);
        ran.out
    }

    /// Makes something over the public listener, twice with one key. What was answered first.
    async fn once(&mut self, path: &str, body: Value) -> Value {
        let key = format!("key {}", self.made.len());
        let mut answers = Vec::new();
        for _ in 0..2 {
            let request = self.http.post(self.server.url(&format!("/api/v1/{path}"))).bearer_auth(&self.token);
            let request = request.header(CONTENT_TYPE, "application/json").header("idempotency-key", &key);
            let response = request.body(body.to_string()).send().await.unwrap();
            assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap());
            let replayed = response.headers().contains_key("idempotency-replayed");
            answers.push((replayed, response.text().await.unwrap()));
        }
        assert_eq!((answers[0].0, answers[1].0), (false, true), "{path}: {answers:?}");
        self.said += &answers[1].1;
        serde_json::from_str(&answers[0].1).unwrap()
    }

    /// The same, where not even the first answer is to show a secret.
    async fn once_unshown(&mut self, path: &str, body: Value) {
        let answer = self.once(path, body).await.to_string();
        self.said += &answer;
    }

    /// Over the public listener.
    async fn make_by_http(&mut self) {
        let made = self.once("clients", json!({ "name": "n", "client_id": "by-http", "description": KNOWN })).await;
        self.keep("a client of the API", "by-http", &text(&made["client_secret"]));
        let made = self.once("clients/by-http/secrets", json!({ "overlap": 3600 })).await;
        self.keep("a rotation of the API", "by-http", &text(&made["client_secret"]));
        let given = json!({ "name": "n", "client_id": "given", "client_secret": GIVEN });
        self.once_unshown("clients", given).await;
        self.keep("a given secret", "given", GIVEN);
        let again = GIVEN.replace("given", "another");
        self.once_unshown("clients/given/secrets", json!({ "client_secret": again })).await;
        self.keep("a given secret of a rotation", "given", &again);
        let (secret, hash) = HASHES[0];
        let hashed = json!({ "name": "n", "client_id": "hashed", "client_secret_hash": hash });
        self.once_unshown("clients", hashed).await;
        self.keep("a given hash", "hashed", secret);
        let bulk = GIVEN.replace("given", "of many");
        let many = json!({ "clients": [
            { "name": "n", "client_id": "bulk-made" },
            { "name": "n", "client_id": "bulk-given", "client_secret": bulk },
            { "name": "n", "client_id": "bulk-hashed", "client_secret_hash": HASHES[1].1 },
            // These fail, each for itself.
            { "name": 7, "client_id": "wrong", "client_secret": bulk },
            { "name": "n", "client_id": "wrong", "client_secret": [bulk] },
            { "name": "n", "client_id": "wrong", "client_secret_hash": bulk },
        ] });
        let made = self.once("bulk/clients", many).await;
        self.keep("a made secret of many", "bulk-made", &text(&made["items"][0]["client_secret"]));
        self.keep("a given secret of many", "bulk-given", &bulk);
        self.keep("a given hash of many", "bulk-hashed", HASHES[1].0);
        self.said += &made["items"].as_array().unwrap()[1..].iter().map(Value::to_string).collect::<String>();
        let scopes = ["mintage:tokens:introspect"];
        let made = self.once("api-keys", json!({ "name": "n", "scopes": scopes, "description": KNOWN })).await;
        self.keep_key("an API key", &made);
        let path = format!("api-keys/{}/rotate", text(&made["id"]));
        let made = self.once(&path, json!({ "overlap": 3600 })).await;
        self.keep_key("a rotation of an API key", &made);
        let made = self.once("clients/bulk-made/digest-keys", json!({})).await;
        self.needles.add("a Digest key", &text(&made["private_key"]));
        let given = GIVEN.replace("given", "of a pair");
        let pair = json!({ "public_key": "legacy", "private_key": given });
        self.once_unshown("clients/bulk-given/digest-keys", pair).await;
        self.needles.add("a Digest key that was brought along", &given);
    }

    /// On the command line.
    fn make_by_command(&mut self) {
        let (id, secret) = self.place.client(&["n", "--id", "by-socket", "--secret-ttl", "1h"]);
        self.keep("a client at the socket", &id, &secret);
        let rotated = self.place.json(&["client", "rotate", "by-socket"]);
        self.keep("a rotation at the socket", &id, &text(&rotated["client_secret"]));
        let made = self.place.json(&["api-key", "create", "by socket", "--ttl", "1h"]);
        self.keep_key("an API key of the command line", &made);
        self.run(&["api-key", "show", &text(&made["id"])]);
        self.run(&["api-key", "create", "saved", "--save", "shown-6.json"]);
        let saved = fs::read(self.place.at("shown-6.json")).unwrap();
        self.keep_key("an API key into a file", &serde_json::from_slice(&saved).unwrap());
        let made = self.place.json(&["client", "digest-key", "create", &id]);
        self.needles.add("a Digest key of the command line", &text(&made["private_key"]));
        self.run(&["client", "digest-key", "list", &id]);
        self.run(&["client", "create", "n", "--id", "saved", "--save", "shown-1.json"]);
        self.keep_saved("a client into a file", "shown-1.json");
        self.run(&["client", "rotate", "saved", "--save", "shown-1.json"]);
        self.keep_saved("a rotation into a file", "shown-1.json");
        let given = GIVEN.replace("given", "of a line");
        let lines = [
            json!({ "name": "n", "client_id": "import-made" }),
            json!({ "name": "n", "client_id": "import-given", "client_secret": given }),
        ];
        self.place.write("shown-2.jsonl", lines.map(|line| format!("{line}\n")).concat());
        self.run(&["client", "import", "shown-2.jsonl", "--secrets", "shown-3.jsonl"]);
        self.keep_saved("an import into a file", "shown-3.jsonl");
        self.keep("a given secret of an import", "import-given", &given);
        self.place.write("setup.toml", "[[client]]\nclient_id = \"applied\"\nsave = \"shown-4.json\"\n");
        self.run(&["apply", "setup.toml", "--yes"]);
        self.keep_saved("a file that was applied", "shown-4.json");
        // Some of its clients cannot come along, and are no less to be kept quiet about.
        self.place.write("shown-5.json", KEYCLOAK);
        let ran = self.place.run(&["import", "keycloak", "shown-5.json"]);
        self.said += &format!("{}{}", ran.out, ran.err);
        let export: Value = serde_json::from_str(KEYCLOAK).unwrap();
        let secrets = export["clients"].as_array().unwrap().iter().filter_map(|client| client["secret"].as_str());
        let secrets: Vec<_> = secrets.filter(|secret| secret.len() > 12 && !secret.contains("**")).collect();
        assert!(!secrets.is_empty());
        secrets.into_iter().for_each(|secret| self.needles.add("an export of Keycloak", secret));
        self.made.push(("inventory-sync".to_owned(), "IIykoV67FWfyBw84t1DEKcEKiUruGt89".to_owned()));
    }

    /// A form, with nobody's credentials but what is in it. The status, and what was answered.
    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(self.server.url(path)).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = request.body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn exchange(&self, id: &str, secret: &str, more: &[(&str, &str)]) -> (u16, String) {
        let fields = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        self.form("/oauth/token", &[&fields[..], more].concat()).await
    }

    /// Each secret gets a token, and is then sent where it does not belong.
    async fn use_and_misuse(&mut self) {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        for (id, secret) in self.made.clone() {
            let (status, answer) = self.exchange(&id, &secret, &[]).await;
            assert_eq!(status, 200, "{id}: {answer}");
            let token = text(&serde_json::from_str::<Value>(&answer).unwrap()["access_token"]);
            self.needles.add("a token", token.rsplit('.').next().unwrap());
            let own = [("client_id", id.as_str()), ("client_secret", secret.as_str())];
            self.form("/oauth/introspect", &[&own[..], &[("token", token.as_str())]].concat()).await;
            // As somebody else's, and nearly right.
            for wrong in [("ops", secret.as_str()), (&id, &format!("{secret}x"))]
                .into_iter()
                .filter(|w| w.0 != id || w.1 != secret)
            {
                assert_eq!(self.exchange(wrong.0, wrong.1, &[]).await.0, 401, "{id}");
            }
            // As what it is not.
            for (path, name) in [("/oauth/introspect", "token"), ("/oauth/revoke", "token")] {
                self.form(path, &[&own[..], &[(name, secret.as_str())]].concat()).await;
            }
            for name in ["scope", "resource", "audience", "client_id", "grant_type", secret.as_str()] {
                self.exchange(&id, &secret, &[(name, &secret)]).await;
            }
            self.exchange(&secret, &id, &[]).await;
            self.form("/oauth/token", &[("grant_type", &secret), own[0], own[1]]).await;
            let query = format!("?client_id={id}&client_secret={0}&scope={0}&kind={0}&since={0}", encode(&secret));
            for path in ["/oauth/token", "/oauth/revocations", "/forward-auth", "/api/v1/clients", "/api/v1/audit"] {
                let url = self.server.url(&format!("{path}{query}"));
                drop(self.http.get(&url).bearer_auth(&self.token).send().await.unwrap());
                drop(self.http.get(&url).basic_auth(&id, Some(&secret)).send().await.unwrap());
                drop(self.http.get(&url).bearer_auth(&secret).send().await.unwrap());
            }
            for body in [
                json!({ "name": "n", "client_secret": [secret] }),
                json!({ "name": "n", "client_secret": secret, "token_ttl": secret }),
                json!({ "name": "n", "client_secret_hash": secret }),
                json!({ "name": "n", secret.as_str(): 1 }),
                json!({ "name": "n", "scopes": [secret], "ip_allowlist": [secret] }),
            ] {
                let request = self.http.post(self.server.url("/api/v1/clients")).bearer_auth(&self.token);
                let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
                assert_eq!(request.send().await.unwrap().status(), 400, "{body}");
            }
            // As what names a request that is carried out once.
            let request = self.http.post(self.server.url("/api/v1/keys/rotate")).bearer_auth(&self.token);
            let request = request.header(CONTENT_TYPE, "application/json").header("idempotency-key", &secret);
            assert_eq!(request.body("{}").send().await.unwrap().status(), 200);
            let (status, _) = ask(&self.place.socket(), "POST", "tokens/explain", &json!({ "token": secret })).unwrap();
            assert!(status < 500);
        }
    }

    /// The same of API keys.
    async fn use_and_misuse_keys(&mut self) {
        let exchange = |key: &str, scope: &str| {
            [
                ("grant_type", TOKEN_EXCHANGE.to_owned()),
                ("subject_token_type", API_KEY_TYPE.to_owned()),
                ("subject_token", key.to_owned()),
                ("scope", scope.to_owned()),
            ]
        };
        for (_, key) in self.keys.clone() {
            let own = exchange(&key, "");
            let fields: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let (status, answer) = self.form("/oauth/token", &fields).await;
            assert_eq!(status, 200, "{answer}");
            let token = text(&serde_json::from_str::<Value>(&answer).unwrap()["access_token"]);
            self.needles.add("a token", token.rsplit('.').next().unwrap());
            for (wrong, scope) in [(format!("{key}x"), ""), (key.clone(), key.as_str())] {
                let own = exchange(&wrong, scope);
                let fields: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
                assert!(self.form("/oauth/token", &fields).await.0 >= 400);
            }
            for bearer in [key.clone(), format!("{key}x")] {
                for path in ["/api/v1/whoami", "/api/v1/clients", "/forward-auth?scope=mintage:tokens:introspect"] {
                    let answer = self.http.get(self.server.url(path)).bearer_auth(&bearer).send().await.unwrap();
                    self.said += &answer.text().await.unwrap();
                }
            }
            for path in ["api-keys", "clients"] {
                let url = self.server.url(&format!("/api/v1/{path}/{key}"));
                let answer = self.http.get(&url).bearer_auth(&self.token).send().await.unwrap();
                assert_eq!(answer.status(), 404);
                self.said += &answer.text().await.unwrap();
            }
            for body in [json!({ "name": "n", "api_key": key }), json!({ "name": "n", key.as_str(): key })] {
                let request = self.http.post(self.server.url("/api/v1/api-keys")).bearer_auth(&self.token);
                let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
                assert_eq!(request.send().await.unwrap().status(), 400, "{body}");
            }
        }
    }

    /// Clients are refused for other reasons than their secrets, and some are gone.
    async fn refuse(&mut self) {
        self.run(&["client", "disable", "bulk-made"]);
        self.run(&["client", "update", "bulk-given", "--allow-ip", "192.0.2.1"]);
        self.run(&["client", "delete", "applied", "--yes"]);
        for (id, secret) in self.made.clone() {
            let refused = matches!(id.as_str(), "bulk-made" | "bulk-given" | "applied");
            let (status, answer) = self.exchange(&id, &secret, &[]).await;
            assert_eq!(status == 200, !refused, "{id}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_where_it_was_shown_and_nowhere_else() {
    let mut site = Site::new().await;
    site.make_by_http().await;
    site.make_by_command();
    assert_eq!(site.made.len(), 18, "{:?}", site.made.iter().map(|(id, _)| id).collect::<Vec<_>>());
    site.use_and_misuse().await;
    site.use_and_misuse_keys().await;
    site.refuse().await;
    search::search(site).await;
}
