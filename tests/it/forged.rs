//! Tokens that the service never issued, signed with its own key; and what clients ask about tokens.

use std::time::Duration;

use mintage::clock::UnixTime;
use mintage::jose::claims::{Audience, IssuedClaims};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::app::{TestApp, TestClient, encode, header};

/// A token to be signed. What a test leaves alone is as the service would have it.
#[derive(Clone, Debug)]
pub struct Forged {
    pub iss: String,
    pub client_id: String,
    pub aud: Vec<String>,
    pub scope: String,
    pub org: String,
    pub project: String,
    pub jti: String,
    pub nbf: i64,
    pub exp: i64,
}

impl Forged {
    /// Of a client, for the service's own routes.
    pub fn of(app: &TestApp, client: &TestClient, jti: &str) -> Self {
        let now = app.now().seconds();
        Self {
            iss: app.issuer.clone(),
            client_id: client.id.clone(),
            aud: vec![app.issuer.clone()],
            scope: String::new(),
            org: "default".to_owned(),
            project: "default".to_owned(),
            jti: jti.to_owned(),
            nbf: now,
            exp: now + 3600,
        }
    }

    pub fn sign(&self, app: &TestApp) -> String {
        let nbf = UnixTime::from_seconds(self.nbf);
        let claims = IssuedClaims {
            iss: &self.iss,
            sub: &self.client_id,
            client_id: &self.client_id,
            aud: match &self.aud[..] {
                [one] => Audience::One(one),
                several => Audience::Many(several.iter().map(String::as_str).collect()),
            },
            exp: UnixTime::from_seconds(self.exp),
            iat: nbf,
            nbf,
            jti: &self.jti,
            scope: &self.scope,
            org: &self.org,
            project: &self.project,
            env: "live",
            generation: "AAAAAAAAAAAAAAAAAAAAAA",
            ip_allowlist: None,
        };
        app.service.keys().signer().unwrap().sign(&claims).unwrap()
    }
}

/// A form for one of the endpoints under `/oauth/`, from nobody.
pub fn form(app: &TestApp, path: &str, parameters: &[(&str, &str)]) -> RequestBuilder {
    let request = app.http.post(app.url(path));
    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(encode(parameters))
}

/// A client's question about a token, or its wish to revoke it.
pub fn about(app: &TestApp, path: &str, caller: &TestClient, token: &str) -> RequestBuilder {
    form(app, path, &[("token", token)]).basic_auth(&caller.id, Some(&caller.secret))
}

/// The status of an answer, its headers but for the date, and its body.
pub async fn whole(response: Response) -> (u16, Vec<(String, String)>, String) {
    let status = response.status().as_u16();
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (status, headers, response.text().await.unwrap())
}

/// The error of a refused request, with what every error under `/oauth/` has to have.
pub async fn refused(request: RequestBuilder, status: u16, error: &str, reason: &str) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(header(&response, "pragma"), Some("no-cache"));
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let challenge = header(&response, "www-authenticate").map(str::to_owned);
    let got = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!((got, &body["error"], &body["reason"]), (status, &error.into(), &reason.into()), "{body}");
    assert_eq!(challenge.as_deref(), (status == 401).then_some("Basic realm=\"mintage\""));
    assert!(body["request_id"].as_str().unwrap().len() > 10, "{body}");
    body
}

/// What a guarded route of the service's own answers to a token.
pub async fn whoami(app: &TestApp, token: &str) -> (u16, String) {
    let response = app.get("/api/v1/whoami", Some(token)).await;
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["reason"].as_str().unwrap_or_default().to_owned())
}

/// The feed, asked with this query.
pub async fn feed(app: &TestApp, query: &str) -> Value {
    let request = app.http.get(app.url(&format!("/oauth/revocations?{query}")));
    let response = request.timeout(Duration::from_secs(90)).send().await.unwrap();
    assert_eq!(response.status(), 200, "{query}");
    response.json().await.unwrap()
}
