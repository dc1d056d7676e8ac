//! `mintage audit verify` and `mintage audit head`

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::api::{AuditHead, AuditKeys, AuditVerdict, VerifyAudit};
use crate::cli::admin::Admin;
use crate::cli::{Failure, Global, inspect, output};
use crate::clock::{Clock, SystemClock};
use crate::jose::jwk;
use crate::server::config::Overrides;
use crate::server::service::{folder_keys, offline_head, shown_verdict, verify_audit};
use crate::server::store::redb::AuditFile;

use super::At;
use super::log::Log;

pub(super) async fn head(global: &Global) -> Result<(), Failure> {
    let head: AuditHead = Admin::connect(global)?.get("audit/head").await?;
    if global.json { output::json(&head) } else { output::line(&head.head) }
}

/// The head that was given: itself, or in a file.
fn given(head: &str) -> Result<String, Failure> {
    // No path has a head's form: it is longer than a name may be.
    if !Path::new(head).exists() {
        return Ok(head.trim().to_owned());
    }
    let text = std::fs::read_to_string(head).map_err(|error| Failure::new(format!("{head}: {error}")))?;
    Ok(text.trim().to_owned())
}

pub(super) async fn run(global: &Global, head: Option<&str>, jwks: Option<&str>, at: &At) -> Result<ExitCode, Failure> {
    let head = head.map(given).transpose()?;
    let jwks: Option<Value> = match jwks {
        Some(source) => {
            let bytes = inspect::key_set(source).await?;
            let keys = serde_json::from_slice(&bytes).ok().filter(|_| jwk::parse_set(&bytes).is_ok());
            Some(keys.ok_or_else(|| Failure::new(format!("{source} is not a JWK Set")))?)
        }
        None => None,
    };
    let verdict = match Log::open(global, at.store.as_deref())? {
        Log::Server(admin) => admin.post_at_length("audit/verify", &VerifyAudit { head, jwks }).await?,
        Log::File(file) => of_file(global, &file, head.as_deref(), jwks).await?,
    };
    if global.json {
        output::json(&verdict)?;
    } else {
        output::print(&text(&verdict))?;
    }
    Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn of_file(
    global: &Global,
    file: &AuditFile,
    head: Option<&str>,
    jwks: Option<Value>,
) -> Result<AuditVerdict, Failure> {
    let config = global.load(Overrides::default())?;
    let (keys, source) = match jwks {
        Some(set) => (set.get("keys").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![set]), AuditKeys::Jwks),
        None => (folder_keys(&config.keys.dir), AuditKeys::Folder),
    };
    let verdict = verify_audit(file, head, keys).await.map_err(|error| Failure::new(error.detail()))?;
    // The end of a chain that is not whole is signed by nobody but the server that has it.
    let signed = match file.keys() {
        Ok(keys) if verdict.is_ok() => {
            let issuer = config.issuer_at(config.listen);
            offline_head(&config.keys.dir, &keys, &issuer, &verdict.head, SystemClock.now())
        }
        _ => None,
    };
    Ok(shown_verdict(verdict, signed, source))
}

fn text(verdict: &AuditVerdict) -> String {
    let mut out = format!("records: {}, segments of issuances: {}", verdict.records, verdict.segments);
    if let Some(pruned) = verdict.pruned_through {
        out.push_str(&format!(", behind record {pruned}, up to which they were pruned"));
    }
    out.push('\n');
    for problem in &verdict.problems {
        // What others have named is no command to the terminal.
        out.push_str(&format!("PROBLEM: {}\n", problem.detail.replace(char::is_control, "?")));
    }
    if verdict.keys == AuditKeys::Store {
        out.push_str("no keys but the store's own: whoever can write it can have added one (--jwks names others)\n");
    }
    if verdict.ok {
        out.push_str("the audit log is as it was written\n");
    } else {
        out.push_str("\nThe audit log is NOT as it was written.\n");
    }
    if let Some(head) = &verdict.head {
        out.push_str(&format!("\nhead {head}\n"));
    }
    out
}
