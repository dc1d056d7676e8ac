//! The task that fetches a token ahead of the end of the one at hand.

use std::time::Duration;

use crate::backoff::{Backoff, fraction};
use crate::clock::{Deadline, Stopwatch};
use crate::credentials::Current;

use super::schedule::{lead, lifetime_of, renew_after};
use super::shared::Shared;
use super::token::Inner;
use super::{Error, Token};

/// However long there is nothing to do, so often the task looks whether the credentials are still those of the file, and
/// whether the machine slept through a renewal.
const LOOK: Duration = Duration::from_secs(10);
/// The bounds of the first pause after a failure, a quarter of the lead within them, and of the longest.
const FIRST_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// For how long a refusal (400, 401, 403) is the answer to all who ask; then the next of them has the endpoint asked.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// For any request, whatever the HTTP client says that its builder was given.
const LONGEST_REQUEST: Duration = Duration::from_secs(60);

/// What the task waits for.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The time to renew the token at hand, or somebody who needs another.
    Renewal,
    /// The end of the pause after a failure, which the others do not cut short.
    Retry,
    /// Somebody who asks, after a refusal.
    Demand,
}

/// Renews the token until it is dropped, or until nobody asks for it any more.
pub(super) async fn run(shared: &Shared) {
    let (endpoint, scope) = (shared.endpoint.configured(), shared.request.scopes.to_string());
    let mut credentials = Current::of(shared.credentials.clone());
    // Another task than this one may have failed, and have ended since: for want of callers, or with its runtime.
    let failures = shared.last_failure().map_or(0, |failed| failed.count);
    let mut backoff = backoff(shared.at_hand().as_ref()).after(failures);
    if shared.valid().is_some() {
        // Those that it was fetched with, by a task whose runtime ended: there is nothing new in them.
        drop(credentials.get().await);
    }
    let mut next = shared.last_failure().map_or(Next::Renewal, |failed| after(&failed.error, shared));
    loop {
        wait(next, shared, &mut credentials).await;
        if !shared.is_worth_renewing() {
            return;
        }
        shared.begin();
        let had_failed = shared.last_failure().is_some();
        let mut answer = fetch(shared, &mut credentials).await;
        if answer.as_ref().is_ok_and(|token| token.was_slept_through(shared.clock.now())) {
            // While it was on its way: so it may be as old as that, and the next one is not.
            answer = fetch(shared, &mut credentials).await;
        }
        next = match answer {
            Ok(token) => {
                if had_failed {
                    tracing::info!(%endpoint, scope, expires_at = %token.expires_at(), "the token endpoint gives tokens again");
                }
                backoff = self::backoff(Some(&token));
                shared.succeeded(token);
                Next::Renewal
            }
            Err(error) => {
                if !had_failed {
                    tracing::warn!(%endpoint, scope, %error, has_token = shared.valid().is_some(), "no new token");
                }
                let then = after(&error, shared);
                let pause = pause(&error, &mut backoff, shared);
                shared.failed(error, pause);
                then
            }
        };
        // A token that no source is kept for is not fetched again for its own sake.
        if matches!(next, Next::Demand) && !shared.is_kept() {
            return;
        }
    }
}

fn backoff(token: Option<&Token>) -> Backoff {
    let (least, most) = FIRST_PAUSES;
    Backoff::new(token.map_or(most, |token| (lead(token.lifetime()) / 4).clamp(least, most)), LONGEST_PAUSE)
}

/// For how long the endpoint is left alone.
fn pause(error: &Error, backoff: &mut Backoff, shared: &Shared) -> Duration {
    let asked_for = error.retry_after().unwrap_or_default();
    // What asks all to come back at one moment is spread, too; but nobody comes sooner.
    let asked_for = asked_for + fraction(asked_for / 10, &*shared.entropy);
    asked_for.max(if error.is_refusal() { REFUSED_FOR } else { backoff.next(&*shared.entropy) })
}

/// What comes after that.
fn after(error: &Error, shared: &Shared) -> Next {
    if !error.is_refusal() {
        return Next::Retry;
    }
    // A token that was asked for ahead of its time leaves that time what it is.
    let left = shared.valid().and_then(|token| token.until_renewal(shared.clock.now()));
    if left.is_some_and(|left| !left.is_zero()) { Next::Renewal } else { Next::Demand }
}

/// Waits until it is time to ask the endpoint.
async fn wait(next: Next, shared: &Shared, credentials: &mut Current) {
    loop {
        let left_alone = shared.last_failure().map_or(Duration::ZERO, |failed| failed.not_before.remaining());
        let pause = match next {
            _ if !left_alone.is_zero() => left_alone,
            Next::Retry => return,
            _ if shared.is_wanted() => return,
            Next::Demand if shared.is_due_after_refusal() => return,
            Next::Demand => LOOK,
            Next::Renewal => match shared.at_hand() {
                None if shared.is_kept() => return,
                None => LOOK,
                Some(token) => match token.until_renewal(shared.clock.now()) {
                    Some(left) if left.is_zero() => return,
                    left => left.unwrap_or(LOOK),
                },
            },
        };
        let look = Deadline::after(pause.min(LOOK));
        let told = tokio::select! {
            () = look.reached() => false,
            () = shared.wanted.notified() => true,
        };
        // New credentials may be taken where the old were not. What an endpoint that is away was asked with matters not.
        let may_matter = !matches!(next, Next::Retry) || shared.lacks_credentials();
        if !told && may_matter && credentials.have_changed().await {
            tracing::info!(endpoint = %shared.endpoint.configured(), "there are new credentials: a token is fetched with them");
            return;
        }
    }
}

/// One token, and one more try where the server does not know credentials that have been replaced meanwhile.
async fn fetch(shared: &Shared, credentials: &mut Current) -> Result<Token, Error> {
    let used = credentials.get().await?;
    let asked = (Stopwatch::start(), shared.clock.now());
    let asking = async {
        match shared.endpoint.fetch(&used, &shared.request).await {
            Err(Error::Refused { status: 400 | 401, .. }) if credentials.have_changed().await => {
                shared.endpoint.fetch(&credentials.get().await?, &shared.request).await
            }
            answer => answer,
        }
    };
    let late = || {
        Error::Fetch(crate::fetch::FetchError::Unreachable {
            url: "the token endpoint".to_owned(),
            why: format!("no answer within {LONGEST_REQUEST:?}"),
        })
    };
    let answer = tokio::time::timeout(LONGEST_REQUEST, asking).await.unwrap_or_else(|_| Err(late()))?;
    let lifetime = lifetime_of(answer.expires_in.as_ref());
    Ok(Token::from(Inner {
        renew_after: renew_after(lifetime, answer.refresh_in, &*shared.entropy),
        refresh_in: answer.refresh_in,
        text: answer.text,
        authorization: answer.authorization,
        // Where it is left out, it is what was asked for (RFC 6749 §5.1).
        scope: answer.scope.unwrap_or_else(|| shared.request.scopes.to_string()),
        lifetime,
        asked: asked.0,
        asked_at: asked.1,
    }))
}
