//! The requests themselves.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use url::Url;

use crate::fetch::{self, FetchError, MAX_ANSWER_BYTES, http_client, http_url, read_bounded};
use crate::oauth::response::TokenResponse;
use crate::oauth::{basic, form};

use super::{Credentials, Endpoint, Error, TokenRequest};

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
            .map_err(|e| FetchError::unreachable(&self.token_url, &e))?;
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

/// The token endpoint that the metadata of `issuer` names.
async fn discover(http: &reqwest::Client, issuer: &str) -> Result<Url, Error> {
    let metadata = fetch::discover(http, issuer).await?;
    let url = metadata
        .token_endpoint
        .ok_or_else(|| FetchError::Discovery { url: issuer.to_owned(), why: "names no token_endpoint".to_owned() })?;
    Ok(http_url(&url)?)
}
