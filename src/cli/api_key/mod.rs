//! `mintage api-key create|list|show|quotas|balance|update|rotate|revoke|delete`

mod create;
mod list;
mod rotate;
mod show;
mod update;

use std::process::ExitCode;

use serde_json::json;

use crate::api::ApiKey;
use crate::cli::admin::{Admin, segment};
use crate::cli::confirm::{self, Deletion};
use crate::cli::{Failure, Global, output, quotas};

use show::show;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an API key, which is shown once: for programs that know no OAuth
    Create(create::Create),
    /// List API keys: all, or those that every filter lets through
    List(list::Filter),
    /// Show an API key, masked: its scopes, its allowlist, when it ends, when it was last used, and which older
    /// ones still go on
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
        changes: update::Changes,
    },
    /// Replace an API key by a new one, shown once; the old one ends when the overlap does
    Rotate(rotate::Rotate),
    /// Disable an API key, and cut off every token that it was exchanged for; older ones in an overlap end for good
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

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    let path = |id: &str| format!("api-keys/{}", segment(id));
    match command {
        Command::Create(create) => create::run(global, &admin, create).await?,
        Command::List(filter) => list::run(global, &admin, filter).await?,
        Command::Show { id } => show(global, &admin.get(&path(&id)).await?)?,
        Command::Update { id, changes } => {
            let (_, key) = admin.change(&path(&id), "", |key: &ApiKey| changes.patch(key)).await?;
            show(global, &key)?;
        }
        Command::Rotate(rotate) => rotate::run(global, &admin, rotate).await?,
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
