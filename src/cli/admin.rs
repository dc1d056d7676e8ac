//! The way to a running server: its REST API, over the admin socket.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fetch::{read_bounded, unix_client};
use crate::server::config::Overrides;

use super::{Failure, Global};

/// RFC 3986 §2.3: what needs no encoding in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How long an answer may take that takes a walk through everything.
const AT_LENGTH: Duration = Duration::from_secs(600);
/// A longer answer is not one of ours.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// How long the answer to a request about many clients may take: slow hashes are made of their secrets.
const PATIENCE: Duration = Duration::from_secs(600);

/// The longest that a download takes. Whether it still moves is for its reader to watch.
const DOWNLOAD: Duration = Duration::from_secs(24 * 3600);

/// A running server.
#[derive(Debug)]
pub(super) struct Admin {
    http: reqwest::Client,
    socket: PathBuf,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    field: String,
    detail: String,
}

/// A segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl Admin {
    /// The server whose socket the arguments or the configuration name.
    pub(super) fn connect(global: &Global) -> Result<Self, Failure> {
        let socket = global.load(Overrides::default())?.admin.socket;
        Ok(Self { http: unix_client(&socket)?, socket })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// The same as [`Self::post`] for what takes its time.
    pub(super) async fn post_many<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.answer(self.request(Method::POST, path).timeout(PATIENCE).json(body)).await
    }

    /// An answer that is read as it comes.
    pub(super) async fn stream(&self, path: &str) -> Result<reqwest::Response, Failure> {
        let request = self.request(Method::GET, path).timeout(PATIENCE);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(refused(status.as_u16(), &read_bounded(response, MAX_ANSWER).await?))
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// The same, of what may take minutes.
    pub(super) async fn post_at_length<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call_within(Some(AT_LENGTH), Method::POST, path, Some(body)).await
    }

    pub(super) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// All items of a list, page by page.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut query = format!("{joint}limit=1000");
        loop {
            let page: crate::api::Page<T> = self.get(&format!("{path}{query}")).await?;
            items.extend(page.items);
            match page.next_cursor {
                Some(cursor) => query = format!("{joint}limit=1000&cursor={}", segment(&cursor)),
                None => return Ok(items),
            }
        }
    }

    /// An answer of any length, to be read piece by piece.
    pub(super) async fn download(&self, path: &str) -> Result<reqwest::Response, Failure> {
        let request = self.http.get(format!("http://localhost/api/v1/{path}")).timeout(DOWNLOAD);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(refused(status.as_u16(), &read_bounded(response, MAX_ANSWER).await?))
    }

    /// Whether a server answers; where one might and does not let us in, that is an error.
    pub(super) async fn is_running(&self) -> Result<bool, Failure> {
        let asked = self.http.get("http://localhost/healthz").send().await;
        match asked {
            Ok(_) => Ok(true),
            Err(error) => match io_kind(&error) {
                Some(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => Ok(false),
                _ => Err(self.unreachable(&error)),
            },
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        self.call_within(None, method, path, body).await
    }

    async fn call_within<T: DeserializeOwned>(
        &self,
        patience: Option<Duration>,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let mut request = self.request(method, path);
        if let Some(patience) = patience {
            request = request.timeout(patience);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://localhost/api/v1/{path}"))
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = zeroize::Zeroizing::new(read_bounded(response, MAX_ANSWER).await?);
        if !status.is_success() {
            return Err(refused(status.as_u16(), &body));
        }
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body)
            .map_err(|_| Failure::new("the server's answer is not what this command expects; are both of one version?"))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let socket = self.socket.display();
        Failure::new(match io_kind(error) {
            Some(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => format!(
                "no server is running here: nothing listens on {socket}. Start one with `mintage serve`; \
                 if it runs elsewhere, name its socket with --socket"
            ),
            Some(std::io::ErrorKind::PermissionDenied) => {
                format!("{socket} may be opened only by the user that the server runs as; run this as that user")
            }
            _ => format!("the server at {socket} could not be reached: {error}"),
        })
    }
}

/// What the system said, where it was the system.
fn io_kind(error: &reqwest::Error) -> Option<std::io::ErrorKind> {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    let mut kind = None;
    while let Some(current) = source {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            kind = Some(io.kind());
        }
        source = current.source();
    }
    kind
}

fn refused(status: u16, body: &[u8]) -> Failure {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.errors.is_empty() => Failure::new(problem.detail),
        Ok(problem) => Failure::new(
            problem.errors.iter().map(|e| format!("{}: {}", e.field, e.detail)).collect::<Vec<_>>().join("\n       "),
        ),
        Err(_) => Failure::new(format!("the server refused with status {status}")),
    }
}
