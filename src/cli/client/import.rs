//! `mintage client import` and `export`: many clients, from a file and into one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::admin::Admin;
use crate::cli::bulk::{BATCH, Importer, Line, Lines, Row, SecretsFile, wants_secret};
use crate::cli::{Failure, Global, output};
use crate::crypto::entropy::SystemEntropy;
use crate::fetch::read_bounded;
use crate::files;

/// The most that one request carries, in bytes, well below what the server takes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The most that an export into a file may have.
const MAX_EXPORT: usize = 2 * 1024 * 1024 * 1024;
/// What Ctrl-C ends a program with.
const INTERRUPTED: i32 = 130;

/// A line is a client: `name`, and as it likes `client_id`, `scopes`, `client_secret` or `client_secret_hash`,
/// `environment`, `ip_allowlist`, `token_ttl`, `secret_ttl`, `status`, `description`, `owner`, `labels`. JSON Lines has
/// an object on each; CSV has these names in its header, and spaces between the entries of a list.
///
/// What an import registers stays, whatever becomes of the rest. Lines with a `client_id` make it resumable: run again,
/// it passes over those that are there. A client without one cannot be recognized, and is registered once more.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Import {
    /// Clients, as .jsonl or .csv
    file: PathBuf,
    /// Check every line, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Where the secrets go that are made for lines without one: JSON Lines, for you alone; one that is there is added to
    #[arg(long, value_name = "OUT.jsonl")]
    secrets: Option<PathBuf>,
    /// Go on from this line, counted from 1, as a stopped import says
    #[arg(long, value_name = "N", default_value_t = 1)]
    from_line: u64,
}

pub(super) async fn run(global: &Global, admin: &Admin, import: Import) -> Result<ExitCode, Failure> {
    let file = import.file.display().to_string();
    let lines =
        || -> Result<_, Failure> { Ok(Lines::open(&import.file)?.filter(|line| line.number >= import.from_line)) };
    // The whole file first: halfway through is too late to find that secrets have nowhere to go.
    let mut total = 0;
    let mut without_secret = None;
    for line in lines()? {
        total += 1;
        let wants = line.item.as_ref().is_ok_and(wants_secret);
        without_secret = without_secret.or_else(|| wants.then_some(line.number));
    }
    let secrets = match (&import.secrets, without_secret) {
        _ if import.dry_run => None,
        (Some(path), _) => Some(SecretsFile::open(path)?),
        (None, None) => None,
        (None, Some(line)) => {
            return Err(Failure::usage(format!(
                "{file}:{line}: it has neither a client_secret nor a client_secret_hash, so one is made: \
                 say with --secrets OUT.jsonl where it is to be kept"
            )));
        }
    };
    let mut importer = Importer::new(admin, import.dry_run, secrets, total);
    let interrupted = interruption();
    let mut batch = Batch::default();
    let mut stopped = None;
    for line in lines()? {
        if let Some(full) = batch.put(line, &file, &mut importer) {
            let first = full.first;
            if let Err(failure) = full.send(&mut importer).await {
                stopped = Some((first, failure));
                break;
            }
            if interrupted.load(Ordering::Relaxed) {
                stopped = Some((batch.first, Failure::new("interrupted")));
                break;
            }
        }
    }
    if stopped.is_none() {
        let first = batch.first;
        stopped = batch.send(&mut importer).await.err().map(|failure| (first, failure));
    }
    let outcome = importer.finish();
    if global.json {
        output::json(&outcome)?;
    } else {
        output::line(&outcome.summary(import.dry_run))?;
    }
    if import.dry_run && without_secret.is_some() && import.secrets.is_none() {
        output::note(
            "Some lines have no secret: to import them, say with --secrets OUT.jsonl where theirs are to be kept.",
        );
    }
    if let Some((line, failure)) = stopped {
        return Err(Failure {
            why: format!("{failure}\n       stopped: all before line {line} is done; go on with --from-line {line}"),
            code: failure.code,
        });
    }
    Ok(if outcome.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Lines that are sent together.
#[derive(Default)]
struct Batch {
    /// The number of the first one.
    first: u64,
    rows: Vec<Row>,
    lines: usize,
    bytes: usize,
}

impl Batch {
    /// Takes a line in; gives what was there before where that is enough for a request.
    fn put(&mut self, line: Line, file: &str, importer: &mut Importer<'_>) -> Option<Self> {
        let Line { number, item } = line;
        let bytes = item.as_ref().map_or(0, |item| serde_json::to_string(item).map_or(0, |text| text.len()));
        let full = self.lines >= BATCH || (self.lines > 0 && self.bytes + bytes > BATCH_BYTES);
        let full = full.then(|| std::mem::take(self));
        if self.lines == 0 {
            self.first = number;
        }
        self.lines += 1;
        self.bytes += bytes;
        let label = format!("{file}:{number}");
        match item {
            Ok(item) => self.rows.push(Row { label, item }),
            Err(why) => importer.fail_unsent(label, &why),
        }
        full
    }

    async fn send(self, importer: &mut Importer<'_>) -> Result<(), Failure> {
        importer.send(self.rows).await?;
        importer.advance(self.lines);
        Ok(())
    }
}

/// Turns true with Ctrl-C, so that what is under way comes to its end; a second one ends the program.
fn interruption() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if seen.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    interrupted
}

/// Writes all clients to stdout, or whole into a file.
pub(super) async fn export(admin: &Admin, file: Option<&Path>) -> Result<(), Failure> {
    let mut answer = admin.stream("bulk/clients").await?;
    let Some(path) = file else {
        let broken = |_| Failure::new("the answer broke off: what was written is not all");
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            let mut stdout = std::io::stdout().lock();
            match stdout.write_all(&chunk).and_then(|()| stdout.flush()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
        }
        return Ok(());
    };
    let bytes = read_bounded(answer, MAX_EXPORT).await?;
    files::replace(path, &bytes, 0o600, &SystemEntropy::new())
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))?;
    let clients = bytes.iter().filter(|byte| **byte == b'\n').count();
    output::note(&format!("{clients} clients are in {}", path.display()));
    Ok(())
}
