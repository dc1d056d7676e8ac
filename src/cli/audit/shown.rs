//! Entries of the audit log, as they are printed.

use serde::Serialize;

use crate::api::AuditEntry;
use crate::cli::{Failure, Global, output};

/// Where an entry is in its part of the log: a later one is behind it.
pub(super) const fn place(entry: &AuditEntry) -> (u64, u64) {
    match entry {
        AuditEntry::Change(change) => (change.sequence, 0),
        AuditEntry::Issuance(issuance) => (issuance.segment, issuance.line),
        AuditEntry::Refusal(refusal) => (refusal.number, 0),
    }
}

/// Prints entries: with `--json` one a line, since a log has no end.
pub(super) fn print(global: &Global, entries: &[AuditEntry], with_headings: bool) -> Result<(), Failure> {
    if global.json {
        let mut text = String::new();
        for entry in entries {
            text.push_str(&line_of_json(entry)?);
        }
        return output::print(&text);
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    let table = output::table(["WHEN", "WHAT", "OF", "BY", "FROM", "MORE"], &rows);
    let shown = if with_headings { table.as_str() } else { table.split_once('\n').map_or("", |(_, rows)| rows) };
    output::print(shown)
}

fn line_of_json(entry: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string(entry).map_err(Failure::new)? + "\n")
}

fn row(entry: &AuditEntry) -> [String; 6] {
    let at = output::or_dash(entry.recorded_at().map(|at| at.0.to_string()));
    match entry {
        AuditEntry::Change(change) => [
            at,
            change.action.clone(),
            change.target.clone(),
            change.actor.word(),
            output::or_dash(change.source_address.clone()),
            output::or_dash(change.request_id.clone()),
        ],
        AuditEntry::Issuance(issuance) => [
            at,
            "token".to_owned(),
            issuance.jti.clone(),
            format!("client:{}", issuance.client_id),
            issuance.source_address.clone(),
            output::or_dash(issuance.scope.clone()),
        ],
        AuditEntry::Refusal(refusal) => {
            let name = refusal.request_id.clone().unwrap_or_else(|| format!("{} requests", refusal.unrecorded));
            let why = refusal.cause.clone().or_else(|| refusal.detail.clone());
            let why = why.map(|why| match &refusal.public_key {
                Some(public_key) => format!("{why}, public key {public_key}"),
                None => why,
            });
            [
                at,
                format!("refused {}", refusal.reason),
                name,
                refusal.client_id.as_ref().map_or_else(|| "-".to_owned(), |id| format!("client:{id}")),
                output::or_dash(refusal.source_address.clone()),
                output::or_dash(why),
            ]
        }
    }
}
