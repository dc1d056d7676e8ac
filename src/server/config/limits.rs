//! `limits.*`

use serde::{Deserialize, Serialize};

use crate::limit::{Limit, Limited, Rate};
use crate::source_ip::Allowlist;

use super::{Span, load};

/// `limits.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Per client, at the token endpoint.
    pub token: RateKeys,
    /// Per credential, on guarded routes.
    pub routes: Routes,
    /// Failed client authentications, per source address.
    pub failed_auth: FailedAuth,
    /// The addresses that may read `/metrics` without a token; nobody if empty.
    #[serde(deserialize_with = "load::cidrs")]
    pub metrics_allow: Allowlist,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token: RateKeys::default(),
            routes: Routes::default(),
            failed_auth: FailedAuth::default(),
            // The machine itself. Neither is ever refused as a CIDR.
            metrics_allow: Allowlist::parse(["127.0.0.0/8", "::1"]).unwrap_or_default(),
        }
    }
}

/// `limits.routes.*`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Routes {
    /// Routes that read.
    pub read: RateKeys,
    /// Routes that write.
    pub write: RateKeys,
}

/// How many requests there may be; 0 is unlimited.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateKeys {
    /// In a minute.
    pub per_minute: u32,
    /// At a stretch; as many as in a minute if left out.
    pub burst: Option<u32>,
    /// Within any 24 hours.
    pub per_day: u32,
    /// At once; if left out, 50 on routes, and as many as one likes at the token endpoint.
    pub concurrent: Option<u32>,
    /// Which of these only count what they would refuse.
    pub shadow: Vec<Limit>,
}

impl Default for RateKeys {
    fn default() -> Self {
        Self { per_minute: 1000, burst: None, per_day: 100_000, concurrent: None, shadow: Vec::new() }
    }
}

impl RateKeys {
    /// No limits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { per_minute: 0, burst: None, per_day: 0, concurrent: Some(0), shadow: Vec::new() }
    }

    fn limited(&self, concurrent: u32) -> Limited {
        let rate = Rate {
            per_minute: self.per_minute,
            burst: self.burst.unwrap_or(self.per_minute),
            per_day: self.per_day,
            concurrent: self.concurrent.unwrap_or(concurrent),
        };
        Limited { rate, shadow: self.shadow.iter().copied().collect() }
    }
}

/// `limits.failed_auth.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailedAuth {
    /// In a minute, and at a stretch; 0 is unlimited.
    pub per_minute: u32,
    /// A failed authentication is answered no sooner than this after it arrived.
    pub delay: Span,
    /// Whether it only counts what it would refuse: `["per_minute"]`.
    pub shadow: Vec<Limit>,
}

impl Default for FailedAuth {
    fn default() -> Self {
        Self { per_minute: 60, delay: Span::from_millis(50), shadow: Vec::new() }
    }
}

/// Requests at once on guarded routes.
const CONCURRENT: u32 = 50;

impl Limits {
    /// At the token endpoint.
    #[must_use]
    pub fn at_token(&self) -> Limited {
        self.token.limited(0)
    }

    /// On routes that read.
    #[must_use]
    pub fn on_reads(&self) -> Limited {
        self.routes.read.limited(CONCURRENT)
    }

    /// On routes that write.
    #[must_use]
    pub fn on_writes(&self) -> Limited {
        self.routes.write.limited(CONCURRENT)
    }

    /// For failed authentications.
    #[must_use]
    pub fn on_failures(&self) -> Limited {
        let (per_minute, burst) = (self.failed_auth.per_minute, self.failed_auth.per_minute);
        let rate = Rate { per_minute, burst, ..Rate::UNLIMITED };
        Limited { rate, shadow: self.failed_auth.shadow.iter().copied().collect() }
    }

    /// What has to hold between its keys.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, limited) in [
            ("limits.token", self.at_token()),
            ("limits.routes.read", self.on_reads()),
            ("limits.routes.write", self.on_writes()),
            ("limits.failed_auth", self.on_failures()),
        ] {
            limited.rate.checked().map_err(|error| format!("{key}: {error}"))?;
        }
        if let Some(other) = self.failed_auth.shadow.iter().find(|limit| **limit != Limit::PerMinute) {
            return Err(format!("limits.failed_auth.shadow: there is no limit {other} here; it can be per_minute"));
        }
        if self.failed_auth.delay > Span::from_secs(10) {
            return Err("limits.failed_auth.delay: at most \"10s\"; longer ones hold connections open".to_owned());
        }
        Ok(())
    }

    /// The same, with what is left out said.
    pub(super) fn said(&self) -> Self {
        let said = |keys: &RateKeys, limited: Limited| RateKeys {
            burst: Some(limited.rate.burst),
            concurrent: Some(limited.rate.concurrent),
            ..keys.clone()
        };
        Self {
            token: said(&self.token, self.at_token()),
            routes: Routes {
                read: said(&self.routes.read, self.on_reads()),
                write: said(&self.routes.write, self.on_writes()),
            },
            ..self.clone()
        }
    }
}
