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
