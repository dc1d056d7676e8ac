//! Registering many clients: batch by batch, each client on its own, and no secret lost on the way.
//!
//! A secret that has to be made is made here and on disk before it is sent: whatever is killed in between, and whichever
//! of the two, it is there to be used.

mod lines;
mod secrets;

use std::collections::BTreeMap;
use std::fmt;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::{BulkClients, BulkItem, BulkResult, BulkResults, BulkStatus, ItemError};
use crate::crypto::entropy::SystemEntropy;
use crate::id::ClientId;
use crate::secret::{ClientSecret, Environment};

use super::admin::Admin;
use super::{Failure, output};

pub(super) use lines::{Line, Lines};
pub(super) use secrets::SecretsFile;

/// How many clients are sent at once.
pub(super) const BATCH: usize = 500;

/// A client that is to be registered, as the server takes it.
pub(super) type Item = Map<String, Value>;

/// An item and what it is called in what is said about it: `clients.csv:17`.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) item: Item,
}

/// What became of all that was sent so far.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) created: usize,
    pub(super) exists: usize,
    pub(super) failed: usize,
    pub(super) errors: Vec<LabelledError>,
}

/// Why something failed.
#[derive(Debug, Serialize)]
pub(super) struct LabelledError {
    at: String,
    #[serde(flatten)]
    error: ItemError,
}

/// What sends rows, and says what becomes of them.
pub(super) struct Importer<'a> {
    admin: &'a Admin,
    dry_run: bool,
    secrets: Option<SecretsFile>,
    bar: ProgressBar,
    outcome: Outcome,
}

/// Whether somebody has to make a secret for this one.
pub(super) fn wants_secret(item: &Item) -> bool {
    let given = |member: &str| item.get(member).is_some_and(|value| !value.is_null());
    !given("client_secret") && !given("client_secret_hash")
}

impl<'a> Importer<'a> {
    /// `total` is how many rows there will be.
    pub(super) fn new(admin: &'a Admin, dry_run: bool, secrets: Option<SecretsFile>, total: u64) -> Self {
        // Nothing is drawn where stderr is no terminal.
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} clients, {rate}/s, {eta} to go") {
            bar.set_style(style.with_key("rate", |state: &ProgressState, text: &mut dyn fmt::Write| {
                let _ = write!(text, "{:.0}", state.per_sec());
            }));
        }
        Self { admin, dry_run, secrets, bar, outcome: Outcome::default() }
    }

    /// Notes that a row cannot even be sent.
    pub(super) fn fail(&mut self, label: String, error: ItemError) {
        let what = if error.field.is_empty() { String::new() } else { format!("{}: ", error.field) };
        // What others have written is no command to the terminal.
        let text = format!("{label}: {what}{}", error.detail).replace(char::is_control, "?");
        self.bar.suspend(|| output::note(&text));
        self.outcome.errors.push(LabelledError { at: label, error });
    }

    /// Notes that so many rows are done with.
    pub(super) fn advance(&self, rows: usize) {
        self.bar.inc(u64::try_from(rows).unwrap_or_default());
    }

    /// Registers these, at most [`BATCH`]. What becomes of each is noted; the error is one of the whole.
    pub(super) async fn send(&mut self, mut rows: Vec<Row>) -> Result<(), Failure> {
        if !self.dry_run && rows.iter().any(|row| wants_secret(&row.item)) {
            rows = self.with_secrets(rows).await?;
        }
        for (row, result) in self.ask(rows, self.dry_run).await? {
            self.note(row, result);
        }
        Ok(())
    }

    /// What the server answers about each.
    async fn ask(&self, rows: Vec<Row>, dry_run: bool) -> Result<Vec<(Row, BulkResult)>, Failure> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let clients = rows.iter().map(|row| BulkItem(Value::Object(row.item.clone()))).collect();
        let path = if dry_run { "bulk/clients?dry_run=true" } else { "bulk/clients" };
        let answer: BulkResults = self.admin.post_many(path, &BulkClients { clients }).await?;
        if answer.items.len() != rows.len() {
            return Err(Failure::new("the server did not answer for each client; are both of one version?"));
        }
        Ok(rows.into_iter().zip(answer.items).collect())
    }

    /// The rows that will be registered, each with a secret. What is made is on disk when this returns.
    async fn with_secrets(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, Failure> {
        let mut accepted = Vec::with_capacity(rows.len());
        let mut made: Vec<(String, ClientSecret)> = Vec::new();
        // Asked about first: else the file would fill with secrets of clients that never come to be.
        for (mut row, result) in self.ask(rows, true).await? {
            if result.status != BulkStatus::Created {
                self.note(row, result);
                continue;
            }
            if wants_secret(&row.item) {
                let (id, secret) = self.secret_for(&row.item, &made)?;
                row.item.insert("client_id".to_owned(), Value::from(id.as_str()));
                row.item.insert("client_secret".to_owned(), Value::from(secret.reveal()));
                row.item.remove("client_secret_hash");
                made.push((id, secret));
            }
            accepted.push(row);
        }
        if let Some(file) = &mut self.secrets {
            file.append(made)?;
        }
        Ok(accepted)
    }

    /// An id and a secret for this item. One that was made for the id before, in this batch or by an import that was
    /// stopped, is taken again: it may be the client's.
    fn secret_for(&self, item: &Item, made: &[(String, ClientSecret)]) -> Result<(String, ClientSecret), Failure> {
        let entropy = SystemEntropy::new();
        let id = match item.get("client_id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => ClientId::generate(&entropy).map_err(Failure::new)?.to_string(),
        };
        let Some(file) = &self.secrets else {
            return Err(Failure::new("there is no file to keep the secret in that would be made"));
        };
        let before = made.iter().find(|(own, _)| *own == id).map(|(_, secret)| secret);
        if let Some(secret) = file.secret_of(&id).or(before) {
            return Ok((id, secret.clone()));
        }
        let test = item.get("environment").and_then(Value::as_str) == Some("test");
        let environment = if test { Environment::Test } else { Environment::Live };
        let secret = ClientSecret::generate(environment, &entropy).map_err(Failure::new)?;
        Ok((id, secret))
    }

    fn note(&mut self, row: Row, result: BulkResult) {
        match result.status {
            BulkStatus::Created => self.outcome.created += 1,
            BulkStatus::Exists => self.outcome.exists += 1,
            BulkStatus::Failed => {
                self.outcome.failed += 1;
                for error in result.errors {
                    self.fail(row.label.clone(), error);
                }
            }
        }
    }

    /// Notes that a row failed that was never sent.
    pub(super) fn fail_unsent(&mut self, label: String, detail: &str) {
        self.outcome.failed += 1;
        self.fail(label, ItemError { field: String::new(), detail: detail.to_owned() });
    }

    /// What became of all of them.
    pub(super) fn finish(self) -> Outcome {
        self.bar.finish_and_clear();
        self.outcome
    }
}

impl Outcome {
    /// In words.
    pub(super) fn summary(&self, dry_run: bool) -> String {
        let created = if dry_run { "would be registered" } else { "registered" };
        format!("{} {created}, {} there already, {} failed", self.created, self.exists, self.failed)
    }
}

/// What the server says would become of each item, by its label.
pub(super) async fn foresee(admin: &Admin, rows: Vec<Row>) -> Result<BTreeMap<String, BulkResult>, Failure> {
    let importer = Importer::new(admin, true, None, 0);
    let mut foreseen = BTreeMap::new();
    for batch in rows.chunks(BATCH) {
        for (row, result) in importer.ask(batch.to_vec(), true).await? {
            foreseen.insert(row.label, result);
        }
    }
    Ok(foreseen)
}
