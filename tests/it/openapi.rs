//! The description of the HTTP surface: that it is whole, and says what it means.

use std::collections::BTreeSet;

use mintage::reason::Reason;
use mintage::scope::BUILT_IN;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::app::TestApp;
use crate::coverage::operations;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

type Served = BTreeSet<(String, String, Option<String>)>;

/// A path of the route table as OpenAPI writes it.
fn path_of(first: &str) -> String {
    let constants = include_str!("../../src/oauth/metadata.rs");
    let path = match first.strip_prefix('"') {
        Some(text) => text.trim_end_matches('"').to_owned(),
        None => {
            let line = constants.lines().find(|l| l.contains(&format!("const {first}:"))).unwrap();
            line.split('"').nth(1).unwrap().to_owned()
        }
    };
    path.replace("{*", "{")
}

/// The routes of a part of the route table, read from its source: method, path, and the scope that is asked for.
fn routes(part: &str) -> Served {
    let part: String = part.split_whitespace().collect();
    let mut found = Served::new();
    for route in part.split(".route(").skip(1) {
        let path = path_of(route.split(',').next().unwrap());
        for method in METHODS.into_iter().chain(["any"]) {
            let call = format!("{method}(");
            for (at, _) in route.match_indices(&call) {
                if !route[..at].ends_with(['.', ',', '(']) {
                    continue;
                }
                let arguments = route[at + call.len()..].split(')').next().unwrap();
                let scope = arguments.split_once(",\"").map(|(_, scope)| scope.trim_end_matches([',', '"']).to_owned());
                let methods = if method == "any" { METHODS.to_vec() } else { vec![method] };
                found.extend(methods.iter().map(|method| (method.to_uppercase(), path.clone(), scope.clone())));
            }
        }
    }
    found
}

/// What both listeners serve, by the source: the public one, the admin socket.
fn served() -> (Served, Served) {
    let source = include_str!("../../src/server/http/mod.rs");
    let (_, table) = source.split_once("fn routes_below_the_issuer").unwrap();
    let (public, rest) = table.split_once("fn operators_routes").unwrap();
    let (operators, local) = rest.split_once("fn admin_routes").unwrap();
    let [public, operators, local] = [public, operators, local].map(routes);
    assert!(public.len() > 40 && operators.len() > 30 && local.len() > 4, "the route table was not understood");
    let unguarded = operators.iter().map(|(method, path, _)| (method.clone(), path.clone(), None));
    (public.union(&operators).cloned().collect(), unguarded.chain(local).collect())
}

async fn public(app: &TestApp) -> Value {
    let response = app.get("/openapi.json", None).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

/// What the admin socket serves.
pub(crate) async fn local(app: &TestApp) -> Value {
    let mut socket = UnixStream::connect(&app.config.admin.socket).await.unwrap();
    socket.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Each value below `at`, with the way to it.
fn walk(at: &str, value: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(at, value);
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| walk(&format!("{at}/{name}"), value, look)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| walk(&format!("{at}/{n}"), value, look)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let app = TestApp::start().await;
    let (on_public, on_socket) = served();
    for (document, served) in [(public(&app).await, on_public), (local(&app).await, on_socket)] {
        let described: Served = operations(&document).into_iter().collect();
        let missing: Vec<_> = served.difference(&described).collect();
        let extra: Vec<_> = described.difference(&served).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "a handler is annotated with #[utoipa::path] (method, path, scope as in the route table) and named in \
             src/server/http/openapi/mod.rs; served and not described: {missing:?}; described and not served: {extra:?}"
        );
    }
}

#[tokio::test]
async fn every_answer_is_declared_by_its_status() {
    let app = TestApp::start().await;
    for document in [public(&app).await, local(&app).await] {
        assert_eq!(document["openapi"], "3.1.0");
        let mut names = BTreeSet::new();
        for (method, path, _) in operations(&document) {
            let operation = &document["paths"][&path][method.to_lowercase()];
            let what = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}: its name is taken");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{what} has no summary");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{what}: nothing goes well");
            for (status, answer) in answers {
                let number: u16 = status.parse().unwrap_or_else(|_| panic!("{what} declares {status}"));
                let media: Vec<_> =
                    answer["content"].as_object().into_iter().flatten().map(|(media, _)| media).collect();
                if number >= 400 {
                    let expected =
                        // What no route has seen is refused alike everywhere.
                        if path.starts_with("/oauth/") && number != 431 { "application/json" } else { "application/problem+json" };
                    assert_eq!(media, [expected], "{what}: {status}");
                }
                assert!(!answer["description"].as_str().unwrap().is_empty(), "{what}: {status}");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    parameter["schema"].as_object().is_some_and(|schema| !schema.is_empty()),
                    "{what}: {parameter}"
                );
                let described = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(described, "{what}: {parameter}");
            }
        }
    }
}

#[tokio::test]
async fn no_schema_is_empty_and_every_reference_leads_somewhere() {
    let app = TestApp::start().await;
    for document in [public(&app).await, local(&app).await] {
        walk("", &document, &mut |at, value| {
            let place = at.rsplit('/').nth(1).unwrap_or_default();
            let is_schema =
                at.ends_with("/schema") || at.ends_with("/items") || matches!(place, "schemas" | "properties");
            if is_schema {
                assert!(value.as_object().is_some_and(|schema| !schema.is_empty()), "{at} says nothing");
            }
            if at.ends_with("/$ref") {
                let to = value.as_str().unwrap().trim_start_matches('#');
                assert!(document.pointer(to).is_some(), "{at} leads to {to}");
            }
        });
    }
}

#[tokio::test]
async fn what_may_be_left_out_is_not_said_to_be_null_then() {
    let app = TestApp::start().await;
    for document in [public(&app).await, local(&app).await] {
        walk("", &document, &mut |at, value| {
            assert!(
                !(at.ends_with("/default") && value.is_null()),
                "{at}: a client that fills it in takes a limit away"
            );
        });
        // Nor is it said to be anything else, in what changes no more than it names.
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            if name.ends_with("Patch") {
                walk(name, schema, &mut |at, value| assert!(!at.ends_with("/default"), "{at} is {value}"));
            }
        }
    }
}

#[tokio::test]
async fn the_closed_lists_are_whole() {
    let app = TestApp::start().await;
    let document = public(&app).await;
    let words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(document["components"]["schemas"]["Reason"]["enum"], serde_json::json!(words));
    let flow = &document["components"]["securitySchemes"]["client_credentials"]["flows"]["clientCredentials"];
    assert_eq!(flow["tokenUrl"], format!("{}/oauth/token", app.issuer));
    let scopes: Vec<_> = flow["scopes"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(scopes, BUILT_IN);
    // What is refused as unknown says so.
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let is_asked = name.ends_with("Patch") || name.starts_with("New") && name != "NewToken";
        if is_asked {
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }
}
