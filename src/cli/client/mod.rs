//! `mintage client create|import|export|list|show|usage|quotas|balance|review|update|rotate|withdraw|digest-key|revoke|
//! enable|disable|delete`

pub(super) mod create;
mod digest_key;
mod import;
mod in_use;
mod list;
mod review;
mod rotate;
mod show;
mod update;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::api::{Client, ClientPatch, ClientStatus};
use crate::secret::Environment;

use crate::cli::admin::{Admin, segment};
use crate::cli::confirm::{self, Deletion};
use crate::cli::{Failure, Global, output, quotas, times};

use show::show;
pub(super) use update::allowlist;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Register a client; its secret is shown once
    Create(create::Create),
    /// Register the clients of a file
    Import(import::Import),
    /// Write all clients, one a line, as JSON Lines; no secret is in it
    Export {
        /// Where to; to stdout unless set. A file that is there is replaced
        file: Option<PathBuf>,
    },
    /// List clients: all, or those that every filter lets through
    List(list::Filter),
    /// Show a client: its scopes, its allowlist, its secrets and Digest keys and when they were last used
    Show {
        /// Its client_id
        id: String,
    },
    /// Show what a client has used: tokens issued and refused, by secret and scope, and when each was last used
    Usage(usage::Usage),
    /// Show how much of its quotas a client has used, and its balance
    Quotas {
        /// Its client_id
        id: String,
    },
    /// Change the prepaid balance of a client
    #[command(override_usage = "mintage client balance [OPTIONS] <ID>")]
    Balance {
        /// Its client_id
        id: String,
        #[command(flatten)]
        change: quotas::Adjustment,
    },
    /// List what is worth a look: secrets and keys that are about to end, clients and scopes that nobody uses
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
    /// Key pairs for HTTP Digest, for programs that know nothing else
    #[command(subcommand)]
    DigestKey(digest_key::Command),
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
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) fn environment(text: &str) -> Result<Environment, &'static str> {
    match text {
        "live" => Ok(Environment::Live),
        "test" => Ok(Environment::Test),
        _ => Err("it is either live or test"),
    }
}

pub(super) fn label(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("it has to be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What is said where tokens are cut off.
const CUT_OFF: &str = "\nEvery token that it held is cut off: it has to fetch new ones.";

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    let path = |id: &str| format!("clients/{}", segment(id));
    match command {
        Command::Create(create) => return create::run(global, &admin, create).await,
        Command::List(filter) => list::run(global, &admin, filter).await?,
        Command::Import(import) => return import::run(global, &admin, import).await,
        Command::Export { file } => import::export(&admin, file.as_deref()).await?,
        Command::Show { id } => {
            let client = admin.get(&path(&id)).await?;
            show::in_full(global, &client)?;
            let lines = in_use::lines(&client, times::now());
            if !global.json && !lines.is_empty() {
                output::line(&format!("\n{}", lines.join("\n")))?;
            }
        }
        Command::DigestKey(command) => return digest_key::run(global, &admin, command).await,
        Command::Review(review) => return review::run(global, &admin, &review).await,
        Command::Quotas { id } => quotas::show(global, &admin, &format!("{}/quotas", path(&id))).await?,
        Command::Balance { id, change } => {
            quotas::change_balance(global, &admin, &format!("{}/balance", path(&id)), change).await?;
        }
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
        Command::Delete { id, yes } => {
            let path = &path(&id);
            let json = json!({ "client_id": id, "deleted": true });
            let what = format!("the client {id}");
            confirm::delete(global, &admin, Deletion { path, what, cuts_off: true, json, yes }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn status(status: ClientStatus) -> ClientPatch {
    ClientPatch { status: Some(status), ..ClientPatch::default() }
}
