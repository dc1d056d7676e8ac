//! The token endpoint: where it is, and one request to it.

use arc_swap::ArcSwapOption;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use url::Url;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::fetch::{self, FetchError, MAX_ANSWER_BYTES, http_url, not_redirected, read_bounded};
use crate::oauth::{basic, form};

use super::answer::{self, Answer};
use super::{Credentials, Endpoint, Error, TokenRequest};

/// How the client authenticates at the token endpoint (RFC 6749 §2.3.1, RFC 7591 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthMethod {
    /// HTTP Basic.
    ClientSecretBasic,
    /// In the body.
    ClientSecretPost,
}

/// What an issuer's metadata says of its token endpoint.
#[derive(Debug)]
struct Found {
    url: Url,
    method: AuthMethod,
}

/// A token endpoint, and how it is reached.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    http: reqwest::Client,
    endpoint: Endpoint,
    method: Option<AuthMethod>,
    found: ArcSwapOption<Found>,
    /// Whether it is looked for again before it is asked.
    doubted: AtomicBool,
    clock: Arc<dyn Clock>,
}

impl TokenEndpoint {
    pub(super) fn new(
        http: reqwest::Client,
        endpoint: Endpoint,
        method: Option<AuthMethod>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let found = match &endpoint {
            Endpoint::TokenUrl(url) => {
                let method = method.unwrap_or(AuthMethod::ClientSecretBasic);
                Some(Arc::new(Found { url: http_url(url)?, method }))
            }
            Endpoint::Issuer(issuer) => {
                http_url(issuer)?;
                None
            }
        };
        Ok(Self { http, endpoint, method, found: ArcSwapOption::new(found), doubted: AtomicBool::new(false), clock })
    }

    pub(super) const fn configured(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) const fn method(&self) -> Option<AuthMethod> {
        self.method
    }

    /// Asks for one token.
    pub(super) async fn fetch(&self, credentials: &Credentials, request: &TokenRequest) -> Result<Answer, Error> {
        let at = self.find().await?;
        let answer = self.ask(&at, credentials, request).await;
        // It may have moved, and what answers in its place may say anything, but it would not ask for patience, nor speak
        // of scopes.
        let knows_us = |error: &Error| match error {
            Error::Refused { status, error, .. } => {
                *status == 429 || matches!(error.as_str(), "invalid_scope" | "invalid_target")
            }
            _ => false,
        };
        self.doubted.store(answer.as_ref().is_err_and(|error| !knows_us(error)), Ordering::Relaxed);
        answer
    }

    /// The endpoint, from the issuer's metadata where it is not known, or failed.
    async fn find(&self) -> Result<Arc<Found>, Error> {
        let known = self.found.load_full();
        let issuer = match (&self.endpoint, &known) {
            (Endpoint::TokenUrl(_), Some(found)) => return Ok(Arc::clone(found)),
            (Endpoint::Issuer(_), Some(found)) if !self.doubted.load(Ordering::Relaxed) => {
                return Ok(Arc::clone(found));
            }
            (Endpoint::Issuer(issuer) | Endpoint::TokenUrl(issuer), _) => issuer,
        };
        match (self.discover(issuer).await, known) {
            // Where it was is better than nowhere.
            (Err(_), Some(known)) => Ok(known),
            (found, _) => found,
        }
    }

    async fn discover(&self, issuer: &str) -> Result<Arc<Found>, Error> {
        let metadata = fetch::discover(&self.http, issuer).await?;
        let fail = |why: &str| FetchError::Discovery { url: issuer.to_owned(), why: why.to_owned() };
        let url = metadata.token_endpoint.ok_or_else(|| fail("names no token_endpoint"))?;
        let url = http_url(&url).map_err(|_| fail("names a token_endpoint that cannot be asked"))?;
        let takes = |method: &str| {
            metadata.token_endpoint_auth_methods_supported.iter().flatten().any(|supported| supported == method)
        };
        let post_alone = takes("client_secret_post") && !takes("client_secret_basic");
        let method = self.method.unwrap_or(match post_alone {
            true => AuthMethod::ClientSecretPost,
            false => AuthMethod::ClientSecretBasic,
        });
        let found = Arc::new(Found { url, method });
        self.found.store(Some(Arc::clone(&found)));
        Ok(found)
    }

    /// The request (RFC 6749 §4.4.2, RFC 8707 §2).
    fn request(
        &self,
        at: &Found,
        credentials: &Credentials,
        request: &TokenRequest,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        if !request.scopes.is_empty() {
            body.append_pair("scope", &request.scopes.to_string());
        }
        for resource in &request.resources {
            body.append_pair("resource", resource);
        }
        let mut post =
            self.http.post(at.url.clone()).header(CONTENT_TYPE, form::MEDIA_TYPE).header(ACCEPT, "application/json");
        match at.method {
            AuthMethod::ClientSecretBasic => {
                let value = basic::encode(&credentials.client_id, &credentials.client_secret);
                let mut value = HeaderValue::from_str(&value)
                    .map_err(|_| Error::Credentials("the credentials cannot be sent in a header".to_owned()))?;
                value.set_sensitive(true);
                post = post.header(AUTHORIZATION, value);
            }
            AuthMethod::ClientSecretPost => {
                body.append_pair("client_id", &credentials.client_id);
                body.append_pair("client_secret", credentials.client_secret.reveal());
            }
        }
        Ok(post.body(body.finish()))
    }

    async fn ask(&self, at: &Found, credentials: &Credentials, request: &TokenRequest) -> Result<Answer, Error> {
        let request = self.request(at, credentials, request)?;
        let response = request.send().await.map_err(|error| FetchError::unreachable(&at.url, &error))?;
        not_redirected(&at.url, &response)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let url = at.url.as_str();
        if status == StatusCode::OK {
            let body = Zeroizing::new(read_bounded(response, MAX_ANSWER_BYTES).await?);
            return answer::granted(url, &body);
        }
        // What matters is that it was refused; the words may be missing.
        let body = Zeroizing::new(read_bounded(response, MAX_ANSWER_BYTES).await.unwrap_or_default());
        Err(answer::refused(url, status, &headers, &body, credentials, self.clock.now()))
    }
}
