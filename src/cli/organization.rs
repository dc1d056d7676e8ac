//! `mintage organization create|list|show|update|delete`

use std::process::ExitCode;

use serde_json::json;

use crate::api::{NewOrganization, Organization, Page};

use super::admin::{Admin, segment};
use super::confirm::{self, Deletion};
use super::{Failure, Global, limits, output, policy, times};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an organization; it has no projects at first
    Create {
        /// Its identifier: A-Z a-z 0-9 . _ -
        id: String,
        /// What people call it
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        policy: policy::Policy,
    },
    /// List all organizations
    List,
    /// Show an organization
    Show {
        /// Its identifier
        id: String,
    },
    /// Change an organization
    #[command(override_usage = "mintage organization update [OPTIONS] <ID>")]
    Update {
        /// Its identifier
        id: String,
        #[command(flatten)]
        changes: policy::Changes,
    },
    /// Delete an organization that has nothing left in it
    Delete {
        /// Its identifier
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    let path = |id: &str| format!("organizations/{}", segment(id));
    match command {
        Command::Create { id, name, policy } => {
            let new = NewOrganization { id, name, secret_policy: policy.policy(), limits: policy.limits()? };
            show(global, &admin.post("organizations", &new).await?)?;
        }
        Command::List => {
            let items: Vec<Organization> = admin.list("organizations").await?;
            if global.json {
                output::json(&Page { items, next_cursor: None })?;
            } else {
                output::print(&table(&items))?;
            }
        }
        Command::Show { id } => show(global, &admin.get(&path(&id)).await?)?,
        Command::Update { id, changes } => {
            let changed = admin.change(&path(&id), "", |_: &Organization| changes.patch()).await?;
            show(global, &changed.1)?;
        }
        Command::Delete { id, yes } => {
            let what = format!("the organization {id}");
            let json = json!({ "id": id, "deleted": true });
            confirm::delete(global, &admin, Deletion { path: &path(&id), what, cuts_off: false, json, yes }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(items: &[Organization]) -> String {
    let now = times::now();
    let rows: Vec<_> = items
        .iter()
        .map(|item| {
            let [max, warn] = policy::spans(&item.secret_policy);
            [item.id.clone(), item.name.clone(), max, warn, times::relative(item.created_at.0, now)]
        })
        .collect();
    output::table_of_what_is_said(["ID", "NAME", "SECRETS LIVE", "WARN BEFORE", "CREATED"], &rows)
}

fn show(global: &Global, item: &Organization) -> Result<(), Failure> {
    if global.json {
        return output::json(item);
    }
    let mut fields = vec![("id", item.id.clone()), ("name", item.name.clone())];
    fields.extend(policy::fields(&item.secret_policy));
    fields.push(("limits", limits::shown(&item.limits)));
    fields.push(("created_at", item.created_at.0.to_string()));
    output::print(&output::fields(&fields))
}
