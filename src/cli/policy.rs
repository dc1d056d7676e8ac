//! What organizations and projects have in common: their secret policy, and how they are changed.

use crate::api::{Limits, OrganizationPatch, SecretPolicy, SecretPolicyPatch};
use crate::server::config::Span;

use super::limits::{self, Limit};
use super::{Failure, output};

/// The policy of something that is made.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Policy {
    /// How long the secrets of its clients live at most, such as 90d; a secret without a life of its own gets this one
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    secret_max_ttl: Option<Span>,
    /// How long before its end a secret is listed as ending; 14d unless set
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    secret_warn_before: Option<Span>,
    /// How many requests each of its clients may make, such as token.per_minute=100; as often as there are limits
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limits::limit)]
    limits: Vec<Limit>,
}

/// Changes of an organization or a project.
#[derive(Debug, Default, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Changes {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// How long the secrets of its clients live at most, such as 90d; those that are there stay as they are
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    secret_max_ttl: Option<Span>,
    /// Let secrets live as long as they are asked to
    #[arg(long, conflicts_with = "secret_max_ttl")]
    no_secret_max_ttl: bool,
    /// How long before its end a secret is listed as ending
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    secret_warn_before: Option<Span>,
    /// List a secret as ending 14 days before its end
    #[arg(long, conflicts_with = "secret_warn_before")]
    no_secret_warn_before: bool,
    /// How many requests each of its clients may make, such as token.per_minute=100, or token.per_minute=none for as
    /// many as elsewhere; as often as there are limits
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limits::limit)]
    limits: Vec<Limit>,
}

impl Policy {
    /// As the API has it.
    pub(super) fn policy(&self) -> SecretPolicy {
        SecretPolicy {
            max_ttl: self.secret_max_ttl.map(Span::as_secs),
            warn_before: self.secret_warn_before.map(Span::as_secs),
        }
    }

    /// The limits of its clients, as the API has them.
    pub(super) fn limits(&self) -> Result<Limits, Failure> {
        limits::made(&self.limits)
    }
}

impl Changes {
    /// The merge patch: one of a project has the same members.
    pub(super) fn patch(&self) -> Result<OrganizationPatch, Failure> {
        let member = |set: Option<Span>, unset: bool| match set {
            Some(span) => Some(Some(span.as_secs())),
            None => unset.then_some(None),
        };
        let policy = SecretPolicyPatch {
            max_ttl: member(self.secret_max_ttl, self.no_secret_max_ttl),
            warn_before: member(self.secret_warn_before, self.no_secret_warn_before),
        };
        let secret_policy = (policy != SecretPolicyPatch::default()).then_some(Some(policy));
        Ok(OrganizationPatch { name: self.name.clone(), secret_policy, limits: limits::patch(&self.limits)? })
    }
}

/// The lines of `show`.
pub(super) fn fields(policy: &SecretPolicy) -> [(&'static str, String); 2] {
    let span = |seconds: Option<u64>| output::or_dash(seconds.map(|seconds| Span::from_secs(seconds).to_string()));
    [("secret_max_ttl", span(policy.max_ttl)), ("secret_warn_before", span(policy.warn_before))]
}
