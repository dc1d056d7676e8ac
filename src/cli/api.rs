//! `mintage api create|list|show|update`

use std::process::ExitCode;

use crate::api::{Api, ApiPatch, NewApi, Page, ScopeDefinition};
use crate::server::config::Span;

use super::admin::{Admin, segment};
use super::edit::edited;
use super::{Failure, Global, output};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Register an API
    Create {
        /// Its identifier, a URI such as https://orders.example: the `aud` of its tokens
        identifier: String,
        /// A scope that it defines, such as orders:read; as often as there are scopes
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// What people call it
        #[arg(long)]
        name: Option<String>,
        /// How long its tokens live at most, such as 10m
        #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
        token_ttl: Option<Span>,
        /// A client that may introspect tokens for it, by its client_id; as often as there are clients
        #[arg(long = "introspector", value_name = "CLIENT_ID")]
        introspectors: Vec<String>,
    },
    /// List all APIs
    List,
    /// Show an API
    Show {
        /// Its identifier
        identifier: String,
    },
    /// Change an API
    #[command(override_usage = "mintage api update [OPTIONS] <IDENTIFIER>")]
    Update {
        /// Its identifier
        identifier: String,
        #[command(flatten)]
        changes: Changes,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Changes {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// How long its tokens live at most, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    token_ttl: Option<Span>,
    /// Let its tokens live as long as others
    #[arg(long, conflicts_with = "token_ttl")]
    no_token_ttl: bool,
    /// A client that may introspect tokens for it, by its client_id; as often as there are clients
    #[arg(long, value_name = "CLIENT_ID")]
    add_introspector: Vec<String>,
    /// A client that may no longer; as often as there are clients
    #[arg(long, value_name = "CLIENT_ID")]
    remove_introspector: Vec<String>,
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    let path = |identifier: &str| format!("apis/{}", segment(identifier));
    match command {
        Command::Create { identifier, scopes, name, token_ttl, introspectors } => {
            let scopes = scopes.into_iter().map(|name| ScopeDefinition { name, description: String::new() }).collect();
            let new = NewApi {
                identifier,
                name,
                scopes,
                token_ttl: token_ttl.map(Span::as_secs),
                introspectors,
                organization: None,
            };
            show(global, &admin.post("apis", &new).await?)?;
        }
        Command::List => {
            let items: Vec<Api> = admin.list("apis").await?;
            if global.json {
                output::json(&Page { items, next_cursor: None })?;
            } else {
                output::print(&list(&items))?;
            }
        }
        Command::Show { identifier } => show(global, &admin.get(&path(&identifier)).await?)?,
        Command::Update { identifier, changes } => {
            let path = path(&identifier);
            let before = admin.get(&path).await?;
            show(global, &admin.patch(&path, &changes.patch(&before)?).await?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn scopes(api: &Api) -> String {
    output::or_dash(api.scopes.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" "))
}

impl Changes {
    /// The merge patch that makes of `api` what is asked for. The list is sent whole.
    fn patch(self, api: &Api) -> Result<ApiPatch, Failure> {
        let introspectors =
            edited("introspector", &api.introspectors, self.add_introspector, &self.remove_introspector)?;
        let token_ttl = match self.token_ttl {
            Some(ttl) => Some(Some(ttl.as_secs())),
            None => self.no_token_ttl.then_some(None),
        };
        Ok(ApiPatch { name: self.name, token_ttl, introspectors, scopes: None })
    }
}

/// Introspectors have a column where there are some.
fn list(items: &[Api]) -> String {
    let row = |api: &Api| [api.identifier.clone(), api.name.clone(), scopes(api)];
    if items.iter().all(|api| api.introspectors.is_empty()) {
        let rows: Vec<_> = items.iter().map(row).collect();
        return output::table(["IDENTIFIER", "NAME", "SCOPES"], &rows);
    }
    let rows: Vec<_> = items
        .iter()
        .map(|api| {
            let [identifier, name, scopes] = row(api);
            [identifier, name, scopes, output::or_dash(api.introspectors.join(" "))]
        })
        .collect();
    output::table(["IDENTIFIER", "NAME", "SCOPES", "INTROSPECTORS"], &rows)
}

fn show(global: &Global, api: &Api) -> Result<(), Failure> {
    if global.json {
        return output::json(api);
    }
    let mut fields = vec![
        ("identifier", api.identifier.clone()),
        ("name", api.name.clone()),
        ("organization", api.organization.clone()),
        ("scopes", scopes(api)),
        ("token_ttl", output::or_dash(api.token_ttl.map(|ttl| Span::from_secs(ttl).to_string()))),
    ];
    if !api.introspectors.is_empty() {
        fields.push(("introspectors", api.introspectors.join(" ")));
    }
    fields.push(("created_at", api.created_at.0.to_string()));
    output::print(&output::fields(&fields))
}
