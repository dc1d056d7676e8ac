//! The tower layer that puts a guard before a service.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Extensions, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::crypto::entropy::SystemEntropy;
use crate::id::RequestId;
use crate::source_ip::SourceAddress;

use super::control::Refused;
use super::guard::{Guard, refused};
use super::presented::Found;
use super::refusal::Refusal;
use super::source::{ApiKeyAnswer, Asked, RequestTarget};
use super::token::AccessToken;

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
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = GuardFuture<S, B, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let guard = &self.shared.guard;
        let peer = guard.peer(request.extensions());
        let presented = guard.credential(request.uri(), request.headers(), peer);
        let decided = presented.and_then(|(credential, source)| {
            match guard.ask(credential, || Some(asked_for(&request)), source) {
                Found::Asked(answer) => Ok(Decided::Later { answer, source }),
                Found::Jwt(token) => {
                    let token =
                        guard.verifier.recognize(token).map_err(|error| refused(Refusal::Token(error), source))?;
                    guard.decide_on(token, source).map(|token| Decided::Now(token, source))
                }
            }
        });
        let kind = match decided {
            Ok(Decided::Now(token, source)) => {
                Kind::Through { future: self.inner.call(let_through(request, token, source)) }
            }
            Ok(Decided::Later { answer, source }) => {
                // The service that said it was ready is the one to call; the clone has not been asked.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                let held = Box::new(Held { inner, shared: Arc::clone(&self.shared), request, source });
                Kind::Asking { answer, held: Some(held) }
            }
            Err(refused) => {
                let response = self.shared.refuse(refused, request.extensions());
                Kind::Refused { response: Some(response) }
            }
        };
        GuardFuture { kind }
    }
}

/// What a request brought: a token that lets it through, or what somebody is asked about.
enum Decided {
    Now(AccessToken, Option<SourceAddress>),
    Later { answer: ApiKeyAnswer<'static>, source: Option<SourceAddress> },
}

/// What the client of a request wrote into its first line.
fn asked_for<B>(request: &Request<B>) -> Asked {
    let uri = request.extensions().get::<RequestTarget>().map_or(request.uri(), |target| &target.0);
    let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    Asked { method: request.method().clone(), target }
}

fn let_through<B>(mut request: Request<B>, token: AccessToken, source: Option<SourceAddress>) -> Request<B> {
    request.extensions_mut().insert(token);
    if let Some(source) = source {
        request.extensions_mut().insert(source);
    }
    request
}

/// A request whose credential is asked about, and the service that waits for it.
struct Held<S, B> {
    inner: S,
    shared: Arc<Shared>,
    request: Request<B>,
    source: Option<SourceAddress>,
}

pin_project! {
    /// The answer of a guarded service.
    pub struct GuardFuture<S, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        kind: Kind<S, B, S::Future, R>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<S, B, F, R> {
        Asking { answer: ApiKeyAnswer<'static>, held: Option<Box<Held<S, B>>> },
        Through { #[pin] future: F },
        Refused { response: Option<Response<R>> },
    }
}

// By hand, so that no request gets into a log.
impl<S: Service<Request<B>>, B, R> fmt::Debug for GuardFuture<S, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardFuture").finish_non_exhaustive()
    }
}

impl<S, B, R> Future for GuardFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        loop {
            match kind.as_mut().project() {
                KindProjection::Asking { answer, held } => {
                    let found = ready!(answer.as_mut().poll(context));
                    let Some(held) = held.take() else { return Poll::Pending };
                    let Held { mut inner, shared, request, source } = *held;
                    let decided = found.map_err(|refused| refused.from_source(source));
                    match decided.and_then(|token| shared.guard.decide_on(token, source)) {
                        Ok(token) => {
                            let future = inner.call(let_through(request, token, source));
                            kind.set(Kind::Through { future });
                        }
                        Err(refused) => {
                            kind.set(Kind::Refused { response: None });
                            return Poll::Ready(Ok(shared.refuse(refused, request.extensions())));
                        }
                    }
                }
                KindProjection::Through { future } => return future.poll(context),
                // Polled again after it was ready, as no future may be, it stays pending.
                KindProjection::Refused { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
            }
        }
    }
}
