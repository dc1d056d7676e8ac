//! Requests to an issuer: the HTTP client that both sides outside the server use, and the issuer's metadata.
//!
//! Responsible for: TLS on ring, no redirects, answers bounded in size and time, URLs that can be asked. Never: what is
//! asked for, or what the answers mean.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use url::Url;

use crate::oauth::metadata::{
    AUTHORIZATION_SERVER_PATH, DiscoveredMetadata, OPENID_CONFIGURATION_PATH, endpoint, well_known,
};

/// A longer answer is not read to its end.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The most that is repeated of what a server calls itself.
const MAX_NAMED: usize = 200;

/// How long a request may take that does not ask the server to wait.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why nothing usable came back. Carries nothing secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A URL that cannot be used.
    #[error("a URL here has to be http or https, and has no user or password in it")]
    BadUrl,
    /// The server was not reached, or broke off.
    #[error("{url} could not be reached: {why}. Does it run there?")]
    Unreachable {
        /// The server.
        url: String,
        /// What happened.
        why: String,
    },
    /// An answer that is longer than any that is expected.
    #[error("the answer of {url} is longer than {limit} bytes")]
    TooLong {
        /// The server.
        url: String,
        /// The most that is read.
        limit: usize,
    },
    /// Another status than 200.
    #[error("{url} was answered with {status}")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// For how long the server wants to be left alone (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The answer came from somewhere else: whoever answers there could name keys of its own.
    #[error("{url} was answered from elsewhere, by a redirect; name the address that it has")]
    Redirected {
        /// What was asked.
        url: String,
    },
    /// The metadata is not that of the issuer (RFC 8414 §3.3).
    #[error("the metadata at {url} {why}")]
    Discovery {
        /// Where it was read.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

impl FetchError {
    /// An answer that is not what was asked for.
    pub(crate) fn status(url: &Url, response: &reqwest::Response) -> Self {
        // Seconds alone: it takes no clock to read them.
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
        Self::Status {
            url: url.to_string(),
            status: response.status().as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    /// Something between here and the server.
    pub(crate) fn unreachable(url: &Url, error: &reqwest::Error) -> Self {
        Self::Unreachable { url: url.to_string(), why: innermost(error) }
    }
}

/// An HTTP client with TLS on ring, the system's certificates and no redirects.
///
/// # Errors
/// [`FetchError::Unreachable`] where the system's certificates cannot be used.
pub fn http_client() -> Result<reqwest::Client, FetchError> {
    build(|builder| builder)
}

/// The same over a Unix socket.
#[cfg(feature = "server")]
pub(crate) fn unix_client(socket: &std::path::Path) -> Result<reqwest::Client, FetchError> {
    build(|builder| builder.unix_socket(socket).no_proxy())
}

/// The same, with what `with` adds; redirects stay unfollowed, and what is sent unlogged, whatever it says.
///
/// # Errors
/// As [`http_client`].
#[cfg(feature = "client")]
pub(crate) fn http_client_with(
    with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, FetchError> {
    build(|builder| with(builder).redirect(reqwest::redirect::Policy::none()).connection_verbose(false))
}

fn build(with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Result<reqwest::Client, FetchError> {
    let fail = |why: String| FetchError::Unreachable { url: "the network".to_owned(), why };
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
        .connect_timeout(CONNECT_TIMEOUT)
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
/// [`FetchError::Unreachable`] where it breaks off, [`FetchError::TooLong`].
pub async fn read_bounded(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, FetchError> {
    let url = response.url().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| FetchError::unreachable(&url, &e))? {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLong { url: url.to_string(), limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether `response` is what was asked for and not what a redirect led to: a client that somebody brought may follow
/// them.
pub(crate) fn not_redirected(asked: &Url, response: &reqwest::Response) -> Result<(), FetchError> {
    if response.url() == asked { Ok(()) } else { Err(FetchError::Redirected { url: asked.to_string() }) }
}

/// A URL that can be asked.
///
/// # Errors
/// [`FetchError::BadUrl`], which does not repeat it: there may be a password in it.
pub fn http_url(text: &str) -> Result<Url, FetchError> {
    match Url::parse(text) {
        Ok(mut url)
            if matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none() =>
        {
            // It is never sent, and the URL of an answer has none.
            url.set_fragment(None);
            Ok(url)
        }
        _ => Err(FetchError::BadUrl),
    }
}

/// The metadata of `issuer`, checked to be its own: where RFC 8414 §3 has it, or else where OpenID Connect Discovery does.
///
/// # Errors
/// [`FetchError`].
pub async fn discover(http: &reqwest::Client, issuer: &str) -> Result<DiscoveredMetadata, FetchError> {
    let mut url = well_known(&http_url(issuer)?, AUTHORIZATION_SERVER_PATH);
    let mut response = get(http, &url).await?;
    if response.status() == reqwest::StatusCode::NOT_FOUND {
        url = http_url(&endpoint(issuer, OPENID_CONFIGURATION_PATH))?;
        response = get(http, &url).await?;
    }
    if !response.status().is_success() {
        return Err(FetchError::status(&url, &response));
    }
    let fail = |why: String| FetchError::Discovery { url: url.to_string(), why };
    let body = read_bounded(response, MAX_ANSWER_BYTES).await?;
    let metadata: DiscoveredMetadata =
        serde_json::from_slice(&body).map_err(|_| fail("is not a JSON object with an issuer".to_owned()))?;
    if metadata.issuer != issuer {
        let named: String = metadata.issuer.chars().take(MAX_NAMED).collect();
        return Err(fail(format!("is that of another issuer ({named:?}); name it just so")));
    }
    // What was asked for in private should not be answered in the open.
    let named =
        [&metadata.token_endpoint, &metadata.jwks_uri, &metadata.introspection_endpoint, &metadata.revocation_feed];
    if issuer.starts_with("https://") && named.into_iter().flatten().any(|url| !url.starts_with("https://")) {
        return Err(fail("names a URL that is not https, and the issuer is".to_owned()));
    }
    Ok(metadata)
}

async fn get(http: &reqwest::Client, url: &Url) -> Result<reqwest::Response, FetchError> {
    let response = http.get(url.clone()).timeout(TIMEOUT).send().await.map_err(|e| FetchError::unreachable(url, &e))?;
    not_redirected(url, &response)?;
    Ok(response)
}
