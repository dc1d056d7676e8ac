//! `mintage api create|list|show`

use std::process::ExitCode;

use crate::api::{Api, NewApi, Page, ScopeDefinition};
use crate::server::config::Span;

use super::admin::{Admin, segment};
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
    },
    /// List all APIs
    List,
    /// Show an API
    Show {
        /// Its identifier
        identifier: String,
    },
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    match command {
        Command::Create { identifier, scopes, name, token_ttl } => {
            let scopes = scopes.into_iter().map(|name| ScopeDefinition { name, description: String::new() }).collect();
            let new =
                NewApi { identifier, name, scopes, token_ttl: token_ttl.map(Span::as_secs), introspectors: Vec::new() };
            show(global, &admin.post("apis", &new).await?)?;
        }
        Command::List => {
            let items: Vec<Api> = admin.list("apis").await?;
            if global.json {
                output::json(&Page { items, next_cursor: None })?;
            } else {
                let rows: Vec<_> =
                    items.iter().map(|api| [api.identifier.clone(), api.name.clone(), scopes(api)]).collect();
                output::print(&output::table(["IDENTIFIER", "NAME", "SCOPES"], &rows))?;
            }
        }
        Command::Show { identifier } => show(global, &admin.get(&format!("apis/{}", segment(&identifier))).await?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn scopes(api: &Api) -> String {
    output::or_dash(api.scopes.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" "))
}

fn show(global: &Global, api: &Api) -> Result<(), Failure> {
    if global.json {
        return output::json(api);
    }
    output::print(&output::fields(&[
        ("identifier", api.identifier.clone()),
        ("name", api.name.clone()),
        ("organization", api.organization.clone()),
        ("scopes", scopes(api)),
        ("token_ttl", output::or_dash(api.token_ttl.map(|ttl| Span::from_secs(ttl).to_string()))),
        ("created_at", api.created_at.0.to_string()),
    ]))
}
