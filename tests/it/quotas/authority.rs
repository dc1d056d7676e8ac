//! Who may change quotas and balances: nobody what binds themselves, unless they reach the organization.

use mintage::api::NewProject;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::coverage::{operator, token_with};

const WRITE: [&str; 2] = ["mintage:clients:write", "mintage:projects:write"];

#[tokio::test]
async fn nobody_raises_what_binds_themselves() {
    let app = TestApp::start().await;
    let shop = NewProject { id: "shop".to_owned(), ..NewProject::default() };
    app.service.create_project(shop, &app.caller()).await.unwrap();
    let manager = operator(&app, ("default", "default"), &WRITE, &[]).await;
    let owner = operator(&app, ("default", "default"), &[], &["ORG_OWNER"]).await;
    let other = operator(&app, ("default", "default"), &[], &[]).await;
    let away = operator(&app, ("default", "shop"), &[], &[]).await;
    let (of_manager, of_owner) = (token_with(&app, &manager, &WRITE).await, token_with(&app, &owner, &WRITE).await);
    let send = async |method: &str, path: &str, body: &Value, token: &str| {
        let request = app.http.request(method.parse().unwrap(), app.url(&format!("/api/v1/{path}"))).bearer_auth(token);
        let response = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap()["reason"].as_str().unwrap_or_default().to_owned())
    };
    let ok = (200, String::new());
    let refused = (403, "beyond_caller".to_owned());
    let absent = (404, "not_found".to_owned());
    let quotas = json!({ "quotas": { "tokens": { "day": 1000 } } });
    let (own, others, aways) =
        (format!("clients/{}", manager.id), format!("clients/{}", other.id), format!("clients/{}", away.id));
    // To take less is anybody's who may change it; to take more, or to pay in, is for who reaches the organization.
    for (path, lowered, raised) in [
        (&*own, &ok, &refused),
        ("projects/default", &refused, &refused),
        (&*others, &ok, &refused),
        (&*aways, &absent, &absent),
        ("projects/shop", &absent, &absent),
    ] {
        let balance = format!("{path}/balance");
        let more = json!({ "quotas": { "tokens": { "day": 2000 } } });
        for (method, path, body, by_manager) in [
            ("PATCH", path, &quotas, lowered),
            ("PATCH", path, &more, raised),
            ("PATCH", path, &json!({ "quotas": null }), raised),
            ("POST", &*balance, &json!({ "add": 1000 }), raised),
        ] {
            assert_eq!(send(method, path, body, &of_manager).await, *by_manager, "{method} {path} {body}");
            assert_eq!(send(method, path, body, &of_owner).await, ok, "{method} {path} {body}");
            assert_eq!(send("PATCH", path.trim_end_matches("/balance"), &quotas, &of_owner).await, ok);
        }
    }
    // What changes none of it is theirs to change, as ever.
    for path in [&*own, "projects/default"] {
        assert_eq!(send("PATCH", path, &json!({ "name": "new" }), &of_manager).await, ok);
        assert_eq!(send("PATCH", path, &quotas, &of_manager).await, ok, "they are that already");
    }
}

/// Who has used all that there is looks at it, and has more, with the credential that has none left.
#[tokio::test]
async fn what_is_used_up_can_be_filled_up() {
    let app = TestApp::start().await;
    let owner = operator(&app, ("default", "default"), &[], &["ORG_OWNER"]).await;
    let scopes = ["mintage:projects:read", "mintage:projects:write", "mintage:clients:read", "mintage:clients:write"];
    let token = token_with(&app, &owner, &scopes).await;
    let send = async |method: &str, path: &str, body: &Value| {
        let request =
            app.http.request(method.parse().unwrap(), app.url(&format!("/api/v1/{path}"))).bearer_auth(&token);
        let response = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let reason = |answer: (u16, Value)| (answer.0, answer.1["reason"].as_str().unwrap_or_default().to_owned());
    let path = "projects/default";
    let (balance, quotas) = (format!("{path}/balance"), format!("{path}/quotas"));
    assert_eq!(reason(send("POST", &balance, &json!({ "set": 0 })).await), (200, String::new()));
    assert_eq!(reason(send("GET", path, &Value::Null).await), (402, "insufficient_balance".to_owned()));
    let (status, shown) = send("GET", &quotas, &Value::Null).await;
    assert_eq!((status, &shown["balance"]), (200, &json!(0)));
    assert_eq!(send("POST", &balance, &json!({ "add": 2 })).await.1["balance"], 2);
    assert_eq!(send("GET", path, &Value::Null).await.0, 200);
    assert_eq!(send("GET", &quotas, &Value::Null).await.1["balance"], 1, "to look at it costs nothing");
    assert_eq!(send("POST", &balance, &json!({ "set": null })).await.0, 200);

    assert_eq!(send("PATCH", path, &json!({ "quotas": { "requests": { "day": 0 } } })).await.0, 200);
    assert_eq!(reason(send("GET", path, &Value::Null).await), (403, "quota_exceeded".to_owned()));
    assert_eq!(send("PATCH", path, &json!({ "quotas": null })).await.0, 200);
    assert_eq!(send("GET", path, &Value::Null).await.0, 200);
}

/// The token endpoint says what the routes do.
#[tokio::test]
async fn a_quota_of_tokens_that_is_used_up_has_its_members() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let quotas = json!({ "quotas": { "tokens": { "total": 1 } } });
    assert_eq!(crate::client_changes::ask(&app, "PATCH", &format!("clients/{}", client.id), &quotas).await.0, 200);
    app.token(&client).await;
    let refused = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let body: Value = refused.json().await.unwrap();
    assert_eq!((&body["error"], &body["reason"]), (&json!("access_denied"), &json!("quota_exceeded")));
    let members = ["whose", "counts", "period", "quota", "used", "cost", "resets_at"].map(|name| body[name].clone());
    let expected = [json!("client"), json!("tokens"), json!("total"), json!(1), json!(1), json!(1), Value::Null];
    assert_eq!(members, expected, "{body}");
}
