//! Starting and stopping: in which order the parts come up, and go down.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};
use crate::crypto::entropy::{Entropy, SystemEntropy};
use crate::source_ip::SourcePolicy;

use super::config::{Audit, Config};
use super::guards::Guards;
use super::http::{self, AdminSocket, App};
use super::keys::{KeyRing, KeyRingError, Settings as KeySettings};
use super::service::{LEEWAY, LimitSettings, Quickstart, Retention, ReviewSettings, Service, Settings};
use super::store::redb::{OpenError, RedbStore};
use super::store::{Store, StoreError};
use super::webhook::Reviewer;

/// What the service is given besides its configuration.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy::new()) }
    }
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store, once open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A guard of the configuration.
    #[error("the configuration cannot be used:\n{0}")]
    Guard(String),
    /// The webhook of the configuration.
    #[error("the configuration cannot be used:\n{0}")]
    Webhook(String),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The public address.
    #[error("cannot listen on {address}: {source} (listen, or --listen, moves it)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The admin socket.
    #[error("cannot make the admin socket {}: {source} (admin.socket moves it)", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No randomness, or a first client that could not be made.
    #[error("the first start failed: {0}")]
    First(String),
}

/// The service, ready to run.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    app: App,
    listener: TcpListener,
    address: SocketAddr,
    socket: AdminSocket,
    quickstart: Option<Quickstart>,
    reviewer: Reviewer,
}

/// The service, running.
#[derive(Debug)]
pub struct Running {
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Brings everything up, in the order in which each needs the one before: the store and its lock, the address, the
    /// keys, the decisions, the admin socket. Makes the first client where the store is new and `quickstart` is wanted.
    ///
    /// # Errors
    /// [`StartError`]. What is there and cannot be used is never replaced.
    pub async fn start(config: &Config, parts: Parts, quickstart: bool) -> Result<Self, StartError> {
        let Parts { clock, entropy } = parts;
        let guards = Guards::new(&config.guard).map_err(StartError::Guard)?;
        http::raise_descriptor_limit();
        let mut seed = [0; 32];
        entropy.fill(&mut seed).map_err(|error| StartError::First(error.to_string()))?;
        let (path, now) = (config.store_path(), clock.now());
        let opened = tokio::task::spawn_blocking(move || RedbStore::open(&path, seed, now)).await;
        let (store, _) = opened.map_err(|_| StoreError::Unavailable("opening it was broken off".to_owned()))??;
        let store: Arc<dyn Store> = Arc::new(store);
        let listen_error = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let ttl = config.token.ttl.duration();
        let keys = KeyRing::open(
            KeySettings {
                dir: config.keys.dir.clone(),
                algorithm: config.keys.algorithm,
                rotate_after: config.keys.rotate_after.duration(),
                jwks_max_age: config.keys.jwks_max_age.duration(),
                longest_token: ttl + LEEWAY,
            },
            Arc::clone(&store),
            Arc::clone(&clock),
        )
        .await?;
        let settings = Settings {
            issuer: config.issuer_at(address).into(),
            token_ttl: ttl,
            review: ReviewSettings {
                expiring_within: None,
                unused_for: config.review.unused_after.as_secs(),
                never_used_for: config.review.never_used_after.as_secs(),
            },
            // Who waits holds a connection; there have to be some for everybody else.
            most_waiting: http::max_connections() / 2,
            retention: Retention {
                changes: Audit::kept(config.audit.retention),
                issuances: Audit::kept(config.audit.issuances_retention),
            },
            limits: LimitSettings {
                token: config.limits.at_token(),
                read: config.limits.on_reads(),
                write: config.limits.on_writes(),
                failed_auth: config.limits.on_failures(),
                failed_auth_delay: config.limits.failed_auth.delay.duration(),
            },
            key_prefix: config.api_keys.prefix.clone(),
            api_digest: config.api.digest,
        };
        let randomness = Arc::clone(&entropy);
        let service = Arc::new(Service::load(settings, clock, entropy, store, Arc::new(keys)).await?);
        let reviewer = Reviewer::new(config, Arc::clone(&service), randomness).map_err(StartError::Webhook)?;
        let sources = SourcePolicy {
            trusted_proxies: config.network.trusted_proxies.clone(),
            header: config.network.client_ip_header,
        };
        let limits = &config.limits;
        let app = App::new(Arc::clone(&service), sources, guards, limits.metrics_allow.clone());
        warn_of_unknown(config, &service);
        let socket = AdminSocket::bind(&config.admin.socket)
            .map_err(|source| StartError::Socket { path: config.admin.socket.clone(), source })?;
        let quickstart = if quickstart && address.ip().to_canonical().is_loopback() {
            let made = service.create_quickstart().await;
            made.map_err(|error| StartError::First(error.detail()))?
        } else {
            None
        };
        // Last: what did not start need not have ended.
        service.begin_run().await.map_err(|error| StartError::First(error.detail()))?;
        Ok(Self { service, app, listener, address, socket, quickstart, reviewer })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The decisions.
    #[must_use]
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The first client, if this start made it; to be shown once, before [`Service::end_first_start`].
    pub fn take_quickstart(&mut self) -> Option<Quickstart> {
        self.quickstart.take()
    }

    /// Begins to answer.
    #[must_use]
    pub fn run(self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let refuse = Some(http::RefuseUnreadable::by(&self.app));
        let public = http::public_routes(self.app.clone());
        let admin = http::admin_routes(self.app);
        let tasks = vec![
            tokio::spawn(http::serve_tcp(self.listener, public, refuse.clone(), stopped.clone())),
            tokio::spawn(http::serve_unix(self.socket, http::MAX_ADMIN, admin, refuse, stopped.clone())),
            tokio::spawn(Arc::clone(&self.service).run_background(stopped.clone())),
            tokio::spawn(self.reviewer.run(stopped)),
        ];
        Running { service: self.service, stop, tasks }
    }
}

/// What guards ask for and nobody has registered is allowed, since it may be yet; but nothing gets past until it is.
fn warn_of_unknown(config: &Config, service: &Service) {
    for guard in &config.guard {
        let audiences = guard.rule.iter().map(|rule| &rule.audience).chain([&guard.audience]).flatten();
        for audience in audiences.filter(|audience| !service.knows_audience(audience)) {
            tracing::warn!(guard = guard.name, audience, "a guard asks for an audience that no API has");
        }
        for rule in &guard.rule {
            if let Err(error) = service.audiences_of(&rule.scopes.iter().cloned().collect()) {
                tracing::warn!(
                    guard = guard.name,
                    path = rule.path,
                    %error,
                    "a guard's rule cannot be met"
                );
            }
        }
    }
}

impl Running {
    /// Finishes what is under way, and ends. The store is closed when the last of it is done.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.service.stop_waiting();
        for task in self.tasks {
            drop(task.await);
        }
        // Only now is nothing left that could be noted.
        self.service.flush().await;
        self.service.end_run().await;
    }
}
