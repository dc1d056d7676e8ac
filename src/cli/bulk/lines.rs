//! Clients in a file: JSON Lines, or CSV whose header has the names of members.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines as IoLines};
use std::path::Path;

use serde_json::{Map, Value};

use crate::cli::Failure;

use super::Item;

/// A line of the file, and the client on it, or why there is none.
pub(in super::super) struct Line {
    /// Counted from 1, as editors do.
    pub(in super::super) number: u64,
    pub(in super::super) item: Result<Item, String>,
}

/// The lines of a file that have something on them.
pub(in super::super) enum Lines {
    Json { lines: IoLines<BufReader<File>>, number: u64 },
    Csv { header: Vec<String>, records: Box<csv::StringRecordsIntoIter<File>> },
}

impl Lines {
    /// The kind of file is told by its name.
    pub(in super::super) fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable = |error: &dyn std::fmt::Display| Failure::new(format!("{shown} cannot be read: {error}"));
        let kind = path.extension().map(|kind| kind.to_ascii_lowercase()).unwrap_or_default();
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        match kind.to_str() {
            Some("jsonl" | "ndjson") => Ok(Self::Json { lines: BufReader::new(file).lines(), number: 0 }),
            Some("csv") => {
                let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
                let header = reader.headers().map_err(|error| unreadable(&csv_words(&error)))?;
                let header: Vec<_> = header.iter().map(|name| name.trim().to_owned()).collect();
                if let Some(twice) =
                    header.iter().enumerate().find(|(at, name)| header.iter().take(*at).any(|n| n == *name))
                {
                    return Err(unreadable(&format!("its header names {} twice", twice.1)));
                }
                Ok(Self::Csv { header, records: Box::new(reader.into_records()) })
            }
            _ => Err(Failure::usage(format!("{shown}: the name has to end in .jsonl or .csv, to tell what it is"))),
        }
    }
}

impl Iterator for Lines {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        match self {
            Self::Json { lines, number } => loop {
                *number += 1;
                let text = match lines.next()? {
                    Ok(text) => text,
                    Err(error) => return Some(Line { number: *number, item: Err(error.to_string()) }),
                };
                let text = text.trim_start_matches('\u{feff}').trim();
                if !text.is_empty() {
                    return Some(Line { number: *number, item: json(text) });
                }
            },
            Self::Csv { header, records } => {
                let record = records.next()?;
                let line = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
                Some(match record {
                    Ok(record) => Line { number: line(record.position()), item: cells(header, &record) },
                    Err(error) => Line { number: line(error.position()), item: Err(csv_words(&error)) },
                })
            }
        }
    }
}

/// The csv crate's words, without what stands in the file.
fn csv_words(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => "it is not CSV".to_owned(),
    }
}

/// What stands there is not repeated: a secret may be in it.
fn json(text: &str) -> Result<Item, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(item)) => Ok(item),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        Err(error) => Err(format!("it is not a JSON object on one line (column {})", error.column())),
    }
}

fn cells(header: &[String], record: &csv::StringRecord) -> Result<Item, String> {
    if record.len() != header.len() {
        return Err(format!("it has {} values, and the header names {} members", record.len(), header.len()));
    }
    let mut item = Map::new();
    for (name, cell) in header.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
        let value = match name.as_str() {
            "scopes" | "ip_allowlist" | "roles" => cell.split_whitespace().map(Value::from).collect(),
            "token_ttl" | "secret_ttl" => cell.trim().parse::<u64>().map_or_else(|_| Value::from(cell), Value::from),
            "labels" => {
                let label = |one: &str| one.split_once('=').map(|(n, v)| (n.to_owned(), Value::from(v)));
                let labels: Option<Map<_, _>> = cell.split_whitespace().map(label).collect();
                Value::Object(labels.ok_or("labels: each has to be NAME=VALUE, with spaces between them")?)
            }
            _ => Value::from(cell),
        };
        item.insert(name.clone(), value);
    }
    Ok(item)
}
