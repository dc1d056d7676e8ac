//! `mintage api create|list|show|update|delete`

use std::process::ExitCode;

use serde_json::json;

use crate::api::{Api, ApiPatch, NewApi, Page, ScopeDefinition};
use crate::server::config::Span;

use super::admin::{Admin, segment};
use super::confirm::{self, Deletion};
use super::edit::{edited, missing};
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
        /// Its organization; yours unless set, and `default` on the admin socket
        #[arg(long, value_name = "ORGANIZATION")]
        organization: Option<String>,
        /// What a scope allows, for people; as often as there are scopes
        #[arg(long = "scope-description", value_name = "SCOPE=TEXT", value_parser = description)]
        descriptions: Vec<(String, String)>,
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
    /// Delete an API none of whose scopes any client or role has
    Delete {
        /// Its identifier
        identifier: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

fn description(text: &str) -> Result<(String, String), &'static str> {
    let (scope, text) = text.split_once('=').ok_or("it has to be SCOPE=TEXT")?;
    Ok((scope.to_owned(), text.to_owned()))
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
    /// A scope that it defines from now on; as often as there are scopes
    #[arg(long, value_name = "SCOPE")]
    add_scope: Vec<String>,
    /// A scope that it no longer defines, which no client or role may have; as often as there are scopes
    #[arg(long, value_name = "SCOPE")]
    remove_scope: Vec<String>,
    /// What a scope allows, for people; as often as there are scopes
    #[arg(long = "scope-description", value_name = "SCOPE=TEXT", value_parser = description)]
    descriptions: Vec<(String, String)>,
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
        Command::Create { identifier, scopes, name, token_ttl, introspectors, organization, descriptions } => {
            let scopes = defined(&[], &scopes, &[], &descriptions)?;
            let token_ttl = token_ttl.map(Span::as_secs);
            let new = NewApi { identifier, name, scopes, token_ttl, introspectors, organization };
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
            let (_, after) = admin.change(&path(&identifier), "", |api: &Api| changes.patch(api)).await?;
            show(global, &after)?;
        }
        Command::Delete { identifier, yes } => {
            let path = &path(&identifier);
            let json = json!({ "identifier": identifier, "deleted": true });
            let what = format!("the API {identifier}");
            confirm::delete(global, &admin, Deletion { path, what, cuts_off: false, json, yes }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn scopes(api: &Api) -> String {
    output::or_dash(api.scopes.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" "))
}

/// The scopes that an API defines when some are added, taken away and described. One that only gets another description
/// keeps its place.
fn defined(
    scopes: &[ScopeDefinition],
    add: &[String],
    remove: &[String],
    descriptions: &[(String, String)],
) -> Result<Vec<ScopeDefinition>, Failure> {
    let names: Vec<_> = scopes.iter().map(|scope| scope.name.clone()).collect();
    // Those of a new API are sent as they were named, so that one that is named twice is refused.
    let names = if scopes.is_empty() && remove.is_empty() {
        add.to_vec()
    } else {
        edited("scope", &names, add.to_vec(), remove)?.unwrap_or(names)
    };
    if let Some((scope, _)) = descriptions.iter().find(|(scope, _)| !names.contains(scope)) {
        return Err(missing("scope", scope, &names, "described"));
    }
    let definition = |name: String| {
        let known = scopes.iter().find(|scope| scope.name == name).map(|scope| scope.description.clone());
        let new = descriptions.iter().rev().find(|(scope, _)| *scope == name).map(|(_, text)| text.clone());
        ScopeDefinition { description: new.or(known).unwrap_or_default(), name }
    };
    Ok(names.into_iter().map(definition).collect())
}

impl Changes {
    /// The merge patch that makes of `api` what is asked for. Lists are sent whole.
    fn patch(&self, api: &Api) -> Result<ApiPatch, Failure> {
        let introspectors =
            edited("introspector", &api.introspectors, self.add_introspector.clone(), &self.remove_introspector)?;
        let token_ttl = match self.token_ttl {
            Some(ttl) => Some(Some(ttl.as_secs())),
            None => self.no_token_ttl.then_some(None),
        };
        let same = self.add_scope.is_empty() && self.remove_scope.is_empty() && self.descriptions.is_empty();
        let scopes = match same {
            true => None,
            false => Some(defined(&api.scopes, &self.add_scope, &self.remove_scope, &self.descriptions)?),
        };
        Ok(ApiPatch { name: self.name.clone(), token_ttl, introspectors, scopes })
    }
}

fn list(items: &[Api]) -> String {
    let elsewhere = items.iter().any(|api| items.first().is_some_and(|first| first.organization != api.organization));
    let rows: Vec<_> = items
        .iter()
        .map(|api| {
            let organization = if elsewhere { api.organization.clone() } else { "-".to_owned() };
            let scopes: Vec<_> = api.scopes.iter().map(|scope| scope.name.as_str()).collect();
            let (scopes, introspectors) = (output::names(&scopes), output::names(&api.introspectors));
            [api.identifier.clone(), organization, api.name.clone(), scopes, introspectors]
        })
        .collect();
    output::table_of_what_is_said(["IDENTIFIER", "ORGANIZATION", "NAME", "SCOPES", "INTROSPECTORS"], &rows)
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
    let described: Vec<_> = api.scopes.iter().filter(|scope| !scope.description.is_empty()).collect();
    let rows: Vec<_> = described.iter().map(|scope| [scope.name.clone(), scope.description.clone()]).collect();
    let scopes =
        if rows.is_empty() { String::new() } else { format!("\n{}", output::table(["SCOPE", "ALLOWS"], &rows)) };
    output::print(&format!("{}{scopes}", output::fields(&fields)))
}
