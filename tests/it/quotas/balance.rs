//! Balances: what is paid in, what is spent, and that neither is lost to the other.

use std::sync::Arc;

use mintage::api::BalanceChange;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::coverage::{operator, token_with};

use super::{ask, at_once, balance, client, client_in, patch_client, pay, project, requests};

#[tokio::test]
async fn a_balance_is_spent_and_topped_up() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    let client = client(&app, requests(None, None, None)).await;
    let token = app.token(&client).await;
    assert_eq!((ask(&app, &token).await.status, balance(&app, &client.id).await), (200, None));
    assert_eq!(pay(&app, &client.id, json!({ "add": 2 })).await, Some(2));
    app.token(&client).await;
    for left in [1, 0] {
        assert_eq!((ask(&app, &token).await.status, balance(&app, &client.id).await), (200, Some(left)));
    }
    let refused = ask(&app, &token).await;
    assert_eq!(refused.verdict(), (402, "insufficient_balance".to_owned()), "{refused:?}");
    let said = refused.json();
    assert_eq!([&said["balance"], &said["cost"], &said["whose"]], [&json!(0), &json!(1), &json!("client")]);
    // Quotas come first, and what a balance refuses takes nothing from them.
    patch_client(&app, &client.id, json!({ "requests": { "day": 1 } })).await;
    assert_eq!(ask(&app, &token).await.status, 403, "the balance has counted the day's requests");
    patch_client(&app, &client.id, json!({ "requests": { "day": 3 } })).await;
    for _ in 0..3 {
        assert_eq!(ask(&app, &token).await.status, 402);
    }
    assert_eq!(pay(&app, &client.id, json!({ "add": 5, "note": "invoice 7" })).await, Some(5));
    assert_eq!((ask(&app, &token).await.status, ask(&app, &token).await.status), (200, 403));
    assert_eq!(balance(&app, &client.id).await, Some(4));
    assert_eq!(pay(&app, &client.id, json!({ "add": -10 })).await, Some(-6));
    patch_client(&app, &client.id, Value::Null).await;
    assert_eq!(ask(&app, &token).await.json()["balance"], -6);
    assert_eq!(pay(&app, &client.id, json!({ "set": 1 })).await, Some(1));
    assert_eq!((ask(&app, &token).await.status, ask(&app, &token).await.status), (200, 402));
    assert_eq!(pay(&app, &client.id, json!({ "set": null })).await, None);
    assert_eq!((ask(&app, &token).await.status, balance(&app, &client.id).await), (200, None));
    assert_eq!(pay(&app, &client.id, json!({ "add": 3 })).await, Some(3));

    let records = crate::client_changes::audit(app).await;
    let records: Vec<_> = records.iter().filter(|record| record["action"] == "client.balance").collect();
    let changes: Vec<_> = records.iter().map(|r| (r["before"]["balance"].clone(), r["after"].clone())).collect();
    assert_eq!(changes[1], (json!(0), json!({ "balance": 5, "note": "invoice 7" })));
    assert_eq!(changes[2], (json!(4), json!({ "balance": -6 })));
    assert_eq!((records.len(), &changes[4]), (6, &(json!(0), json!({ "balance": null }))));
}

#[tokio::test]
async fn a_project_pays_for_its_clients() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    project(&app, "shop", requests(None, None, None)).await;
    let (first, second) = (
        client_in(&app, "shop", requests(None, None, None)).await,
        client_in(&app, "shop", requests(None, None, None)).await,
    );
    let change = BalanceChange { add: Some(3), ..BalanceChange::default() };
    app.service.change_project_balance(None, "shop", &change, &app.caller()).await.unwrap();
    pay(&app, &first.id, json!({ "add": 1 })).await;
    let (one, other) = (app.token(&first).await, app.token(&second).await);
    assert_eq!(ask(&app, &one).await.status, 200);
    let refused = ask(&app, &one).await;
    assert_eq!((refused.status, &refused.json()["whose"]), (402, &json!("client")));
    assert_eq!((ask(&app, &other).await.status, ask(&app, &other).await.status), (200, 200));
    assert_eq!(ask(&app, &other).await.json()["whose"], "project");
    pay(&app, &first.id, json!({ "add": 1 })).await;
    assert_eq!(ask(&app, &one).await.json()["whose"], "project");
    assert_eq!(balance(&app, &first.id).await, Some(1), "what the project refuses takes nothing from the client");
}

#[tokio::test]
async fn a_top_up_that_is_sent_again_is_one() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let admin = operator(&app, ("default", "default"), &[], &["ORG_OWNER"]).await;
    let token = token_with(&app, &admin, &["mintage:clients:write"]).await;
    let post = async |body: Value, key: &str| {
        let path = format!("/api/v1/clients/{}/balance", client.id);
        let request = app.http.post(app.url(&path)).bearer_auth(&token).header("idempotency-key", key);
        let response = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let replayed = response.headers().contains_key("idempotency-replayed");
        let (status, tag) = (response.status().as_u16(), response.headers().contains_key("etag"));
        (status, replayed, tag, response.json::<Value>().await.unwrap())
    };
    let add = json!({ "add": 100 });
    assert_eq!(post(add.clone(), "a").await, (200, false, true, json!({ "balance": 100 })));
    assert_eq!(post(add.clone(), "a").await, (200, true, true, json!({ "balance": 100 })));
    assert_eq!(post(json!({ "add": 1 }), "a").await.0, 422);
    assert_eq!(post(add, "b").await.3, json!({ "balance": 200 }));
    for bad in [
        json!({}),
        json!({ "note": "n" }),
        json!({ "add": 1, "set": 1 }),
        json!({ "add": 1, "set": null }),
        json!({ "add": null }),
        json!({ "add": 1.5 }),
        json!({ "add": 1_000_000_000_000_001_i64 }),
        json!({ "set": 1, "note": "x".repeat(513) }),
    ] {
        assert_eq!(post(bad.clone(), &format!("bad {bad}")[..40.min(bad.to_string().len())]).await.0, 400, "{bad}");
    }
    assert_eq!(balance(&app, &client.id).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_in_and_spent_at_once_is_all_counted() {
    let app = Arc::new(TestApp::start().await);
    app.api("https://orders.example", &["orders:read"]).await;
    let client = client(&app, requests(None, None, None)).await;
    let token = app.token(&client).await;
    pay(&app, &client.id, json!({ "set": 20 })).await;
    let paying: Vec<_> = (0..24)
        .map(|_| {
            let (app, id) = (Arc::clone(&app), client.id.clone());
            tokio::spawn(async move { pay(&app, &id, json!({ "add": 5 })).await })
        })
        .collect();
    let granted = at_once(200, 402, |_| {
        let (app, token) = (Arc::clone(&app), token.clone());
        async move { ask(&app, &token).await.status }
    })
    .await;
    for one in paying {
        one.await.unwrap();
    }
    assert!((20..=140).contains(&granted), "{granted}");
    let left = 140 - granted as i64;
    assert_eq!(balance(&app, &client.id).await, Some(left));
    let app = Arc::into_inner(app).unwrap().restart().await;
    assert_eq!(balance(&app, &client.id).await, Some(left), "after a restart");
}
