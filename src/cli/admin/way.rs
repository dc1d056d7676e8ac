//! How a server is asked: over its socket, which only its own user opens, or over its public listener with a token.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{Failure, Global};
use crate::client::{Credentials, Token, TokenSource};
use crate::crypto::entropy::{Entropy as _, SystemEntropy};
use crate::fetch::{FetchError, http_client, http_url, read_bounded, unix_client};
use crate::oauth::metadata::endpoint;
use crate::server::config::Overrides;

/// The variable that names the issuer where `--url` does not.
const URL_VARIABLE: &str = "MINTAGE_URL";
/// A longer answer is not one of ours.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// How long an answer may take: a thousand clients are more than a token.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same for a request about many clients: slow hashes are made of their secrets.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// The way to a server.
#[derive(Debug)]
pub(super) enum Way {
    /// Its admin socket.
    Socket { http: reqwest::Client, path: PathBuf },
    /// Its public listener.
    Issuer { http: reqwest::Client, issuer: String, client_id: String, tokens: Box<TokenSource> },
}

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    method: Method,
    path: &'a str,
    body: Option<Zeroizing<Vec<u8>>>,
    key: Option<String>,
    if_match: Option<String>,
    patience: Duration,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) tag: Option<String>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
enum Lost {
    Sending(reqwest::Error),
    Reading(FetchError),
}

impl Lost {
    /// Whoever hung once is not waited for twice.
    fn took_too_long(&self) -> bool {
        matches!(self, Self::Sending(error) if error.is_timeout())
    }
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, key: None, if_match: None, patience: PATIENCE }
    }

    pub(super) fn body(self, body: &impl Serialize) -> Result<Self, Failure> {
        let bytes = serde_json::to_vec(body).map_err(Failure::new)?;
        Ok(Self { body: Some(Zeroizing::new(bytes)), ..self })
    }

    /// Under a name by which the server knows it again.
    pub(super) fn once(self) -> Result<Self, Failure> {
        let mut random = [0; 16];
        SystemEntropy::new().fill(&mut random).map_err(Failure::new)?;
        Ok(Self { key: Some(URL_SAFE_NO_PAD.encode(random)), ..self })
    }

    /// Only if it still has this tag.
    pub(super) fn from(self, tag: Option<&str>) -> Self {
        Self { if_match: tag.map(str::to_owned), ..self }
    }

    /// It may take long.
    pub(super) fn patient(self) -> Self {
        Self { patience: LONG, ..self }
    }

    /// Whether it can be sent twice and is carried out once.
    fn is_repeatable(&self) -> bool {
        self.method == Method::GET || self.key.is_some()
    }
}

impl Way {
    pub(super) fn of(global: &Global) -> Result<Self, Failure> {
        match (&global.url, &global.socket) {
            (Some(_), Some(_)) => Err(Failure::usage("--url and --socket: a server is reached by one of them")),
            (Some(url), None) => Self::issuer(global, url),
            (None, Some(_)) => Self::local(global),
            (None, None) => match url_of_the_environment() {
                Some(url) => Self::issuer(global, &url),
                None => Self::local(global),
            },
        }
    }

    pub(super) fn is_remote(global: &Global) -> bool {
        global.url.is_some() || global.socket.is_none() && url_of_the_environment().is_some()
    }

    pub(super) fn local(global: &Global) -> Result<Self, Failure> {
        if global.url.is_some() {
            return Err(Failure::usage("this goes over the admin socket alone: run it where the server runs"));
        }
        if let (Some(_), None) = (&global.credentials, &global.socket) {
            return Err(Failure::usage("--credentials are for --url URL; the admin socket asks for none"));
        }
        let path = global.load(Overrides::default())?.admin.socket;
        Ok(Self::Socket { http: unix_client(&path)?, path })
    }

    fn issuer(global: &Global, issuer: &str) -> Result<Self, Failure> {
        http_url(issuer).map_err(|error| Failure::usage(format!("--url: {error}")))?;
        let credentials = match &global.credentials {
            Some(file) => Credentials::from_file(file),
            None => Credentials::from_env(),
        };
        let credentials = credentials.map_err(|error| {
            let hint = if global.credentials.is_none() { " with --credentials" } else { "" };
            Failure::new(format!("{error}{hint}"))
        })?;
        let client_id = credentials.client_id.clone();
        // The issuer is the audience of its own routes; without it a client that holds other scopes too gets those.
        let tokens = TokenSource::discover(issuer).credentials(credentials).resource(issuer).build()?;
        Ok(Self::Issuer { http: http_client()?, issuer: issuer.to_owned(), client_id, tokens: Box::new(tokens) })
    }

    /// The answer, whatever it says.
    pub(super) async fn answer(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let Self::Issuer { tokens, client_id, .. } = self else { return self.tried(ask, None).await };
        let no_token = |error| super::refusal::no_token(error, client_id);
        let token = tokens.token().await.map_err(no_token)?;
        let answer = self.tried(ask, Some(&token)).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // Cut off since it was fetched, by a change of this very client, say. What was refused so was not carried out.
        let other = tokens.replace(&token).await.map_err(no_token)?;
        if other.is_same(&token) { Ok(answer) } else { self.tried(ask, Some(&other)).await }
    }

    /// Once more where the connection broke, if nothing is done twice by that.
    async fn tried(&self, ask: &Ask<'_>, token: Option<&Token>) -> Result<Answer, Failure> {
        let lost = match self.sent(ask, token).await {
            Err(Lost::Sending(error)) if error.is_connect() => return Err(self.unreachable(&error)),
            Err(lost) if ask.is_repeatable() && !lost.took_too_long() => match self.sent(ask, token).await {
                Ok(answer) => return Ok(answer),
                Err(lost) => lost,
            },
            Err(lost) => lost,
            Ok(answer) => return Ok(answer),
        };
        let failure = match lost {
            Lost::Sending(error) => self.unreachable(&error),
            Lost::Reading(error) => Failure::new(error),
        };
        Err(match ask.method {
            Method::GET => failure,
            _ => Failure::new(format!(
                "{failure}\n       Whether it was carried out is not known: look before you try again"
            )),
        })
    }

    /// An answer that is not read yet, or the refusal.
    pub(super) async fn open(
        &self,
        path: &str,
        within: Duration,
    ) -> Result<Result<reqwest::Response, Answer>, Failure> {
        let token = match self {
            Self::Socket { .. } => None,
            Self::Issuer { tokens, client_id, .. } => {
                Some(tokens.token().await.map_err(|error| super::refusal::no_token(error, client_id))?)
            }
        };
        let ask = Ask { patience: within, ..Ask::new(Method::GET, path) };
        let response = self.request(&ask, token.as_ref()).send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(Ok(response));
        }
        let status = response.status().as_u16();
        let body = Zeroizing::new(read_bounded(response, MAX_ANSWER).await?);
        Ok(Err(Answer { status, tag: None, body }))
    }

    pub(super) async fn is_running(&self) -> Result<bool, Failure> {
        let (http, url) = match self {
            Self::Socket { http, .. } => (http, "http://localhost/healthz".to_owned()),
            Self::Issuer { http, issuer, .. } => (http, endpoint(issuer, "/healthz")),
        };
        match http.get(url).send().await {
            Ok(_) => Ok(true),
            Err(error) => match io_kind(&error) {
                Some(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => Ok(false),
                _ => Err(self.unreachable(&error)),
            },
        }
    }

    fn request(&self, ask: &Ask<'_>, token: Option<&Token>) -> reqwest::RequestBuilder {
        let (http, url) = match self {
            Self::Socket { http, .. } => (http, format!("http://localhost/api/v1/{}", ask.path)),
            Self::Issuer { http, issuer, .. } => (http, endpoint(issuer, &format!("/api/v1/{}", ask.path))),
        };
        let mut request = http.request(ask.method.clone(), url).timeout(ask.patience);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(tag) = &ask.if_match {
            request = request.header(IF_MATCH, tag);
        }
        request
    }

    async fn sent(&self, ask: &Ask<'_>, token: Option<&Token>) -> Result<Answer, Lost> {
        let response = self.request(ask, token).send().await.map_err(Lost::Sending)?;
        let status = response.status().as_u16();
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = Zeroizing::new(read_bounded(response, MAX_ANSWER).await.map_err(Lost::Reading)?);
        Ok(Answer { status, tag, body })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let socket = match self {
            Self::Issuer { issuer, .. } => {
                let why = innermost(error);
                return Failure::new(format!("{issuer} could not be reached: {why}. Does it run there?"));
            }
            Self::Socket { path, .. } => path.display(),
        };
        Failure::new(match io_kind(error) {
            Some(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => format!(
                "no server is running here: nothing listens on {socket}. Start one with `mintage serve`; \
                 if it runs elsewhere, name its socket with --socket, or its issuer with --url"
            ),
            Some(std::io::ErrorKind::PermissionDenied) => {
                format!("{socket} may be opened only by the user that the server runs as; run this as that user")
            }
            _ => format!("the server at {socket} could not be reached: {error}"),
        })
    }
}

fn url_of_the_environment() -> Option<String> {
    std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty())
}

/// What the system said, where it was the system.
fn io_kind(error: &reqwest::Error) -> Option<std::io::ErrorKind> {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    let mut kind = None;
    while let Some(current) = source {
        kind = current.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(kind);
        source = current.source();
    }
    kind
}

/// What really happened, without the URL that reqwest repeats.
fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
