//! `mintage client review`: what of clients and their secrets is worth a look.

use std::process::ExitCode;

use crate::api::{Finding, Page};
use crate::server::config::Span;

use crate::cli::admin::Admin;
use crate::cli::{Failure, Global, output};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Review {
    /// Secrets and keys that end within this, such as 14d; what the policy of each project says unless set
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    expiring_within: Option<Span>,
    /// Clients and scopes that were not used for this long (review.unused_after of the configuration)
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    unused_for: Option<Span>,
    /// Clients that were never used although they are this old (review.never_used_after of the configuration)
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    never_used_for: Option<Span>,
}

pub(super) async fn run(global: &Global, admin: &Admin, review: &Review) -> Result<ExitCode, Failure> {
    let asked = [
        ("expiring_within", review.expiring_within),
        ("unused_for", review.unused_for),
        ("never_used_for", review.never_used_for),
    ];
    let query: Vec<_> =
        asked.into_iter().filter_map(|(name, span)| Some(format!("{name}={}", span?.as_secs()))).collect();
    let items: Vec<Finding> = admin.list(&["review", &query.join("&")].join("?")).await?;
    if global.json {
        output::json(&Page { items, next_cursor: None })?;
    } else if items.is_empty() {
        output::line("Nothing is worth a look.")?;
    } else {
        output::print(&table(&items))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(items: &[Finding]) -> String {
    let rows: Vec<_> = items
        .iter()
        .map(|finding| {
            let which = finding.secret_id.as_ref().or(finding.digest_key_id.as_ref()).or(finding.scope.as_ref());
            let time = |at: Option<crate::clock::Rfc3339>| output::or_dash(at.map(|at| at.0.to_string()));
            [
                finding.kind.as_str().replace('_', " "),
                finding.client_id.clone(),
                finding.name.clone(),
                output::or_dash(which.cloned()),
                time(finding.expires_at),
                time(finding.last_used_at),
                finding.detail.clone(),
            ]
        })
        .collect();
    output::table(["FINDING", "CLIENT_ID", "NAME", "WHICH", "ENDS", "LAST USED", "WHAT TO DO"], &rows)
}
