//! The source of tokens: what a service holds.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::{Clock, SystemClock};
use crate::credentials::CredentialSource;
use crate::crypto::entropy::{Entropy, SystemEntropy};
use crate::fetch::http_client_with;
use crate::scope::{BadScope, Scope, ScopeSet};

use super::cache::Key;
use super::endpoint::TokenEndpoint;
use super::entry::Entry;
use super::identity::Identity;
use super::kept::Kept;
use super::shared::{Health, Shared};
use super::{AuthMethod, Credentials, Endpoint, Error, Token, TokenCache, TokenRequest};

/// Where a service has its tokens from: always a valid one, renewed in the background five minutes before it ends.
///
/// Cheap to clone; clones share everything. The background task begins with the first call, on that call's runtime (on
/// another once that has ended, or does nothing), and ends with the last clone.
/// Nothing is asked of the network before the first call, so that a service starts while its issuer is down.
#[derive(Clone, Debug)]
pub struct TokenSource {
    main: Arc<Kept>,
    settings: Arc<Settings>,
}

#[derive(Debug)]
struct Settings {
    endpoint: Arc<TokenEndpoint>,
    credentials: CredentialSource,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl TokenSource {
    /// A source of tokens of `issuer`, whose token endpoint is read from its metadata (RFC 8414), when the first token is
    /// asked for.
    pub fn discover(issuer: impl Into<String>) -> TokenSourceBuilder {
        TokenSourceBuilder::new(Endpoint::Issuer(issuer.into()))
    }

    /// A source of tokens of the token endpoint at `url`.
    pub fn token_url(url: impl Into<String>) -> TokenSourceBuilder {
        TokenSourceBuilder::new(Endpoint::TokenUrl(url.into()))
    }

    /// A valid token. While there is one nobody waits, whatever happens to the issuer; without one, all who ask wait
    /// for the same request. After a failure the endpoint is left alone for a while (1 second at first, a minute at
    /// most, 30 seconds after a refusal, longer where it says so); until then that failure is the answer.
    ///
    /// # Errors
    /// [`Error`], where there is no valid token and none was to be had.
    pub async fn token(&self) -> Result<Token, Error> {
        self.main.token().await
    }

    /// A token for something else than the source's own request, of the same client at the same endpoint. It is renewed
    /// in the background for as long as somebody asked for it during the life of the last one.
    ///
    /// # Errors
    /// As [`Self::token`].
    pub async fn token_for(&self, request: &TokenRequest) -> Result<Token, Error> {
        self.settings.entry(request).token().await
    }

    /// Another token than `refused`, which a resource did not take (401 `invalid_token`, RFC 6750 §3.1). However many
    /// callers come with the same one, it is fetched once. A resource that refuses one token after the other is given the
    /// same again: after three in a row a new one is fetched for it after a second, two, and so on up to a minute.
    ///
    /// # Errors
    /// As [`Self::token`]; `refused` is handed out by that until there is another.
    pub async fn replace(&self, refused: &Token) -> Result<Token, Error> {
        self.main.replace(refused).await
    }

    /// The same for what [`Self::token_for`] gave.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub async fn replace_for(&self, request: &TokenRequest, refused: &Token) -> Result<Token, Error> {
        self.settings.entry(request).replace(refused).await
    }

    /// The tokens as they change, for what they have to be pushed on to.
    #[must_use]
    pub fn changes(&self) -> TokenChanges {
        TokenChanges { receiver: self.main.subscribe(), main: Arc::clone(&self.main), begun: false }
    }

    /// How it goes, for a health route.
    #[must_use]
    pub fn health(&self) -> Health {
        self.main.health()
    }

    /// How it goes with what [`Self::token_for`] was asked for.
    #[must_use]
    pub fn health_for(&self, request: &TokenRequest) -> Health {
        self.settings.entry(request).health()
    }
}

impl Settings {
    fn entry(&self, request: &TokenRequest) -> Arc<Entry> {
        self.cache.entry(self.key(request), || self.made(request))
    }

    fn kept(&self, request: &TokenRequest) -> Kept {
        self.cache.kept(self.key(request), || self.made(request))
    }

    fn key(&self, request: &TokenRequest) -> Key {
        Key::new(self.endpoint.configured(), self.endpoint.method(), Identity::of(&self.credentials), request)
    }

    fn made(&self, request: &TokenRequest) -> Entry {
        Entry::new(Shared::new(
            Arc::clone(&self.endpoint),
            self.credentials.clone(),
            request.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
        ))
    }
}

/// The tokens of a [`TokenSource`] as they change. Keeps them coming for as long as it lives.
#[derive(Debug)]
pub struct TokenChanges {
    receiver: watch::Receiver<Option<Token>>,
    main: Arc<Kept>,
    begun: bool,
}

impl TokenChanges {
    /// The next token: at first the one at hand, if there is one, and then each that is fetched. One that was fetched
    /// between two calls and replaced by a newer is passed over. Where somebody waits here, a refusal is tried again now
    /// and then, up to every ten minutes, so that one that is mended is no end. Cancel safe.
    ///
    /// # Errors
    /// [`Error::NoRuntime`]. What else fails is tried again, and said by [`TokenSource::health`].
    pub async fn changed(&mut self) -> Result<Token, Error> {
        if !std::mem::replace(&mut self.begun, true) {
            self.receiver.mark_changed();
        }
        self.main.changed(&mut self.receiver).await
    }
}

/// Settings of a [`TokenSource`].
#[must_use]
pub struct TokenSourceBuilder {
    endpoint: Endpoint,
    credentials: Option<CredentialSource>,
    method: Option<AuthMethod>,
    scopes: Result<ScopeSet, BadScope>,
    resources: Vec<String>,
    http: Box<dyn FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send>,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for TokenSourceBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSourceBuilder").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl TokenSourceBuilder {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            credentials: None,
            method: None,
            scopes: Ok(ScopeSet::default()),
            resources: Vec::new(),
            http: Box::new(|builder| builder),
            cache: TokenCache::default(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy::new()),
        }
    }

    /// The client's id and secret; those of `MINTAGE_CLIENT_ID` and `MINTAGE_CLIENT_SECRET` unless set.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(CredentialSource::Given(credentials));
        self
    }

    /// A file with the client's id and secret ([`Credentials::from_file`]). It may be replaced at any time: it is read
    /// before every request, and looked at every ten seconds, and a new secret is used at once.
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Some(CredentialSource::File(path.into()));
        self
    }

    /// How the client authenticates; what the issuer's metadata names, or Basic, unless set.
    pub fn auth_method(mut self, method: AuthMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// The scopes to ask for; all that the client was granted unless set.
    pub fn scopes<S: AsRef<str>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(|scope| Scope::parse(scope.as_ref())).collect();
        self
    }

    /// An API that the tokens are to be for (RFC 8707); as often as there are.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// What the HTTP client is to have besides: a proxy, another timeout (of at most a minute), TLS with roots of its own
    /// (`tls_backend_preconfigured`; a certificate that is added alone is not looked at, but `SSL_CERT_FILE` is).
    /// Redirects are not followed and `connection_verbose` stays off, whatever is set: credentials would go with them,
    /// and into the log.
    pub fn http(
        mut self,
        with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send + 'static,
    ) -> Self {
        self.http = Box::new(with);
        self
    }

    /// Keeps the tokens in `cache`, with those of other sources; in one of its own unless set.
    pub fn cache(mut self, cache: &TokenCache) -> Self {
        self.cache = cache.clone();
        self
    }

    /// Where the time comes from; the machine's clock unless set. Lifetimes are also held against tokio's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where the randomness of pauses comes from; the system unless set.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The source. Asks nothing of the network.
    ///
    /// # Errors
    /// [`Error::Credentials`] where the environment has none, [`Error::Request`] for scopes that are none,
    /// [`Error::Fetch`] for a URL that cannot be asked.
    pub fn build(self) -> Result<TokenSource, Error> {
        let scopes = self.scopes.map_err(|error| Error::Request(error.to_string()))?;
        let request = TokenRequest { scopes, resources: self.resources };
        let credentials = match self.credentials {
            Some(credentials) => credentials,
            None => CredentialSource::Given(Credentials::from_env()?),
        };
        // A request an hour: a connection that waited for it would be stale, or belong to a runtime that has ended.
        let http = http_client_with(|builder| (self.http)(builder.pool_max_idle_per_host(0)))?;
        let endpoint = TokenEndpoint::new(http, self.endpoint, self.method, Arc::clone(&self.clock))?;
        let settings = Settings {
            endpoint: Arc::new(endpoint),
            credentials,
            cache: self.cache,
            clock: self.clock,
            entropy: self.entropy,
        };
        let main = settings.kept(&request);
        Ok(TokenSource { main: Arc::new(main), settings: Arc::new(settings) })
    }
}
