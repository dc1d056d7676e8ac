//! How a [`Verifier`] is made: from keys at hand, or by following an issuer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::crypto::TOKEN_ALGORITHMS;
use crate::jose::jwk::{self, NotAJwkSet};
use crate::jose::{Algorithm, KeySet};

use super::issuer::{DiscoverError, Issuer, Settings, StaleRevocations};
use super::source::{KeySource, NoRevocations, RevocationSource, StaticKeys};
use super::verifier::Verifier;

/// How far the clocks of issuer and verifier may differ, unless set otherwise.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const DEFAULT_CACHE: u64 = 10_000;
/// As long as a token of ours can live (`token.ttl_max`): older keys could verify nothing that is still good.
const DEFAULT_MAX_STALE_KEYS: Duration = Duration::from_secs(24 * 3600);
const DEFAULT_COOLDOWN: Duration = Duration::from_secs(10);

/// Settings of a [`Verifier`]. What can be set depends on where its keys come from: [`Given`] or [`Discovered`].
#[derive(Debug)]
pub struct VerifierBuilder<K> {
    issuer: String,
    audience: Option<String>,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    clock: Arc<dyn Clock>,
    cache_capacity: u64,
    from: K,
}

/// Keys and revocations that are handed in.
#[derive(Debug)]
pub struct Given {
    keys: GivenKeys,
    revocations: Arc<dyn RevocationSource>,
}

#[derive(Debug)]
enum GivenKeys {
    Source(Arc<dyn KeySource>),
    Jwks(Vec<jwk::ParsedJwk>),
}

/// Keys and revocations of an issuer that is followed.
#[derive(Debug)]
pub struct Discovered {
    http: Option<reqwest::Client>,
    snapshot: Option<PathBuf>,
    max_stale_keys: Duration,
    unknown_key_cooldown: Duration,
    revocations: StaleRevocations,
}

impl<K> VerifierBuilder<K> {
    fn new(issuer: String, audience: Option<String>, from: K) -> Self {
        Self {
            issuer,
            audience,
            algorithms: TOKEN_ALGORITHMS.to_vec(),
            leeway: DEFAULT_LEEWAY,
            clock: Arc::new(SystemClock),
            cache_capacity: DEFAULT_CACHE,
            from,
        }
    }

    /// The audience that tokens have to be for, byte for byte: the identifier of your API.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// The accepted algorithms; ES256, EdDSA, RS256 and PS256 unless set.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How far clocks may differ, for `exp` and `nbf`; 30 seconds unless set. An issuer publishes revocations for 30
    /// seconds after the tokens' end: a verifier with a longer leeway that is started when those are over would let a
    /// revoked token through for the rest of it.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Where the time comes from; the machine's clock unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How many verified tokens are remembered; 10,000 unless set, none for 0.
    #[must_use]
    pub fn cache_capacity(mut self, tokens: u64) -> Self {
        self.cache_capacity = tokens;
        self
    }

    fn verifier(
        self,
        keys: Arc<dyn KeySource>,
        revocations: Arc<dyn RevocationSource>,
        following: Option<Issuer>,
    ) -> Verifier {
        Verifier {
            issuer: self.issuer,
            audience: self.audience.unwrap_or_default(),
            algorithms: self.algorithms,
            leeway: self.leeway,
            clock: self.clock,
            keys,
            revocations,
            verified: moka::sync::Cache::new(self.cache_capacity),
            following,
        }
    }
}

impl VerifierBuilder<Given> {
    /// Where revocations come from; nowhere unless set.
    #[must_use]
    pub fn revocations(mut self, revocations: Arc<dyn RevocationSource>) -> Self {
        self.from.revocations = revocations;
        self
    }

    /// The verifier.
    #[must_use]
    pub fn build(mut self) -> Verifier {
        let keys: Arc<dyn KeySource> = match std::mem::replace(&mut self.from.keys, GivenKeys::Jwks(Vec::new())) {
            GivenKeys::Source(keys) => keys,
            GivenKeys::Jwks(jwks) => Arc::new(StaticKeys(KeySet::from_jwks(jwks, &self.algorithms))),
        };
        let revocations = Arc::clone(&self.from.revocations);
        self.verifier(keys, revocations, None)
    }
}

impl VerifierBuilder<Discovered> {
    /// A file in which keys and revocations are kept for the next start, which then needs no issuer. It is made with
    /// mode 0600; one that others can write, or that is theirs, is refused.
    #[must_use]
    pub fn snapshot(mut self, file: impl Into<PathBuf>) -> Self {
        self.from.snapshot = Some(file.into());
        self
    }

    /// How old keys may become while the issuer is not reached; 24 hours unless set. Then all tokens are refused, with
    /// 503.
    #[must_use]
    pub fn max_stale_keys(mut self, age: Duration) -> Self {
        self.from.max_stale_keys = age;
        self
    }

    /// How long after a key was looked for that a token named and the issuer had not published, the next one is;
    /// 10 seconds unless set.
    #[must_use]
    pub fn unknown_key_cooldown(mut self, pause: Duration) -> Self {
        self.from.unknown_key_cooldown = pause;
        self
    }

    /// What is done about the revocation feed, and about not hearing from it; followed, and gone on without, unless set.
    #[must_use]
    pub fn revocations(mut self, policy: StaleRevocations) -> Self {
        self.from.revocations = match policy {
            StaleRevocations::RefuseAfter(bound) => StaleRevocations::RefuseAfter(bound.max(Duration::from_secs(5))),
            other => other,
        };
        self
    }

    /// The HTTP client to reach the issuer with, for one behind a proxy or with certificates of your own. It should
    /// follow no redirects.
    #[must_use]
    pub fn http_client(mut self, client: reqwest::Client) -> Self {
        self.from.http = Some(client);
        self
    }

    /// Reaches the issuer, and begins to follow it in the background, until the verifier is dropped. Needs a Tokio
    /// runtime.
    ///
    /// # Errors
    /// [`DiscoverError`]: there is no audience, the issuer was not reached and there is no snapshot, or the snapshot
    /// cannot be used.
    pub async fn build(self) -> Result<Verifier, DiscoverError> {
        if self.audience.as_deref().is_none_or(str::is_empty) {
            return Err(DiscoverError::NoAudience);
        }
        let issuer = Issuer::follow(Settings {
            issuer: self.issuer.clone(),
            algorithms: self.algorithms.clone(),
            clock: Arc::clone(&self.clock),
            http: self.from.http.clone(),
            snapshot: self.from.snapshot.clone(),
            max_stale_keys: self.from.max_stale_keys,
            unknown_key_cooldown: self.from.unknown_key_cooldown,
            revocations: self.from.revocations,
        })
        .await?;
        let state = Arc::clone(&issuer.state);
        Ok(self.verifier(Arc::clone(&state) as _, state, Some(issuer)))
    }
}

impl Verifier {
    /// A verifier of the tokens of `issuer`, whose keys and revocations it finds by the issuer's metadata (RFC 8414)
    /// and follows.
    pub fn discover(issuer: impl Into<String>) -> VerifierBuilder<Discovered> {
        let from = Discovered {
            http: None,
            snapshot: None,
            max_stale_keys: DEFAULT_MAX_STALE_KEYS,
            unknown_key_cooldown: DEFAULT_COOLDOWN,
            revocations: StaleRevocations::GoOn,
        };
        VerifierBuilder::new(issuer.into(), None, from)
    }

    /// A verifier of tokens that `issuer` signs for `audience` with the keys of a JWK Set (RFC 7517 §5), which do not
    /// change. A key that cannot be used is left out.
    ///
    /// # Errors
    /// [`NotAJwkSet`].
    pub fn from_jwks(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        jwks: &[u8],
    ) -> Result<VerifierBuilder<Given>, NotAJwkSet> {
        let keys = GivenKeys::Jwks(jwk::parse_set(jwks)?);
        let from = Given { keys, revocations: Arc::new(NoRevocations) };
        Ok(VerifierBuilder::new(issuer.into(), Some(audience.into()), from))
    }

    /// A verifier of tokens that `issuer` signs with `keys` for `audience`, both compared byte for byte.
    pub fn builder(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: Arc<dyn KeySource>,
    ) -> VerifierBuilder<Given> {
        let from = Given { keys: GivenKeys::Source(keys), revocations: Arc::new(NoRevocations) };
        VerifierBuilder::new(issuer.into(), Some(audience.into()), from)
    }
}
