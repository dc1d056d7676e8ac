//! `mintage api-key create|list|show|quotas|balance|update|rotate|revoke|delete`

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::json;

use crate::api::{ApiKey, ApiKeyPatch, ClientStatus, NewApiKey, Page, RotateApiKey};
use crate::secret::Environment;
use crate::server::config::Span;

use super::admin::{Admin, segment, with_query};
use super::client::{environment, label};
use super::confirm::{self, Deletion};
use super::edit::{edited, missing};
use super::{Failure, Global, limits, output, quotas, times};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an API key, which is shown once: for programs that know no OAuth
    Create(Create),
    /// List API keys: all, or those that every filter lets through
    List(Filter),
    /// Show an API key, masked: its scopes, its allowlist, when it ends, when it was last used
    Show {
        /// Its id
        id: String,
    },
    /// Change an API key; what takes from what it may do cuts off the tokens that it was exchanged for
    #[command(override_usage = "mintage api-key update [OPTIONS] <ID>")]
    Update {
        /// Its id
        id: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// Replace an API key by a new one, shown once; the old one ends when the overlap does
    Rotate {
        /// Its id
        id: String,
        /// How long the old one goes on, such as 24h; not at all unless set
        #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
        overlap: Option<Span>,
        /// How long the new one lives, such as 90d; for ever unless set
        #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
        ttl: Option<Span>,
    },
    /// Disable an API key, and cut off every token that it was exchanged for
    Revoke {
        /// Its id
        id: String,
    },
    /// Show how much of its quotas an API key has used, and its balance
    Quotas {
        /// Its id
        id: String,
    },
    /// Top up the prepaid balance of an API key, set it, or keep none any more
    #[command(override_usage = "mintage api-key balance [OPTIONS] <ID>")]
    Balance {
        /// Its id
        id: String,
        #[command(flatten)]
        change: quotas::Adjustment,
    },
    /// Delete an API key, and cut off every token that it was exchanged for
    Delete {
        /// Its id
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
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
}

/// Which API keys are listed.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Those of this name; `ci*` is those whose name begins so
    #[arg(long)]
    name: Option<String>,
    /// Those that are active, or disabled
    #[arg(long, value_name = "STATUS", value_parser = ["active", "disabled"])]
    status: Option<String>,
    /// Those of this environment: live or test
    #[arg(long, value_name = "ENVIRONMENT", value_parser = environment)]
    env: Option<Environment>,
    /// Those that are granted this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Those of this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Those of this organization; with --project it is yours unless set
    #[arg(long, value_name = "ORGANIZATION")]
    organization: Option<String>,
    /// Those that end so soon, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    expiring_within: Option<Span>,
    /// Those that are there for so long, and have not been used for as long, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    unused_for: Option<Span>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Changes {
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

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    let path = |id: &str| format!("api-keys/{}", segment(id));
    match command {
        Command::Create(create) => show(global, &made(&admin, &create.asked_for()?).await?)?,
        Command::List(filter) => {
            let items: Vec<ApiKey> = admin.list(&filter.path()).await?;
            if global.json {
                output::json(&Page { items, next_cursor: None })?;
            } else {
                output::print(&table(&items))?;
            }
        }
        Command::Show { id } => show(global, &admin.get(&path(&id)).await?)?,
        Command::Update { id, changes } => {
            let (_, key) = admin.change(&path(&id), "", |key: &ApiKey| changes.patch(key)).await?;
            show(global, &key)?;
        }
        Command::Rotate { id, overlap, ttl } => {
            let how =
                RotateApiKey { overlap: overlap.map(Span::as_secs).unwrap_or_default(), ttl: ttl.map(Span::as_secs) };
            let key: ApiKey = admin.post(&format!("{}/rotate", path(&id)), &how).await?;
            // Where the first answer was lost, so was the key, and the second has none.
            let key = match key.api_key {
                Some(_) => key,
                None => another(&admin, &id, how).await?,
            };
            show(global, &key)?;
            output::note(&match overlap {
                Some(overlap) => format!("\nThe old key goes on for {overlap}."),
                None => "\nThe old key is cut off.".to_owned(),
            });
        }
        Command::Revoke { id } => {
            show(global, &admin.post(&format!("{}/revoke", path(&id)), &json!({})).await?)?;
            output::note("\nIt is refused from now on, and so is every token that it was exchanged for.");
        }
        Command::Quotas { id } => quotas::show(global, &admin, &format!("{}/quotas", path(&id))).await?,
        Command::Balance { id, change } => {
            quotas::change_balance(global, &admin, &format!("{}/balance", path(&id)), change).await?;
        }
        Command::Delete { id, yes } => {
            let path = &path(&id);
            let json = json!({ "id": id, "deleted": true });
            let what = format!("the API key {id}");
            confirm::delete(global, &admin, Deletion { path, what, cuts_off: true, json, yes }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes an API key that is known.
async fn made(admin: &Admin, new: &NewApiKey) -> Result<ApiKey, Failure> {
    let key: ApiKey = admin.post("api-keys", new).await?;
    match key.api_key {
        Some(_) => Ok(key),
        None => another(admin, &key.id, RotateApiKey { overlap: 0, ttl: new.ttl }).await,
    }
}

/// The key was lost with the connection: another takes its place.
async fn another(admin: &Admin, id: &str, how: RotateApiKey) -> Result<ApiKey, Failure> {
    output::note("The connection broke when the key was on its way; it is replaced by another.");
    admin.post(&format!("api-keys/{}/rotate", segment(id)), &how).await
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

impl Filter {
    fn path(self) -> String {
        let now = times::now();
        with_query(
            "api-keys",
            [
                ("name", self.name),
                ("status", self.status),
                ("environment", self.env.map(|environment| environment.to_string())),
                ("scope", self.scope),
                ("project", self.project),
                ("organization", self.organization),
                ("expiring_before", self.expiring_within.map(|span| now.plus(span.duration()).to_string())),
                ("unused_since", self.unused_for.map(|span| times::before(now, span.duration()).to_string())),
            ],
        )
    }
}

impl Changes {
    /// The merge patch that makes of `key` what is asked for. Lists are sent whole.
    fn patch(&self, key: &ApiKey) -> Result<ApiKeyPatch, Failure> {
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
            ip_allowlist: super::client::allowlist(&key.ip_allowlist, &self.allow_ip, &self.disallow_ip, self.any_ip)?,
            limits: limits::patch(&self.limits)?,
            quotas: quotas::patch(&self.quotas),
            description: self.description.clone().map(Some),
            owner: self.owner.clone().map(Some),
            labels: (!labels.is_empty()).then_some(Some(labels)),
        })
    }
}

fn table(items: &[ApiKey]) -> String {
    let now = times::now();
    let rows: Vec<_> = items
        .iter()
        .map(|key| {
            [
                key.id.clone(),
                key.name.clone(),
                key.prefix.clone(),
                key.status.as_str().to_owned(),
                output::or_dash(key.scopes.join(" ")),
                times::relative_or(key.expires_at, now, "never"),
                times::relative_or(key.last_used_at, now, "never"),
            ]
        })
        .collect();
    output::table_of_what_is_said(["ID", "NAME", "KEY", "STATUS", "SCOPES", "EXPIRES", "LAST USED"], &rows)
}

fn show(global: &Global, key: &ApiKey) -> Result<(), Failure> {
    if global.json {
        return output::json(key);
    }
    let mut fields = vec![("id", key.id.clone())];
    fields.extend(key.api_key.clone().map(|text| ("api_key", text)));
    fields.extend([
        ("name", key.name.clone()),
        ("prefix", key.prefix.clone()),
        ("status", key.status.as_str().to_owned()),
        ("environment", key.environment.to_string()),
        ("organization", key.organization.clone()),
        ("project", key.project.clone()),
        ("scopes", output::or_dash(key.scopes.join(" "))),
        ("ip_allowlist", output::or_dash(key.ip_allowlist.join(" "))),
    ]);
    if !key.limits.is_empty() {
        fields.push(("limits", limits::shown(&key.limits)));
    }
    fields.extend(quotas::fields(&key.quotas));
    for (name, value) in [("description", &key.description), ("owner", &key.owner)] {
        if !value.is_empty() {
            fields.push((name, value.clone()));
        }
    }
    if !key.labels.is_empty() {
        let labels: Vec<_> = key.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.push(("labels", labels.join(" ")));
    }
    fields.extend([
        ("created_at", key.created_at.0.to_string()),
        ("expires_at", times::exact_or(key.expires_at, "never")),
        ("last_used_at", times::exact_or(key.last_used_at, "never")),
    ]);
    fields.extend(key.last_used_from.clone().map(|from| ("last_used_from", from)));
    output::print(&output::fields(&fields))?;
    if key.api_key.is_some() {
        output::note("\nThe api_key is shown this once, and cannot be had again: keep it now.");
    }
    Ok(())
}
