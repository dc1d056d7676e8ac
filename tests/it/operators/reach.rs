//! Reach: what a caller does not reach is absent, and nobody touches what holds more than they do.

use mintage::api::NewClient;
use serde_json::{Value, json};

use crate::client_changes::ask;

use super::{call, client_in, ids, made, operator, own_token, world};

/// What differs from one refusal to the next.
fn without_id(mut problem: Value) -> Value {
    problem.as_object_mut().unwrap().remove("request_id");
    problem
}

const EVERYTHING: [&str; 6] = [
    "mintage:clients:read",
    "mintage:clients:write",
    "mintage:projects:read",
    "mintage:projects:write",
    "mintage:apis:read",
    "mintage:roles:read",
];

#[tokio::test]
async fn another_projects_client_is_absent_not_forbidden() {
    let app = world().await;
    let secret = client_in(&app, "acme", "blue", "theirs", json!({})).await["secrets"][0]["id"].clone();
    let secret = secret.as_str().unwrap();
    client_in(&app, "other", "red", "foreign", json!({})).await;
    let token = operator(&app, "acme", "red", &EVERYTHING, &[]).await;
    for (method, path, body) in [
        ("GET", "clients/ID", Value::Null),
        ("PATCH", "clients/ID", json!({"name": "mine"})),
        ("DELETE", "clients/ID", Value::Null),
        ("POST", "clients/ID/revoke", json!({})),
        ("GET", "clients/ID/secrets", Value::Null),
        ("POST", "clients/ID/secrets", json!({})),
        ("POST", "clients/ID/secrets/retire", json!({"force": true})),
        ("DELETE", &format!("clients/ID/secrets/{secret}"), Value::Null),
    ] {
        let (status, absent) = call(&app, &token, method, &path.replace("ID", "nobody"), body.clone()).await;
        assert_eq!(status, 404, "{method} {path}");
        let absent = without_id(absent);
        for id in ["theirs", "foreign"] {
            let (status, answer) = call(&app, &token, method, &path.replace("ID", id), body.clone()).await;
            assert_eq!((status, without_id(answer)), (404, absent.clone()), "{method} {path} {id}");
        }
    }
    let (_, page) = call(&app, &token, "GET", "clients?limit=1000", Value::Null).await;
    assert!(!ids(&page).contains(&"theirs") && !ids(&page).contains(&"foreign"), "{page}");
    for query in ["project=blue", "organization=other", "organization=acme&project=blue", "name=theirs", "name=the*"] {
        let (status, page) = call(&app, &token, "GET", &format!("clients?{query}"), Value::Null).await;
        assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 0), "{query}: {page}");
    }
    for (place, name) in
        [(json!({"project": "blue"}), "blue"), (json!({"organization": "other", "project": "red"}), "red")]
    {
        let mut body = json!({"name": "x"});
        body.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
        let (status, problem) = call(&app, &token, "POST", "clients", body).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("project")), "{problem}");
        assert_eq!(problem["errors"][0]["detail"], format!("there is no project {name}"));
    }
    for path in
        ["projects/blue", "projects/red?organization=other", "organizations/other", "roles/X?organization=other"]
    {
        let (status, _) = call(&app, &token, "GET", path, Value::Null).await;
        assert!(status == 404 || (status == 403 && path.starts_with("organizations")), "{path}: {status}");
    }
    let (_, page) = call(&app, &token, "GET", "projects", Value::Null).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_organizations_role_reaches_its_projects_and_no_others() {
    let app = world().await;
    client_in(&app, "acme", "blue", "theirs", json!({})).await;
    client_in(&app, "other", "red", "foreign", json!({})).await;
    let token = operator(&app, "acme", "red", &[], &["ORG_OWNER"]).await;
    assert_eq!(call(&app, &token, "GET", "clients/theirs", Value::Null).await.0, 200);
    assert_eq!(call(&app, &token, "PATCH", "clients/theirs", json!({"name": "ours"})).await.0, 200);
    assert_eq!(call(&app, &token, "GET", "clients/foreign", Value::Null).await.0, 404);
    let (_, page) = call(&app, &token, "GET", "projects", Value::Null).await;
    let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["blue", "red"]);
    assert_eq!(call(&app, &token, "POST", "projects", json!({"id": "green"})).await.0, 201);
    assert_eq!(call(&app, &token, "POST", "projects", json!({"id": "x", "organization": "other"})).await.0, 400);
    let (status, made) =
        call(&app, &token, "POST", "clients", json!({"name": "x", "client_id": "g", "project": "green"})).await;
    assert_eq!((status, &made["organization"], &made["project"]), (201, &json!("acme"), &json!("green")), "{made}");
    let (status, problem) = call(&app, &token, "DELETE", "projects/green", Value::Null).await;
    assert_eq!((status, &problem["reason"]), (409, &json!("conflict")));
    assert_eq!(call(&app, &token, "DELETE", "clients/g", Value::Null).await.0, 204);
    assert_eq!(call(&app, &token, "DELETE", "projects/green", Value::Null).await.0, 204);

    // A project's operator makes and deletes no projects.
    let token = operator(&app, "acme", "red", &EVERYTHING, &[]).await;
    assert_eq!(call(&app, &token, "POST", "projects", json!({"id": "mine"})).await.1["reason"], "beyond_caller");
    assert_eq!(call(&app, &token, "DELETE", "projects/red", Value::Null).await.1["reason"], "beyond_caller");
    assert_eq!(call(&app, &token, "PATCH", "projects/red", json!({"name": "Red"})).await.0, 200);
}

#[tokio::test]
async fn nobody_touches_a_client_that_holds_more_than_they_do() {
    let app = world().await;
    let strong = client_in(&app, "acme", "red", "strong", json!({"scopes": ["mintage:keys:write"]})).await;
    client_in(&app, "acme", "red", "owner", json!({"roles": ["ORG_OWNER"]})).await;
    client_in(&app, "acme", "red", "plain", json!({})).await;
    let token = operator(&app, "acme", "red", &EVERYTHING, &[]).await;
    let secret = strong["secrets"][0]["id"].as_str().unwrap();
    for id in ["strong", "owner"] {
        assert_eq!(call(&app, &token, "GET", &format!("clients/{id}"), Value::Null).await.0, 200, "it is seen");
        for (method, path, body) in [
            ("PATCH", format!("clients/{id}"), json!({"name": "mine"})),
            ("PATCH", format!("clients/{id}"), json!({"status": "disabled"})),
            ("DELETE", format!("clients/{id}"), Value::Null),
            ("POST", format!("clients/{id}/revoke"), json!({})),
            ("POST", format!("clients/{id}/secrets"), json!({})),
            ("POST", format!("clients/{id}/secrets/retire"), json!({})),
            ("DELETE", format!("clients/{id}/secrets/{secret}"), Value::Null),
        ] {
            let (status, problem) = call(&app, &token, method, &path, body).await;
            assert_eq!((status, &problem["reason"]), (403, &json!("beyond_caller")), "{method} {path}: {problem}");
        }
    }
    for body in [
        json!({"scopes": ["mintage:keys:write"]}),
        json!({"scopes": ["mintage:audit:read"]}),
        json!({"roles": ["ORG_OWNER"]}),
    ] {
        let (status, problem) = call(&app, &token, "PATCH", "clients/plain", body.clone()).await;
        assert_eq!((status, &problem["reason"]), (403, &json!("beyond_caller")), "{body}");
        let mut new = body.clone();
        new["name"] = json!("x");
        assert_eq!(call(&app, &token, "POST", "clients", new).await.0, 403, "{body}");
    }
    assert_eq!(call(&app, &token, "PATCH", "clients/plain", json!({"scopes": ["mintage:clients:read"]})).await.0, 200);
}

#[tokio::test]
async fn a_caller_is_what_its_client_is_now_and_no_more_than_its_token_says() {
    let app = world().await;
    client_in(&app, "acme", "red", "plain", json!({})).await;
    let client = app
        .client_with(NewClient {
            organization: Some("acme".to_owned()),
            project: Some("red".to_owned()),
            scopes: vec!["mintage:clients:write".to_owned(), "mintage:audit:read".to_owned()],
            ..NewClient::default()
        })
        .await;
    let narrow = app.token_answer(&client, &[("scope", "mintage:clients:write")]).await;
    let narrow = narrow["access_token"].as_str().unwrap();
    let grant = json!({"scopes": ["mintage:audit:read"]});
    assert_eq!(call(&app, narrow, "PATCH", "clients/plain", grant.clone()).await.1["reason"], "beyond_caller");
    let wide = own_token(&app, &client).await;
    assert_eq!(call(&app, &wide, "PATCH", "clients/plain", grant).await.0, 200);
    // It loses the scope, its tokens live on, and are good for nothing here.
    let path = format!("clients/{}?keep_tokens=true", client.id);
    assert_eq!(ask(&app, "PATCH", &path, &json!({"scopes": ["mintage:audit:read"]})).await.0, 200);
    let (status, problem) = call(&app, &wide, "PATCH", "clients/plain", json!({"name": "x"})).await;
    assert_eq!((status, &problem["reason"]), (403, &json!("insufficient_scope")));
}

#[tokio::test]
async fn keys_and_organizations_are_the_instances() {
    let app = world().await;
    let keys = operator(&app, "acme", "red", &["mintage:keys:read", "mintage:keys:write"], &[]).await;
    assert_eq!(call(&app, &keys, "GET", "keys", Value::Null).await.0, 200);
    assert_eq!(call(&app, &keys, "POST", "keys/rotate", json!({})).await.0, 200);
    let all =
        ["mintage:organizations:write", "mintage:organizations:read", "mintage:clients:write", "mintage:keys:read"];
    let instance = operator(&app, "acme", "red", &all, &[]).await;
    assert_eq!(call(&app, &instance, "POST", "organizations", json!({"id": "new"})).await.0, 201);
    assert_eq!(call(&app, &instance, "PATCH", "organizations/other", json!({"name": "O"})).await.0, 200);
    // Who holds them does not give them away.
    for scope in ["mintage:keys:read", "mintage:organizations:write"] {
        let (status, problem) = call(&app, &instance, "POST", "clients", json!({"name": "x", "scopes": [scope]})).await;
        assert_eq!((status, &problem["reason"]), (403, &json!("beyond_caller")), "{scope}");
    }
    let owner = operator(&app, "acme", "red", &[], &["ORG_OWNER"]).await;
    for (method, path) in [("GET", "keys"), ("POST", "organizations")] {
        assert_eq!(call(&app, &owner, method, path, json!({"id": "y"})).await.0, 403, "{method} {path}");
    }
    let (_, page) = call(&app, &owner, "GET", "organizations", Value::Null).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "its own: {page}");
}

#[tokio::test]
async fn an_apis_scopes_come_and_go_when_nobody_has_them() {
    let app = world().await;
    let token = operator(&app, "acme", "red", &["mintage:apis:read", "mintage:apis:write"], &[]).await;
    let api = json!({"identifier": "https://a.example", "scopes": [{"name": "a:read"}]});
    assert_eq!(call(&app, &token, "POST", "apis", api).await.0, 201);
    let path = "apis/https%3A%2F%2Fa.example";
    let with = |names: &[&str]| json!({"scopes": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    assert_eq!(call(&app, &token, "PATCH", path, with(&["a:read", "a:write"])).await.0, 200);
    client_in(&app, "acme", "blue", "holder", json!({"scopes": ["a:write"]})).await;
    let (status, problem) = call(&app, &token, "PATCH", path, with(&["a:read"])).await;
    assert_eq!((status, &problem["reason"]), (409, &json!("conflict")), "{problem}");
    assert!(!problem.to_string().contains("holder"), "it is another project's: {problem}");
    assert_eq!(call(&app, &token, "DELETE", path, Value::Null).await.0, 409);
    // What reaches into other projects takes the organization's level.
    let introspected =
        json!({"identifier": "https://i.example", "introspectors": ["nobody"], "scopes": [{"name": "i:read"}]});
    assert_eq!(call(&app, &token, "POST", "apis", introspected).await.1["reason"], "beyond_caller");
    for patch in [json!({"introspectors": ["nobody"]}), json!({"token_ttl": 60})] {
        assert_eq!(call(&app, &token, "PATCH", path, patch).await.1["reason"], "beyond_caller");
    }
    assert_eq!(call(&app, &token, "PATCH", path, with(&["a:write"])).await.0, 200);
    // Another organization sees nothing of it, and cannot grant its scopes, nor take them for its own.
    let other = ["mintage:apis:read", "mintage:apis:write", "mintage:clients:write"];
    let other = operator(&app, "other", "red", &other, &[]).await;
    assert_eq!(call(&app, &other, "GET", path, Value::Null).await.0, 404);
    assert_eq!(call(&app, &other, "GET", "apis", Value::Null).await.1["items"], json!([]));
    let (status, problem) = call(&app, &other, "POST", "clients", json!({"name": "x", "scopes": ["a:write"]})).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("scopes[0]")), "{problem}");
    let same = json!({"identifier": "https://b.example", "scopes": [{"name": "a:write"}]});
    let (status, problem) = call(&app, &other, "POST", "apis", same).await;
    assert!(status == 409 && !problem.to_string().contains("a.example"), "{problem}");
    made(&app, "roles", json!({"name": "W", "organization": "acme", "scopes": ["a:write"]})).await;
    assert_eq!(ask(&app, "DELETE", "clients/holder", &Value::Null).await.0, 204);
    assert_eq!(call(&app, &token, "DELETE", path, Value::Null).await.0, 409, "a role grants it");
    assert_eq!(ask(&app, "DELETE", "roles/W?organization=acme", &Value::Null).await.0, 204);
    assert_eq!(call(&app, &token, "DELETE", path, Value::Null).await.0, 204);
    assert_eq!(call(&app, &token, "GET", path, Value::Null).await.0, 404);
}
