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
    /// Refuse secrets and API keys that never end
    #[arg(long)]
    require_expiry: bool,
    /// Refuse clients and API keys that do not name the addresses they may come from
    #[arg(long)]
    require_allowlist: bool,
    /// How many API keys a project has at most
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    max_keys: Option<u64>,
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
    /// Whether secrets and API keys that never end are refused; those that are there stay as they are
    #[arg(long, value_name = "BOOL")]
    require_expiry: Option<bool>,
    /// Whether clients and API keys have to name the addresses they may come from; those that are there stay as they are
    #[arg(long, value_name = "BOOL")]
    require_allowlist: Option<bool>,
    /// How many API keys a project has at most; 0 takes the limit away
    #[arg(long, value_name = "NUMBER")]
    max_keys: Option<u64>,
}

impl Policy {
    /// As the API has it.
    pub(super) fn policy(&self) -> SecretPolicy {
        SecretPolicy {
            max_ttl: self.secret_max_ttl.map(Span::as_secs),
            warn_before: self.secret_warn_before.map(Span::as_secs),
            require_expiry: self.require_expiry,
            require_allowlist: self.require_allowlist,
            max_keys: self.max_keys,
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
            require_expiry: self.require_expiry,
            require_allowlist: self.require_allowlist,
            max_keys: self.max_keys.map(|most| Some(most).filter(|most| *most > 0)),
        };
        let secret_policy = (policy != SecretPolicyPatch::default()).then_some(Some(policy));
        Ok(OrganizationPatch { name: self.name.clone(), secret_policy, limits: limits::patch(&self.limits)? })
    }
}

/// What a list shows of it.
pub(super) fn spans(policy: &SecretPolicy) -> [String; 2] {
    [policy.max_ttl, policy.warn_before]
        .map(|seconds| output::or_dash(seconds.map(|seconds| Span::from_secs(seconds).to_string())))
}

/// The lines of `show`.
pub(super) fn fields(policy: &SecretPolicy) -> Vec<(&'static str, String)> {
    let [max, warn] = spans(policy);
    let mut fields = vec![("secret_max_ttl", max), ("secret_warn_before", warn)];
    for (name, demanded) in [("require_expiry", policy.require_expiry), ("require_allowlist", policy.require_allowlist)]
    {
        if demanded {
            fields.push((name, "yes".to_owned()));
        }
    }
    fields.extend(policy.max_keys.map(|most| ("max_keys", most.to_string())));
    fields
}
