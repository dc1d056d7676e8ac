//! The controls of a guard that can be tried out before they refuse, and who is told of what they do.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::id::RequestId;
use crate::reason::Reason;
use crate::source_ip::SourceAddress;

use super::refusal::Refusal;

/// A control that can run in shadow: it decides, logs and counts what it would have refused, and lets it through.
/// Signature, times, audience and revoked keys are no such: what fails those is no credential at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// The scopes that the route needs.
    Scope,
    /// The allowlists of the token and of the route.
    Address,
    /// The environment of the route.
    Environment,
    /// Revoked tokens and generations, and a feed that is too old to go by.
    Revocation,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Scope, Self::Address, Self::Environment, Self::Revocation];

    /// Its word in configuration, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::Address => "address",
            Self::Environment => "environment",
            Self::Revocation => "revocation",
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// It is none of the controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the controls are scope, address, environment and revocation")]
pub struct NoSuchControl;

impl FromStr for Control {
    type Err = NoSuchControl;

    fn from_str(text: &str) -> Result<Self, NoSuchControl> {
        Self::ALL.into_iter().find(|control| control.as_str() == text).ok_or(NoSuchControl)
    }
}

/// How often each control would have refused, had it not run in shadow.
#[derive(Debug, Default)]
pub struct ShadowCounts {
    scope: AtomicU64,
    address: AtomicU64,
    environment: AtomicU64,
    revocation: AtomicU64,
}

impl ShadowCounts {
    fn of(&self, control: Control) -> &AtomicU64 {
        match control {
            Control::Scope => &self.scope,
            Control::Address => &self.address,
            Control::Environment => &self.environment,
            Control::Revocation => &self.revocation,
        }
    }

    /// How often `control` would have refused.
    #[must_use]
    pub fn get(&self, control: Control) -> u64 {
        self.of(control).load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, control: Control) {
        self.of(control).fetch_add(1, Ordering::Relaxed);
        metrics::counter!("mintage_shadow_refusals_total", "control" => control.as_str()).increment(1);
    }
}

/// A request that a guard refuses.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Where it came from, if that was decided.
    pub source: Option<SourceAddress>,
    /// The client whose credential it names, where that is known; it need not have been the client who sent it.
    pub client_id: Option<Box<str>>,
    /// What the answer keeps to itself.
    pub untold: Option<Box<Untold>>,
}

/// What of a refusal is for the operator alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// What really happened.
    pub cause: Option<&'static str>,
    /// Which of the client's Digest keys it names, by its public key.
    pub public_key: Option<String>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::of(refusal)
    }
}

impl Refused {
    /// A refusal of a request of which nothing is known yet.
    #[must_use]
    pub fn of(refusal: Refusal) -> Self {
        Self { refusal, source: None, client_id: None, untold: None }
    }

    /// The same of a request that names a credential of this client.
    #[must_use]
    pub fn of_client(refusal: Refusal, client_id: &str) -> Self {
        Self { client_id: Some(client_id.into()), ..Self::of(refusal) }
    }

    /// The same, which came from there.
    #[must_use]
    pub fn from_source(self, source: Option<SourceAddress>) -> Self {
        Self { source, ..self }
    }

    /// What really happened, where the answer keeps that to itself.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        self.untold.as_ref().and_then(|untold| untold.cause)
    }

    /// Its stable word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.refusal.reason()
    }

    /// The address it came from, if that was decided.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.source.map(|source| source.ip)
    }
}

/// Told of each refused request, before its answer goes out. Called on the request's own thread: it must not wait.
pub trait RefusalObserver: fmt::Debug + Send + Sync {
    /// The request of this name was refused.
    fn request_refused(&self, request_id: &RequestId, refused: &Refused);
}

/// Writes refusals to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogRefusals;

impl RefusalObserver for LogRefusals {
    fn request_refused(&self, request_id: &RequestId, refused: &Refused) {
        let (reason, cause, client_id) = (refused.reason(), refused.cause(), refused.client_id.as_deref());
        match reason {
            // Anybody can be refused so, as often as they like.
            Reason::NoCredentials
            | Reason::MalformedRequest
            | Reason::TokenInvalid
            | Reason::DigestInvalid
            | Reason::DigestStale => {
                tracing::debug!(%request_id, reason = reason.as_str(), cause, client_id, "refused");
            }
            _ => tracing::info!(%request_id, reason = reason.as_str(), cause, client_id, "refused"),
        }
    }
}
