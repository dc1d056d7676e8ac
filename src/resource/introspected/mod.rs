//! API keys that the issuer is asked about (RFC 7662), for services that are not the issuer.
//!
//! Responsible for: one question in flight per key, however many wait for it; answers that are gone by for a short while,
//! and no longer than the revocation feed lets them; an issuer that is left alone while it is away. Never: what a key may
//! do, which the guard weighs on every request.

mod answers;
mod builder;
mod own;
mod patience;
mod question;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use url::Url;
use zeroize::Zeroizing;

use crate::clock::{Clock, Deadline};
use crate::credentials::CredentialSource;
use crate::crypto::{Sha256, sha256};
use crate::fetch::http_url;
use crate::secret::{KeyPrefix, is_key_well_formed};

use super::issuer::State;
use super::refusal::Refusal;
use super::source::{ApiKeyAnswer, ApiKeySource};
use super::token::AccessToken;
use super::verifier::{TokenError, Verifier};

use answers::{Answers, Asked, Good, Recalled};
use own::Own;
use patience::Patience;
use question::Failure;

pub use builder::{IntrospectedKeysBuilder, NoIntrospection};

/// How long a request with a key waits for the issuer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many questions are with the issuer at once, about keys that were good before.
const AT_ONCE: usize = 16;
/// The same about others, which anybody can make up.
const STRANGERS_AT_ONCE: usize = 8;
/// How many keys are asked about or wait for it; one more that was not good before is answered 503.
const IN_LINE: usize = 1000;

/// Nothing can be said.
const UNDECIDABLE: TokenError = TokenError::Undecidable("what API keys stand for");

/// What is known of a key in the end.
type Outcome = Result<AccessToken, TokenError>;

/// API keys of an issuer that is followed, for [`Guard::api_keys`](super::Guard::api_keys): what one stands for is asked
/// of the issuer, and remembered for a minute, or until the revocation feed says that it ended.
///
/// A key is what begins as one and has a right checksum; nobody is asked about anything else. While the issuer is away,
/// keys that were good go on for the rest of their minute, and others are answered 503. Clones share everything.
///
/// ```no_run
/// # async fn guarded() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use mintage::resource::{Guard, IntrospectedKeys, RequireScopes, Verifier};
///
/// let verifier = Verifier::discover("https://auth.example.com").audience("https://orders.example").build().await?;
/// let verifier = Arc::new(verifier);
/// let keys = IntrospectedKeys::of(&verifier).credentials_file("/etc/orders/credentials.json").build()?;
/// let guard = Guard::new(verifier).api_keys(Arc::new(keys)).scopes(RequireScopes::all(["orders:read"])?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct IntrospectedKeys(Arc<Shared>);

impl fmt::Debug for IntrospectedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { verifier, beginnings, .. } = &*self.0;
        f.debug_struct("IntrospectedKeys")
            .field("issuer", &verifier.issuer)
            .field("beginnings", beginnings)
            .finish_non_exhaustive()
    }
}

impl IntrospectedKeys {
    /// Keys of the issuer that this verifier follows, whose revocation feed and clock they go by.
    pub fn of(verifier: &Arc<Verifier>) -> IntrospectedKeysBuilder {
        IntrospectedKeysBuilder::new(Arc::clone(verifier))
    }

    fn new(verifier: Arc<Verifier>, issuer: Arc<State>, own: CredentialSource, prefixes: &[KeyPrefix]) -> Self {
        Self(Arc::new(Shared {
            verifier,
            issuer,
            beginnings: prefixes.iter().map(|prefix| format!("{}_", prefix.as_str())).collect(),
            own: Own::new(own),
            answers: Answers::default(),
            asking: Mutex::default(),
            lane: Semaphore::new(AT_ONCE),
            strangers: Semaphore::new(STRANGERS_AT_ONCE),
            patience: Patience::default(),
        }))
    }
}

impl ApiKeySource for IntrospectedKeys {
    fn is_key(&self, bearer: &str) -> bool {
        !bearer.contains('.') && self.0.beginnings.iter().any(|beginning| bearer.starts_with(beginning))
    }

    fn introspect<'a>(&'a self, key: &'a str, _: Option<IpAddr>) -> ApiKeyAnswer<'a> {
        Box::pin(async move { self.0.stands_for(key).await.map_err(|error| Refusal::Token(error).into()) })
    }
}

/// Keys that are asked about at this moment.
type Asking = HashMap<Sha256, watch::Receiver<Option<Outcome>>>;

struct Shared {
    verifier: Arc<Verifier>,
    issuer: Arc<State>,
    beginnings: Vec<String>,
    own: Own,
    answers: Answers,
    /// Held for a look, never while anything is asked.
    asking: Mutex<Asking>,
    lane: Semaphore,
    strangers: Semaphore,
    patience: Patience,
}

/// A question that is under way. Those who wait are many, and may go away: it is nobody's.
struct Question {
    shared: Arc<Shared>,
    digest: Sha256,
    told: watch::Sender<Option<Outcome>>,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.shared.asking().remove(&self.digest);
    }
}

impl Shared {
    fn clock(&self) -> &dyn Clock {
        &*self.verifier.clock
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what an answer said is over: its `jti` is the generation of the key.
    fn is_revoked(&self, token: &AccessToken) -> bool {
        let claims = token.claims();
        self.verifier.revocations.token_is_revoked(&claims.token_id, claims.generation.as_deref())
    }

    fn recall(&self, digest: &Sha256) -> Option<Recalled> {
        self.answers.recall(digest, self.clock(), |token| self.is_revoked(token))
    }

    async fn stands_for(self: &Arc<Self>, key: &str) -> Outcome {
        if !is_key_well_formed(key) {
            let why = "it is an API key that was cut short or mistyped: its checksum is not that of the rest";
            return Err(TokenError::Invalid(why.to_owned()));
        }
        let digest = sha256(key.as_bytes());
        match self.recall(&digest) {
            Some(Recalled::Good(token, ageing)) => {
                if ageing {
                    drop(self.begin(digest, key, true));
                }
                return Ok(token);
            }
            Some(Recalled::Dead(why)) => return Err(why),
            None => {}
        }
        // An answer that was on its way when what it says was revoked is worth one more question.
        for _ in 0..2 {
            let mut answer = self.begin(digest, key, false)?;
            let outcome = answer.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
            match outcome.unwrap_or(Err(UNDECIDABLE)) {
                Ok(token) if self.is_revoked(&token) => {}
                outcome => return outcome,
            }
        }
        Err(TokenError::KeyRevoked)
    }

    /// The answer to come of the question about this key, which is asked if it is not already; or the one at hand, unless
    /// it is wanted `anew`.
    fn begin(
        self: &Arc<Self>,
        digest: Sha256,
        key: &str,
        anew: bool,
    ) -> Result<watch::Receiver<Option<Outcome>>, TokenError> {
        let mut asking = self.asking();
        if let Some(under_way) = asking.get(&digest) {
            return Ok(under_way.clone());
        }
        // It may have been answered since it was looked for.
        match self.recall(&digest).filter(|_| !anew) {
            Some(Recalled::Good(token, _)) => return Ok(watch::Sender::new(Some(Ok(token))).subscribe()),
            Some(Recalled::Dead(why)) => return Err(why),
            None => {}
        }
        let Ok(runtime) = Handle::try_current() else { return Err(UNDECIDABLE) };
        // Keys that were good before are no more than are remembered: what anybody can make up does not keep them out.
        let is_full = asking.len() >= IN_LINE && !self.answers.knows(&digest);
        if self.patience.is_resting() || is_full {
            return Err(UNDECIDABLE);
        }
        let (told, answer) = watch::channel(None);
        asking.insert(digest, answer.clone());
        drop(asking);
        let question = Question { shared: Arc::clone(self), digest, told };
        runtime.spawn(question.ask(Zeroizing::new(key.to_owned())));
        Ok(answer)
    }

    /// What the issuer says, and whether it may be elsewhere by now.
    async fn find_out(&self, digest: Sha256, key: &str) -> (Outcome, bool) {
        let end = Deadline::after(TIMEOUT);
        let lane = if self.answers.knows(&digest) { &self.lane } else { &self.strangers };
        let Ok(Ok(_turn)) = timeout(TIMEOUT, lane.acquire()).await else { return (Err(UNDECIDABLE), false) };
        if self.patience.is_resting() {
            return (Err(UNDECIDABLE), false);
        }
        let asked = Asked::now(self.clock());
        let said = timeout(end.remaining(), self.said(key, asked)).await.unwrap_or(Err(Failure::Late));
        let issuer = self.verifier.issuer();
        let count = |outcome| {
            metrics::counter!("mintage_api_key_introspections_total", "issuer" => issuer.to_owned(), "outcome" => outcome)
                .increment(1);
        };
        match said {
            Err(failure) => {
                count("failed");
                (Err(UNDECIDABLE), self.patience.failed(&failure, issuer))
            }
            Ok(Some(good)) => {
                count("active");
                self.patience.answered(issuer);
                let token = good.token.clone();
                self.answers.learn_good(digest, good);
                (Ok(token), false)
            }
            Ok(None) => {
                count("inactive");
                self.patience.answered(issuer);
                (Err(self.answers.learn_dead(digest, asked, |token| self.is_revoked(token))), false)
            }
        }
    }

    async fn said(&self, key: &str, asked: Asked) -> Result<Option<Good>, Failure> {
        let url = self.endpoint().await?;
        let mut credentials = self.own.get().await.map_err(|error| Failure::Amiss(error.to_string()))?;
        let mut once_more = true;
        loop {
            let answer = question::ask(self.issuer.http(), &url, &credentials, key).await;
            let again = std::mem::take(&mut once_more);
            match answer {
                // A connection that was kept open may have ended with the issuer's last run.
                Err(Failure::Away(crate::fetch::FetchError::Unreachable { .. })) if again => {}
                Err(Failure::Refused { status: 401, said }) if again => match self.own.newer().await {
                    Some(newer) => credentials = newer,
                    None => return Err(Failure::Refused { status: 401, said }),
                },
                Err(failure) => return Err(failure),
                Ok(None) => return Ok(None),
                Ok(Some(answer)) => {
                    let (claims, end) = question::read(answer, self.verifier.issuer(), asked.at())?;
                    return Ok(Some(Good { token: AccessToken::of_claims(claims), end, asked }));
                }
            }
        }
    }

    async fn endpoint(&self) -> Result<Url, Failure> {
        if self.issuer.introspection_endpoint().is_none() {
            self.issuer.rediscover().await.map_err(Failure::Away)?;
        }
        let named = self.issuer.introspection_endpoint();
        let named = named.ok_or_else(|| Failure::Amiss(NoIntrospection::NoEndpoint.to_string()))?;
        http_url(&named).map_err(|error| Failure::Amiss(NoIntrospection::Endpoint(error).to_string()))
    }
}

impl Question {
    async fn ask(self, key: Zeroizing<String>) {
        let (outcome, elsewhere) = self.shared.find_out(self.digest, &key).await;
        self.told.send_replace(Some(outcome));
        let issuer = Arc::clone(&self.shared.issuer);
        drop(self);
        if elsewhere {
            drop(issuer.rediscover().await);
        }
    }
}
