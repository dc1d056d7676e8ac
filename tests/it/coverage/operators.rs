//! What an organization's operator and a project's may do, and what they may not: what a client holds now decides, and
//! what its token says.

use mintage::api::{ClientPatch, ClientStatus, NewClient, NewRole};
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient};

use super::{operator, organization, texts, token_with};

/// Who asks, and for which service.
struct Asking<'a>(&'a TestApp, String);

impl<'a> Asking<'a> {
    /// With a token that says all that the client holds of Mintage's own scopes.
    async fn of(app: &'a TestApp, client: &TestClient) -> Self {
        let answer = app.token_answer(client, &[("resource", &app.issuer)]).await;
        Self(app, answer["access_token"].as_str().unwrap().to_owned())
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.0.http.request(method.parse().unwrap(), self.0.url(&format!("/api/v1/{path}")));
        let request = request.bearer_auth(&self.1).header("content-type", "application/json");
        let response =
            request.body(if body.is_null() { String::new() } else { body.to_string() }).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    async fn may(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(method, path, body.clone()).await;
        assert!((200..300).contains(&status), "{method} {path} {body}: {status} {answer}");
        answer
    }

    async fn may_not(&self, method: &str, path: &str, body: Value, status: u16, reason: &str) -> Value {
        let (got, answer) = self.send(method, path, body.clone()).await;
        assert_eq!((got, &answer["reason"]), (status, &json!(reason)), "{method} {path} {body}: {answer}");
        answer
    }
}

async fn acme(app: &TestApp) {
    organization(app, "acme").await;
    organization(app, "rival").await;
    let new = mintage::api::NewProject {
        id: "till".to_owned(),
        organization: Some("acme".to_owned()),
        ..mintage::api::NewProject::default()
    };
    app.service.create_project(new, &app.caller()).await.unwrap();
    let new = mintage::api::NewApi {
        identifier: "https://orders.example".to_owned(),
        organization: Some("acme".to_owned()),
        scopes: vec![mintage::api::ScopeDefinition { name: "orders:read".to_owned(), description: String::new() }],
        ..mintage::api::NewApi::default()
    };
    app.service.create_api(new, &app.caller()).await.unwrap();
}

#[tokio::test]
async fn an_organizations_owner() {
    let app = TestApp::start().await;
    acme(&app).await;
    let owner = operator(&app, ("acme", "shop"), &[], &["ORG_OWNER"]).await;
    let (till, rival) =
        (operator(&app, ("acme", "till"), &[], &[]).await, operator(&app, ("rival", "shop"), &[], &[]).await);
    let asking = Asking::of(&app, &owner).await;

    asking.may("POST", "projects", json!({"id": "new"})).await;
    asking.may("GET", "audit/head", Value::Null).await;
    asking.may("PATCH", &format!("clients/{}", till.id), json!({"name": "n"})).await;
    let made = asking.may("POST", "clients", json!({"name": "n", "project": "till", "roles": ["ORG_OWNER"]})).await;
    assert_eq!((&made["organization"], &made["project"]), (&json!("acme"), &json!("till")));
    asking
        .may("POST", "roles", json!({"name": "readers", "level": "organization", "scopes": ["mintage:clients:read"]}))
        .await;
    asking.may("POST", "apis", json!({"identifier": "https://till.example", "introspectors": [till.id]})).await;
    let all = asking.may("GET", "clients?limit=1000", Value::Null).await;
    let ids: Vec<_> = all["items"].as_array().unwrap().iter().map(|c| c["client_id"].as_str().unwrap()).collect();
    assert!(ids.contains(&till.id.as_str()) && !ids.contains(&rival.id.as_str()), "{ids:?}");

    for (method, path) in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/revoke"), ("POST", "/secrets")] {
        asking.may_not(method, &format!("clients/{}{path}", rival.id), json!({}), 404, "not_found").await;
    }
    for organization in ["rival", "nowhere"] {
        let new = json!({"name": "n", "organization": organization, "project": "shop"});
        asking.may_not("POST", "clients", new, 400, "invalid_field").await;
    }
    // What it does not hold, and what nobody gives away here.
    for scope in ["mintage:metrics:read", "mintage:keys:read", "mintage:keys:write", "mintage:organizations:write"] {
        let refused =
            asking.may_not("POST", "clients", json!({"name": "n", "scopes": [scope]}), 403, "beyond_caller").await;
        assert_eq!(refused["lacking"], json!([{"scope": scope, "level": "project"}]));
        let path = format!("clients/{}", till.id);
        asking.may_not("PATCH", &path, json!({"scopes": [scope]}), 403, "beyond_caller").await;
        let role = json!({"name": "more", "scopes": [scope]});
        asking.may_not("POST", "roles", role, 403, "beyond_caller").await;
    }
    asking.may_not("GET", "keys", Value::Null, 403, "insufficient_scope").await;
    asking.may_not("POST", "keys/rotate", json!({}), 403, "insufficient_scope").await;
    asking.may_not("POST", "organizations", json!({"id": "more"}), 403, "insufficient_scope").await;
    asking.may_not("PATCH", "organizations/acme", json!({"name": "n"}), 403, "insufficient_scope").await;
}

#[tokio::test]
async fn a_projects_client_manager() {
    let app = TestApp::start().await;
    acme(&app).await;
    let manager = operator(&app, ("acme", "shop"), &[], &["PROJECT_CLIENT_MANAGER"]).await;
    let asking = Asking::of(&app, &manager).await;

    let made =
        asking.may("POST", "clients", json!({"name": "n", "scopes": ["orders:read", "mintage:clients:read"]})).await;
    assert_eq!((&made["organization"], &made["project"]), (&json!("acme"), &json!("shop")));
    let own = format!("clients/{}", made["client_id"].as_str().unwrap());
    asking.may("POST", &format!("{own}/secrets"), json!({})).await;
    asking.may("PATCH", &own, json!({"roles": ["PROJECT_CLIENT_MANAGER"]})).await;
    asking.may("POST", &format!("{own}/revoke"), Value::Null).await;
    asking.may("DELETE", &own, Value::Null).await;

    // It cannot grant what it does not hold.
    for (member, value, lacking) in [
        ("scopes", "mintage:roles:read", json!({"scope": "mintage:roles:read", "level": "project"})),
        ("roles", "PROJECT_OWNER", json!({"scope": "mintage:audit:read", "level": "project"})),
        ("roles", "ORG_MEMBER", json!({"scope": "mintage:projects:read", "level": "organization"})),
    ] {
        let mut new = json!({"name": "n"});
        new[member] = json!([value]);
        let refused = asking.may_not("POST", "clients", new, 403, "beyond_caller").await;
        assert!(refused["lacking"].as_array().unwrap().contains(&lacking), "{refused}");
    }
    // Nor touch who holds more.
    for role in ["PROJECT_OWNER", "ORG_READ_ONLY"] {
        let more = operator(&app, ("acme", "shop"), &[], &[role]).await;
        let before = app.service.client(&more.id, &app.caller()).await.unwrap();
        let path = format!("clients/{}", more.id);
        asking.may("GET", &path, Value::Null).await;
        let secret = format!("{path}/secrets/{}", before.value.secrets[0].id);
        for (method, path, body) in [
            ("POST", format!("{path}/secrets"), json!({})),
            ("POST", format!("{path}/secrets/retire"), json!({"force": true})),
            ("POST", format!("{path}/revoke"), Value::Null),
            ("PATCH", path.clone(), json!({"name": "mine"})),
            ("PATCH", path.clone(), json!({"roles": []})),
            ("DELETE", path.clone(), Value::Null),
            ("DELETE", secret, Value::Null),
        ] {
            asking.may_not(method, &path, body, 403, "beyond_caller").await;
        }
        assert_eq!(app.service.client(&more.id, &app.caller()).await.unwrap().tag, before.tag);
        app.token(&more).await;
    }
    for place in [("acme", "till"), ("rival", "shop")] {
        let other = operator(&app, place, &[], &[]).await;
        asking.may_not("GET", &format!("clients/{}", other.id), Value::Null, 404, "not_found").await;
        let (organization, project) = place;
        let new = json!({"name": "n", "organization": organization, "project": project});
        asking.may_not("POST", "clients", new, 400, "invalid_field").await;
    }
    asking.may_not("POST", "projects", json!({"id": "new"}), 403, "insufficient_scope").await;
    asking.may_not("GET", "projects/till", Value::Null, 404, "not_found").await;
    asking.may_not("GET", "roles", Value::Null, 403, "insufficient_scope").await;
    asking.may_not("GET", "keys", Value::Null, 403, "insufficient_scope").await;
}

#[tokio::test]
async fn what_the_instance_has_is_not_given_away_by_who_holds_it() {
    let app = TestApp::start().await;
    acme(&app).await;
    let scopes = ["mintage:keys:read", "mintage:organizations:write", "mintage:clients:write", "mintage:roles:write"];
    let asking = Asking::of(&app, &operator(&app, ("acme", "shop"), &scopes, &[]).await).await;
    asking.may("GET", "keys", Value::Null).await;
    for scope in ["mintage:keys:read", "mintage:organizations:write"] {
        asking.may_not("POST", "clients", json!({"name": "n", "scopes": [scope]}), 403, "beyond_caller").await;
        asking.may_not("POST", "roles", json!({"name": "r", "scopes": [scope]}), 403, "beyond_caller").await;
    }
}

#[tokio::test]
async fn what_is_lost_is_lost_at_once() {
    let app = TestApp::start().await;
    acme(&app).await;
    let caller = app.caller();
    let held = || texts(&["mintage:clients:read", "mintage:projects:read"]);
    let change = |patch: ClientPatch, id: &str| {
        let (service, id, caller) = (app.service.clone(), id.to_owned(), caller.clone());
        async move { service.update_client(&id, &patch, true, &caller).await.unwrap() }
    };
    // Its token is kept, and says the scope still.
    let client = operator(&app, ("acme", "shop"), &["mintage:clients:read", "mintage:projects:read"], &[]).await;
    let asking = Asking::of(&app, &client).await;
    asking.may("GET", "clients", Value::Null).await;
    change(ClientPatch { scopes: Some(texts(&["mintage:projects:read"])), ..ClientPatch::default() }, &client.id).await;
    let refused = asking.may_not("GET", "clients", Value::Null, 403, "insufficient_scope").await;
    assert_eq!(refused["scope"], "mintage:clients:read");
    asking.may("GET", "projects", Value::Null).await;
    change(ClientPatch { scopes: Some(held()), ..ClientPatch::default() }, &client.id).await;
    asking.may("GET", "clients", Value::Null).await;

    // The same of a role, taken from it or narrowed.
    let new = NewRole {
        name: "readers".to_owned(),
        organization: Some("acme".to_owned()),
        scopes: held(),
        ..NewRole::default()
    };
    app.service.create_role(new, &caller).await.unwrap();
    let client = operator(&app, ("acme", "shop"), &[], &["readers"]).await;
    let asking = Asking::of(&app, &client).await;
    asking.may("GET", "clients", Value::Null).await;
    let patch = mintage::api::RolePatch { scopes: Some(texts(&["mintage:projects:read"])), description: None };
    app.service.update_role(Some("acme"), "readers", &patch, true, &caller).await.unwrap();
    asking.may_not("GET", "clients", Value::Null, 403, "insufficient_scope").await;
    asking.may("GET", "projects", Value::Null).await;
    change(ClientPatch { roles: Some(Vec::new()), ..ClientPatch::default() }, &client.id).await;
    asking.may_not("GET", "projects", Value::Null, 403, "insufficient_scope").await;

    // Reach goes with the role that gave it.
    let client = operator(&app, ("acme", "shop"), &["mintage:clients:read"], &["ORG_READ_ONLY"]).await;
    let till = operator(&app, ("acme", "till"), &[], &[]).await;
    let (asking, path) = (Asking::of(&app, &client).await, format!("clients/{}", till.id));
    asking.may("GET", &path, Value::Null).await;
    change(ClientPatch { roles: Some(Vec::new()), ..ClientPatch::default() }, &client.id).await;
    asking.may_not("GET", &path, Value::Null, 404, "not_found").await;

    // And a client that is disabled or gone has nothing.
    for gone in [false, true] {
        let client = operator(&app, ("acme", "shop"), &["mintage:clients:read"], &[]).await;
        let asking = Asking::of(&app, &client).await;
        asking.may("GET", "clients", Value::Null).await;
        if gone {
            app.service.delete_client(&client.id, &caller).await.unwrap();
        } else {
            let disabled = ClientStatus::Disabled;
            app.service.set_client_status(&client.id, disabled, "client.revoke", &caller).await.unwrap();
        }
        asking.may_not("GET", "clients", Value::Null, 401, "token_revoked").await;
    }
}

#[tokio::test]
async fn a_narrowed_token_can_do_no_more_than_it_says() {
    let app = TestApp::start().await;
    acme(&app).await;
    let owner = operator(&app, ("acme", "shop"), &[], &["ORG_OWNER"]).await;
    let asking = Asking(&app, token_with(&app, &owner, &["mintage:clients:write"]).await);
    let path = format!("clients/{}", owner.id);
    asking.may_not("GET", &path, Value::Null, 403, "insufficient_scope").await;
    asking.may_not("POST", "projects", json!({"id": "new"}), 403, "insufficient_scope").await;
    asking.may("POST", "clients", json!({"name": "n", "scopes": ["orders:read", "mintage:clients:write"]})).await;
    let new = json!({"name": "n", "scopes": ["mintage:projects:read"]});
    asking.may_not("POST", "clients", new, 403, "beyond_caller").await;
    // Else it would get itself a secret, and with that a token that says everything.
    asking.may_not("POST", &format!("{path}/secrets"), json!({}), 403, "beyond_caller").await;
    let new = NewClient { name: "n".to_owned(), roles: texts(&["PROJECT_OWNER"]), ..NewClient::default() };
    asking.may_not("POST", "clients", json!(new), 403, "beyond_caller").await;
}
