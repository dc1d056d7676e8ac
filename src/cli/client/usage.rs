//! `mintage client usage ID`

use crate::api;
use crate::api::UsageBucket;
use crate::cli::admin::{Admin, segment};
use crate::cli::{Failure, Global, output};
use crate::clock::{Clock, Rfc3339, SystemClock, UnixTime};
use crate::server::config::Span;

#[derive(Debug, clap::Args)]
pub(crate) struct Usage {
    /// Its client_id
    pub(super) id: String,
    /// How far to look back, such as 7d; 24h by the hour and 30d by the day unless set
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    since: Option<Span>,
    /// hour (kept for 14 days) or day (kept for 400)
    #[arg(long, value_name = "BUCKET", default_value = "hour", value_parser = bucket)]
    by: UsageBucket,
}

fn bucket(text: &str) -> Result<UsageBucket, &'static str> {
    match text {
        "hour" => Ok(UsageBucket::Hour),
        "day" => Ok(UsageBucket::Day),
        _ => Err("it is either hour or day"),
    }
}

pub(super) async fn run(global: &Global, admin: &Admin, path: &str, asked: &Usage) -> Result<(), Failure> {
    let mut path = format!("{path}/usage?bucket={}", asked.by.as_str());
    if let Some(since) = asked.since {
        let since = SystemClock.now().seconds().saturating_sub_unsigned(since.as_secs());
        path.push_str(&format!("&since={}", segment(&UnixTime::from_seconds(since).to_string())));
    }
    let usage: api::Usage = admin.get(&path).await?;
    if global.json {
        return output::json(&usage);
    }
    output::print(&text(&usage))?;
    output::note(&format!(
        "\nComplete up to {}; a crash loses what came after that, {} s at most.",
        usage.complete_until_at.0, usage.flush_interval
    ));
    Ok(())
}

fn text(usage: &api::Usage) -> String {
    let last = |at: Option<Rfc3339>| at.map_or_else(|| "never".to_owned(), |at| at.0.to_string());
    let count = |count: u64| count.to_string();
    let reasons = |by: &std::collections::BTreeMap<String, u64>| {
        output::or_dash(by.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", "))
    };
    let fields = output::fields(&[
        ("client_id", usage.client_id.clone()),
        ("since", usage.since_at.0.to_string()),
        ("until", usage.until_at.0.to_string()),
        ("last used", last(usage.last_used_at)),
        ("issued", count(usage.issued)),
        ("refused", count(usage.refused)),
        ("refused by", reasons(&usage.refused_by)),
    ]);
    let secrets: Vec<_> = usage
        .secrets
        .iter()
        .map(|secret| {
            let from = output::or_dash(secret.last_used_from.clone());
            [secret.id.clone(), count(secret.issued), count(secret.refused), last(secret.last_used_at), from]
        })
        .collect();
    let scopes: Vec<_> =
        usage.scopes.iter().map(|scope| [scope.name.clone(), count(scope.issued), last(scope.last_used_at)]).collect();
    let items: Vec<_> = usage
        .items
        .iter()
        .map(|item| [item.start_at.0.to_string(), count(item.issued), count(item.refused), reasons(&item.refused_by)])
        .collect();
    let bucket = usage.bucket.as_str().to_ascii_uppercase();
    format!(
        "{fields}\n{}\n{}\n{}",
        output::table(["SECRET", "ISSUED", "REFUSED", "LAST USED", "FROM"], &secrets),
        output::table(["SCOPE", "ISSUED", "LAST USED"], &scopes),
        output::table([&bucket, "ISSUED", "REFUSED", "REFUSED BY"], &items)
    )
}
