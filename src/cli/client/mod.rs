//! `mintage client create|import|export|list|show|usage|review|update|rotate|withdraw|revoke|enable|disable|delete`

mod import;
mod in_use;
mod review;
mod rotate;
mod save;
mod update;
mod usage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::api::{Client, ClientPatch, ClientStatus, NewClient, Page};
use crate::clock::{Clock, SystemClock};
use crate::secret::Environment;
use crate::server::config::Span;

use crate::cli::admin::{Admin, segment};
use crate::cli::{Failure, Global, output};

use save::{Saving, keep};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Register a client; its secret is shown once
    Create(Create),
    /// Register the clients of a file
    Import(import::Import),
    /// Write all clients, one a line, as JSON Lines; no secret is in it
    Export {
        /// Where to; to stdout unless set. A file that is there is replaced
        file: Option<PathBuf>,
    },
    /// List all clients
    List,
    /// Show a client: its scopes, its allowlist, its secrets and when they were last used
    Show {
        /// Its client_id
        id: String,
    },
    /// Show what a client has used: tokens issued and refused, by secret and scope, and when each was last used
    Usage(usage::Usage),
    /// List what is worth a look: secrets that are about to end, clients and scopes that nobody uses
    Review(review::Review),
    /// Change a client; what takes from what it may do cuts its tokens off
    #[command(override_usage = "mintage client update [OPTIONS] <ID>")]
    Update(update::Update),
    /// Give a client a new secret, shown once; the old ones end when the overlap does, or with --finish
    Rotate(rotate::Rotate),
    /// Take a secret from a client at once; its tokens live on until they expire
    Withdraw {
        /// The client's client_id
        id: String,
        /// The secret's id, as `mintage client show` has it
        secret_id: String,
        /// Cut its tokens off, too
        #[arg(long)]
        cut_tokens: bool,
    },
    /// Disable a client and cut off every token it holds; they stay dead if it is enabled again
    Revoke {
        /// Its client_id
        id: String,
    },
    /// Let a disabled client authenticate again
    Enable {
        /// Its client_id
        id: String,
    },
    /// Keep a client from authenticating, and cut off every token it holds
    Disable {
        /// Its client_id
        id: String,
    },
    /// Delete a client and cut off every token it holds
    Delete {
        /// Its client_id
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// What people call it
    name: String,
    /// A scope to grant, such as orders:read; as often as there are scopes
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// An address or CIDR it may come from, such as 10.0.0.0/8; as often as there are ranges; any unless set
    #[arg(long = "allow-ip", value_name = "CIDR")]
    allow_ip: Vec<String>,
    /// live or test
    #[arg(long, value_name = "ENVIRONMENT", default_value = "live", value_parser = environment)]
    env: Environment,
    /// Its client_id; made unless set
    #[arg(long, value_name = "CLIENT_ID")]
    id: Option<String>,
    /// How long its tokens live at most, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    token_ttl: Option<Span>,
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
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Write the credentials to FILE, for its owner alone, instead of showing the secret; a file that is there is left
    /// alone
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub(super) fn environment(text: &str) -> Result<Environment, &'static str> {
    match text {
        "live" => Ok(Environment::Live),
        "test" => Ok(Environment::Test),
        _ => Err("it is either live or test"),
    }
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("it has to be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What is said where tokens are cut off.
const CUT_OFF: &str = "\nEvery token that it held is cut off: it has to fetch new ones.";

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    let path = |id: &str| format!("clients/{}", segment(id));
    match command {
        Command::Create(create) => {
            let saving = create.save.map(Saving::of_new_client).transpose()?;
            let new = NewClient {
                name: create.name,
                client_id: create.id,
                organization: None,
                project: None,
                roles: Vec::new(),
                environment: create.env,
                scopes: create.scopes,
                ip_allowlist: create.allow_ip,
                token_ttl: create.token_ttl.map(Span::as_secs),
                secret_ttl: create.secret_ttl.map(Span::as_secs),
                description: create.description,
                owner: create.owner,
                labels: create.labels.into_iter().collect::<BTreeMap<_, _>>(),
                ..NewClient::default()
            };
            keep(global, admin.post("clients", &new).await?, saving)?;
        }
        Command::Import(import) => return import::run(global, &admin, import).await,
        Command::Export { file } => import::export(&admin, file.as_deref()).await?,
        Command::List => list(global, admin.list("clients").await?)?,
        Command::Show { id } => {
            let client = admin.get(&path(&id)).await?;
            show(global, &client)?;
            let lines = in_use::lines(&client, SystemClock.now());
            if !global.json && !lines.is_empty() {
                output::line(&format!("\n{}", lines.join("\n")))?;
            }
        }
        Command::Review(review) => return review::run(global, &admin, &review).await,
        Command::Usage(usage) => usage::run(global, &admin, &path(&usage.id), &usage).await?,
        Command::Rotate(rotate) => rotate::run(global, &admin, &path(&rotate.id), rotate).await?,
        Command::Update(update) => {
            let (client, tokens) = update::run(&admin, &path(&update.id), update).await?;
            show(global, &client)?;
            if let Some(tokens) = tokens {
                output::note(tokens);
            }
        }
        Command::Withdraw { id, secret_id, cut_tokens } => {
            let query = if cut_tokens { "?cut_tokens=true" } else { "" };
            let path = format!("{}/secrets/{}{query}", path(&id), segment(&secret_id));
            let client: Client = admin.delete(&path).await?;
            show(global, &client)?;
            output::note(if cut_tokens {
                "\nThe secret is gone, and every token that was bought with it is cut off."
            } else {
                "\nThe secret is gone; the tokens that were bought with it live on until they expire."
            });
            if client.secrets.is_empty() {
                output::note("The client has no secret now: give it one with `mintage client rotate`.");
            }
        }
        Command::Revoke { id } => {
            show(global, &admin.post(&format!("{}/revoke", path(&id)), &json!({})).await?)?;
            output::note(CUT_OFF);
        }
        Command::Enable { id } => {
            show(global, &admin.patch(&path(&id), &status(ClientStatus::Active)).await?)?;
        }
        Command::Disable { id } => {
            show(global, &admin.patch(&path(&id), &status(ClientStatus::Disabled)).await?)?;
            output::note(CUT_OFF);
        }
        Command::Delete { id } => {
            admin.delete::<()>(&path(&id)).await?;
            if global.json {
                output::json(&json!({ "client_id": id, "deleted": true }))?;
            } else {
                output::line(&format!("{id} is deleted, and every token it held is cut off"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(global: &Global, items: Vec<Client>) -> Result<(), Failure> {
    if global.json {
        return output::json(&Page { items, next_cursor: None });
    }
    let rows: Vec<_> = items
        .iter()
        .map(|client| {
            [
                client.client_id.clone(),
                client.name.clone(),
                client.environment.to_string(),
                client.status.as_str().to_owned(),
                client.secrets.len().to_string(),
                output::or_dash(client.scopes.join(" ")),
            ]
        })
        .collect();
    output::print(&output::table(["CLIENT_ID", "NAME", "ENV", "STATUS", "SECRETS", "SCOPES"], &rows))
}

fn show(global: &Global, client: &Client) -> Result<(), Failure> {
    if global.json {
        return output::json(client);
    }
    let mut fields = vec![("client_id", client.client_id.clone())];
    if let Some(secret) = &client.client_secret {
        fields.push(("client_secret", secret.clone()));
    }
    fields.extend([
        ("name", client.name.clone()),
        ("project", format!("{}/{}", client.organization, client.project)),
        ("environment", client.environment.to_string()),
        ("status", client.status.as_str().to_owned()),
        ("scopes", output::or_dash(client.scopes.join(" "))),
        ("ip_allowlist", output::or_dash(client.ip_allowlist.join(" "))),
        ("token_ttl", output::or_dash(client.token_ttl.map(|ttl| Span::from_secs(ttl).to_string()))),
    ]);
    for (name, value) in [("description", &client.description), ("owner", &client.owner)] {
        if !value.is_empty() {
            fields.push((name, value.clone()));
        }
    }
    if !client.labels.is_empty() {
        let labels: Vec<_> = client.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.push(("labels", labels.join(" ")));
    }
    fields.push(("created_at", client.created_at.0.to_string()));
    let rows: Vec<_> = client
        .secrets
        .iter()
        .map(|secret| {
            [
                secret.id.clone(),
                secret.prefix.clone(),
                secret.created_at.0.to_string(),
                secret.expires_at.map_or_else(|| "never".to_owned(), |at| at.0.to_string()),
                secret.last_used_at.map_or_else(|| "never".to_owned(), |at| at.0.to_string()),
                output::or_dash(secret.last_used_from.clone()),
            ]
        })
        .collect();
    let headings = ["SECRET", "PREFIX", "CREATED", "EXPIRES", "LAST USED", "FROM"];
    output::print(&format!("{}\n{}", output::fields(&fields), output::table(headings, &rows)))?;
    if client.client_secret.is_some() {
        output::note("\nThe client_secret is shown this once, and cannot be had again: keep it now.");
    }
    Ok(())
}

fn status(status: ClientStatus) -> ClientPatch {
    ClientPatch { status: Some(status), ..ClientPatch::default() }
}
