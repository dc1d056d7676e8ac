//! What is asked before something is taken away for good: of a person at a terminal, and of nobody else.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde_json::Value;

use super::admin::{Admin, Read};
use super::{Failure, Global, output};

/// Whether there is a person to ask.
pub(super) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether the person says yes. Anything else is no.
pub(super) fn asked(question: &str) -> Result<bool, Failure> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} [y/N] ", output::harmless(question))?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What is deleted.
#[derive(Debug)]
pub(super) struct Deletion<'a> {
    /// Where it is.
    pub(super) path: &'a str,
    /// What it is, with its name.
    pub(super) what: String,
    /// Whether tokens are cut off by that.
    pub(super) cuts_off: bool,
    /// What `--json` prints.
    pub(super) json: Value,
    /// Nobody is to be asked.
    pub(super) yes: bool,
}

/// Deletes something. A person at a terminal is asked first, about what it is then: if somebody changes it meanwhile, they
/// are asked again.
pub(super) async fn delete(global: &Global, admin: &Admin, deletion: Deletion<'_>) -> Result<(), Failure> {
    let Deletion { path, what, cuts_off, json, yes } = deletion;
    let (also, and) = match cuts_off {
        true => (" and cut off every token it holds", ", and every token it held is cut off"),
        false => ("", ""),
    };
    if yes || !somebody_is_there() {
        admin.delete::<()>(path).await?;
    } else {
        let mut question = format!("Delete {what}{also}?");
        loop {
            let seen: Read<Value> = admin.read(path).await?;
            if !asked(&question)? {
                return Err(Failure::new("nothing was deleted"));
            }
            if admin.delete_from(path, seen.tag.as_deref()).await? {
                break;
            }
            question = format!("It was changed meanwhile: delete {what} all the same{also}?");
        }
    }
    if global.json { output::json(&json) } else { output::line(&output::harmless(&format!("{what} is deleted{and}"))) }
}
