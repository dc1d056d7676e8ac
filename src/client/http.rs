//! The requests themselves.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use url::Url;

use crate::oauth::metadata::{AUTHORIZATION_SERVER_PATH, DiscoveredMetadata, well_known};
use crate::oauth::response::TokenResponse;
use crate::oauth::{basic, form};

use super::{Credentials, Endpoint, Error, TokenRequest};

/// A longer answer is not read to its end.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

const TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP client with TLS on ring, the system's certificates and no redirects.
///
/// # Errors
/// [`Error::Unreachable`] where the system's certificates cannot be used.
pub fn http_client() -> Result<reqwest::Client, Error> {
    build(|builder| builder)
}

/// The same over a Unix socket.
#[cfg(feature = "server")]
pub(crate) fn unix_client(socket: &std::path::Path) -> Result<reqwest::Client, Error> {
    build(|builder| builder.unix_socket(socket).no_proxy())
}

fn build(with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
    let fail = |why: String| Error::Unreachable { url: "the network".to_owned(), why };
    // Named outright: the process-wide provider belongs to the program that embeds this library.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| fail(e.to_string()))?;
    let tls = match rustls_platform_verifier::Verifier::new(provider) {
        Ok(verifier) => versions.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth(),
        // Without any certificates http still works, and https fails for want of a trusted root.
        Err(_) => versions.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
    };
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("mintage/", env!("CARGO_PKG_VERSION")));
    with(builder).build().map_err(|e| fail(innermost(&e)))
}

/// The end of an error's chain: what really happened, without the URL that reqwest repeats.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Reads a body, but not past `limit` bytes.
///
/// # Errors
/// [`Error::Unreachable`] where it breaks off, [`Error::BadAnswer`] where it is longer.
pub async fn read_bounded(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Error> {
    let url = response.url().to_string();
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|e| Error::Unreachable { url: url.clone(), why: innermost(&e) })?
    {
        if body.len() + chunk.len() > limit {
            return Err(Error::BadAnswer { url, why: format!("it is longer than {limit} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Fetches tokens from one token endpoint.
#[derive(Clone, Debug)]
pub struct TokenClient {
    http: reqwest::Client,
    token_url: Url,
}

#[derive(Deserialize)]
struct RefusedBody {
    error: String,
    error_description: Option<String>,
    request_id: Option<String>,
}

fn http_url(text: &str) -> Result<Url, Error> {
    match Url::parse(text) {
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none() =>
        {
            Ok(url)
        }
        // Not repeated: there may be a password in it.
        _ => Err(Error::BadUrl),
    }
}

impl TokenClient {
    /// A client of `endpoint`; an issuer's metadata is fetched and checked first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        let http = http_client()?;
        let token_url = match endpoint {
            Endpoint::TokenUrl(url) => http_url(url)?,
            Endpoint::Issuer(issuer) => discover(&http, issuer).await?,
        };
        Ok(Self { http, token_url })
    }

    /// Fetches one token, authenticating with Basic.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn fetch(&self, credentials: &Credentials, request: &TokenRequest) -> Result<TokenResponse, Error> {
        let url = self.token_url.to_string();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        if !request.scopes.is_empty() {
            body.append_pair("scope", &request.scopes.to_string());
        }
        for resource in &request.resources {
            body.append_pair("resource", resource);
        }
        let mut authorization =
            HeaderValue::from_str(&basic::encode(&credentials.client_id, &credentials.client_secret))
                .map_err(|_| Error::Credentials("the credentials cannot be sent in a header".to_owned()))?;
        authorization.set_sensitive(true);
        let response = self
            .http
            .post(self.token_url.clone())
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, form::MEDIA_TYPE)
            .header(ACCEPT, "application/json")
            .body(body.finish())
            .send()
            .await
            .map_err(|e| Error::Unreachable { url: url.clone(), why: innermost(&e) })?;
        let status = response.status();
        let body = zeroize::Zeroizing::new(read_bounded(response, MAX_ANSWER_BYTES).await?);
        if status.is_success() {
            let token: TokenResponse = serde_json::from_slice(&body).map_err(|_| Error::BadAnswer {
                url: url.clone(),
                why: "it lacks a member, or has one of another type".to_owned(),
            })?;
            if !token.token_type.eq_ignore_ascii_case("bearer") {
                return Err(Error::BadAnswer { url, why: "its token_type is not Bearer".to_owned() });
            }
            return Ok(token);
        }
        if status.is_redirection() {
            return Err(Error::BadAnswer { url, why: "it is a redirect, and credentials follow none".to_owned() });
        }
        let refused = serde_json::from_slice::<RefusedBody>(&body).ok();
        Err(Error::Refused {
            status: status.as_u16(),
            error: refused.as_ref().map_or_else(|| "no OAuth error code".to_owned(), |r| r.error.clone()),
            request_id: refused.as_ref().and_then(|r| r.request_id.clone()),
            description: refused.and_then(|r| r.error_description),
        })
    }
}

async fn discover(http: &reqwest::Client, issuer: &str) -> Result<Url, Error> {
    let url = well_known(&http_url(issuer)?, AUTHORIZATION_SERVER_PATH);
    let fail = |why: String| Error::Discovery { url: url.to_string(), why };
    let response = http
        .get(url.clone())
        .send()
        .await
        .map_err(|e| Error::Unreachable { url: url.to_string(), why: innermost(&e) })?;
    if !response.status().is_success() {
        return Err(fail(format!("was answered with {}", response.status().as_u16())));
    }
    let body = read_bounded(response, MAX_ANSWER_BYTES).await?;
    let metadata: DiscoveredMetadata =
        serde_json::from_slice(&body).map_err(|_| fail("is not a JSON object with an issuer".to_owned()))?;
    if metadata.issuer != issuer {
        return Err(fail(format!("is that of another issuer ({:?}); name it just so", metadata.issuer)));
    }
    let token_url = metadata.token_endpoint.ok_or_else(|| fail("names no token_endpoint".to_owned()))?;
    http_url(&token_url)
}
