//! Changing an API, and who introspects for it.

use mintage::api::{ApiPatch, NewApi, NewClient};
use mintage::server::error::{Error, FieldError};
use serde_json::{Value, json};

use crate::app::{TestApp, encode};
use crate::client_changes::{ask, audit, fields};

const ORDERS: &str = "https://orders.example";

#[tokio::test]
async fn an_api_is_changed_and_remembers_it() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read"]).await;
    let client = app.client(&[]).await;
    let path = "apis/https%3A%2F%2Forders.example";
    let (status, shown) =
        ask(&app, "PATCH", path, &json!({"name": "Orders", "token_ttl": 60, "introspectors": [client.id, client.id]}))
            .await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!((&shown["name"], &shown["token_ttl"]), (&json!("Orders"), &json!(60)));
    assert_eq!(shown["introspectors"], json!([client.id]));
    let caller = app.client(&["orders:read"]).await;
    assert_eq!(app.token_answer(&caller, &[]).await["expires_in"], 60, "what is at hand follows");
    let (_, shown) = ask(&app, "PATCH", path, &json!({"token_ttl": null})).await;
    assert_eq!((&shown["token_ttl"], &shown["introspectors"]), (&Value::Null, &json!([client.id])));
    assert_eq!(app.token_answer(&caller, &[]).await["expires_in"], 3600);

    let many: Vec<_> = (0..101).map(|n| format!("c{n}")).collect();
    for (body, expected) in [
        (json!({"name": ""}), &["name"][..]),
        (json!({"token_ttl": 3601}), &["token_ttl"]),
        (
            json!({"introspectors": [client.id, "nobody", client.id, "no id", "nobody"]}),
            &["introspectors[1]", "introspectors[3]"],
        ),
        (json!({"introspectors": many}), &["introspectors"]),
    ] {
        assert_eq!(fields(&app, "PATCH", path, body).await, expected);
    }
    let new = json!({"identifier": "https://b.example", "introspectors": ["nobody"]});
    assert_eq!(fields(&app, "POST", "apis", new).await, ["introspectors[0]"]);
    for body in [json!({"scopes": null}), json!({"introspectors": null}), json!({"name": null})] {
        assert_eq!(ask(&app, "PATCH", path, &body).await.1["reason"], "malformed_request", "{body}");
    }
    assert_eq!(ask(&app, "PATCH", "apis/nothing", &json!({})).await.0, 404);
    assert_eq!(ask(&app, "PATCH", path, &json!({})).await.0, 200, "no change, and no record");

    let new = json!({"identifier": "https://b.example", "introspectors": [caller.id, client.id]});
    assert_eq!(ask(&app, "POST", "apis", &new).await.1["introspectors"], json!([caller.id, client.id]));
    let app = app.restart().await;
    assert_eq!(app.service.api(ORDERS, &app.caller()).unwrap().value.introspectors, std::slice::from_ref(&client.id));
    app.service
        .update_api(ORDERS, &ApiPatch { name: Some("O".to_owned()), ..ApiPatch::default() }, &app.caller())
        .await
        .unwrap();
    let records = audit(app).await;
    let told: Vec<_> =
        records.iter().filter(|r| r["target"] == ORDERS).map(|r| r["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["api.create", "api.update", "api.update", "api.update"]);
}

#[tokio::test]
async fn who_gets_the_id_of_an_introspector_is_none() {
    let app = TestApp::start().await;
    let named = || NewClient { client_id: Some("gateway".to_owned()), ..NewClient::default() };
    app.client_with(named()).await;
    for (identifier, introspectors) in [("https://a.example", &["gateway"][..]), ("https://b.example", &[])] {
        let new = NewApi {
            identifier: identifier.to_owned(),
            introspectors: introspectors.iter().map(|id| (*id).to_owned()).collect(),
            ..NewApi::default()
        };
        app.service.create_api(new, &app.caller()).await.unwrap();
    }
    app.service.delete_client("gateway", &app.caller()).await.unwrap();
    assert!(
        app.service.api("https://a.example", &app.caller()).unwrap().value.introspectors.is_empty(),
        "what is at hand follows"
    );
    app.client_with(named()).await;
    let app = app.restart().await;
    assert!(app.service.api("https://a.example", &app.caller()).unwrap().value.introspectors.is_empty());
    let patch = ApiPatch { introspectors: Some(vec!["gone".to_owned()]), ..ApiPatch::default() };
    let refused = app.service.update_api("https://a.example", &patch, &app.caller()).await;
    let Err(Error::InvalidFields(errors)) = refused else { panic!("{refused:?}") };
    let FieldError { field, detail } = &errors[0];
    assert!(field == "introspectors[0]" && !detail.contains("gone"), "{detail}");
    let told: Vec<_> = audit(app)
        .await
        .iter()
        .map(|r| (r["action"].as_str().unwrap().to_owned(), r["target"].as_str().unwrap().to_owned()))
        .filter(|(action, _)| action == "api.update" || action == "client.delete")
        .collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(told, [pair("api.update", "https://a.example"), pair("client.delete", "gateway")]);
}

#[tokio::test]
async fn an_introspector_knows_tokens_as_long_as_it_is_named() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read"]).await;
    let (gateway, client) = (app.client(&[]).await, app.client(&["orders:read"]).await);
    let token = app.token(&client).await;
    for (introspectors, active) in [(vec![], false), (vec![gateway.id.clone()], true), (vec![], false)] {
        let patch = ApiPatch { introspectors: Some(introspectors), ..ApiPatch::default() };
        app.service.update_api(ORDERS, &patch, &app.caller()).await.unwrap();
        let request = app.http.post(app.url("/oauth/introspect")).basic_auth(&gateway.id, Some(&gateway.secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer: Value = request.body(encode(&[("token", &token)])).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["active"], active, "{answer}");
    }
}

#[tokio::test]
async fn an_array_is_no_object() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read"]).await;
    for (method, path, body) in [
        ("POST", "organizations", json!({"id": "a", "secret_policy": [60]})),
        ("POST", "projects", json!({"id": "a", "secret_policy": []})),
        ("PATCH", "organizations/default", json!({"secret_policy": [60]})),
        ("PATCH", "projects/default", json!({"secret_policy": []})),
        ("POST", "apis", json!({"identifier": "urn:a", "scopes": [["a:read"]]})),
        ("PATCH", "apis/https%3A%2F%2Forders.example", json!({"scopes": [["orders:read", "d"]]})),
    ] {
        let (status, problem) = ask(&app, method, path, &body).await;
        assert_eq!(
            (status, &problem["reason"]),
            (400, &json!("malformed_request")),
            "{method} {path} {body}: {problem}"
        );
    }
    for body in [json!({"secret_policy": {"max_ttl": 60}}), json!({"secret_policy": null}), json!({})] {
        assert_eq!(ask(&app, "PATCH", "projects/default", &body).await.0, 200, "{body}");
    }
}
