//! `mintage client update`

use std::collections::BTreeMap;

use crate::api::{Client, ClientPatch};
use crate::cli::admin::Admin;
use crate::cli::edit::{edited, missing};
use crate::cli::quotas;
use crate::cli::{Failure, limits};
use crate::server::config::Span;
use crate::source_ip::Allowlist;

use super::label;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Update {
    /// Its client_id
    pub(super) id: String,
    #[command(flatten)]
    changes: Changes,
    /// Let tokens that it holds live on although they say more than it may
    #[arg(long)]
    keep_tokens: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// A scope to grant; as often as there are scopes
    #[arg(long, value_name = "SCOPE")]
    add_scope: Vec<String>,
    /// A scope to take away, which cuts its tokens off; as often as there are scopes
    #[arg(long, value_name = "SCOPE")]
    remove_scope: Vec<String>,
    /// A role to grant; as often as there are roles
    #[arg(long, value_name = "ROLE")]
    add_role: Vec<String>,
    /// A role to take away, which cuts its tokens off; as often as there are roles
    #[arg(long, value_name = "ROLE")]
    remove_role: Vec<String>,
    /// An address or CIDR it may come from too; the first one shuts all others out, which cuts its tokens off
    #[arg(long, value_name = "CIDR")]
    allow_ip: Vec<String>,
    /// A range to take out of its allowlist, which cuts its tokens off
    #[arg(long, value_name = "CIDR")]
    disallow_ip: Vec<String>,
    /// Let it come from anywhere
    #[arg(long, conflicts_with_all = ["allow_ip", "disallow_ip"])]
    any_ip: bool,
    /// How long its tokens live at most, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    token_ttl: Option<Span>,
    /// Let its tokens live as long as others
    #[arg(long, conflicts_with = "token_ttl")]
    no_token_ttl: bool,
    /// How many requests it may make, such as token.per_minute=100, or token.per_minute=none for as many as its project
    /// has; as often as there are limits
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limits::limit)]
    limits: Vec<limits::Limit>,
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
    /// How much it may use: tokens or requests, day, month or total, such as tokens.day=1000; none takes the quota away;
    /// as often as there are quotas
    #[arg(long = "quota", value_name = "QUOTA=UNITS|none", value_parser = quotas::quota)]
    quotas: Vec<quotas::Quota>,
}

/// Changes the client at `path`. Where the change was one that cuts tokens off, the second value says what became of
/// them.
pub(super) async fn run(admin: &Admin, path: &str, update: Update) -> Result<(Client, Option<&'static str>), Failure> {
    let query = if update.keep_tokens { "keep_tokens=true" } else { "" };
    let (before, client) = admin.change(path, query, |client| update.changes.patch(client)).await?;
    let note = is_narrower(&client, &before).then_some(match update.keep_tokens {
        false => super::CUT_OFF,
        true => "\nThe tokens that it holds are kept: until they expire they say what they said.",
    });
    Ok((client, note))
}

/// Whether this was a change that cuts tokens off.
fn is_narrower(client: &Client, before: &Client) -> bool {
    let allowed = |client: &Client| Allowlist::parse_unbounded(&client.ip_allowlist);
    let addresses = match (allowed(client), allowed(before)) {
        (Ok(now), Ok(then)) => !now.admits_all_of(&then),
        _ => false,
    };
    let left = scopes(client);
    addresses || scopes(before).iter().any(|scope| !left.contains(scope))
}

/// All that it may ask for: by what it was granted itself, and by its roles.
fn scopes(client: &Client) -> Vec<&str> {
    match &client.effective_scopes {
        Some(effective) => effective.iter().map(|one| one.scope.as_str()).collect(),
        None => client.scopes.iter().map(String::as_str).collect(),
    }
}

impl Changes {
    /// The merge patch that makes of `client` what is asked for. Lists are sent whole.
    fn patch(&self, client: &Client) -> Result<ClientPatch, Failure> {
        let ip_allowlist = allowlist(&client.ip_allowlist, &self.allow_ip, &self.disallow_ip, self.any_ip)?;
        let labels = self.labels.iter().cloned().map(|(name, value)| (name, Some(value)));
        let mut labels: BTreeMap<_, _> = labels.collect();
        for name in &self.remove_label {
            if !client.labels.contains_key(name) {
                return Err(missing("label", name, client.labels.keys(), "taken away"));
            }
            labels.insert(name.clone(), None);
        }
        Ok(ClientPatch {
            name: self.name.clone(),
            status: None,
            scopes: edited("scope", &client.scopes, self.add_scope.clone(), &self.remove_scope)?,
            roles: edited("role", &client.roles, self.add_role.clone(), &self.remove_role)?,
            ip_allowlist,
            token_ttl: match self.token_ttl {
                Some(ttl) => Some(Some(ttl.as_secs())),
                None => self.no_token_ttl.then_some(None),
            },
            limits: limits::patch(&self.limits)?,
            description: self.description.clone().map(Some),
            owner: self.owner.clone().map(Some),
            labels: (!labels.is_empty()).then_some(Some(labels)),
            quotas: quotas::patch(&self.quotas),
        })
    }
}

/// `list` with `add` and without `remove`, or empty where any address will do; none where nothing is asked for. An
/// allowlist is shown masked, so what is to be taken out is read before it is compared.
pub(in crate::cli) fn allowlist(
    list: &[String],
    add: &[String],
    remove: &[String],
    any: bool,
) -> Result<Option<Vec<String>>, Failure> {
    if any {
        return Ok(Some(Vec::new()));
    }
    if add.is_empty() && remove.is_empty() {
        return Ok(None);
    }
    let mut masked = Vec::new();
    for entry in remove {
        masked.extend(Allowlist::parse_unbounded([entry]).map_err(Failure::new)?.entries());
    }
    let changed = edited("range", list, add.to_vec(), &masked)?.unwrap_or_default();
    if changed.is_empty() {
        return Err(Failure::new("without any range it could come from anywhere; if it is to, say so with --any-ip"));
    }
    Ok(Some(changed))
}
