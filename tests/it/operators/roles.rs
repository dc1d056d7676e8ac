//! Roles: expanded when a token is issued, and what is taken from one is taken from all who hold it.

use mintage::api::NewClient;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client_changes::ask;

use super::{call, made, operator, own_token, world};

async fn scopes_of(app: &TestApp, client: &crate::app::TestClient) -> String {
    app.token_answer(client, &[]).await["scope"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_role_is_expanded_when_a_token_is_issued() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read", "orders:write"]).await;
    made(&app, "roles", json!({"name": "READER", "scopes": ["orders:read"]})).await;
    let holder = NewClient { roles: vec!["READER".to_owned()], ..NewClient::default() };
    let holder = app.client_with(holder).await;
    assert_eq!(scopes_of(&app, &holder).await, "orders:read");
    let (_, shown) = ask(&app, "GET", &format!("clients/{}", holder.id), &Value::Null).await;
    assert_eq!((&shown["roles"], &shown["scopes"]), (&json!(["READER"]), &json!([])));
    let effective = json!([{"scope": "orders:read", "from": ["role:READER"], "level": null}]);
    assert_eq!(shown["effective_scopes"], effective);

    // It grows without a word to the client, and what it then loses is cut off from whoever holds it.
    let token = app.token(&holder).await;
    let bystander = app.client(&["orders:read"]).await;
    let other = app.token(&bystander).await;
    let (status, _) = ask(&app, "PATCH", "roles/READER", &json!({"scopes": ["orders:read", "orders:write"]})).await;
    assert_eq!(status, 200);
    assert_eq!(scopes_of(&app, &holder).await, "orders:read orders:write");
    let alive = |token: String| async {
        let token = token;
        ask(&app, "POST", "tokens/explain", &json!({"token": token})).await.1["let_through"].clone()
    };
    let before = alive(token.clone()).await;
    let (status, _) = ask(&app, "PATCH", "roles/READER", &json!({"scopes": ["orders:write"]})).await;
    assert_eq!(status, 200);
    assert_eq!(scopes_of(&app, &holder).await, "orders:write");
    assert_ne!(alive(token).await, before, "its tokens are cut off");
    assert_eq!(alive(other.clone()).await, before, "others' are not");

    // With keep_tokens they live on.
    let token = app.token(&holder).await;
    let (status, _) = ask(&app, "PATCH", "roles/READER?keep_tokens=true", &json!({"scopes": []})).await;
    assert_eq!(status, 200);
    assert_eq!(alive(token).await, before);

    // It goes when nobody holds it.
    let (status, problem) = ask(&app, "DELETE", "roles/READER", &Value::Null).await;
    assert_eq!((status, &problem["reason"]), (409, &json!("conflict")));
    let (status, _) = ask(&app, "PATCH", &format!("clients/{}", holder.id), &json!({"roles": []})).await;
    assert_eq!(status, 200);
    assert_eq!(ask(&app, "DELETE", "roles/READER", &Value::Null).await.0, 204);
    assert_eq!(ask(&app, "GET", "roles/READER", &Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_built_in_roles_are_there_and_stay() {
    let app = world().await;
    let (_, page) = ask(&app, "GET", "roles?limit=1000", &Value::Null).await;
    let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    let built_in =
        ["ORG_MEMBER", "ORG_OWNER", "ORG_READ_ONLY", "PROJECT_CLIENT_MANAGER", "PROJECT_OWNER", "PROJECT_READ_ONLY"];
    assert_eq!(names, built_in);
    for name in built_in {
        let (_, role) = ask(&app, "GET", &format!("roles/{name}"), &Value::Null).await;
        assert_eq!((&role["built_in"], &role["organization"]), (&json!(true), &Value::Null));
        let level = if name.starts_with("ORG") { "organization" } else { "project" };
        assert_eq!(role["level"], level);
        assert!(!role["scopes"].as_array().unwrap().is_empty());
        for (method, body) in [("PATCH", json!({"scopes": []})), ("DELETE", Value::Null)] {
            assert_eq!(ask(&app, method, &format!("roles/{name}"), &body).await.0, 409, "{method} {name}");
        }
        let new = json!({"name": name, "organization": "acme"});
        assert_eq!(ask(&app, "POST", "roles", &new).await.1["errors"][0]["field"], "name");
    }
}

#[tokio::test]
async fn roles_of_one_name_in_two_organizations_are_two() {
    let app = world().await;
    for (organization, scope) in [("acme", "acme:read"), ("other", "other:read")] {
        let identifier = format!("https://{organization}.example");
        made(
            &app,
            "apis",
            json!({"identifier": identifier, "organization": organization, "scopes": [{"name": scope}]}),
        )
        .await;
        made(&app, "roles", json!({"name": "R", "organization": organization, "scopes": [scope]})).await;
    }
    let foreign = json!({"name": "X", "organization": "acme", "scopes": ["other:read"]});
    assert_eq!(ask(&app, "POST", "roles", &foreign).await.1["errors"][0]["field"], "scopes[0]", "not of acme");
    let in_place = |organization: &str, project: &str| NewClient {
        organization: Some(organization.to_owned()),
        project: Some(project.to_owned()),
        roles: vec!["R".to_owned()],
        ..NewClient::default()
    };
    let (acme, other) =
        (app.client_with(in_place("acme", "red")).await, app.client_with(in_place("other", "red")).await);
    assert_eq!(scopes_of(&app, &acme).await, "acme:read");
    assert_eq!(scopes_of(&app, &other).await, "other:read");
    let token = app.token(&other).await;
    let (status, _) = ask(&app, "PATCH", "roles/R?organization=acme", &json!({"scopes": []})).await;
    assert_eq!(status, 200);
    assert_eq!(scopes_of(&app, &acme).await, "");
    assert_eq!(scopes_of(&app, &other).await, "other:read");
    let (_, said) = ask(&app, "POST", "tokens/explain", &json!({"token": token})).await;
    assert!(!said.to_string().contains("token_revoked"), "{said}");
}

#[tokio::test]
async fn nobody_defines_or_grants_a_role_that_holds_more_than_they_do() {
    let app = world().await;
    let owner = operator(&app, "acme", "red", &[], &["PROJECT_OWNER"]).await;
    let manager = operator(&app, "acme", "red", &["mintage:roles:write"], &["PROJECT_CLIENT_MANAGER"]).await;
    let organization = operator(&app, "acme", "red", &[], &["ORG_OWNER"]).await;
    for (token, role, expected) in [
        (&owner, "PROJECT_OWNER", 201),
        (&owner, "PROJECT_CLIENT_MANAGER", 201),
        (&owner, "PROJECT_READ_ONLY", 201),
        (&owner, "ORG_OWNER", 403),
        (&owner, "ORG_MEMBER", 403),
        (&manager, "PROJECT_CLIENT_MANAGER", 201),
        (&manager, "PROJECT_OWNER", 403),
        (&organization, "ORG_OWNER", 201),
        (&organization, "PROJECT_OWNER", 201),
    ] {
        let (status, answer) = call(&app, token, "POST", "clients", json!({"name": "x", "roles": [role]})).await;
        assert_eq!(status, expected, "{role}: {answer}");
        if expected == 403 {
            assert_eq!(answer["reason"], "beyond_caller");
            assert!(!answer["lacking"].as_array().unwrap().is_empty());
        }
    }
    for (token, scopes, level, expected) in [
        (&manager, json!(["mintage:clients:read"]), "project", 201),
        (&manager, json!(["mintage:clients:read"]), "organization", 403),
        (&manager, json!(["mintage:audit:read"]), "project", 403),
        (&organization, json!(["mintage:audit:read"]), "organization", 201),
        (&organization, json!(["mintage:keys:write"]), "project", 403),
        (&organization, json!(["mintage:organizations:write"]), "organization", 403),
    ] {
        let name = format!("R{level}{}", scopes.to_string().len());
        let body = json!({"name": name, "scopes": scopes, "level": level});
        let (status, answer) = call(&app, token, "POST", "roles", body).await;
        assert_eq!(status, expected, "{scopes} {level}: {answer}");
    }
    // One that may come to grant more is given away by who holds it, or reaches the organization.
    made(&app, "apis", json!({"identifier": "https://a.example", "organization": "acme", "scopes": [{"name": "a:r"}]}))
        .await;
    made(&app, "roles", json!({"name": "READER", "organization": "acme", "scopes": ["a:r"]})).await;
    let holder = operator(&app, "acme", "red", &[], &["PROJECT_CLIENT_MANAGER", "READER"]).await;
    for (token, expected) in [(&manager, 403), (&owner, 403), (&holder, 201), (&organization, 201)] {
        let (status, answer) = call(&app, token, "POST", "clients", json!({"name": "x", "roles": ["READER"]})).await;
        assert_eq!(status, expected, "{answer}");
        let (status, made) = call(&app, token, "POST", "clients", json!({"name": "y", "scopes": ["a:r"]})).await;
        assert_eq!(status, 201, "its scope is the organization's to grant: {made}");
        let path = format!("clients/{}", made["client_id"].as_str().unwrap());
        let (status, answer) = call(&app, token, "PATCH", &path, json!({"roles": ["READER"]})).await;
        assert_eq!(status, if expected == 201 { 200 } else { 403 }, "{answer}");
    }
    // A role that clients of other projects hold is not a project's to change.
    made(&app, "roles", json!({"name": "SHARED", "organization": "acme", "scopes": ["mintage:clients:read"]})).await;
    super::client_in(&app, "acme", "blue", "holder", json!({"roles": ["SHARED"]})).await;
    let change = || json!({"description": "mine"});
    assert_eq!(call(&app, &manager, "PATCH", "roles/SHARED", change()).await.0, 403);
    assert_eq!(call(&app, &organization, "PATCH", "roles/SHARED", change()).await.0, 200);
}

#[tokio::test]
async fn what_a_role_no_longer_grants_is_gone_from_our_own_routes_at_once() {
    let app = world().await;
    made(&app, "roles", json!({"name": "LOOKER", "organization": "acme", "scopes": ["mintage:clients:read"]})).await;
    let client = app
        .client_with(NewClient {
            organization: Some("acme".to_owned()),
            project: Some("red".to_owned()),
            roles: vec!["LOOKER".to_owned()],
            ..NewClient::default()
        })
        .await;
    let token = own_token(&app, &client).await;
    assert_eq!(call(&app, &token, "GET", "clients", Value::Null).await.0, 200);
    let (status, _) =
        ask(&app, "PATCH", "roles/LOOKER?organization=acme&keep_tokens=true", &json!({"scopes": []})).await;
    assert_eq!(status, 200);
    let (status, problem) = call(&app, &token, "GET", "clients", Value::Null).await;
    assert_eq!((status, &problem["reason"]), (403, &json!("insufficient_scope")));
}
