//! The tower layer that holds credentials to a number of requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::limit::headers::insert_standing;
use crate::limit::{BadRate, Class, Limit, Limited, Limiter, Moment, Permit, Rate, Shadow, Standing, Whose};
use crate::source_ip::SourceAddress;

use super::control::Refused;
use super::guard::Guard;
use super::layer::Shared;
use super::refusal::Refusal;
use super::token::AccessToken;

/// The most credentials that are told apart; beyond that, who was not seen for longest begins anew.
const CREDENTIALS: u64 = 200_000;

/// A layer that lets each credential make so many requests, and refuses the rest with 429 `rate_limited` and a
/// `Retry-After` that is true. It stands behind a guard, which says whose request it is: `.route_layer(limits).route_layer(guard.layer())`
/// in axum, where the last is the first. Every answer that comes from behind it says how the credential stands:
/// `X-RateLimit-Limit`, `-Remaining`, `-Reset`, `RateLimit`, `RateLimit-Policy`.
///
/// Each process counts for itself, and all clones together: one value on many routes is one allowance. Nothing is limited
/// until it is asked for.
///
/// ```
/// # fn limited(guard: mintage::resource::Guard) -> Result<(), mintage::limit::BadRate> {
/// use mintage::limit::Rate;
/// use mintage::resource::RequestLimits;
///
/// let limits = RequestLimits::of(&guard)
///     .read(Rate { per_minute: 100, burst: 200, per_day: 10_000, concurrent: 50 })?
///     .write(Rate { per_minute: 25, burst: 50, ..Rate::UNLIMITED })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RequestLimits {
    guard: Guard,
    read: Limited,
    write: Limited,
    /// What was taken behind all clones: axum puts a layer on each method of each route, and that for each connection.
    credentials: Arc<Limiter<(Class, Box<str>)>>,
}

impl RequestLimits {
    /// No limits yet, for the routes behind this guard, whose verifier's clock they go by and whose observer is told of
    /// refusals.
    #[must_use]
    pub fn of(guard: &Guard) -> Self {
        Self {
            guard: guard.clone(),
            read: Limited::default(),
            write: Limited::default(),
            credentials: Arc::new(Limiter::new(CREDENTIALS)),
        }
    }

    /// For requests that read: GET, HEAD, OPTIONS and TRACE.
    ///
    /// # Errors
    /// [`BadRate`].
    pub fn read(mut self, rate: Rate) -> Result<Self, BadRate> {
        self.read.rate = rate.checked()?;
        Ok(self)
    }

    /// For all other requests.
    ///
    /// # Errors
    /// [`BadRate`].
    pub fn write(mut self, rate: Rate) -> Result<Self, BadRate> {
        self.write.rate = rate.checked()?;
        Ok(self)
    }

    /// Runs these limits in shadow: what they would refuse is let through, logged and counted
    /// (`mintage_shadow_refusals_total`).
    #[must_use]
    pub fn shadow(mut self, limits: impl IntoIterator<Item = Limit>) -> Self {
        let shadow: Shadow = limits.into_iter().collect();
        (self.read.shadow, self.write.shadow) = (shadow, shadow);
        self
    }

    fn of_class(&self, class: Class) -> &Limited {
        match class {
            Class::Read => &self.read,
            Class::Write => &self.write,
        }
    }
}

/// What the clones of a service have in common.
#[derive(Debug)]
struct Counted {
    limits: RequestLimits,
    refusing: Shared,
}

impl Counted {
    fn admit<B>(
        &self,
        request: &Request<B>,
        token: &AccessToken,
    ) -> Result<(Option<Standing>, Option<Permit>), Refused> {
        let class = Class::of(request.method());
        let Limited { rate, shadow } = self.limits.of_class(class);
        if *rate == Rate::UNLIMITED {
            return Ok((None, None));
        }
        let moment = Moment::of(&*self.limits.guard.verifier.clock);
        let allowance = self.limits.credentials.of(&(class, token.client_id().into()));
        let taken = allowance.take(rate, *shadow, moment, Whose::Credential(class)).map_err(|exceeded| {
            let source = request.extensions().get::<SourceAddress>().copied();
            Refused::of_client(Refusal::RateLimited(exceeded), token.client_id()).from_source(source)
        })?;
        for limit in taken.shadowed.iter() {
            metrics::counter!("mintage_shadow_refusals_total", "control" => limit.as_str()).increment(1);
        }
        if taken.shadowed_anew {
            let (limits, client_id, class) = (taken.shadowed, token.client_id(), class.as_str());
            tracing::info!(%limits, client_id, class, "would have been refused (shadow); said once a minute");
        }
        Ok((taken.standing, taken.permit))
    }
}

impl<S> Layer<S> for RequestLimits {
    type Service = LimitedService<S>;

    fn layer(&self, inner: S) -> LimitedService<S> {
        let counted = Counted { refusing: Shared::new(self.guard.clone()), limits: self.clone() };
        LimitedService { inner, counted: Arc::new(counted) }
    }
}

/// A service whose requests are limited.
#[derive(Clone, Debug)]
pub struct LimitedService<S> {
    inner: S,
    counted: Arc<Counted>,
}

impl<S, B, R> Service<Request<B>> for LimitedService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = LimitedFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(token) = request.extensions().get::<AccessToken>().cloned() else {
            tracing::error!("a route is limited that no guard stands before");
            let mut response = Response::new(R::from(String::new()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return LimitedFuture { kind: Kind::Refused { response: Some(response) } };
        };
        match self.counted.admit(&request, &token) {
            Ok((standing, permit)) => {
                LimitedFuture { kind: Kind::Through { future: self.inner.call(request), standing, permit } }
            }
            Err(refused) => {
                let response = self.counted.refusing.refuse(refused, request.extensions());
                LimitedFuture { kind: Kind::Refused { response: Some(response) } }
            }
        }
    }
}

pin_project! {
    /// The answer of a limited service.
    #[derive(Debug)]
    pub struct LimitedFuture<F, R> {
        #[pin]
        kind: Kind<F, R>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<F, R> {
        Through { #[pin] future: F, standing: Option<Standing>, permit: Option<Permit> },
        Refused { response: Option<Response<R>> },
    }
}

impl<F, R, E> Future for LimitedFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Through { future, standing, permit } => {
                let answered = ready!(future.poll(context));
                drop(permit.take());
                Poll::Ready(answered.map(|mut response| {
                    if let Some(standing) = standing {
                        insert_standing(response.headers_mut(), standing);
                    }
                    response
                }))
            }
            // Polled again after it was ready, as no future may be, it stays pending.
            KindProjection::Refused { response } => response.take().map_or(Poll::Pending, |r| Poll::Ready(Ok(r))),
        }
    }
}
