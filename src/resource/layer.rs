//! The tower layer that puts a guard before a service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Extensions, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::crypto::entropy::SystemEntropy;
use crate::id::RequestId;

use super::control::Refused;
use super::guard::Guard;

/// A layer that lets through what its [`Guard`] lets through, and answers the rest with the refusal.
///
/// The peer's address is taken from the request's extensions ([`Guard::peer_from`]). A request that is let through has the
/// [`AccessToken`](super::AccessToken) and the [`SourceAddress`](crate::source_ip::SourceAddress) there.
///
/// It takes any kind of body and looks at none; [`Guard::layer`] also refuses tokens in form bodies.
#[derive(Clone, Debug)]
pub struct GuardLayer(pub(super) Arc<Shared>);

/// What the services behind a layer have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) guard: Guard,
    entropy: SystemEntropy,
}

impl Shared {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard, entropy: SystemEntropy::new() }
    }

    /// The answer to a request that is refused, by the name that the server gave it, or one of its own.
    pub(super) fn refuse<R: From<String>>(&self, refused: Refused, extensions: &Extensions) -> Response<R> {
        let named = extensions.get::<RequestId>().cloned();
        self.guard.answer(refused, named.unwrap_or_else(|| RequestId::generate(&self.entropy)))
    }
}

impl GuardLayer {
    /// A layer with this guard.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Self(Arc::new(Shared::new(guard)))
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> GuardService<S> {
        GuardService { inner, shared: Arc::clone(&self.0) }
    }
}

/// A service with a guard before it.
#[derive(Clone, Debug)]
pub struct GuardService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B, R> Service<Request<B>> for GuardService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = GuardFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let guard = &self.shared.guard;
        let peer = guard.peer(request.extensions());
        match guard.decide(request.uri(), request.headers(), peer) {
            Ok((token, source)) => {
                request.extensions_mut().insert(token);
                if let Some(source) = source {
                    request.extensions_mut().insert(source);
                }
                GuardFuture { kind: Kind::Through { future: self.inner.call(request) } }
            }
            Err(refused) => {
                let response = self.shared.refuse(refused, request.extensions());
                GuardFuture { kind: Kind::Refused { response: Some(response) } }
            }
        }
    }
}

pin_project! {
    /// The answer of a guarded service.
    #[derive(Debug)]
    pub struct GuardFuture<F, R> {
        #[pin]
        kind: Kind<F, R>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<F, R> {
        Through { #[pin] future: F },
        Refused { response: Option<Response<R>> },
    }
}

impl<F, R, E> Future for GuardFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Through { future } => Poll::Ready(ready!(future.poll(context))),
            // Polled again after it was ready, as no future may be, it stays pending.
            KindProjection::Refused { response } => response.take().map_or(Poll::Pending, |r| Poll::Ready(Ok(r))),
        }
    }
}
