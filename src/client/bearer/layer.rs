//! A tower layer for HTTP clients.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::client::TokenSource;

use super::refuses_token;

/// What any part of a client may fail with.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Puts a token on every request of an HTTP client that is a tower service (hyper-util's, tonic's channel). Where the
/// answer is 401 `invalid_token`, a new one is fetched, once however many requests are answered so; with
/// [`BearerLayer::retrying`] the request is then made once more.
///
/// A request that has an `Authorization` of its own is left as it is.
#[derive(Debug)]
pub struct BearerLayer<R = NoRetry> {
    source: TokenSource,
    retry: PhantomData<fn() -> R>,
}

/// What a [`BearerLayer`] makes of a client.
#[derive(Debug)]
pub struct BearerService<S, R = NoRetry> {
    inner: S,
    source: TokenSource,
    retry: PhantomData<fn() -> R>,
}

/// Requests are made once: their bodies need not be clonable.
#[derive(Clone, Copy, Debug)]
pub struct NoRetry;

/// Requests are made again with a clone of their bodies.
#[derive(Clone, Copy, Debug)]
pub struct ClonedBody;

/// Whether there is a second body for a second try.
pub trait SecondBody<B> {
    /// The body once more, if it is to be had.
    fn second(body: &B) -> Option<B>;
}

impl<B> SecondBody<B> for NoRetry {
    fn second(_: &B) -> Option<B> {
        None
    }
}

impl<B: Clone> SecondBody<B> for ClonedBody {
    fn second(body: &B) -> Option<B> {
        Some(body.clone())
    }
}

impl BearerLayer {
    /// With tokens of `source`; requests are made once.
    #[must_use]
    pub const fn new(source: TokenSource) -> Self {
        Self { source, retry: PhantomData }
    }
}

impl BearerLayer<ClonedBody> {
    /// With tokens of `source`; what is refused for its token is tried once more with another. Bodies are cloned.
    #[must_use]
    pub const fn retrying(source: TokenSource) -> Self {
        Self { source, retry: PhantomData }
    }
}

impl<R> Clone for BearerLayer<R> {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), retry: PhantomData }
    }
}

impl<S: Clone, R> Clone for BearerService<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), source: self.source.clone(), retry: PhantomData }
    }
}

impl<S, R> Layer<S> for BearerLayer<R> {
    type Service = BearerService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerService { inner, source: self.source.clone(), retry: PhantomData }
    }
}

impl<S, R, B, A> Service<Request<B>> for BearerService<S, R>
where
    S: Service<Request<B>, Response = Response<A>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    R: SecondBody<B>,
    B: Send + 'static,
    A: Send,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was polled ready is the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if request.headers().contains_key(AUTHORIZATION) {
            let response = inner.call(request);
            return Box::pin(async move { response.await.map_err(Into::into) });
        }
        let source = self.source.clone();
        let again = R::second(request.body()).map(|body| {
            let mut again = Request::new(body);
            *again.method_mut() = request.method().clone();
            *again.uri_mut() = request.uri().clone();
            *again.version_mut() = request.version();
            *again.headers_mut() = request.headers().clone();
            *again.extensions_mut() = request.extensions().clone();
            again
        });
        Box::pin(async move {
            let token = source.token().await?;
            request.headers_mut().insert(AUTHORIZATION, token.authorization());
            let response = inner.call(request).await.map_err(Into::into)?;
            if !refuses_token(response.status(), response.headers()) {
                return Ok(response);
            }
            match (source.replace(&token).await, again) {
                (Ok(other), Some(mut again)) if !other.is_same(&token) => {
                    again.headers_mut().insert(AUTHORIZATION, other.authorization());
                    // Its body may hold what the client has to have before it is ready: a connection, a permit.
                    drop(response);
                    std::future::poll_fn(|context| inner.poll_ready(context)).await.map_err(Into::into)?;
                    inner.call(again).await.map_err(Into::into)
                }
                // What the resource said is the best answer there is.
                _ => Ok(response),
            }
        })
    }
}
