//! `mintage api-key list`

use crate::api::{ApiKey, Page};
use crate::cli::admin::{Admin, with_query};
use crate::cli::client::environment;
use crate::cli::{Failure, Global, output, times};
use crate::secret::Environment;
use crate::server::config::Span;

/// Which API keys are listed.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Filter {
    /// Those of this name; `ci*` is those whose name begins so
    #[arg(long)]
    name: Option<String>,
    /// Those that are active, or disabled
    #[arg(long, value_name = "STATUS", value_parser = ["active", "disabled"])]
    status: Option<String>,
    /// Those of this environment: live or test
    #[arg(long, value_name = "ENVIRONMENT", value_parser = environment)]
    env: Option<Environment>,
    /// Those that are granted this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Those of this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Those of this organization; with --project it is yours unless set
    #[arg(long, value_name = "ORGANIZATION")]
    organization: Option<String>,
    /// Those that end so soon, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    expiring_within: Option<Span>,
    /// Those that are there for so long, and have not been used for as long, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    unused_for: Option<Span>,
}

/// Lists the API keys that are asked for.
pub(super) async fn run(global: &Global, admin: &Admin, filter: Filter) -> Result<(), Failure> {
    let items: Vec<ApiKey> = admin.list(&filter.path()).await?;
    if global.json {
        return output::json(&Page { items, next_cursor: None });
    }
    output::print(&table(&items))
}

impl Filter {
    fn path(self) -> String {
        let now = times::now();
        with_query(
            "api-keys",
            [
                ("name", self.name),
                ("status", self.status),
                ("environment", self.env.map(|environment| environment.to_string())),
                ("scope", self.scope),
                ("project", self.project),
                ("organization", self.organization),
                ("expiring_before", self.expiring_within.map(|span| now.plus(span.duration()).to_string())),
                ("unused_since", self.unused_for.map(|span| times::before(now, span.duration()).to_string())),
            ],
        )
    }
}

fn table(items: &[ApiKey]) -> String {
    let now = times::now();
    let rows: Vec<_> = items
        .iter()
        .map(|key| {
            [
                key.id.clone(),
                key.name.clone(),
                key.prefix.clone(),
                key.status.as_str().to_owned(),
                output::or_dash(key.scopes.join(" ")),
                times::relative_or(key.expires_at, now, "never"),
                times::relative_or(key.last_used_at, now, "never"),
            ]
        })
        .collect();
    output::table_of_what_is_said(["ID", "NAME", "KEY", "STATUS", "SCOPES", "EXPIRES", "LAST USED"], &rows)
}
