//! The tower layer that refuses a token in a form body (RFC 6750 §2.2).

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_layer::{Layer, Stack};
use tower_service::Service;

use crate::oauth::form;

use super::guard::Guard;
use super::layer::{GuardLayer, Shared};

/// How much of a form is looked at, in bytes: no token request or API call needs more names than fit.
const LOOKED_AT: usize = 64 * 1024;
/// How long a form is waited for. The guard behind decides without the body, and whoever it would refuse at once is not
/// to hold the connection open for longer.
const WAITED: Duration = Duration::from_secs(10);

impl Guard {
    /// The layer for routes of one's own: this guard, and before it [`RefuseTokenInBody`], which reads forms to find the
    /// tokens in them. [`GuardLayer`] is the guard alone, which takes any kind of body and looks at none.
    #[must_use]
    pub fn layer(self) -> Stack<GuardLayer, RefuseTokenInBody> {
        let shared = Arc::new(Shared::new(self));
        Stack::new(GuardLayer(Arc::clone(&shared)), RefuseTokenInBody(shared))
    }
}

/// A layer that refuses a request with a token in its form body, the parameter `access_token`: 400 `malformed_request`,
/// also where a good token is in the header. Only the header is read, and a token that lies elsewhere has leaked.
///
/// Only bodies of the type `application/x-www-form-urlencoded` are read, and of those the first 64 KiB, for ten seconds
/// at most. What is not refused goes on to the service whole, as [`Peeked`]: a larger form is looked at up to there, a
/// slower one as far as it has come. Names that come later are not looked at; how long a body may be, and how long it
/// may take, is for the service to say. A body that is compressed is not unpacked. Waiting needs tokio's timer.
///
/// [`Guard::layer`] puts it before the guard. It decides nothing else, so that it is of no use alone.
#[derive(Clone, Debug)]
pub struct RefuseTokenInBody(Arc<Shared>);

impl RefuseTokenInBody {
    /// A layer that answers and tells of its refusals as this guard does.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Self(Arc::new(Shared::new(guard)))
    }
}

impl<S> Layer<S> for RefuseTokenInBody {
    type Service = RefuseTokenInBodyService<S>;

    fn layer(&self, inner: S) -> RefuseTokenInBodyService<S> {
        RefuseTokenInBodyService { inner, shared: Arc::clone(&self.0) }
    }
}

/// A service that is reached without a token in the body.
#[derive(Clone, Debug)]
pub struct RefuseTokenInBodyService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B, R> Service<Request<B>> for RefuseTokenInBodyService<S>
where
    S: Service<Request<Peeked<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes>,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = RefuseTokenInBodyFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Any of several lines: which one the service goes by is not known.
        let is_form = request.headers().get_all(CONTENT_TYPE).iter().any(form::is_form);
        if !is_form || request.body().is_end_stream() {
            let request = request.map(|body| Peeked { kind: PeekedKind::Unread { body } });
            return RefuseTokenInBodyFuture { kind: Kind::Through { future: self.inner.call(request) } };
        }
        // The service that said it was ready is the one to call; the clone has not been asked.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let (head, body) = request.into_parts();
        let reading = Reading {
            inner,
            shared: Arc::clone(&self.shared),
            head,
            body: Box::pin(body),
            front: BytesMut::new(),
            over: Bytes::new(),
            after: None,
            room: LOOKED_AT,
            ended: false,
            patience: None,
        };
        RefuseTokenInBodyFuture { kind: Kind::Reading { reading: Some(Box::new(reading)) } }
    }
}

pin_project! {
    /// The answer of a [`RefuseTokenInBodyService`].
    pub struct RefuseTokenInBodyFuture<S, B>
    where
        S: Service<Request<Peeked<B>>>,
        B: Body,
    {
        #[pin]
        kind: Kind<S, B, S::Future>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<S, B, F>
    where
        B: Body,
    {
        Reading { reading: Option<Box<Reading<S, B>>> },
        Through { #[pin] future: F },
    }
}

// By hand, so that no body gets into a log.
impl<S: Service<Request<Peeked<B>>>, B: Body> fmt::Debug for RefuseTokenInBodyFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefuseTokenInBodyFuture").finish_non_exhaustive()
    }
}

impl<S, B, R> Future for RefuseTokenInBodyFuture<S, B>
where
    S: Service<Request<Peeked<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        loop {
            match kind.as_mut().project() {
                KindProjection::Through { future } => return future.poll(context),
                KindProjection::Reading { reading } => {
                    if let Some(reading) = reading {
                        ready!(reading.poll_read(context));
                    }
                    // Polled again after it was ready, as no future may be, it stays pending.
                    let Some(reading) = reading.take() else { return Poll::Pending };
                    if reading.has_token() {
                        return Poll::Ready(Ok(reading.refuse()));
                    }
                    let (mut inner, request) = reading.read();
                    kind.set(Kind::Through { future: inner.call(request) });
                }
            }
        }
    }
}

/// A request whose form is being read, and the service that waits for it.
struct Reading<S, B: Body> {
    inner: S,
    shared: Arc<Shared>,
    head: Parts,
    body: Pin<Box<B>>,
    /// What is looked at.
    front: BytesMut,
    /// What came in one piece with the end of it.
    over: Bytes,
    /// What came after it and is not data: trailers, or the error with which it broke off.
    after: Option<Result<Frame<Bytes>, B::Error>>,
    /// How much more is taken in.
    room: usize,
    ended: bool,
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S, B: Body<Data = Bytes>> Reading<S, B> {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.room > 0 {
            match self.body.as_mut().poll_frame(context) {
                Poll::Pending => {
                    // What has come along with the head needs no timer.
                    let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(WAITED)));
                    return patience.as_mut().poll(context);
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.take_in(data),
                    Err(trailers) => {
                        self.after = Some(Ok(trailers));
                        break;
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    self.after = Some(Err(error));
                    break;
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    break;
                }
            }
        }
        Poll::Ready(())
    }

    /// Copied, since many small pieces may each hold on to the large buffer that they were read into.
    fn take_in(&mut self, mut data: Bytes) {
        // An empty piece counts as well: so there is an end to them.
        let counted = data.len().clamp(1, self.room);
        self.room -= counted;
        self.front.extend_from_slice(&data.split_to(counted.min(data.len())));
        self.over = data;
    }

    fn has_token(&self) -> bool {
        let is_whole = match &self.after {
            Some(after) => after.is_ok(),
            None => self.over.is_empty() && (self.ended || self.body.is_end_stream()),
        };
        let last = self.front.rsplit(|b| *b == b'&').next().unwrap_or_default();
        let cut = if is_whole || last.contains(&b'=') {
            0
        } else {
            // It may go on: `access_token` of `access_tokens` is no token.
            last.len()
        };
        let text = self.front.get(..self.front.len() - cut).unwrap_or_default();
        form::names_any(text, &["access_token"])
    }

    fn refuse<R: From<String>>(&self) -> Response<R> {
        let detail = "a token goes into the Authorization header, never into the body";
        let refused = self.shared.guard.malformed(detail, &self.head);
        self.shared.refuse(refused, &self.head.extensions)
    }

    fn read(self) -> (S, Request<Peeked<B>>) {
        let rest = if self.ended { None } else { Some(self.body) };
        let read = Read { front: self.front.freeze(), over: self.over, after: self.after, rest };
        let body = Peeked { kind: PeekedKind::Read { read: Box::new(read) } };
        (self.inner, Request::from_parts(self.head, body))
    }
}

pin_project! {
    /// A body of which the beginning may have been read: it comes first, then the rest. Nothing of it is lost or changed
    /// but where its pieces begin.
    pub struct Peeked<B>
    where
        B: Body,
    {
        #[pin]
        kind: PeekedKind<B>,
    }
}

pin_project! {
    #[project = PeekedProjection]
    enum PeekedKind<B>
    where
        B: Body,
    {
        Unread { #[pin] body: B },
        Read { read: Box<Read<B>> },
    }
}

impl<B: Body> fmt::Debug for Peeked<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeked").finish_non_exhaustive()
    }
}

/// What was read of a body, and the rest of it.
struct Read<B: Body> {
    front: Bytes,
    over: Bytes,
    after: Option<Result<Frame<Bytes>, B::Error>>,
    rest: Option<Pin<Box<B>>>,
}

impl<B: Body<Data = Bytes>> Read<B> {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        for bytes in [&mut self.front, &mut self.over] {
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(mem::take(bytes)))));
            }
        }
        if let Some(after) = self.after.take() {
            return Poll::Ready(Some(after));
        }
        self.rest.as_mut().map_or(Poll::Ready(None), |rest| rest.as_mut().poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        let nothing_held = self.front.is_empty() && self.over.is_empty() && self.after.is_none();
        nothing_held && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = (self.front.len() + self.over.len()) as u64;
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), |rest| rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(held)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B: Body<Data = Bytes>> Body for Peeked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            PeekedProjection::Unread { body } => body.poll_frame(context),
            PeekedProjection::Read { read } => read.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            PeekedKind::Unread { body } => body.is_end_stream(),
            PeekedKind::Read { read } => read.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            PeekedKind::Unread { body } => body.size_hint(),
            PeekedKind::Read { read } => read.size_hint(),
        }
    }
}
