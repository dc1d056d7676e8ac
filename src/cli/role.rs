//! `mintage role create|list|show|update|delete`

use std::process::ExitCode;

use serde_json::json;

use crate::api::{Level, NewRole, Page, Role, RolePatch};

use super::admin::{Admin, with_query};
use super::confirm::{self, Deletion};
use super::edit::edited;
use super::project::Place;
use super::{Failure, Global, output, times};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Define a role
    Create {
        /// Its name, unique within its organization: A-Z a-z 0-9 . _ -
        name: String,
        #[command(flatten)]
        place: Place,
        /// How far its mintage: scopes reach: project, that of the client that holds it, or organization, all projects of
        /// that client's organization
        #[arg(long, value_name = "LEVEL", default_value = "project", value_parser = level)]
        level: Level,
        /// A scope that it grants; as often as there are scopes
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// List all roles, the built-in ones first
    List {
        /// Those that the clients of this organization can hold alone
        #[arg(long, value_name = "ORGANIZATION")]
        organization: Option<String>,
    },
    /// Show a role
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Change a role; to take a scope away cuts off the tokens of every client that holds the role
    #[command(override_usage = "mintage role update [OPTIONS] <NAME>")]
    Update {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        changes: Changes,
        /// Let tokens live on although they say more than the role grants
        #[arg(long)]
        keep_tokens: bool,
    },
    /// Delete a role that no client holds
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Changes {
    /// A scope to grant; as often as there are scopes
    #[arg(long, value_name = "SCOPE")]
    add_scope: Vec<String>,
    /// A scope to take away; as often as there are scopes
    #[arg(long, value_name = "SCOPE")]
    remove_scope: Vec<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

fn level(text: &str) -> Result<Level, &'static str> {
    let known = [Level::Project, Level::Organization].into_iter().find(|level| level.as_str() == text);
    known.ok_or("it is either project or organization")
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    match command {
        Command::Create { name, place, level, scopes, description } => {
            let new = NewRole { name, organization: place.organization, level, scopes, description };
            show(global, &admin.post("roles", &new).await?)?;
        }
        Command::List { organization } => {
            let items: Vec<Role> = admin.list(&with_query("roles", [("organization", organization)])).await?;
            if global.json {
                output::json(&Page { items, next_cursor: None })?;
            } else {
                output::print(&table(&items))?;
            }
        }
        Command::Show { name, place } => show(global, &admin.get(&place.path("roles", &name)).await?)?,
        Command::Update { name, place, changes, keep_tokens } => {
            let path = place.path("roles", &name);
            let query = if keep_tokens { "keep_tokens=true" } else { "" };
            let (before, after): (Role, Role) = admin.change(&path, query, |role| changes.patch(role)).await?;
            show(global, &after)?;
            if before.scopes.iter().any(|scope| !after.scopes.contains(scope)) {
                output::note(match keep_tokens {
                    false => "\nEvery token of the clients that hold it is cut off: they have to fetch new ones.",
                    true => {
                        "\nThe tokens of the clients that hold it are kept: until they expire they say what they said."
                    }
                });
            }
        }
        Command::Delete { name, place, yes } => {
            let path = &place.path("roles", &name);
            let json = json!({ "name": name, "deleted": true });
            let what = format!("the role {name}");
            confirm::delete(global, &admin, Deletion { path, what, cuts_off: false, json, yes }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Changes {
    /// The merge patch that makes of `role` what is asked for. The list is sent whole.
    fn patch(&self, role: &Role) -> Result<RolePatch, Failure> {
        Ok(RolePatch {
            scopes: edited("scope", &role.scopes, self.add_scope.clone(), &self.remove_scope)?,
            description: self.description.clone().map(Some),
        })
    }
}

fn organization(role: &Role) -> String {
    role.organization.clone().unwrap_or_else(|| "all, built in".to_owned())
}

fn table(items: &[Role]) -> String {
    let rows: Vec<_> = items
        .iter()
        .map(|role| {
            let level = role.level.as_str().to_owned();
            [role.name.clone(), organization(role), level, output::names(&role.scopes)]
        })
        .collect();
    output::table(["NAME", "ORGANIZATION", "LEVEL", "SCOPES"], &rows)
}

fn show(global: &Global, role: &Role) -> Result<(), Failure> {
    if global.json {
        return output::json(role);
    }
    output::print(&output::fields(&[
        ("name", role.name.clone()),
        ("organization", organization(role)),
        ("level", role.level.as_str().to_owned()),
        ("scopes", output::or_dash(role.scopes.join(" "))),
        ("description", output::or_dash(role.description.clone())),
        ("created_at", times::exact_or(role.created_at, "from the start")),
    ]))
}
