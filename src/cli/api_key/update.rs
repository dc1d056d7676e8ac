//! `mintage api-key update`

use std::collections::BTreeMap;

use crate::api::{ApiKey, ApiKeyPatch, ClientStatus};
use crate::cli::client::{allowlist, label};
use crate::cli::edit::{edited, missing};
use crate::cli::{Failure, limits, quotas};

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(in crate::cli) struct Changes {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// active or disabled
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<ClientStatus>,
    /// A scope to grant; as often as there are scopes
    #[arg(long, value_name = "SCOPE")]
    add_scope: Vec<String>,
    /// A scope to take away; as often as there are scopes
    #[arg(long, value_name = "SCOPE")]
    remove_scope: Vec<String>,
    /// An address or CIDR it may come from too; the first one shuts all others out
    #[arg(long, value_name = "CIDR")]
    allow_ip: Vec<String>,
    /// A range to take out of its allowlist
    #[arg(long, value_name = "CIDR")]
    disallow_ip: Vec<String>,
    /// Let it come from anywhere
    #[arg(long, conflicts_with_all = ["allow_ip", "disallow_ip"])]
    any_ip: bool,
    /// How many requests it may make, such as routes.read.per_minute=100, or =none; as often as there are limits
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limits::limit)]
    limits: Vec<limits::Limit>,
    /// How much it may use: tokens or requests, day, month or total, such as requests.day=1000; as often as there are
    /// quotas
    #[arg(long = "quota", value_name = "QUOTA=UNITS|none", value_parser = quotas::quota)]
    quotas: Vec<quotas::Quota>,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Who answers for it
    #[arg(long)]
    owner: Option<String>,
    /// A label to set, for programs; as often as there are labels
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// A label to take away; as often as there are labels
    #[arg(long, value_name = "NAME")]
    remove_label: Vec<String>,
}

fn status(text: &str) -> Result<ClientStatus, &'static str> {
    match text {
        "active" => Ok(ClientStatus::Active),
        "disabled" => Ok(ClientStatus::Disabled),
        _ => Err("it is either active or disabled"),
    }
}

impl Changes {
    /// The merge patch that makes of `key` what is asked for. Lists are sent whole.
    pub(super) fn patch(&self, key: &ApiKey) -> Result<ApiKeyPatch, Failure> {
        let labels = self.labels.iter().cloned().map(|(name, value)| (name, Some(value)));
        let mut labels: BTreeMap<_, _> = labels.collect();
        for name in &self.remove_label {
            if !key.labels.contains_key(name) {
                return Err(missing("label", name, key.labels.keys(), "taken away"));
            }
            labels.insert(name.clone(), None);
        }
        Ok(ApiKeyPatch {
            name: self.name.clone(),
            status: self.status,
            scopes: edited("scope", &key.scopes, self.add_scope.clone(), &self.remove_scope)?,
            ip_allowlist: allowlist(&key.ip_allowlist, &self.allow_ip, &self.disallow_ip, self.any_ip)?,
            limits: limits::patch(&self.limits)?,
            quotas: quotas::patch(&self.quotas),
            description: self.description.clone().map(Some),
            owner: self.owner.clone().map(Some),
            labels: (!labels.is_empty()).then_some(Some(labels)),
        })
    }
}
