//! What is printed, and how.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use crate::server::store::redb::panics_are_answered;

use super::Failure;

/// Prints `text` to stdout. A reader that has gone (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints a line to stdout.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints one line of JSON to stdout.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).map_err(Failure::new)?)
}

/// Prints why a command failed to stderr.
pub(super) fn fail(failure: &Failure) -> ExitCode {
    note(&format!("error: {failure}"));
    ExitCode::from(failure.code)
}

/// Prints a line to stderr: for the person, not for the program that reads stdout.
pub(super) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// What the store answers as an error is no news for the terminal.
pub(super) fn keep_answered_panics_quiet() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panics_are_answered() {
            report(panic);
        }
    }));
}

/// Rows under headings, each column as wide as it has to be.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let mut push = |cells: [&str; N]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        // What others have named is no command to the terminal.
        let text = text.replace(char::is_control, "?");
        out.push_str(text.trim_end());
        out.push('\n');
    };
    push(headings);
    for row in rows {
        push(row.each_ref().map(String::as_str));
    }
    out
}

/// Named values, one a line.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// `-` where there is nothing to say.
pub(super) fn or_dash(text: impl Into<Option<String>>) -> String {
    text.into().filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}
