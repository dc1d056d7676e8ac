//! What operators do over REST on the public listener: roles, reach, policies, and looking for clients.

mod find;
mod policies;
mod reach;
mod review;
mod roles;

use mintage::api::NewClient;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::app::{TestApp, TestClient};
use crate::client_changes::ask;

/// One request with a token: its status and its body.
pub async fn call(app: &TestApp, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let mut request = app
        .http
        .request(method.parse().unwrap(), app.url(&format!("/api/v1/{path}")))
        .header(AUTHORIZATION, format!("Bearer {token}"));
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}

/// Something that the admin socket makes.
pub async fn made(app: &TestApp, path: &str, body: Value) -> Value {
    let (status, answer) = ask(app, "POST", path, &body).await;
    assert_eq!(status, 201, "{path} {body}: {answer}");
    answer
}

/// A client with roles, and its token for Mintage's own routes.
pub async fn operator(app: &TestApp, organization: &str, project: &str, scopes: &[&str], roles: &[&str]) -> String {
    let client = app
        .client_with(NewClient {
            organization: Some(organization.to_owned()),
            project: Some(project.to_owned()),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..NewClient::default()
        })
        .await;
    own_token(app, &client).await
}

/// A token for Mintage's own routes.
pub async fn own_token(app: &TestApp, client: &TestClient) -> String {
    let answer = app.token_answer(client, &[("resource", &app.issuer)]).await;
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Two organizations, the first with two projects.
pub async fn world() -> TestApp {
    let app = TestApp::start().await;
    for organization in ["acme", "other"] {
        made(&app, "organizations", json!({"id": organization})).await;
    }
    for (organization, project) in [("acme", "red"), ("acme", "blue"), ("other", "red")] {
        made(&app, "projects", json!({"id": project, "organization": organization})).await;
    }
    app
}

/// A client of a project, by its id.
pub async fn client_in(app: &TestApp, organization: &str, project: &str, id: &str, more: Value) -> Value {
    let mut body = json!({"name": id, "client_id": id, "organization": organization, "project": project});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    made(app, "clients", body).await
}

/// The ids on a page.
pub fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["client_id"].as_str().unwrap()).collect()
}
