//! `mintage store backup|restore|check`

mod backup;
mod restore;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::server::config::Overrides;
use crate::server::store::redb::{OpenError, Report, examine};

use super::{Failure, Global, output};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write a backup of the store into FILE, while the server runs or while it does not; the signing keys are files of
    /// their own and not in it
    Backup {
        /// The backup; one that is there is left alone
        file: PathBuf,
    },
    /// Look a backup through and put it in the store's place, while no server runs
    Restore {
        /// The backup
        file: PathBuf,
        /// Although there is a store: that one is kept beside it, under another name
        #[arg(long)]
        replace: bool,
    },
    /// Look a store or a backup through, while no server has it: every page, every record, the audit chain
    Check {
        /// The store or backup; the configured store unless given
        file: Option<PathBuf>,
    },
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    output::keep_answered_panics_quiet();
    match command {
        Command::Backup { file } => backup::run(global, file).await,
        Command::Restore { file, replace } => restore::run(global, file, replace).await,
        Command::Check { file } => {
            let file = match file {
                Some(file) => file,
                None => global.load(Overrides::default())?.store_path(),
            };
            check(global, &file).await
        }
    }
}

/// Work that blocks, off the threads that do not.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Failure::new("it was broken off")))
}

/// What to do about a file that cannot be looked through.
fn unusable(error: OpenError) -> Failure {
    match error {
        OpenError::InUse(path) => Failure::new(format!(
            "{} is in use by a running server: stop it, or take a backup and check that one \
             (mintage store backup FILE, mintage store check FILE)",
            path.display()
        )),
        OpenError::Damaged { path, why } => Failure::new(format!("{} is damaged: {why}", path.display())),
        other => Failure::new(other),
    }
}

async fn check(global: &Global, file: &Path) -> Result<ExitCode, Failure> {
    let path = file.to_owned();
    let report = blocking(move || examine(&path).map_err(unusable)).await?;
    if global.json {
        output::json(&shown(file, &report))?;
    } else {
        output::print(&format!("{}\n{}", file.display(), counts(&report)))?;
    }
    if report.damaged == 0 {
        if !global.json {
            output::line("every page, every record and the audit chain are whole")?;
            if !report.unknown.is_empty() {
                output::note(&format!("not known to this version, and not read: {}", report.unknown.join(", ")));
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(faults(file, &report)))
}

/// What is wrong, a line each.
fn faults(file: &Path, report: &Report) -> String {
    let mut text = format!("{} is damaged:\n{}", file.display(), report.faults.join("\n"));
    let more = report.damaged.saturating_sub(report.faults.len() as u64);
    if more > 0 {
        text.push_str(&format!("\nand {more} more"));
    }
    text
}

/// The tables and how many records each has.
fn counts(report: &Report) -> String {
    let rows: Vec<_> = report.tables.iter().map(|(table, count)| [table.clone(), count.to_string()]).collect();
    output::table(["TABLE", "RECORDS"], &rows)
}

fn shown(file: &Path, report: &Report) -> Value {
    let tables: serde_json::Map<_, _> =
        report.tables.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
    json!({
        "file": file,
        "ok": report.damaged == 0,
        "tables": tables,
        "unknown_tables": report.unknown,
        "audit_head": report.audit_head,
        "damaged": report.damaged,
        "faults": report.faults,
    })
}
