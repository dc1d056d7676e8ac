//! How much a credential may do: the limits on requests, at the token endpoint, on guarded routes, and for failed
//! authentications.
//!
//! Nobody spends another's: what counts is who has proven to be who they are. Those who have not are counted by their
//! address, and only their failures.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{Limits, RateChange};
use crate::clock::{Deadline, Stopwatch};
use crate::id::ClientId;
use crate::limit::{Class, Exceeded, Limited, Limiter, Moment, Permit, Rate, Standing, Taken, Whose, address_key};
use crate::resource::{AccessToken, DigestFailure, Refusal, Refused, TokenError};
use crate::server::error::Error;
use crate::server::model::Client;

use super::{Caller, Service};

/// The most credentials and addresses that are told apart; beyond that, who was not seen for longest begins anew.
const CREDENTIALS: u64 = 500_000;
const ADDRESSES: u64 = 100_000;

/// How many requests there may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitSettings {
    /// Per client, at the token endpoint.
    pub token: Limited,
    /// Per credential, on routes that read.
    pub read: Limited,
    /// Per credential, on routes that write.
    pub write: Limited,
    /// Failed authentications, per address.
    pub failed_auth: Limited,
    /// How long after it arrived a failed authentication is answered at the soonest.
    pub failed_auth_delay: Duration,
}

/// Where requests are limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the token endpoint.
    Token,
    /// On guarded routes of this class.
    Route(Class),
}

impl At {
    /// What is to be otherwise there.
    fn change(self, limits: &Limits) -> &RateChange {
        match self {
            Self::Token => &limits.token,
            Self::Route(Class::Read) => &limits.routes.read,
            Self::Route(Class::Write) => &limits.routes.write,
        }
    }
}

impl LimitSettings {
    fn at(&self, at: At) -> Limited {
        match at {
            At::Token => self.token,
            At::Route(Class::Read) => self.read,
            At::Route(Class::Write) => self.write,
        }
    }
}

/// What everybody has taken.
#[derive(Debug)]
pub(super) struct Limiters {
    clients: Limiter<ClientId>,
    credentials: Limiter<(Class, Box<str>)>,
    addresses: Limiter<IpAddr>,
}

impl Default for Limiters {
    fn default() -> Self {
        Self {
            clients: Limiter::new(CREDENTIALS),
            credentials: Limiter::new(2 * CREDENTIALS),
            addresses: Limiter::new(ADDRESSES),
        }
    }
}

/// A request that may go on.
#[derive(Debug)]
pub struct Admitted {
    /// How its credential stands with the limit that binds.
    pub standing: Option<Standing>,
    /// Counts as under way until it is dropped.
    pub permit: Option<Permit>,
}

impl Service {
    /// A token request of a client that has proven itself.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub(super) fn admit_token_request(&self, client: &Client) -> Result<Admitted, Exceeded> {
        let limited = self.limited(At::Token, client);
        if limited.rate == Rate::UNLIMITED {
            return Ok(Admitted { standing: None, permit: None });
        }
        let allowance = self.limiters.clients.of(&client.client_id);
        let taken = allowance.take(&limited.rate, limited.shadow, Moment::of(&*self.clock), Whose::Client)?;
        Ok(self.admitted(taken, || (client.client_id.to_string(), "token")))
    }

    /// A request that a guard has let through, weighed against what its credential may do.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`].
    pub async fn admit(&self, token: &AccessToken, class: Class) -> Result<Admitted, Refusal> {
        let client = match ClientId::parse(token.client_id()) {
            Ok(id) => self.clients.get(&id).await.ok().flatten(),
            Err(_) => None,
        };
        // A good token is good while the store is away, too; then the configuration's limits hold.
        let limited = match client {
            Some(client) => self.limited(At::Route(class), &client),
            None => self.settings.limits.at(At::Route(class)),
        };
        if limited.rate == Rate::UNLIMITED {
            return Ok(Admitted { standing: None, permit: None });
        }
        let allowance = self.limiters.credentials.of(&(class, token.client_id().into()));
        let taken = allowance.take(&limited.rate, limited.shadow, Moment::of(&*self.clock), Whose::Credential(class));
        let whose = || (token.client_id().to_owned(), class.as_str());
        taken.map(|taken| self.admitted(taken, whose)).map_err(Refusal::RateLimited)
    }

    /// The limits of a client: the configuration's, with what its organization, its project and itself say instead.
    fn limited(&self, at: At, client: &Client) -> Limited {
        let Limited { rate, shadow } = self.settings.limits.at(at);
        let rate = self.rate_of_place(at, rate, client).with(at.change(&client.limits));
        Limited { rate, shadow }
    }

    fn rate_of_place(&self, at: At, rate: Rate, client: &Client) -> Rate {
        let catalog = self.catalog.now();
        let organization = catalog.organization(&client.organization).map(|found| found.limits);
        let project = catalog.project(&client.organization, &client.project).map(|found| found.limits);
        let above = organization.iter().chain(&project);
        above.fold(rate, |rate, limits| rate.with(at.change(limits)))
    }

    /// Refuses to give a client more than its project has, where the caller reaches no further than that: who is held
    /// to a limit does not raise it.
    pub(super) fn check_limits_given(&self, before: &Limits, client: &Client, caller: &Caller) -> Result<(), Error> {
        if client.limits == *before {
            return Ok(());
        }
        let exceeds = [At::Token, At::Route(Class::Read), At::Route(Class::Write)].into_iter().any(|at| {
            let above = self.rate_of_place(at, self.settings.limits.at(at).rate, client);
            above.with(at.change(&client.limits)).exceeds(&above)
        });
        if exceeds { caller.check_organization("giving a client higher limits than its project has") } else { Ok(()) }
    }

    fn admitted(&self, taken: Taken, whose: impl FnOnce() -> (String, &'static str)) -> Admitted {
        taken.shadowed.iter().for_each(|limit| self.metrics.limit_would_refuse(limit));
        if taken.shadowed_anew {
            let (whose, at) = whose();
            tracing::info!(limits = %taken.shadowed, at, whose, "would have been refused (shadow); said once a minute");
        }
        Admitted { standing: taken.standing, permit: taken.permit }
    }

    /// Waits until a failed authentication may be answered: the delay after it arrived, and as much later as a slow
    /// check of a secret takes, whether there was one or not. That may grow while this one waits: all end at the same
    /// mark.
    pub async fn hold_failure(&self, arrived: Stopwatch) {
        loop {
            let until = self.settings.limits.failed_auth_delay + self.slow_checks_take();
            match until.saturating_sub(arrived.elapsed()) {
                Duration::ZERO => return,
                rest => Deadline::after(rest).reached().await,
            }
        }
    }

    /// The outcome of what a guard asked, when it may be answered: as [`Service::hold_failure`] has it.
    pub(super) async fn held_if_failed<T>(
        &self,
        arrived: Stopwatch,
        outcome: Result<T, Refused>,
    ) -> Result<T, Refused> {
        let Err(mut refused) = outcome else { return outcome };
        let failed = match &refused.refusal {
            Refusal::Digest(DigestFailure::Invalid) | Refusal::Token(TokenError::Invalid(_)) => true,
            Refusal::RateLimited(exceeded) => exceeded.whose == Whose::Address,
            _ => false,
        };
        if failed {
            self.hold_failure(arrived).await;
        }
        if let Refusal::RateLimited(exceeded) = refused.refusal {
            refused.refusal = Refusal::RateLimited(exceeded.after(arrived.elapsed()));
        }
        Err(refused)
    }

    /// A failed authentication from this address, which is counted before it is known to have failed; one that has not
    /// is put back.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub(super) fn count_failure(&self, address: IpAddr) -> Result<Failure<'_>, Exceeded> {
        let limited = self.settings.limits.failed_auth;
        let allowance = self.limiters.addresses.of(&address_key(address));
        let taken = allowance.take(&limited.rate, limited.shadow, Moment::of(&*self.clock), Whose::Address)?;
        self.admitted(taken, || (address.to_string(), "failed_auth"));
        Ok(Failure { allowance, rate: &self.settings.limits.failed_auth.rate })
    }
}

/// A failed authentication that was counted.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    allowance: Arc<crate::limit::Allowance>,
    rate: &'a Rate,
}

impl Failure<'_> {
    /// It was none.
    pub(super) fn put_back(self) {
        self.allowance.put_back(self.rate);
    }
}
