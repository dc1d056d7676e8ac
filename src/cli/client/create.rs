//! `mintage client create`

use std::path::PathBuf;
use std::process::ExitCode;

use crate::api::{Client, NewClient, NewSecret};
use crate::cli::admin::{Admin, segment};
use crate::cli::save::{Saving, keep};
use crate::cli::{Failure, Global, apply, limits, output, quotas};
use crate::secret::Environment;
use crate::server::config::Span;

use super::rotate::life;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// What people call it
    #[arg(required_unless_present = "from_file")]
    name: Option<String>,
    /// A scope to grant, such as orders:read; as often as there are scopes
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A role to grant, such as PROJECT_OWNER; as often as there are roles
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
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
    #[arg(long, value_name = "ENVIRONMENT", default_value = "live", value_parser = super::environment)]
    env: Environment,
    /// Its client_id; made unless set
    #[arg(long, value_name = "CLIENT_ID")]
    id: Option<String>,
    /// How long its tokens live at most, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    token_ttl: Option<Span>,
    /// How many requests it may make, such as token.per_minute=100; as often as there are limits
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limits::limit)]
    limits: Vec<limits::Limit>,
    /// How long its secret lives, such as 90d; for ever unless set
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    secret_ttl: Option<Span>,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
    /// Who answers for it
    #[arg(long, default_value = "")]
    owner: String,
    /// For programs; as often as there are labels
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = super::label)]
    labels: Vec<(String, String)>,
    /// How much it may use: tokens or requests, day, month or total, such as tokens.day=1000; as often as there are quotas
    #[arg(long = "quota", value_name = "QUOTA=UNITS", value_parser = quotas::quota)]
    quotas: Vec<quotas::Quota>,
    /// Write the credentials to FILE, for its owner alone, instead of showing the secret; a file that is there is left
    /// alone
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Make what is registered what FILE says instead: the same as `mintage apply FILE`, with its options
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "scopes", "roles", "organization", "project",
          "allow_ip", "env", "id", "token_ttl", "limits", "secret_ttl", "description", "owner", "labels", "quotas", "save"])]
    from_file: Option<PathBuf>,
    #[command(flatten)]
    apply: apply::Options,
}

/// Registers a client, or what a file says.
pub(super) async fn run(global: &Global, admin: &Admin, create: Create) -> Result<ExitCode, Failure> {
    if let Some(file) = create.from_file {
        return apply::with(global, admin, &file, &create.apply).await;
    }
    if create.apply.is_given() {
        return Err(Failure::usage("--plan, --yes, --prune, --save-dir and --show-secrets are for --from-file"));
    }
    let saving = create.save.map(Saving::of_new).transpose()?;
    let new = NewClient {
        name: create.name.unwrap_or_default(),
        client_id: create.id,
        organization: create.organization,
        project: create.project,
        roles: create.roles,
        environment: create.env,
        scopes: create.scopes,
        ip_allowlist: create.allow_ip,
        token_ttl: create.token_ttl.map(Span::as_secs),
        limits: limits::made(&create.limits)?,
        secret_ttl: create.secret_ttl.map(Span::as_secs),
        description: create.description,
        owner: create.owner,
        labels: create.labels.into_iter().collect(),
        quotas: quotas::of(&create.quotas),
        ..NewClient::default()
    };
    let made = made(admin, &new).await?;
    keep(global, made, saving)?;
    Ok(ExitCode::SUCCESS)
}

/// Registers a client, which has a secret that is known. Where the first answer was lost, so was its secret, and the
/// second has none: the client is given another.
pub(in crate::cli) async fn made(admin: &Admin, new: &impl serde::Serialize) -> Result<Client, Failure> {
    let client: Client = admin.post("clients", new).await?;
    if client.client_secret.is_some() {
        return Ok(client);
    }
    let id = &client.client_id;
    let life = client.secrets.last().and_then(life);
    let another = NewSecret { overlap: Some(0), secret_ttl: Some(life), ..NewSecret::default() };
    output::note("The connection broke when the secret was on its way; it is replaced by another.");
    admin.post(&format!("clients/{}/secrets", segment(id)), &another).await.map_err(|failure| Failure {
        why: format!(
            "the client {id} is registered, but its secret was lost with the connection; \
             mintage client rotate {id} --overlap 0s gives it another: {failure}"
        ),
        ..failure
    })
}
