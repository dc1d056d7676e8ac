//! Accepting connections. A connection that does not send its head in time is closed; when the service stops, requests
//! under way are finished.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::resource::RequestTarget;
use crate::source_ip::Peer;

use super::admin_socket::{AdminSocket, PeerUser};
use super::unreadable::{Explained, RefuseUnreadable};

/// How long a request's head may take to arrive, and a connection may idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way may take when the service stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a peer may take no bytes of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes that are held of a request's head.
const MAX_HEAD: usize = 64 * 1024;
/// Descriptors that connections leave to the store, the keys, and local administration.
const RESERVED_DESCRIPTORS: u64 = 64;
/// The most connections, whatever the system allows: each takes memory.
const MOST_CONNECTIONS: usize = 16_384;
/// The most connections to the admin socket.
pub const MAX_ADMIN: usize = 16;

/// Asks the system for as many descriptors as it lets this process have: the limit that shells and service managers
/// begin with is far below.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%error, "the limit of descriptors stays what it is");
    }
}

/// The most connections to the public listener: what the system allows the process, less what it needs besides.
pub fn max_connections() -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(65_536);
    usize::try_from(allowed.saturating_sub(RESERVED_DESCRIPTORS).max(16)).unwrap_or(1024).min(MOST_CONNECTIONS)
}

/// Serves `routes` until `stop` turns true. The peer is in each request's extensions, as a [`Peer`].
/// What cannot be read is refused as `refuse` says; without it, as hyper does.
pub async fn serve_tcp(
    listener: TcpListener,
    routes: Router,
    refuse: Option<RefuseUnreadable>,
    mut stop: watch::Receiver<bool>,
) {
    let draining = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(max_connections()));
    loop {
        let (permit, accepted) = tokio::select! {
            next = async { (Arc::clone(&room).acquire_owned().await, listener.accept().await) } => next,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Answers are small and whole: waiting to fill a packet only delays them.
                drop(stream.set_nodelay(true));
                let stream = Explained::new(timed(stream), refuse.clone(), Some(peer.ip()));
                serve_connection(stream, &routes, Peer(peer.ip()), &draining, permit.ok());
            }
            Err(error) => pause(&error).await,
        }
    }
    drop(listener);
    drain(draining).await;
}

/// Serves `routes` on a Unix socket, to `most` connections at once, until `stop` turns true. The peer's user is in each
/// request's extensions, as a [`PeerUser`].
/// What cannot be read is refused as `refuse` says; without it, as hyper does.
pub async fn serve_unix(
    socket: AdminSocket,
    most: usize,
    routes: Router,
    refuse: Option<RefuseUnreadable>,
    mut stop: watch::Receiver<bool>,
) {
    let draining = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(most));
    loop {
        let (permit, accepted) = tokio::select! {
            next = async { (Arc::clone(&room).acquire_owned().await, socket.listener.accept().await) } => next,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let user = PeerUser(stream.peer_cred().ok().map(|credentials| credentials.uid()));
                let stream = Explained::new(timed(stream), refuse.clone(), None);
                serve_connection(stream, &routes, user, &draining, permit.ok());
            }
            Err(error) => pause(&error).await,
        }
    }
    drop(socket);
    drain(draining).await;
}

/// One that asks and never reads the answers is closed, too.
fn timed<S: AsyncRead + AsyncWrite>(stream: S) -> Pin<Box<TimeoutStream<S>>> {
    let mut timed = TimeoutStream::new(stream);
    timed.set_write_timeout(Some(WRITE_TIMEOUT));
    Box::pin(timed)
}

fn serve_connection<S, E>(
    stream: S,
    routes: &Router,
    about_peer: E,
    draining: &GracefulShutdown,
    permit: Option<OwnedSemaphorePermit>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Clone + Send + Sync + 'static,
{
    let routes = routes.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        let target = RequestTarget(request.uri().clone());
        request.extensions_mut().insert(about_peer.clone());
        request.extensions_mut().insert(target);
        routes.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let connection = draining.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(permit);
    });
}

async fn pause(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::error!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn drain(draining: GracefulShutdown) {
    if tokio::time::timeout(DRAIN, draining.shutdown()).await.is_err() {
        tracing::warn!("requests under way were broken off");
    }
}
