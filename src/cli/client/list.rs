//! `mintage client list`

use crate::api::{Client, Page};
use crate::cli::admin::{Admin, with_query};
use crate::cli::{Failure, Global, output, times};
use crate::secret::Environment;
use crate::server::config::Span;

/// Which clients are listed.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Filter {
    /// Those of this name; `bill*` is those whose name begins so, and a * anywhere else is refused
    #[arg(long)]
    name: Option<String>,
    /// Those that are active, or disabled
    #[arg(long, value_name = "STATUS", value_parser = ["active", "disabled"])]
    status: Option<String>,
    /// Those of this environment: live or test
    #[arg(long, value_name = "ENVIRONMENT", value_parser = super::environment)]
    env: Option<Environment>,
    /// Those that are granted this scope itself, and not by a role
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Those that hold this role
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Those of this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Those of this organization; with --role or --project it is yours unless set
    #[arg(long, value_name = "ORGANIZATION")]
    organization: Option<String>,
    /// Those with a secret that ends so soon, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    expiring_within: Option<Span>,
    /// Those that are there for so long, and have not been used for as long, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    unused_for: Option<Span>,
}

impl Filter {
    fn path(self) -> String {
        let now = times::now();
        with_query(
            "clients",
            [
                ("name", self.name),
                ("status", self.status),
                ("environment", self.env.map(|environment| environment.to_string())),
                ("scope", self.scope),
                ("role", self.role),
                ("project", self.project),
                ("organization", self.organization),
                ("expiring_before", self.expiring_within.map(|span| now.plus(span.duration()).to_string())),
                ("unused_since", self.unused_for.map(|span| times::before(now, span.duration()).to_string())),
            ],
        )
    }
}

pub(super) async fn run(global: &Global, admin: &Admin, filter: Filter) -> Result<(), Failure> {
    let items: Vec<Client> = admin.list(&filter.path()).await?;
    if global.json { output::json(&Page { items, next_cursor: None }) } else { output::print(&table(&items)) }
}

/// A client's newest secret stands for the others.
fn table(items: &[Client]) -> String {
    let now = times::now();
    let place = |client: &Client| format!("{}/{}", client.organization, client.project);
    let elsewhere = items.iter().any(|client| items.first().is_some_and(|first| place(first) != place(client)));
    let rows: Vec<_> = items
        .iter()
        .map(|client| {
            let newest = client.secrets.last();
            let prefix = newest.map(|newest| match client.secrets.len() {
                1 => newest.prefix.clone(),
                count => format!("{} +{}", newest.prefix, count - 1),
            });
            let expires = newest.map(|newest| times::relative_or(newest.expires_at, now, "never"));
            [
                client.client_id.clone(),
                client.name.clone(),
                if elsewhere { place(client) } else { "-".to_owned() },
                client.environment.to_string(),
                client.status.as_str().to_owned(),
                output::or_dash(prefix),
                output::or_dash(expires),
                times::relative_or(client.last_used_at, now, "never"),
                output::names(&client.roles),
                output::names(&client.scopes),
            ]
        })
        .collect();
    let headings =
        ["CLIENT_ID", "NAME", "PROJECT", "ENV", "STATUS", "SECRET", "EXPIRES", "LAST USED", "ROLES", "SCOPES"];
    output::table_of_what_is_said(headings, &rows)
}
