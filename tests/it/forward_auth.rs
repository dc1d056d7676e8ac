//! `/forward-auth` as a proxy asks it, with the policy in the query.

use mintage::api;
use mintage::secret::Environment;
use mintage::server::config::Config;
use mintage::source_ip::Allowlist;
use serde_json::Value;

use crate::app::{TestApp, TestClient, encode};
use crate::raw::{Answer, send};

const ORDERS: &str = "https://orders.example";
const BILLING: &str = "urn:example:billing";
const READ: &str = "/forward-auth?scope=orders:read";

struct Place {
    app: TestApp,
    client: TestClient,
    /// For orders, with `orders:read orders:write`.
    token: String,
}

impl Place {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let app = TestApp::builder().config(change).start().await;
        app.api(ORDERS, &["orders:read", "orders:write", "orders:a+b"]).await;
        app.api(BILLING, &["billing:read"]).await;
        let client = app.client(&["orders:read", "orders:write"]).await;
        let token = app.token(&client).await;
        Self { app, client, token }
    }

    async fn token_of(&self, scopes: &[&str]) -> String {
        self.app.token(&self.app.client(scopes).await).await
    }

    /// A GET with these further header lines.
    async fn get(&self, target: &str, lines: &[&str]) -> Answer {
        send(&self.app.base, request("GET", target, lines)).await
    }

    async fn ask(&self, target: &str, token: &str) -> Answer {
        self.get(target, &[&bearer(token)]).await
    }
}

fn request(method: &str, target: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: auth.example\r\n{lines}\r\n")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// The problem without the name of its request.
fn anonymous(answer: &Answer) -> Value {
    let mut problem = answer.json();
    assert!(problem["request_id"].take().as_str().is_some_and(|id| id.starts_with("r_")), "{answer:?}");
    problem
}

#[tokio::test]
async fn any_method_is_answered_with_the_whole_identity_and_no_body() {
    let place = Place::new().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "BREW", "get"] {
        let lines = [&*bearer(&place.token), "Content-Length: 0"];
        let answer = send(&place.app.base, request(method, READ, &lines)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{method}: {answer:?}");
        let identity = [
            ("x-auth-client-id", place.client.id.as_str()),
            ("x-auth-env", "live"),
            ("x-auth-org", "default"),
            ("x-auth-project", "default"),
            ("x-auth-scope", "orders:read orders:write"),
        ];
        assert_eq!(answer.identity(), identity, "{method}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let refused = send(&place.app.base, request(method, READ, &["Authorization: Bearer x"])).await;
        assert_eq!((refused.status, refused.header("x-auth-reason")), (401, Some("token_invalid")), "{method}");
    }
}

#[tokio::test]
async fn what_there_is_nothing_to_say_of_is_there_and_empty() {
    let place = Place::new().await;
    let new = api::NewClient { environment: Environment::Test, ..api::NewClient::default() };
    let bare = place.app.token(&place.app.client_with(new).await).await;
    let answer = place.ask(&format!("/forward-auth?{}", encode(&[("audience", &place.app.issuer)])), &bare).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let names: Vec<_> = answer.identity().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["x-auth-client-id", "x-auth-env", "x-auth-org", "x-auth-project", "x-auth-scope"]);
    assert_eq!((answer.header("x-auth-scope"), answer.header("x-auth-env")), (Some(""), Some("test")));
}

#[tokio::test]
async fn a_body_that_is_announced_and_never_sent_is_not_waited_for() {
    let place = Place::new().await;
    let good = bearer(&place.token);
    let form = "Content-Type: application/x-www-form-urlencoded";
    for announced in [
        &["Content-Length: 1000"][..],
        &["Content-Length: 1000", form],
        &["Content-Length: 99999999999"],
        &["Transfer-Encoding: chunked"],
        &["Transfer-Encoding: chunked", form],
    ] {
        for method in ["POST", "PUT", "GET", "DELETE"] {
            for (credentials, status) in [(&*good, 200), ("Authorization: Bearer x", 401), ("X-None: x", 401)] {
                let lines = [announced, &[credentials]].concat();
                let answer = send(&place.app.base, request(method, READ, &lines)).await;
                assert_eq!(answer.status, status, "{method} {announced:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_client_says_of_itself_changes_nothing() {
    let place = Place::new().await;
    let own = [
        "X-Auth-Client-Id: admin",
        "X-Auth-Scope: everything",
        "X-Auth-Org: other",
        "X-Auth-Project: other",
        "X-Auth-Env: test",
        "X-Auth-Status: 200",
        "X-Forwarded-Uri: /public",
        "X-Original-URI: /public",
        "X-Original-Method: OPTIONS",
    ];
    let good = bearer(&place.token);
    let with_own = place.get(READ, &[&own[..], &[&good]].concat()).await;
    assert_eq!(with_own.identity(), place.get(READ, &[&good]).await.identity());
    let refused = place.get(READ, &own).await;
    assert_eq!(refused.verdict(), (401, "no_credentials".to_owned()));
    let names: Vec<_> = refused.identity().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["x-auth-reason", "x-auth-request-id"]);
}

/// Each credential at a guarded route, and at the question that stands for it.
#[tokio::test]
async fn refusals_are_those_of_the_route() {
    let trusted = |config: &mut Config| config.network.trusted_proxies = Allowlist::parse(["127.0.0.1"]).unwrap();
    let place = Place::with(trusted).await;
    let app = &place.app;
    let reader = app.client(&["mintage:projects:read"]).await;
    let expired = app.token(&reader).await;
    app.advance(3630);
    let good = app.token(&reader).await;
    let revoked_client = app.client(&["mintage:projects:read"]).await;
    let revoked = app.token(&revoked_client).await;
    let disabled = api::ClientStatus::Disabled;
    app.service.set_client_status(&revoked_client.id, disabled, "client.revoke", &app.caller()).await.unwrap();
    let bound = app
        .client_with(api::NewClient {
            scopes: vec!["mintage:projects:read".to_owned()],
            ip_allowlist: vec!["192.0.2.0/24".to_owned()],
            ..api::NewClient::default()
        })
        .await;
    let bound = app.token_request(&bound, &[]).header("x-forwarded-for", "192.0.2.1").send().await.unwrap();
    let bound = bound.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let (bare, elsewhere) = (place.token_of(&[]).await, place.token_of(&["orders:read"]).await);
    let from = "X-Forwarded-For: 203.0.113.7";
    let rows: &[(u16, &str, &[&str])] = &[
        (200, "", &[&bearer(&good)]),
        (200, "", &[&format!("authorization: bearer  {good}")]),
        (200, "", &[&bearer(&bound), "X-Forwarded-For: 192.0.2.7"]),
        (401, "no_credentials", &[]),
        (401, "no_credentials", &[from]),
        (400, "malformed_request", &["Authorization: Bearer"]),
        (400, "malformed_request", &["Authorization:"]),
        (400, "malformed_request", &["Authorization: Basic YTpi"]),
        (400, "malformed_request", &[&format!("Authorization: {good}")]),
        (400, "malformed_request", &[&format!("{} {good}", bearer(&good))]),
        (400, "malformed_request", &[&format!("{}, Basic YTpi", bearer(&good))]),
        (400, "malformed_request", &[&bearer(&good), &bearer(&good)]),
        (400, "malformed_request", &["Authorization: Basic YTpi", &bearer(&good)]),
        (400, "malformed_request", &[&bearer(&good), "X-Forwarded-For: garbage"]),
        (401, "token_invalid", &["Authorization: Bearer x"]),
        (401, "token_invalid", &[&format!("{}x", bearer(&good))]),
        (401, "token_invalid", &[&bearer(&elsewhere)]),
        (401, "token_expired", &[&bearer(&expired)]),
        (401, "token_revoked", &[&bearer(&revoked)]),
        (403, "insufficient_scope", &[&bearer(&bare)]),
        (403, "ip_not_allowed", &[&bearer(&bound), from]),
        (403, "ip_not_allowed", &[&bearer(&bound)]),
    ];
    for (status, reason, lines) in rows {
        let route = place.get("/api/v1/projects", lines).await;
        let asked = place.get("/forward-auth?scope=mintage:projects:read", lines).await;
        let expected = (*status, (*reason).to_owned());
        assert_eq!((route.verdict(), asked.verdict()), (expected.clone(), expected), "{lines:?}");
        assert_eq!(asked.header("x-auth-status"), None);
        let folded = place.get("/forward-auth?scope=mintage:projects:read&status=nginx", lines).await;
        if *status == 200 {
            assert_eq!((folded.status, folded.identity()), (200, asked.identity()), "{lines:?}");
            continue;
        }
        // nginx keeps the challenge of a 401 alone.
        let challenge = route.header("www-authenticate");
        let expected = if *status == 400 { 401 } else { *status };
        assert_eq!((folded.status, folded.header("www-authenticate")), (expected, challenge), "{lines:?}");
        assert_eq!(folded.header("x-auth-status"), Some(&*status.to_string()), "{lines:?}");
        assert_eq!(folded.header("x-auth-reason"), Some(*reason), "{lines:?}");
        assert_eq!(asked.header("www-authenticate"), challenge, "{lines:?}");
        assert_eq!(anonymous(&asked), anonymous(&route), "{lines:?}");
        assert_eq!(asked.header("x-auth-reason"), Some(*reason), "{lines:?}");
        assert_eq!(asked.header("x-auth-request-id"), asked.json()["request_id"].as_str(), "{lines:?}");
        assert_ne!(asked.json()["request_id"], route.json()["request_id"], "{lines:?}");
    }
    let refused = place.get("/forward-auth?scope=mintage:projects:read", &[&bearer(&bound), from]).await.json();
    assert_eq!(
        (&refused["source_address"], &refused["source_address_from"]),
        (&"203.0.113.7".into(), &"x-forwarded-for".into())
    );
}

#[tokio::test]
async fn the_audience_is_that_of_the_scopes_unless_another_is_named() {
    let place = Place::new().await;
    let (orders, billing) = (&place.token, place.token_of(&["billing:read"]).await);
    let both = place.token_of(&["orders:read", "billing:read"]).await;
    let administers = place.token_of(&["mintage:projects:read"]).await;
    let invalid = (401, "token_invalid");
    let rows = [
        ("scope=orders:read", orders, (200, "")),
        ("scope=orders:read", &both, (200, "")),
        ("scope=orders:read", &billing, invalid),
        ("scope=orders:read", &administers, invalid),
        ("scope=orders:write", &both, (403, "insufficient_scope")),
        ("scope=mintage:projects:read", &administers, (200, "")),
        ("scope=mintage:projects:read", orders, invalid),
        ("audience=https://orders.example", orders, (200, "")),
        ("audience=https%3A%2F%2Forders.example", &both, (200, "")),
        ("audience=https://orders.example", &billing, invalid),
        ("audience=https://orders.example/", orders, invalid),
        ("audience=HTTPS://ORDERS.EXAMPLE", orders, invalid),
        ("audience=https://orders.example+urn:example:billing", &both, invalid),
        ("audience=nobody", orders, invalid),
        ("audience=urn:example:billing", &billing, (200, "")),
        ("scope=orders:read&audience=https://orders.example", orders, (200, "")),
        ("scope=orders:read&audience=urn:example:billing", orders, invalid),
        ("scope=orders:read&audience=urn:example:billing", &billing, (403, "insufficient_scope")),
        ("scope=orders:read&audience=urn:example:billing", &both, (200, "")),
        // Scopes of two APIs: a token for one of them alone is for neither's route.
        ("scope=orders:read+billing:read", &both, (200, "")),
        ("scope=orders:read+billing:read", orders, invalid),
        ("scope=orders:read+billing:read", &billing, invalid),
        ("audience=urn:example:billing&scope=orders:read+billing:read", &both, (200, "")),
    ];
    for (query, token, (status, reason)) in rows {
        let answer = place.ask(&format!("/forward-auth?{query}"), token).await;
        assert_eq!(answer.verdict(), (status, reason.to_owned()), "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn scopes_are_read_however_they_are_encoded() {
    let place = Place::new().await;
    for query in [
        "scope=orders:read+orders:write",
        "scope=orders:read%20orders:write",
        "scope=orders%3Aread+orders%3awrite",
        "scope=orders:write++orders:read",
        "scope=%6f%72ders:read",
        "%73cope=orders:read",
        "scope=orders:read+orders:read",
        "&scope=orders:read&",
        "audience=https%3a//orders.example&scope=orders:read",
    ] {
        let answer = place.ask(&format!("/forward-auth?{query}"), &place.token).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
    }
    let odd = place.token_of(&["orders:a+b"]).await;
    assert_eq!(place.ask("/forward-auth?scope=orders:a%2Bb", &odd).await.status, 200);
    assert_eq!(place.ask("/forward-auth?scope=orders:a+b", &odd).await.status, 400, "+ is a space");
    let needed = place.ask("/forward-auth?scope=orders:a%2Bb", &place.token).await;
    assert_eq!(needed.header("www-authenticate"), Some("Bearer error=\"insufficient_scope\", scope=\"orders:a+b\""));
}

/// Who wrote these made a mistake: it has to be seen, whatever the credentials, and never passes for a refusal.
#[tokio::test]
async fn a_policy_that_cannot_be_meant_is_refused_as_such() {
    let place = Place::new().await;
    for query in [
        "",
        "scope=",
        "scope",
        "audience=",
        "scope=&audience=",
        "scope=+",
        "scope=%20",
        // A variable of the proxy's configuration that is empty: the scope was meant, and would not be asked for.
        "scope=&audience=https://orders.example",
        "scope=%20&audience=https://orders.example",
        "scope=orders:nothing",
        "scope=ORDERS:READ",
        "scope=orders:read+orders:nothing",
        "scope=orders:read,orders:write",
        "scope=mintage:projects:reads",
        "scope=mintage:",
        "scope=%22",
        "scope=orders:read%0a",
        "scope=orders:read%00",
        "scope=%FF",
        "scope=orders%2",
        "scope=orders:read;audience=https://orders.example",
        "scope=orders:read&scope=orders:read",
        "scope=orders:read&scope=orders:write",
        "scope=orders:read&scope=",
        "scope=orders:read&%73cope=orders:read",
        "audience=https://orders.example&audience=https://orders.example",
        "scope=orders:read&audience=&audience=https://orders.example",
        "Scope=orders:read",
        "scope=orders:read&scopes=orders:write",
        "scope=orders:read&aud=x",
        "scope=orders:read&x",
        "scope=orders:read&=x",
        "scope[]=orders:read",
        "scope=orders:read&environment=live",
        "scope=orders:read&access_token=x",
        "scope=orders:read&%FF=x",
        "scope=orders:read&status=apache",
        "scope=orders:read&status=NGINX",
        "scope=orders:read&status=",
        "scope=orders:read&status",
        "scope=orders:read&status=nginx&status=nginx",
        "status=nginx",
        "?scope=orders:read",
    ] {
        for query in [query.to_owned(), format!("{query}&status=nginx"), format!("status=nginx&{query}")] {
            for lines in [vec![], vec![bearer(&place.token)], vec!["Authorization: Basic YTpi".to_owned()]] {
                let lines: Vec<_> = lines.iter().map(String::as_str).collect();
                let answer = place.get(&format!("/forward-auth?{query}"), &lines).await;
                assert_eq!(answer.verdict(), (400, "malformed_request".to_owned()), "{query} {answer:?}");
                assert_eq!(answer.header("x-auth-status"), None, "{query}");
                assert_eq!(answer.header("x-auth-client-id"), None, "{query}");
            }
        }
    }
    assert_eq!(place.ask("/forward-auth", &place.token).await.status, 400);
    for path in ["/forward-auth/", "/forward-auth/x?scope=orders:read", "/forward-auth/g", "/forward-auth/g/"] {
        assert_eq!(place.ask(path, &place.token).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_request_without_credentials_is_pointed_to_the_metadata_of_the_api() {
    for issuer in [None, Some("https://auth.example/mint".to_owned())] {
        let path = if issuer.is_some() { "/mint" } else { "" };
        let place = Place::with(|config| config.issuer = issuer).await;
        let origin = place.app.issuer.strip_suffix(path).unwrap();
        for (query, resource) in [
            ("scope=orders:read", ORDERS),
            ("scope=billing:read", BILLING),
            ("audience=urn:example:billing", BILLING),
            ("scope=orders:read&audience=urn:example:billing", BILLING),
            ("scope=orders:read&status=nginx", ORDERS),
            ("scope=mintage:projects:read", &place.app.issuer),
        ] {
            for prefix in ["", path] {
                let answer = place.get(&format!("{prefix}/forward-auth?{query}"), &[]).await;
                assert_eq!(answer.verdict(), (401, "no_credentials".to_owned()), "{query}");
                let challenge = answer.header("www-authenticate").unwrap();
                let url = challenge.strip_prefix("Bearer realm=\"mintage\", resource_metadata=\"").unwrap();
                let target = url.strip_suffix('"').unwrap().strip_prefix(origin).unwrap();
                assert!(target.starts_with(&format!("/.well-known/oauth-protected-resource{path}")), "{challenge}");
                let metadata = place.get(target, &[]).await.json();
                assert_eq!(metadata["resource"], resource, "{query}");
                assert_eq!(metadata["authorization_servers"], serde_json::json!([place.app.issuer]));
            }
        }
    }
}
