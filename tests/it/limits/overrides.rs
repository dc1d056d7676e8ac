//! Limits of organizations, projects and clients, and who may set them.

use mintage::api::{Limits, NewClient, RateChange};
use serde_json::{Value, json};

use super::{limited, standing};
use crate::app::{TestApp, TestClient, header};
use crate::client_changes::ask;
use crate::operators::{call, operator, world};

fn token_limit(per_minute: u32) -> Limits {
    Limits { token: RateChange { per_minute: Some(per_minute), ..RateChange::default() }, ..Limits::default() }
}

async fn limit_of(app: &TestApp, client: &TestClient) -> u64 {
    standing(&app.token_request(client, &[]).send().await.unwrap()).0
}

#[tokio::test]
async fn the_nearest_says_how_many() {
    let app = limited(|config| config.limits.token.per_minute = 10).await;
    let plain = app.client(&[]).await;
    let own = app.client_with(NewClient { limits: token_limit(20), ..NewClient::default() }).await;
    assert_eq!((limit_of(&app, &plain).await, limit_of(&app, &own).await), (10, 20));
    let patch = |limits: Value| json!({ "limits": limits });
    let (status, shown) =
        ask(&app, "PATCH", "organizations/default", &patch(json!({"token": {"per_minute": 7}}))).await;
    assert_eq!((status, &shown["limits"]), (200, &json!({"token": {"per_minute": 7}})));
    assert_eq!((limit_of(&app, &plain).await, limit_of(&app, &own).await), (7, 20));
    ask(&app, "PATCH", "projects/default", &patch(json!({"token": {"burst": 9}}))).await;
    assert_eq!((limit_of(&app, &plain).await, limit_of(&app, &own).await), (9, 20));
    let client = format!("clients/{}", own.id);
    let (_, shown) = ask(&app, "PATCH", &client, &patch(json!({"token": {"per_minute": null, "burst": 3}}))).await;
    assert_eq!(shown["limits"], json!({"token": {"burst": 3}}));
    assert_eq!(limit_of(&app, &own).await, 3);
    let (_, shown) = ask(&app, "PATCH", &client, &patch(Value::Null)).await;
    assert_eq!((&shown["limits"], limit_of(&app, &own).await), (&json!({}), 9));
    let app = app.restart().await;
    assert_eq!(limit_of(&app, &own).await, 9);
}

/// As many stay taken as were, whatever the limit is changed to: not the time that they would have taken to come back.
#[tokio::test]
async fn who_is_given_more_has_more_at_once() {
    let app = limited(|config| config.limits.token.per_minute = 1_000).await;
    let client = app.client_with(NewClient { limits: token_limit(5), ..NewClient::default() }).await;
    let path = format!("clients/{}", client.id);
    let ask_once = async || {
        let answer = app.token_request(&client, &[]).send().await.unwrap();
        (
            answer.status().as_u16(),
            standing(&answer),
            header(&answer, "retry-after").map_or(0, |seconds| seconds.parse().unwrap()),
        )
    };
    for left in (0..5).rev() {
        assert_eq!(ask_once().await, (200, (5, left), 0));
    }
    assert_eq!(ask_once().await, (429, (5, 0), 12));
    ask(&app, "PATCH", &path, &json!({"limits": {"token": {"per_minute": 100}}})).await;
    assert_eq!(ask_once().await, (200, (100, 94), 0));
    for left in (20..94).rev() {
        assert_eq!(ask_once().await, (200, (100, left), 0));
    }
    // And who is given less waits no longer than for what there can be now.
    ask(&app, "PATCH", &path, &json!({"limits": {"token": {"per_minute": 4}}})).await;
    assert_eq!(ask_once().await, (429, (4, 0), 15));
    app.advance(15);
    assert_eq!(ask_once().await, (200, (4, 0), 0));
    // A slow one that was used up does not outlive itself.
    ask(&app, "PATCH", &path, &json!({"limits": {"token": {"per_minute": 1, "burst": 60}}})).await;
    app.advance(3600);
    for left in (0..60).rev() {
        assert_eq!(ask_once().await, (200, (60, left), 0));
    }
    assert_eq!(ask_once().await, (429, (60, 0), 60));
    ask(&app, "PATCH", &path, &json!({"limits": null})).await;
    assert_eq!(ask_once().await, (200, (1000, 939), 0));
}

/// What was said at one place and at another makes no bucket that is forgotten before it is full.
#[tokio::test]
async fn a_burst_comes_back_within_a_day_whoever_set_it() {
    let app = limited(|config| config.limits.token.per_minute = 1_000).await;
    let (status, _) = ask(&app, "PATCH", "projects/default", &json!({"limits": {"token": {"burst": 500_000}}})).await;
    assert_eq!(status, 200);
    let client = app.client(&[]).await;
    assert_eq!(limit_of(&app, &client).await, 500_000);
    let path = format!("clients/{}", client.id);
    ask(&app, "PATCH", "organizations/default", &json!({"limits": {"token": {"per_minute": 1}}})).await;
    assert_eq!(limit_of(&app, &client).await, 1440);
    ask(&app, "PATCH", &path, &json!({"limits": {"token": {"per_minute": 2}}})).await;
    assert_eq!(limit_of(&app, &client).await, 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_name() {
    let app = limited(|_| {}).await;
    for (limits, field) in [
        (json!({"token": {"burst": 0}}), "limits.token.burst"),
        (json!({"routes": {"read": {"per_day": 4_000_000_000_u32}}}), "limits.routes.read.per_day"),
        (json!({"token": {"per_minute": 1, "burst": 1441}}), "limits.token.burst"),
    ] {
        for (method, path) in [("PATCH", "projects/default"), ("PATCH", "organizations/default"), ("POST", "clients")] {
            let body =
                if method == "POST" { json!({"name": "n", "limits": limits}) } else { json!({"limits": limits}) };
            let (status, problem) = ask(&app, method, path, &body).await;
            assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!(field)), "{path}: {problem}");
        }
    }
    for bad in
        [json!([]), json!({"token": {"per_hour": 1}}), json!({"token": {"per_minute": -1}}), json!({"token": [1]})]
    {
        let (status, _) = ask(&app, "PATCH", "projects/default", &json!({"limits": bad})).await;
        assert_eq!(status, 400, "{bad}");
    }
}

/// Who reaches a project alone gives its clients less than it has, or as much, and never more; nor does it change what
/// the project has.
#[tokio::test]
async fn a_projects_operator_does_not_raise_what_it_is_held_to() {
    let app = world().await;
    let scopes = ["mintage:clients:read", "mintage:clients:write", "mintage:projects:read", "mintage:projects:write"];
    ask(&app, "PATCH", "projects/red?organization=acme", &json!({"limits": {"token": {"per_minute": 10}}})).await;
    let of_project = operator(&app, "acme", "red", &scopes, &[]).await;
    let new = |limits: Value| json!({"name": "n", "limits": {"token": limits}});
    let made = |limits: Value| call(&app, &of_project, "POST", "clients", new(limits));
    let (status, client) = made(json!({"per_minute": 10})).await;
    assert_eq!(status, 201, "{client}");
    for more in [json!({"per_minute": 11}), json!({"per_minute": 0}), json!({"burst": 11})] {
        let (status, problem) = made(more.clone()).await;
        assert_eq!((status, &problem["reason"]), (403, &json!("beyond_caller")), "{more}");
    }
    let path = format!("clients/{}", client["client_id"].as_str().unwrap());
    let set = |limits: Value| call(&app, &of_project, "PATCH", &path, json!({"limits": {"token": limits}}));
    assert_eq!(set(json!({"per_minute": 5})).await.0, 200);
    assert_eq!(set(json!({"per_minute": 50})).await.0, 403);
    let (status, _) = call(&app, &of_project, "PATCH", "projects/red", json!({"limits": null})).await;
    assert_eq!(status, 403);
    // It is not said anew by who changes something else.
    ask(&app, "PATCH", &path, &json!({"limits": {"token": {"per_minute": 50}}})).await;
    assert_eq!(call(&app, &of_project, "PATCH", &path, json!({"name": "other"})).await.0, 200);
    let of_organization = operator(&app, "acme", "red", &[], &["ORG_OWNER"]).await;
    let (status, _) =
        call(&app, &of_organization, "PATCH", &path, json!({"limits": {"token": {"per_minute": 60}}})).await;
    assert_eq!(status, 200);
}

/// What an organization demands of a project's credentials is not for the project's operator to let go of.
#[tokio::test]
async fn a_projects_operator_does_not_loosen_its_policy() {
    let app = world().await;
    let policy = json!({"max_ttl": 86_400, "max_keys": 2, "require_expiry": true, "require_allowlist": true});
    let token = operator(&app, "acme", "red", &["mintage:projects:write"], &[]).await;
    ask(&app, "PATCH", "projects/red?organization=acme", &json!({ "secret_policy": policy })).await;
    let patch = |policy: Value| call(&app, &token, "PATCH", "projects/red", json!({ "secret_policy": policy }));
    for looser in [
        Value::Null,
        json!({"max_ttl": 86_401}),
        json!({"max_ttl": null}),
        json!({"max_keys": 3}),
        json!({"max_keys": null}),
        json!({"require_expiry": false}),
        json!({"require_allowlist": false}),
    ] {
        let (status, problem) = patch(looser.clone()).await;
        assert_eq!((status, &problem["reason"]), (403, &json!("beyond_caller")), "{looser}");
    }
    let (status, project) = patch(json!({"max_ttl": 3600, "max_keys": 1, "warn_before": 60})).await;
    assert_eq!((status, &project["secret_policy"]["max_keys"]), (200, &json!(1)));
}
