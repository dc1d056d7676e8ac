//! The guarded routes, and the refusals of section 2.5 of the contract, word for word.

use mintage::api;
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::app::{TestApp, header};

/// The problem of a refused request, with what every problem has to have; and its challenge.
async fn refused(response: Response, status: u16, reason: &str) -> (Value, Option<String>) {
    let challenge = header(&response, "www-authenticate").map(str::to_owned);
    assert_eq!(header(&response, "content-type"), Some("application/problem+json"));
    let got = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    assert_eq!((got, problem["reason"].as_str()), (status, Some(reason)), "{problem}");
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail", "request_id"] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{member}: {problem}");
    }
    (problem, challenge)
}

#[tokio::test]
async fn whoami_tells_claims_and_source() {
    let app = TestApp::start().await;
    let client = app.client(&["mintage:projects:read"]).await;
    let token = app.token(&client).await;
    app.advance(100);
    let response = app.get("/api/v1/whoami", Some(&token)).await;
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["claims"]["client_id"], client.id.as_str());
    assert_eq!(body["source_address"], "127.0.0.1");
    assert_eq!(body["source_address_from"], "peer");
    assert_eq!(body["expires_in"], 3500);
    assert_eq!(body.as_object().unwrap().len(), 4);
    let projects: Value = app.get("/api/v1/projects", Some(&token)).await.json().await.unwrap();
    assert_eq!(projects["items"][0]["id"], "default");
    assert_eq!(projects["items"].as_array().unwrap().len(), 1);
    assert_eq!(projects["next_cursor"], Value::Null);
}

#[tokio::test]
async fn each_refusal_has_its_words() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    let client = app.client(&["mintage:projects:read"]).await;
    let token = app.token(&client).await;

    let (_, challenge) = refused(app.get("/api/v1/whoami", None).await, 401, "no_credentials").await;
    let metadata = format!("{}/.well-known/oauth-protected-resource", app.issuer);
    assert_eq!(challenge.unwrap(), format!("Bearer realm=\"mintage\", resource_metadata=\"{metadata}\""));
    let document: Value = app.http.get(metadata).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["resource"], app.issuer.as_str());

    let get = || app.http.get(app.url("/api/v1/whoami"));
    let malformed = [
        get().basic_auth(&client.id, Some(&client.secret)),
        get().header(AUTHORIZATION, "Bearer"),
        get().header(AUTHORIZATION, "Bearer "),
        get().header(AUTHORIZATION, format!("Bearer {token} {token}")),
        get().header(AUTHORIZATION, format!("Bearer {token},")),
        get().header(AUTHORIZATION, format!("Bearer {token}")).header(AUTHORIZATION, format!("Bearer {token}")),
        app.http.get(app.url(&format!("/api/v1/whoami?access_token={token}"))),
        app.http.get(app.url("/api/v1/whoami?access_token=x")).bearer_auth(&token),
        get().header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(format!("access_token={token}")),
        get().bearer_auth(&token).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body("access_token=x"),
    ];
    for request in malformed {
        let (_, challenge) = refused(request.send().await.unwrap(), 400, "malformed_request").await;
        assert_eq!(challenge.as_deref(), Some("Bearer error=\"invalid_request\""));
    }

    let (problem, challenge) =
        refused(app.get("/api/v1/whoami", Some(&format!("{token}x"))).await, 401, "token_invalid").await;
    let description = problem["detail"].as_str().unwrap();
    assert_eq!(challenge.unwrap(), format!("Bearer error=\"invalid_token\", error_description=\"{description}\""));

    let other = app.client(&["orders:read"]).await;
    let elsewhere = app.token(&other).await;
    let (problem, _) = refused(app.get("/api/v1/projects", Some(&elsewhere)).await, 401, "token_invalid").await;
    assert!(problem["detail"].as_str().unwrap().contains(&format!("resource={}", app.issuer)), "{problem}");

    let bare = app.client(&[]).await;
    let bare = app.token(&bare).await;
    let (problem, challenge) = refused(app.get("/api/v1/projects", Some(&bare)).await, 403, "insufficient_scope").await;
    assert_eq!(challenge.unwrap(), "Bearer error=\"insufficient_scope\", scope=\"mintage:projects:read\"");
    assert_eq!(problem["scope"], "mintage:projects:read");

    app.advance(3629);
    assert_eq!(app.get("/api/v1/whoami", Some(&token)).await.status(), 200, "within the leeway");
    app.advance(1);
    let (_, challenge) = refused(app.get("/api/v1/whoami", Some(&token)).await, 401, "token_expired").await;
    assert!(
        challenge.unwrap().starts_with("Bearer error=\"invalid_token\", error_description=\"the token expired at 20")
    );
}

#[tokio::test]
async fn a_token_is_good_only_where_its_allowlist_says() {
    let app = TestApp::builder()
        .config(|config| {
            config.network.trusted_proxies = mintage::source_ip::Allowlist::parse(["127.0.0.1"]).unwrap();
        })
        .start()
        .await;
    let client = app
        .client_with(api::NewClient {
            ip_allowlist: vec!["10.0.0.0/8".to_owned(), "2001:db8::/32".to_owned()],
            ..Default::default()
        })
        .await;
    let inside = ("x-forwarded-for", "10.1.2.3");
    let token = app.token_request(&client, &[]).header(inside.0, inside.1).send().await.unwrap();
    let token: Value = token.json().await.unwrap();
    let token = token["access_token"].as_str().unwrap();
    let from = |value: &'static str| {
        let request = app.http.get(app.url("/api/v1/whoami")).bearer_auth(token);
        async move { request.header("x-forwarded-for", value).send().await.unwrap() }
    };
    let good: Value = from("203.0.113.9, 10.1.2.3").await.json().await.unwrap();
    assert_eq!(
        (&good["source_address"], &good["source_address_from"]),
        (&json!("10.1.2.3"), &json!("x-forwarded-for"))
    );
    assert_eq!(from("2001:db8::1").await.status(), 200);
    assert_eq!(from("::ffff:10.1.2.3").await.status(), 200);
    let (problem, challenge) = refused(from("192.0.2.7").await, 403, "ip_not_allowed").await;
    assert_eq!(challenge, None);
    assert_eq!(problem["source_address"], "192.0.2.7");
    assert_eq!(problem["source_address_from"], "x-forwarded-for");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("192.0.2.7") && detail.contains("credential itself is good"), "{detail}");
    refused(from("10.1.2.3, nonsense").await, 400, "malformed_request").await;
}

#[tokio::test]
async fn what_a_caller_may_do_is_read_from_the_store() {
    let app = TestApp::start().await;
    let client = app.client(&["mintage:projects:read"]).await;
    let token = app.token(&client).await;
    assert_eq!(app.get("/api/v1/projects", Some(&token)).await.status(), 200);
    let cut = |status| {
        let (service, id, caller) = (&app.service, &client.id, app.caller());
        async move { service.set_client_status(id, status, "client.test", &caller).await.unwrap() }
    };
    cut(api::ClientStatus::Disabled).await;
    let (_, challenge) = refused(app.get("/api/v1/projects", Some(&token)).await, 401, "token_revoked").await;
    assert!(challenge.unwrap().starts_with("Bearer error=\"invalid_token\""));
    cut(api::ClientStatus::Active).await;
    refused(app.get("/api/v1/projects", Some(&token)).await, 401, "token_revoked").await;
    let fresh = app.token(&client).await;
    assert_eq!(app.get("/api/v1/projects", Some(&fresh)).await.status(), 200);
    app.service.delete_client(&client.id, &app.caller()).await.unwrap();
    refused(app.get("/api/v1/projects", Some(&fresh)).await, 401, "token_revoked").await;
    assert_eq!(app.token_request(&client, &[]).send().await.unwrap().status(), 401);
    let app = app.restart().await;
    refused(app.get("/api/v1/projects", Some(&fresh)).await, 401, "token_revoked").await;
}

#[tokio::test]
async fn a_token_of_a_secret_that_has_ended_is_cut_off_with_its_client() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    let old = app.token(&client).await;
    let end_all = api::NewSecret { overlap: Some(0), ..Default::default() };
    // The second rotation takes the first secret's record out; its tokens live on, and still belong to the client.
    for _ in 0..2 {
        app.service.add_secret(&client.id, &end_all, &app.caller()).await.unwrap();
    }
    assert_eq!(app.get("/api/v1/whoami", Some(&old)).await.status(), 200);
    app.service
        .set_client_status(&client.id, api::ClientStatus::Disabled, "client.revoke", &app.caller())
        .await
        .unwrap();
    refused(app.get("/api/v1/whoami", Some(&old)).await, 401, "token_revoked").await;
}

#[tokio::test]
async fn cursors_are_signed_and_limits_bounded() {
    let app = TestApp::start().await;
    let client = app.client(&["mintage:projects:read"]).await;
    let token = app.token(&client).await;
    for query in ["cursor=x", "cursor=ZGVmYXVsdA", "limit=0", "limit=1001", "limit=x"] {
        let response = app.get(&format!("/api/v1/projects?{query}"), Some(&token)).await;
        let (problem, _) = refused(response, 400, "invalid_field").await;
        assert!(problem["errors"][0]["field"].is_string(), "{problem}");
    }
    assert_eq!(app.get("/api/v1/projects?limit=1", Some(&token)).await.status(), 200);
}

#[tokio::test]
async fn an_issuer_with_a_path_is_served_with_and_without_it() {
    let app =
        TestApp::builder().config(|config| config.issuer = Some("https://auth.example/mint".to_owned())).start().await;
    let client = app.client(&[]).await;
    let token = app.token(&client).await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mint",
        "/mint/.well-known/openid-configuration",
        "/mint/.well-known/jwks.json",
        "/.well-known/oauth-protected-resource/mint",
        "/mint/api/v1/whoami",
        "/api/v1/whoami",
    ] {
        assert_eq!(app.get(path, Some(&token)).await.status(), 200, "{path}");
    }
    let metadata: Value = app.get("/.well-known/oauth-authorization-server/mint", None).await.json().await.unwrap();
    assert_eq!(metadata["issuer"], "https://auth.example/mint");
    assert_eq!(metadata["token_endpoint"], "https://auth.example/mint/oauth/token");
    assert_eq!(
        metadata["grant_types_supported"],
        json!(["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"])
    );
    for path in ["/mint", "/mint/nothing", "/errors/%FF"] {
        assert!(app.get(path, Some(&token)).await.status().is_client_error(), "{path}");
    }
}
