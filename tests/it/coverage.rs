//! Every public route with no, malformed, expired, wrong-scope and right credentials. A route that is missing here
//! fails the test.

use reqwest::header::AUTHORIZATION;

use crate::app::TestApp;

/// A route, its methods, and its statuses with the five kinds of credentials.
struct Route {
    path: &'static str,
    methods: &'static [&'static str],
    statuses: [u16; 5],
}

const OPEN: [u16; 5] = [200; 5];
const ANY: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

const ROUTES: [Route; 17] = [
    // The token endpoint takes client credentials: no bearer token is any.
    Route { path: "/oauth/token", methods: &["POST"], statuses: [401; 5] },
    Route { path: "/oauth/introspect", methods: &["POST"], statuses: [401; 5] },
    Route { path: "/oauth/revoke", methods: &["POST"], statuses: [401; 5] },
    Route { path: "/oauth/revocations", methods: &["GET"], statuses: OPEN },
    Route { path: "/.well-known/oauth-authorization-server", methods: &["GET"], statuses: OPEN },
    Route { path: "/.well-known/openid-configuration", methods: &["GET"], statuses: OPEN },
    Route { path: "/.well-known/oauth-protected-resource", methods: &["GET"], statuses: OPEN },
    Route { path: "/.well-known/jwks.json", methods: &["GET"], statuses: OPEN },
    // Any good token will do.
    Route { path: "/api/v1/whoami", methods: &["GET"], statuses: [401, 400, 401, 200, 200] },
    // The proxy's question about the caller's credentials, whatever the method.
    Route { path: "/forward-auth", methods: &ANY, statuses: [401, 400, 401, 403, 200] },
    Route { path: "/forward-auth/g/{guard}", methods: &ANY, statuses: [404; 5] },
    Route { path: "/forward-auth/g/{guard}/", methods: &ANY, statuses: [404; 5] },
    Route { path: "/forward-auth/g/{guard}/{*rest}", methods: &ANY, statuses: [404; 5] },
    Route { path: "/errors/{reason}", methods: &["GET"], statuses: OPEN },
    Route { path: "/healthz", methods: &["GET"], statuses: OPEN },
    Route { path: "/readyz", methods: &["GET"], statuses: OPEN },
    // From this machine without credentials too; but what is sent has to be good.
    Route { path: "/metrics", methods: &["GET"], statuses: [200, 400, 401, 403, 200] },
];

/// The paths of the route table, read from its source: what is served cannot be left out here.
fn served() -> Vec<String> {
    let source = include_str!("../../src/server/http/mod.rs");
    let public =
        source.split("fn routes_below_the_issuer").nth(1).unwrap().split("fn operators_routes").next().unwrap();
    let constants = include_str!("../../src/oauth/metadata.rs");
    public
        .split(".route(")
        .skip(1)
        .map(|rest| {
            let first = rest.split(',').next().unwrap().trim();
            match first.strip_prefix('"') {
                Some(text) => text.trim_end_matches('"').to_owned(),
                None => {
                    let line = constants.lines().find(|l| l.contains(&format!("const {first}:"))).unwrap();
                    line.split('"').nth(1).unwrap().to_owned()
                }
            }
        })
        .collect()
}

#[tokio::test]
async fn every_route_with_every_kind_of_credentials() {
    let mut served = served();
    served.sort();
    let mut covered: Vec<_> = ROUTES.iter().map(|r| r.path.to_owned()).collect();
    covered.sort();
    assert_eq!(served, covered);

    let app = TestApp::start().await;
    let reader = app.client(&["mintage:projects:read", "mintage:metrics:read"]).await;
    let other = app.client(&["mintage:keys:read"]).await;
    let expired = app.token(&reader).await;
    app.advance(3630);
    let (right, wrong_scope) = (app.token(&reader).await, app.token(&other).await);
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    let credentials =
        [None, Some("Bearer not a token".to_owned()), bearer(&expired), bearer(&wrong_scope), bearer(&right)];
    for route in &ROUTES {
        let mut path = route.path.replace("{reason}", "no_credentials").replace("{*rest}", "orders");
        if path == "/forward-auth" {
            path.push_str("?scope=mintage:projects:read");
        }
        for method in ANY {
            for (kind, authorization) in credentials.iter().enumerate() {
                let mut request = app
                    .http
                    .request(method.parse().unwrap(), app.url(&path))
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(if method == "POST" { "grant_type=client_credentials&token=x" } else { "" });
                if let Some(authorization) = authorization {
                    request = request.header(AUTHORIZATION, authorization);
                }
                let response = request.send().await.unwrap();
                let got = response.status().as_u16();
                if route.methods.contains(&method) {
                    assert_eq!(got, route.statuses[kind], "{method} {path} with credentials {kind}");
                } else {
                    assert_eq!(got, 405, "{method} {path} with credentials {kind}");
                    assert!(response.headers().contains_key("allow"), "{method} {path}");
                }
            }
        }
    }
    for path in ["/", "/oauth", "/oauth/token/", "/errors/nothing"] {
        assert_eq!(app.get(path, Some(&right)).await.status(), 404, "{path}");
    }
}
