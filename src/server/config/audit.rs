//! `audit.*`

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Span;

/// `audit.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// How long the records of changes are kept; `0s` is for ever.
    pub retention: Span,
    /// How long the records of issued tokens are kept; `0s` is for ever. No longer than the records of changes, which
    /// vouch for them.
    pub issuances_retention: Span,
}

impl Default for Audit {
    fn default() -> Self {
        Self { retention: Span::from_days(365), issuances_retention: Span::from_days(30) }
    }
}

impl Audit {
    /// A retention as a span, or none that ends.
    #[must_use]
    pub fn kept(span: Span) -> Option<Duration> {
        Some(span.duration()).filter(|kept| !kept.is_zero())
    }

    /// What has to hold between them.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, span) in
            [("audit.retention", self.retention), ("audit.issuances_retention", self.issuances_retention)]
        {
            if span.duration().subsec_nanos() != 0 {
                return Err(format!("{key}: it has to be whole seconds, or \"0s\" to keep everything"));
            }
        }
        match (Self::kept(self.retention), Self::kept(self.issuances_retention)) {
            (Some(changes), Some(issuances)) if issuances > changes => Err(format!(
                "audit.issuances_retention: {} is more than audit.retention, {}, and the records of changes vouch for \
                 those of issuances",
                self.issuances_retention, self.retention
            )),
            (Some(_), None) => Err("audit.issuances_retention: \"0s\" needs audit.retention to be \"0s\", too: the \
                 records of changes vouch for those of issuances"
                .to_owned()),
            _ => Ok(()),
        }
    }
}
