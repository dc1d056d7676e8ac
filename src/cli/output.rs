//! What is printed, and how.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use crate::server::store::redb::panics_are_answered;

use super::Failure;

/// The most names in a cell.
const MOST: usize = 4;

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
    let text = serde_json::to_string(value).map_err(Failure::new)?;
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        // JSON lets some commands to the terminal stand as they are; they are in strings, and mean the same escaped.
        if is_command(c) { plain.push_str(&format!("\\u{:04x}", u32::from(c))) } else { plain.push(c) }
    }
    line(&plain)
}

/// Prints why a command failed to stderr.
pub(super) fn fail(failure: &Failure) -> ExitCode {
    note(&format!("error: {failure}"));
    ExitCode::from(failure.code)
}

/// Prints a line to stderr: for the person, not for the program that reads stdout.
pub(super) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{}", harmless(text)));
}

/// Whether a character moves the cursor, or what stands beside it, instead of being seen.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What others have named is no command to the terminal. Lines stay lines.
pub(super) fn harmless(text: &str) -> String {
    text.replace(|c| c != '\n' && is_command(c), "?")
}

/// The same, on one line.
fn one_line(text: &str) -> String {
    text.replace(is_command, "?")
}

/// How something looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A heading.
    Bold,
    /// What is less.
    Dim,
    /// What is new.
    Green,
    /// What changes.
    Yellow,
    /// What ends.
    Red,
}

impl Look {
    /// ECMA-48 §8.3.117.
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
        }
    }

    /// How a word of ours looks in a table.
    fn of(cell: &str) -> Option<Self> {
        match cell {
            "disabled" | "revoked" => Some(Self::Red),
            "-" | "never" => Some(Self::Dim),
            _ => None,
        }
    }
}

/// Whether stdout is a terminal whose user has not asked for no colour (no-color.org).
fn colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let capable = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    capable && !set("NO_COLOR") && io::stdout().is_terminal()
}

/// `text` with a look, on a terminal alone.
pub(super) fn styled(text: &str, look: Look) -> String {
    paint(text, Some(look), colours())
}

fn paint(text: &str, look: Option<Look>, colours: bool) -> String {
    match look {
        Some(look) if colours => format!("\x1b[{}m{text}\x1b[0m", look.code()),
        _ => text.to_owned(),
    }
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
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.to_vec()).collect();
    coloured(&headings, &rows, colours())
}

/// The same, without the columns that say nothing in any row.
pub(super) fn table_of_what_is_said<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let says =
        |column: usize| rows.is_empty() || rows.iter().any(|row| row.get(column).is_some_and(|cell| cell != "-"));
    let kept: Vec<_> = (0..N).filter(|column| says(*column)).collect();
    let headings: Vec<_> = kept.iter().filter_map(|column| headings.get(*column).copied()).collect();
    let rows: Vec<Vec<_>> =
        rows.iter().map(|row| kept.iter().filter_map(|column| row.get(*column).cloned()).collect()).collect();
    coloured(&headings, &rows, colours())
}

fn coloured(headings: &[&str], rows: &[Vec<String>], colours: bool) -> String {
    let mut widths: Vec<_> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let mut push = |cells: &mut dyn Iterator<Item = (String, Option<Look>)>| {
        let mut text = String::new();
        let mut gap = 0;
        for ((cell, look), width) in cells.zip(&widths) {
            let cell = one_line(&cell);
            text.push_str(&" ".repeat(gap));
            gap = width.saturating_sub(cell.chars().count()) + 2;
            text.push_str(&paint(&cell, look, colours));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    push(&mut headings.iter().map(|heading| ((*heading).to_owned(), Some(Look::Bold))));
    for row in rows {
        push(&mut row.iter().map(|cell| (cell.clone(), Look::of(cell))));
    }
    out
}

/// Named values, one a line.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let colours = colours();
    let field = |(name, value): &(&str, String)| {
        let gap = " ".repeat(width.saturating_sub(name.len()));
        format!(
            "{}{gap}  {}\n",
            paint(name, Some(Look::Bold), colours),
            paint(&one_line(value), Look::of(value), colours)
        )
    };
    fields.iter().map(field).collect()
}

/// The first of many names, and how many more there are, for a cell of a table: `show` has all.
pub(super) fn names(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<_> =
        names.iter().map(AsRef::as_ref).take(if names.len() > MOST + 1 { MOST } else { MOST + 1 }).collect();
    let more = names.len() - shown.len();
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    or_dash(format!("{}{more}", shown.join(" ")))
}

/// `-` where there is nothing to say.
pub(super) fn or_dash(text: impl Into<Option<String>>) -> String {
    text.into().filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        vec![vec!["zürich".to_owned(), "disabled".to_owned()], vec!["a\x1b[2Jb\u{202e}".to_owned(), "-".to_owned()]]
    }

    #[test]
    fn colours_take_no_room_and_names_give_no_commands() {
        let plain = coloured(&["NAME", "STATUS"], &rows(), false);
        assert_eq!(plain, "NAME     STATUS\nzürich   disabled\na?[2Jb?  -\n");
        let bright = coloured(&["NAME", "STATUS"], &rows(), true);
        assert_eq!(
            bright,
            "\x1b[1mNAME\x1b[0m     \x1b[1mSTATUS\x1b[0m\nzürich   \x1b[31mdisabled\x1b[0m\na?[2Jb?  \x1b[2m-\x1b[0m\n"
        );
    }

    #[test]
    fn a_column_that_says_nothing_is_left_out() {
        let rows = [["a".to_owned(), "-".to_owned()], ["b".to_owned(), "-".to_owned()]];
        assert_eq!(table_of_what_is_said(["NAME", "ROLES"], &rows).lines().next(), Some("NAME"));
        assert_eq!(table_of_what_is_said::<2>(["NAME", "ROLES"], &[]), "NAME  ROLES\n");
    }
}
