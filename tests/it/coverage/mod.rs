//! Every operation of `/openapi.json` with no, malformed, expired, wrong-scope, somebody else's and right credentials.
//! An operation that is missing in the table fails the test. The table is the public listener's: on the admin socket there
//! are no credentials, and of what it has besides there is a list.

mod operators;
mod table;

use std::collections::BTreeSet;

use mintage::api::{KeyState, Level, NewApi, NewApiKey, NewClient, NewDigestKey, NewOrganization, NewProject, NewRole};
use mintage::scope::BUILT_IN;
use reqwest::header::AUTHORIZATION;
use serde_json::Value;

use crate::app::{TestApp, TestClient};

use table::{Expected, TABLE};

const KINDS: [&str; 6] = ["none", "malformed", "expired", "of the wrong scopes", "somebody else's", "right"];
/// What concerns the instance, and is granted to a client itself.
const INSTANCE: [&str; 3] = ["mintage:keys:read", "mintage:keys:write", "mintage:organizations:write"];

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// An organization with the project `shop`, and a role of its level that grants everything an organization has.
pub(crate) async fn organization(app: &TestApp, id: &str) {
    let caller = app.caller();
    let new = NewOrganization { id: id.to_owned(), ..NewOrganization::default() };
    app.service.create_organization(new, &caller).await.unwrap();
    let organization = Some(id.to_owned());
    let new = NewProject { id: "shop".to_owned(), organization: organization.clone(), ..NewProject::default() };
    app.service.create_project(new, &caller).await.unwrap();
    let scopes = BUILT_IN.iter().filter(|scope| !INSTANCE.contains(scope)).map(|scope| (*scope).to_owned()).collect();
    let new =
        NewRole { name: "all".to_owned(), organization, level: Level::Organization, scopes, ..NewRole::default() };
    app.service.create_role(new, &caller).await.unwrap();
}

/// A client of a project, with these scopes and roles.
pub(crate) async fn operator(app: &TestApp, place: (&str, &str), scopes: &[&str], roles: &[&str]) -> TestClient {
    app.client_with(NewClient {
        organization: Some(place.0.to_owned()),
        project: Some(place.1.to_owned()),
        scopes: texts(scopes),
        roles: texts(roles),
        ..NewClient::default()
    })
    .await
}

/// A token for the issuer with these scopes.
pub(crate) async fn token_with(app: &TestApp, client: &TestClient, scopes: &[&str]) -> String {
    let answer = app.token_answer(client, &[("scope", &scopes.join(" "))]).await;
    answer["access_token"].as_str().unwrap().to_owned()
}

/// The operations of a description: method, path, and the scope that is needed.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Option<String>)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["client_credentials"][0].as_str().map(str::to_owned);
            all.push((method.to_uppercase(), path.clone(), scope));
        }
    }
    all
}

/// Something new for an operation to be about: the path that names it, and the names in it.
async fn target(app: &TestApp, method: &str, path: &str, n: usize) -> (String, Vec<String>) {
    let (service, caller) = (&app.service, app.caller());
    let acme = || Some("acme".to_owned());
    let segment = path.strip_prefix("/api/v1/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let mut names: Vec<(&str, String)> = Vec::new();
    let mut query = "";
    match segment {
        "organizations" if method == "GET" => names.push(("{id}", "acme".to_owned())),
        "organizations" => {
            let id = format!("target-{n}");
            service
                .create_organization(NewOrganization { id: id.clone(), ..NewOrganization::default() }, &caller)
                .await
                .unwrap();
            names.push(("{id}", id));
        }
        "projects" => {
            let id = format!("target-{n}");
            let new = NewProject { id: id.clone(), organization: acme(), ..NewProject::default() };
            service.create_project(new, &caller).await.unwrap();
            names.push(("{id}", id));
            query = "?organization=acme";
        }
        "apis" => {
            let identifier = format!("https://target-{n}.example");
            let new = NewApi { identifier: identifier.clone(), organization: acme(), ..NewApi::default() };
            service.create_api(new, &caller).await.unwrap();
            names.push(("{identifier}", identifier.replace(':', "%3A").replace('/', "%2F")));
        }
        "roles" => {
            let name = format!("target-{n}");
            let new = NewRole { name: name.clone(), organization: acme(), ..NewRole::default() };
            service.create_role(new, &caller).await.unwrap();
            names.push(("{name}", name));
            query = "?organization=acme";
        }
        "clients" => {
            let client = operator(app, ("acme", "shop"), &[], &[]).await;
            let secret = service.client(&client.id, &caller).await.unwrap().value.secrets.remove(0).id;
            let new = NewDigestKey::default();
            let digest_key = service.create_digest_key(&client.id, &new, &caller).await.unwrap().id;
            names.extend([("{id}", client.id), ("{secret_id}", secret), ("{key_id}", digest_key)]);
        }
        "api-keys" => {
            let (organization, project) = (acme(), Some("shop".to_owned()));
            let new = NewApiKey { name: "test".to_owned(), organization, project, ..NewApiKey::default() };
            names.push(("{id}", service.create_api_key(new, &caller).await.unwrap().value.id));
        }
        "keys" if path.contains("{kid}") => {
            let keys = service.list_keys().items;
            let next = keys.into_iter().find(|key| key.state == KeyState::Next).unwrap();
            names.push(("{kid}", next.kid));
        }
        _ => names.extend([
            ("{reason}", "no_credentials".to_owned()),
            ("{guard}", "none".to_owned()),
            ("{rest}", "orders".to_owned()),
        ]),
    }
    let mut full = path.to_owned();
    for (name, value) in &names {
        full = full.replace(name, value);
    }
    assert!(!full.contains('{'), "say in `target` what {path} is to be about");
    // The names of a path alone: a list takes none, and most have nothing else to ask.
    let named: Vec<_> = names.into_iter().filter(|(name, _)| path.contains(name)).map(|(_, value)| value).collect();
    if path == "/forward-auth" {
        query = "?scope=mintage:projects:read";
    } else if named.is_empty() {
        query = "";
    }
    (format!("{full}{query}"), named)
}

/// One request: its status and its body.
async fn send(app: &TestApp, method: &str, path: &str, body: &str, authorization: Option<&str>) -> (u16, String) {
    let media = if path.starts_with("/api/") { "application/json" } else { "application/x-www-form-urlencoded" };
    let mut request =
        app.http.request(method.parse().unwrap(), app.url(path)).header("content-type", media).body(body.to_owned());
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// A body without what differs from one request to the next.
fn without_names(body: &str, names: &[String]) -> Value {
    let mut text = body.to_owned();
    for name in names {
        let name = name.replace("%3A", ":").replace("%2F", "/");
        text = text.replace(&name, "NAME");
    }
    let mut body: Value = serde_json::from_str(&text).unwrap();
    body["request_id"].take();
    body
}

#[tokio::test]
async fn every_operation_with_every_kind_of_credentials() {
    let app = TestApp::start().await;
    let document: Value = app.get("/openapi.json", None).await.json().await.unwrap();
    let described = operations(&document);
    let covered: BTreeSet<_> = TABLE.iter().map(|(method, path, ..)| (*method, *path)).collect();
    let missing: Vec<_> =
        described.iter().filter(|(method, path, _)| !covered.contains(&(method.as_str(), path.as_str()))).collect();
    assert!(
        missing.is_empty(),
        "not covered; give each a row in tests/it/coverage/table.rs (and say in `target` what it is about): {missing:?}"
    );
    assert_eq!(described.len(), TABLE.len(), "a row is about an operation that is not in /openapi.json");

    organization(&app, "acme").await;
    organization(&app, "rival").await;
    let right = operator(&app, ("acme", "shop"), &INSTANCE, &["all"]).await;
    let foreign = operator(&app, ("rival", "shop"), &INSTANCE, &["all"]).await;
    let expired = token_with(&app, &right, &BUILT_IN).await;
    app.advance(3630);
    for (n, (method, path, body, expected)) in TABLE.iter().enumerate() {
        let scope = described.iter().find(|(m, p, _)| m == method && p == path).unwrap().2.clone();
        let unsaid = if *path == "/metrics" { "mintage:metrics:read" } else { "mintage:projects:read" };
        let needed = scope.as_deref().unwrap_or(unsaid);
        let others: Vec<_> = BUILT_IN.into_iter().filter(|scope| *scope != needed).collect();
        let tokens = [
            "not a token".to_owned(),
            expired.clone(),
            token_with(&app, &right, &others).await,
            token_with(&app, &foreign, &BUILT_IN).await,
            // Exactly what is needed.
            token_with(&app, &right, &[needed]).await,
        ];
        let statuses = match expected {
            Expected::Fixed(statuses) => *statuses,
            Expected::Operators(foreign, right) => {
                assert!(scope.is_some(), "{method} {path} does not say what scope it needs");
                [401, 400, 401, 403, *foreign, *right]
            }
        };
        for (kind, status) in statuses.into_iter().enumerate() {
            let n = n * 10 + kind;
            let body = body.replace("{n}", &n.to_string());
            let (full, names) = target(&app, method, path, n).await;
            let authorization = kind.checked_sub(1).map(|index| format!("Bearer {}", tokens[index]));
            let (got, answer) = send(&app, method, &full, &body, authorization.as_deref()).await;
            let what = format!("{method} {full} with credentials that are {}", KINDS[kind]);
            assert_eq!(got, status, "{what}: {answer}");
            let declared = &document["paths"][path][method.to_lowercase()]["responses"];
            assert!(declared.get(got.to_string()).is_some(), "{what}: {got} is not declared");
            if !matches!(expected, Expected::Operators(..)) || KINDS[kind] != "somebody else's" {
                continue;
            }
            if got == 404 {
                let nowhere = names.iter().fold(full.clone(), |path, name| path.replace(name, "c_nothing"));
                let (got, nothing) = send(&app, method, &nowhere, &body, authorization.as_deref()).await;
                let nothing = without_names(&nothing, &["c_nothing".to_owned()]);
                assert_eq!((got, nothing), (404, without_names(&answer, &names)), "{what}: it is told from nothing");
            } else if body.contains("acme") {
                let elsewhere = body.replace("acme", "nowhere");
                let (got, nothing) = send(&app, method, &full, &elsewhere, authorization.as_deref()).await;
                let nothing = without_names(&nothing, &["nowhere".to_owned()]);
                assert_eq!((got, nothing), (status, without_names(&answer, &["acme".to_owned()])), "{what}");
                assert!(!answer.contains("created"), "{what}: {answer}");
            } else if *method == "GET" {
                assert!(!answer.contains("acme") && !answer.contains(&right.id), "{what}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn the_admin_socket_has_five_operations_besides() {
    let app = TestApp::start().await;
    let document = crate::openapi::local(&app).await;
    let besides: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .filter(|(method, path)| !TABLE.iter().any(|(m, p, ..)| m == method && p == path))
        .collect();
    let known = [
        ("GET", "/api/v1/audit/export"),
        ("GET", "/api/v1/refusals/{request_id}"),
        ("GET", "/api/v1/store/backup"),
        ("POST", "/api/v1/audit/verify"),
        ("POST", "/api/v1/tokens/explain"),
    ];
    let known = known.map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(besides, BTreeSet::from(known), "what may be done without credentials is decided one by one");
}

#[tokio::test]
async fn what_is_not_described_is_not_there() {
    let app = TestApp::start().await;
    let paths: BTreeSet<_> = TABLE.iter().map(|(_, path, ..)| *path).collect();
    for path in paths {
        let full = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            if TABLE.iter().any(|(m, p, ..)| *m == method && *p == path) {
                continue;
            }
            let response = app.http.request(method.parse().unwrap(), app.url(&full)).send().await.unwrap();
            assert_eq!(response.status(), 405, "{method} {path}");
            assert!(response.headers().contains_key("allow"), "{method} {path}");
        }
    }
    let token = app.token(&app.client(&["mintage:projects:read"]).await).await;
    for path in ["/", "/oauth", "/oauth/token/", "/errors/nothing", "/api/v1/tokens/explain", "/api/v1/refusals/r_1"] {
        assert_eq!(app.get(path, Some(&token)).await.status(), 404, "{path}");
    }
}
