//! `mintage audit tail|search|export|head|verify`

mod log;
mod shown;
mod verify;

use std::collections::HashMap;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use crate::api::{AuditEntry, AuditKind};
use crate::clock::{Clock, Rfc3339, SystemClock, UnixTime};
use crate::server::config::Span;
use crate::server::service::{AuditFilter, ExportFilter, ExportFrom};

use super::{Failure, Global, output};

use log::Log;

/// How often a log that is followed is looked at.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the newest of the audit log: changes, issued tokens and refused requests
    Tail {
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        lines: u32,
        /// Go on, and show what is added
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        part: Part,
    },
    /// Look for entries of the audit log
    Search {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        part: Part,
    },
    /// Print the records and the segments exactly as they are kept, each with its hash, as JSON Lines
    Export {
        /// Not what is from before: 2026-11-21T06:17:00Z, Unix seconds, or so long ago: 2h
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<Rfc3339>,
        /// Nor what is from then on
        #[arg(long, value_name = "TIME", value_parser = moment)]
        until: Option<Rfc3339>,
        #[command(flatten)]
        at: At,
    },
    /// Print the end of the chain, signed: keep it elsewhere, and hold the chain against it later (verify --head)
    Head,
    /// Find out whether the audit log is as it was written; the exit code is 0 only if it is
    Verify {
        /// A signed head that was kept elsewhere, or a file that holds one: the chain has to lead to it
        #[arg(long, value_name = "HEAD")]
        head: Option<String>,
        /// The public keys that sign here, kept elsewhere: a JWK Set, in a file or at a URL. Else the server's own, or where
        /// none runs, those of the folder of keys
        #[arg(long, value_name = "FILE|URL")]
        jwks: Option<String>,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct At {
    /// Read this store, which no server may be running on, instead of asking the server: redb:PATH
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Part {
    /// Only these: changes, issuances or refusals
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<AuditKind>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Who made a change: admin, admin:UID, client:ID, system
    #[arg(long)]
    actor: Option<String>,
    /// What was done: client.create, or client for all that was done to clients. Whole words, and no *: an action that
    /// there is none of finds nothing
    #[arg(long)]
    action: Option<String>,
    /// To what
    #[arg(long)]
    target: Option<String>,
    /// A client: what was done to it or by it, what it was issued, what it was refused
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Not before: 2026-11-21T06:17:00Z, Unix seconds, or so long ago: 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Rfc3339>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Rfc3339>,
    /// The request_id of a change or a refusal
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The jti of a token
    #[arg(long)]
    jti: Option<String>,
}

fn kind(text: &str) -> Result<AuditKind, String> {
    AuditKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| "it has to be changes, issuances or refusals".to_owned())
}

fn moment(text: &str) -> Result<Rfc3339, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Rfc3339(UnixTime::from_seconds(seconds)));
    }
    if let Ok(ago) = Span::from_str(text) {
        let then = SystemClock.now().seconds().saturating_sub_unsigned(ago.as_secs());
        return Ok(Rfc3339(UnixTime::from_seconds(then)));
    }
    serde_json::from_value(text.into()).map_err(|error| format!("{error}, nor a duration, such as \"2h\""))
}

impl Part {
    fn kinds(&self) -> Vec<AuditKind> {
        self.kind.map_or_else(|| AuditKind::ALL.to_vec(), |kind| vec![kind])
    }
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Tail { lines, follow, part } => tail(global, lines as usize, follow, &part).await?,
        Command::Search { filter, part } => search(global, filter, &part).await?,
        Command::Export { since, until, at } => {
            let filter = ExportFilter { since: since.map(|at| at.0), until: until.map(|at| at.0) };
            export(global, &at, &filter).await?;
        }
        Command::Head => verify::head(global).await?,
        Command::Verify { head, jwks, at } => {
            return verify::run(global, head.as_deref(), jwks.as_deref(), &at).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest entry of each part.
type Marks = HashMap<&'static str, (u64, u64)>;

/// The newest `limit` entries of these parts, the oldest of them first; of each part only what is behind its mark, which
/// moves on.
async fn newest(
    log: &Log,
    kinds: &[AuditKind],
    filter: &AuditFilter,
    limit: usize,
    marks: &mut Marks,
) -> Result<Vec<AuditEntry>, Failure> {
    let mut entries = Vec::new();
    for kind in kinds {
        let mut own = log.entries(*kind, filter, limit).await?;
        let mark = marks.get(kind.as_str()).copied();
        own.retain(|entry| mark.is_none_or(|mark| shown::place(entry) > mark));
        if let Some(newest) = own.first() {
            marks.insert(kind.as_str(), shown::place(newest));
        }
        // What cannot be read has no time: it stays behind what was recorded before it.
        let mut last = None;
        for entry in own.into_iter().rev() {
            last = entry.recorded_at().or(last);
            entries.push((last, entry));
        }
    }
    // Stable: what happened in one second stays in the order of its own part.
    entries.sort_by_key(|(at, _)| *at);
    entries.drain(..entries.len().saturating_sub(limit));
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

async fn tail(global: &Global, lines: usize, follow: bool, part: &Part) -> Result<(), Failure> {
    let log = Log::open(global, part.at.store.as_deref())?;
    if follow && matches!(log, Log::File(_)) {
        return Err(Failure::new("no server is running here, so that nothing is added that could be followed"));
    }
    let (kinds, mut filter, mut marks) = (part.kinds(), AuditFilter::default(), Marks::new());
    let mut entries = newest(&log, &kinds, &filter, lines, &mut marks).await?;
    shown::print(global, &entries, true)?;
    if !follow {
        return Ok(());
    }
    loop {
        // Not all of it each time: what is added is no older than what was there.
        filter.since = entries.iter().rev().find_map(AuditEntry::recorded_at).or(filter.since);
        tokio::time::sleep(PAUSE).await;
        entries = newest(&log, &kinds, &filter, usize::MAX, &mut marks).await?;
        shown::print(global, &entries, false)?;
    }
}

async fn search(global: &Global, filter: Filter, part: &Part) -> Result<(), Failure> {
    let log = Log::open(global, part.at.store.as_deref())?;
    let action = filter.action.clone();
    let filter = AuditFilter {
        actor: filter.actor,
        action: filter.action,
        target: filter.target,
        client: filter.client,
        since: filter.since,
        until: filter.until,
        request_id: filter.request_id,
        jti: filter.jti,
    };
    let entries = newest(&log, &part.kinds(), &filter, usize::MAX, &mut Marks::new()).await?;
    if let (Some(action), true) = (action, entries.is_empty()) {
        output::note(&format!(
            "Nothing was found of the action {action}. Actions are whole words, as `mintage audit tail --kind changes` \
             shows them: client.create, or client for all that begin so"
        ));
    }
    shown::print(global, &entries, true)
}

/// Prints page by page: the log need not fit into memory.
async fn export(global: &Global, at: &At, filter: &ExportFilter) -> Result<(), Failure> {
    let log = Log::open(global, at.store.as_deref())?;
    let mut from = log::Cursor::Place(ExportFrom::Record(0));
    loop {
        let (items, next) = log.export(filter, from).await?;
        let mut text = String::new();
        for item in &items {
            text.push_str(&serde_json::to_string(item).map_err(Failure::new)?);
            text.push('\n');
        }
        output::print(&text)?;
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}
