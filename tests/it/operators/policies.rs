//! How long secrets may live.

use serde_json::{Value, json};

use crate::client_changes::ask;

use super::{client_in, world};

#[tokio::test]
async fn the_stricter_policy_of_project_and_organization_holds() {
    let app = world().await;
    let set = async |path: &str, policy: Value| {
        let (status, answer) = ask(&app, "PATCH", path, &json!({"secret_policy": policy})).await;
        assert_eq!(status, 200, "{answer}");
        answer["secret_policy"].clone()
    };
    let life = |client: &Value| {
        let secret = client["secrets"].as_array().unwrap().last().unwrap();
        let at = |member: &str| {
            serde_json::from_value::<mintage::clock::Rfc3339>(secret[member].clone()).unwrap().0.seconds()
        };
        if secret["expires_at"].is_null() { None } else { Some(at("expires_at") - at("created_at")) }
    };
    assert_eq!(life(&client_in(&app, "acme", "red", "a", json!({})).await), None);
    set("projects/red?organization=acme", json!({"max_ttl": 7200})).await;
    assert_eq!(life(&client_in(&app, "acme", "red", "b", json!({})).await), Some(7200));
    assert_eq!(life(&client_in(&app, "acme", "red", "c", json!({"secret_ttl": 60})).await), Some(60));
    let (status, problem) = ask(
        &app,
        "POST",
        "clients",
        &json!({"name": "x", "organization": "acme", "project": "red", "secret_ttl": 7201}),
    )
    .await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("secret_ttl")), "{problem}");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("secret_policy"), "{problem}");
    assert_eq!(life(&client_in(&app, "acme", "blue", "d", json!({})).await), None, "another project");

    set("organizations/acme", json!({"max_ttl": 3600, "warn_before": 60})).await;
    assert_eq!(life(&client_in(&app, "acme", "red", "e", json!({})).await), Some(3600));
    assert_eq!(life(&client_in(&app, "acme", "blue", "f", json!({})).await), Some(3600));
    // A rotation is held to it, too; the secrets that are there stay what they are.
    let (status, rotated) = ask(&app, "POST", "clients/a/secrets", &json!({"overlap": 86400})).await;
    assert_eq!((status, life(&rotated)), (201, Some(3600)));
    let (status, problem) = ask(&app, "POST", "clients/a/secrets", &json!({"secret_ttl": 86400})).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("secret_ttl")));

    // A merge patch changes what it names.
    let policy = set("organizations/acme", json!({"max_ttl": null})).await;
    let unset = json!({
        "max_ttl": null, "warn_before": null, "require_expiry": false, "require_allowlist": false, "max_keys": null,
    });
    let mut expected = unset.clone();
    expected["warn_before"] = json!(60);
    assert_eq!(policy, expected);
    let (_, answer) = ask(&app, "PATCH", "organizations/acme", &json!({"secret_policy": null})).await;
    assert_eq!(answer["secret_policy"], unset);
    for policy in [json!({"max_ttl": 0}), json!({"warn_before": 0}), json!({"max_ttl": 400_000_000})] {
        let (status, problem) = ask(&app, "PATCH", "organizations/acme", &json!({"secret_policy": policy})).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem["errors"][0]["field"].as_str().unwrap().starts_with("secret_policy."));
    }
}

#[tokio::test]
async fn a_client_can_be_made_disabled() {
    let app = world().await;
    let made = client_in(&app, "acme", "red", "off", json!({"status": "disabled"})).await;
    assert_eq!(made["status"], "disabled");
    let secret = made["client_secret"].as_str().unwrap().to_owned();
    let off = crate::app::TestClient { id: "off".to_owned(), secret };
    assert_eq!(app.token_request(&off, &[]).send().await.unwrap().status(), 401);
    assert_eq!(ask(&app, "PATCH", "clients/off", &json!({"status": "active"})).await.0, 200);
    assert_eq!(app.token_request(&off, &[]).send().await.unwrap().status(), 200);
}
