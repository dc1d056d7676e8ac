//! `mintage project create|list|show|quotas|balance|update|delete`

use std::process::ExitCode;

use serde_json::json;

use crate::api::{NewProject, OrganizationPatch, Page, Project, ProjectPatch};

use super::admin::{Admin, segment, with_query};
use super::confirm::{self, Deletion};
use super::{Failure, Global, limits, output, policy, quotas, times};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a project
    Create {
        /// Its identifier, unique within its organization: A-Z a-z 0-9 . _ -
        id: String,
        #[command(flatten)]
        place: Place,
        /// What people call it
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        policy: policy::Policy,
        /// How much its clients may use together: tokens or requests, day, month or total, such as tokens.day=1000; as
        /// often as there are quotas
        #[arg(long = "quota", value_name = "QUOTA=UNITS", value_parser = quotas::quota)]
        quotas: Vec<quotas::Quota>,
    },
    /// List all projects
    List {
        /// Those of this organization alone
        #[arg(long, value_name = "ORGANIZATION")]
        organization: Option<String>,
    },
    /// Show a project
    Show {
        /// Its identifier
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Show how much of a project's quotas its clients have used together, and its balance
    Quotas {
        /// Its identifier
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Change the prepaid balance of a project
    #[command(override_usage = "mintage project balance [OPTIONS] <ID>")]
    Balance {
        /// Its identifier
        id: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        change: quotas::Adjustment,
    },
    /// Change a project
    #[command(override_usage = "mintage project update [OPTIONS] <ID>")]
    Update {
        /// Its identifier
        id: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        changes: policy::Changes,
        /// How much its clients may use together: tokens or requests, day, month or total, such as tokens.day=1000; none
        /// takes the quota away; as often as there are quotas
        #[arg(long = "quota", value_name = "QUOTA=UNITS|none", value_parser = quotas::quota, group = "Changes")]
        quotas: Vec<quotas::Quota>,
    },
    /// Delete a project that has no clients left
    Delete {
        /// Its identifier
        id: String,
        #[command(flatten)]
        place: Place,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// The organization that something belongs to.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Its organization; yours unless set, and `default` on the admin socket
    #[arg(long, value_name = "ORGANIZATION")]
    pub(super) organization: Option<String>,
}

impl Place {
    /// The path of something in it.
    pub(super) fn path(&self, collection: &str, name: &str) -> String {
        let path = format!("{collection}/{}", segment(name));
        with_query(&path, [("organization", self.organization.clone())])
    }

    /// The path of what something in it has.
    fn path_below(&self, collection: &str, name: &str, below: &str) -> String {
        let path = format!("{collection}/{}/{below}", segment(name));
        with_query(&path, [("organization", self.organization.clone())])
    }
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    match command {
        Command::Create { id, place, name, policy, quotas } => {
            let new = NewProject {
                id,
                organization: place.organization,
                name,
                secret_policy: policy.policy(),
                limits: policy.limits()?,
                quotas: quotas::of(&quotas),
            };
            show(global, &admin.post("projects", &new).await?)?;
        }
        Command::List { organization } => {
            let items: Vec<Project> = admin.list(&with_query("projects", [("organization", organization)])).await?;
            if global.json {
                output::json(&Page { items, next_cursor: None })?;
            } else {
                output::print(&table(&items))?;
            }
        }
        Command::Show { id, place } => show(global, &admin.get(&place.path("projects", &id)).await?)?,
        Command::Quotas { id, place } => {
            quotas::show(global, &admin, &place.path_below("projects", &id, "quotas")).await?
        }
        Command::Balance { id, place, change } => {
            quotas::change_balance(global, &admin, &place.path_below("projects", &id, "balance"), change).await?;
        }
        Command::Update { id, place, changes, quotas } => {
            let path = place.path("projects", &id);
            let OrganizationPatch { name, secret_policy, limits } = changes.patch()?;
            let patch = ProjectPatch { name, secret_policy, limits, quotas: quotas::patch(&quotas) };
            let changed = admin.change(&path, "", |_: &Project| Ok(&patch)).await?;
            show(global, &changed.1)?;
        }
        Command::Delete { id, place, yes } => {
            let path = &place.path("projects", &id);
            let json = json!({ "id": id, "deleted": true });
            let what = format!("the project {id}");
            confirm::delete(global, &admin, Deletion { path, what, cuts_off: false, json, yes }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(items: &[Project]) -> String {
    let now = times::now();
    let rows: Vec<_> = items
        .iter()
        .map(|item| {
            let [max, warn] = policy::spans(&item.secret_policy);
            let created = times::relative(item.created_at.0, now);
            [item.id.clone(), item.organization.clone(), item.name.clone(), max, warn, created]
        })
        .collect();
    output::table_of_what_is_said(["ID", "ORGANIZATION", "NAME", "SECRETS LIVE", "WARN BEFORE", "CREATED"], &rows)
}

fn show(global: &Global, item: &Project) -> Result<(), Failure> {
    if global.json {
        return output::json(item);
    }
    let mut fields =
        vec![("id", item.id.clone()), ("organization", item.organization.clone()), ("name", item.name.clone())];
    fields.extend(policy::fields(&item.secret_policy));
    fields.push(("limits", limits::shown(&item.limits)));
    fields.extend(quotas::fields(&item.quotas));
    fields.push(("created_at", item.created_at.0.to_string()));
    output::print(&output::fields(&fields))
}
