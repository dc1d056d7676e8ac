//! `mintage api-key create`

use std::path::PathBuf;

use crate::api::{ApiKey, NewApiKey, RotateApiKey};
use crate::cli::admin::Admin;
use crate::cli::client::{environment, label};
use crate::cli::save::{Saving, keep};
use crate::cli::{Failure, Global, limits, quotas};
use crate::secret::Environment;
use crate::server::config::Span;

use super::rotate::another;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// What people call it
    name: String,
    /// A scope to grant, such as orders:read; as often as there are scopes
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Its organization; yours unless set, and `default` on the admin socket
    #[arg(long, value_name = "ORGANIZATION")]
    organization: Option<String>,
    /// Its project; yours unless set, and `default` on the admin socket or with --organization
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// An address or CIDR it may come from, such as 10.0.0.0/8; as often as there are ranges; any unless set
    #[arg(long = "allow-ip", value_name = "CIDR")]
    allow_ip: Vec<String>,
    /// live or test
    #[arg(long, value_name = "ENVIRONMENT", default_value = "live", value_parser = environment)]
    env: Environment,
    /// How long it lives, such as 90d; for ever unless set
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    ttl: Option<Span>,
    /// How many requests it may make, such as routes.read.per_minute=100; as often as there are limits
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limits::limit)]
    limits: Vec<limits::Limit>,
    /// How much it may use: tokens or requests, day, month or total, such as requests.day=1000; as often as there are
    /// quotas
    #[arg(long = "quota", value_name = "QUOTA=UNITS", value_parser = quotas::quota)]
    quotas: Vec<quotas::Quota>,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
    /// Who answers for it
    #[arg(long, default_value = "")]
    owner: String,
    /// For programs; as often as there are labels
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Write the key and its id to FILE, for its owner alone, instead of showing it; a file that is there is left alone
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Makes an API key.
pub(super) async fn run(global: &Global, admin: &Admin, mut create: Create) -> Result<(), Failure> {
    let saving = create.save.take().map(Saving::of_new).transpose()?;
    let key = made(admin, &create.asked_for()?).await?;
    keep(global, key, saving)
}

/// Makes an API key that is known.
async fn made(admin: &Admin, new: &NewApiKey) -> Result<ApiKey, Failure> {
    let key: ApiKey = admin.post("api-keys", new).await?;
    match key.api_key {
        Some(_) => Ok(key),
        None => another(admin, &key.id, &RotateApiKey::default()).await,
    }
}

impl Create {
    fn asked_for(self) -> Result<NewApiKey, Failure> {
        Ok(NewApiKey {
            name: self.name,
            organization: self.organization,
            project: self.project,
            environment: self.env,
            scopes: self.scopes,
            ip_allowlist: self.allow_ip,
            ttl: self.ttl.map(Span::as_secs),
            limits: limits::made(&self.limits)?,
            quotas: quotas::of(&self.quotas),
            description: self.description,
            owner: self.owner,
            labels: self.labels.into_iter().collect(),
        })
    }
}
