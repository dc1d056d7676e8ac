//! The service within the test's own process, on a real redb file and real sockets, with a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use mintage::api;
use mintage::clock::{Clock, ManualClock, SystemClock, UnixTime};
use mintage::crypto::entropy::SystemEntropy;
use mintage::id::RequestId;
use mintage::jose::CompactJws;
use mintage::server::config::{Config, RateKeys};
use mintage::server::guards::Guards;
use mintage::server::http::{App, RefuseUnreadable, public_routes, serve_tcp};
use mintage::server::keys::{KeyRing, Settings as KeySettings};
use mintage::server::model::{Actor, Origin, Retention};
use mintage::server::service::{Caller, LEEWAY, LimitSettings, ReviewSettings, Service, Settings};
use mintage::server::store::Store;
use mintage::server::store::redb::RedbStore;
use mintage::server::{Parts, Running, Server};
use mintage::source_ip::SourcePolicy;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Settings of a [`TestApp`].
pub struct Builder {
    config: Config,
    dir: TempDir,
}

/// A running service.
pub struct TestApp {
    pub base: String,
    pub issuer: String,
    pub clock: Arc<ManualClock>,
    pub service: Arc<Service>,
    pub http: reqwest::Client,
    pub config: Config,
    pub dir: TempDir,
    running: Option<Running>,
}

/// A registered client and its secret.
#[derive(Clone, Debug)]
pub struct TestClient {
    pub id: String,
    pub secret: String,
}

impl TestApp {
    pub fn builder() -> Builder {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
        config.store.url = format!("redb:{}", dir.path().join("data/mintage.redb").display());
        config.keys.dir = dir.path().join("keys");
        config.admin.socket = dir.path().join("data/admin.sock");
        // Its clock stands still, so that nothing comes back; tests of limits set their own.
        config.limits.token = RateKeys::unlimited();
        config.limits.routes.read = RateKeys::unlimited();
        config.limits.routes.write = RateKeys::unlimited();
        config.limits.failed_auth.per_minute = 0;
        Builder { config, dir }
    }

    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn now(&self) -> UnixTime {
        self.clock.now()
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn caller(&self) -> Caller {
        caller()
    }

    pub async fn api(&self, identifier: &str, scopes: &[&str]) -> api::Api {
        let scopes = scopes
            .iter()
            .map(|name| api::ScopeDefinition { name: (*name).to_owned(), description: String::new() })
            .collect();
        let new = api::NewApi { identifier: identifier.to_owned(), scopes, ..api::NewApi::default() };
        self.service.create_api(new, &caller()).await.unwrap().value
    }

    pub async fn client(&self, scopes: &[&str]) -> TestClient {
        self.client_with(api::NewClient {
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            ..api::NewClient::default()
        })
        .await
    }

    pub async fn client_with(&self, mut new: api::NewClient) -> TestClient {
        if new.name.is_empty() {
            new.name = "test".to_owned();
        }
        let made = self.service.create_client(new, &caller()).await.unwrap().value;
        TestClient { id: made.client_id, secret: made.client_secret.unwrap() }
    }

    /// A token request with Basic and these further parameters.
    pub fn token_request(&self, client: &TestClient, parameters: &[(&str, &str)]) -> RequestBuilder {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend_from_slice(parameters);
        self.http
            .post(self.url("/oauth/token"))
            .basic_auth(&client.id, Some(&client.secret))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(&form))
    }

    /// The answer to a token request, which has to succeed.
    pub async fn token_answer(&self, client: &TestClient, parameters: &[(&str, &str)]) -> Value {
        let response = self.token_request(client, parameters).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub async fn token(&self, client: &TestClient) -> String {
        self.token_answer(client, &[]).await["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Response {
        let mut request = self.http.get(self.url(path));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request.send().await.unwrap()
    }

    /// Stops the service, and gives the folder of its files.
    pub async fn stop(mut self) -> TempDir {
        self.running.take().unwrap().stop().await;
        self.dir
    }

    /// Stops the service and starts it again on the same files.
    pub async fn restart(self) -> Self {
        self.restart_after(|| {}).await
    }

    /// The same; something happens while it is stopped.
    pub async fn restart_after(mut self, meanwhile: impl FnOnce()) -> Self {
        self.running.take().unwrap().stop().await;
        drop(self.service);
        meanwhile();
        // The port may be another one; the issuer stays.
        let config = Config { issuer: Some(self.issuer), ..self.config };
        run(config, self.dir, self.clock).await
    }
}

fn caller() -> Caller {
    let request_id = Some(RequestId::generate(&SystemEntropy::new()));
    Caller::everything(Origin { actor: Actor::Admin { uid: Some(0) }, request_id, source: None, receipt: None })
}

impl Builder {
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub fn keys_dir(&self) -> std::path::PathBuf {
        self.config.keys.dir.clone()
    }

    pub async fn start(self) -> TestApp {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        run(self.config, self.dir, clock).await
    }

    /// Starts on a store that stands before the real one. It is not restarted, and stops with the test.
    pub async fn start_on(self, wrap: impl FnOnce(RedbStore) -> Arc<dyn Store>) -> TestApp {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let (store, _) = RedbStore::open(&self.config.store_path(), [7; 32], clock.now()).unwrap();
        let store = wrap(store);
        let listener = TcpListener::bind(self.config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let ttl = self.config.token.ttl.duration();
        let settings = KeySettings {
            dir: self.config.keys.dir.clone(),
            algorithm: self.config.keys.algorithm,
            rotate_after: self.config.keys.rotate_after.duration(),
            jwks_max_age: self.config.keys.jwks_max_age.duration(),
            longest_token: ttl + LEEWAY,
        };
        let keys = Arc::new(KeyRing::open(settings, Arc::clone(&store), Arc::clone(&clock) as _).await.unwrap());
        let settings = Settings {
            issuer: self.config.issuer_at(address).into(),
            token_ttl: ttl,
            most_waiting: 1000,
            retention: Retention::default(),
            review: ReviewSettings::default(),
            limits: LimitSettings {
                failed_auth_delay: self.config.limits.failed_auth.delay.duration(),
                ..LimitSettings::default()
            },
            key_prefix: self.config.api_keys.prefix.clone(),
            api_digest: self.config.api.digest,
        };
        let (time, entropy) = (Arc::clone(&clock) as _, Arc::new(SystemEntropy::new()) as _);
        let service = Arc::new(Service::load(settings, time, entropy, store, keys).await.unwrap());
        let metrics = self.config.limits.metrics_allow.clone();
        let (sources, guards) = (SourcePolicy::default(), Guards::default());
        let app = App::new(Arc::clone(&service), sources, guards, metrics);
        let refuse = Some(RefuseUnreadable::by(&app));
        let routes = public_routes(app);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            let _runs_on = stop;
            serve_tcp(listener, routes, refuse, stopped).await;
        });
        TestApp {
            issuer: service.settings().issuer.to_string(),
            base: format!("http://{address}"),
            clock,
            http: mintage::client::http_client().unwrap(),
            config: self.config,
            dir: self.dir,
            running: None,
            service,
        }
    }
}

async fn run(config: Config, dir: TempDir, clock: Arc<ManualClock>) -> TestApp {
    let parts = Parts { clock: Arc::clone(&clock) as _, entropy: Arc::new(SystemEntropy::new()) };
    let server = Server::start(&config, parts, false).await.unwrap();
    let base = format!("http://{}", server.address());
    let service = Arc::clone(server.service());
    TestApp {
        issuer: service.settings().issuer.to_string(),
        base,
        clock,
        http: mintage::client::http_client().unwrap(),
        config,
        dir,
        running: Some(server.run()),
        service,
    }
}

/// Form-encodes parameters.
pub fn encode(parameters: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    Value::Object(CompactJws::parse(token).unwrap().claims().unwrap())
}

/// One header of an answer.
pub fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}
