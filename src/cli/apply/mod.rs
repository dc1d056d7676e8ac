//! `mintage apply FILE`: a plan of what has to change, and then the change. What the file does not name stays.

mod file;
mod plan;
mod wanted;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::admin::Admin;
use super::output::{self, Look};
use super::save::Saving;
use super::{Failure, Global, confirm};

use plan::{Action, Step};
use wanted::Change;
use work::{Done, Outcome, Place};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A TOML file with [[organization]], [[project]], [[api]], [[role]] and [[client]]
    file: PathBuf,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    plan: bool,
    /// Do it without asking
    #[arg(long, short)]
    yes: bool,
    /// What becomes of what the file does not name; no is all there is: it stays
    #[arg(long, value_name = "PRUNE", value_parser = ["no"])]
    prune: Option<String>,
    /// Where the secret of a new client goes for which the file names no `save`: DIR/CLIENT_ID.json
    #[arg(long, value_name = "DIR")]
    save_dir: Option<PathBuf>,
    /// Print the secrets of new clients that go into no file
    #[arg(long)]
    show_secrets: bool,
}

impl Options {
    /// Whether any was said.
    pub(super) const fn is_given(&self) -> bool {
        self.plan || self.yes || self.show_secrets || self.prune.is_some() || self.save_dir.is_some()
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    with(global, &admin, &arguments.file, &arguments.options).await
}

/// Makes what is registered what `file` says.
pub(super) async fn with(global: &Global, admin: &Admin, file: &Path, options: &Options) -> Result<ExitCode, Failure> {
    if !options.plan && !options.yes && !confirm::somebody_is_there() {
        return Err(Failure::usage(
            "there is no terminal to ask at, and nothing was done: --yes does it, --plan shows what it would be",
        ));
    }
    let mut steps = plan::of(admin, file::read(file)?).await?;
    let idle = steps.iter().all(|step| step.action == Action::Unchanged);
    let shown = plan::text(&steps, &file.display().to_string(), |step| match secret_file(step, options) {
        Some(file) => format!("goes into {}", file.display()),
        None if options.show_secrets => "is printed".to_owned(),
        None => "has nowhere to go (save, --save-dir or --show-secrets)".to_owned(),
    });
    if global.json && !options.plan && !options.yes {
        output::note(&shown);
    } else if !global.json {
        output::print(&shown)?;
    }
    if options.plan || idle {
        if global.json {
            output::json(&Report::of(&steps, &[], idle && !options.plan))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Begun before anything is done, so that there is somewhere to put every secret.
    let places = places(&steps, options)?;
    if !options.yes && !confirm::asked("Do it?")? {
        return Err(Failure::new("nothing was done"));
    }
    let done = work::all(admin, &mut steps, places).await;
    if global.json {
        output::json(&Report::of(&steps, &done, true))?;
    } else {
        output::print(&told(&steps, &done))?;
    }
    failed(&done)
}

/// The file that the secret of a client goes into, if it is made.
fn secret_file(step: &Step, options: &Options) -> Option<PathBuf> {
    let in_folder = || Some(options.save_dir.as_ref()?.join(format!("{}.json", step.wanted.name)));
    step.wanted.save.clone().or_else(in_folder)
}

/// Where the secret of each client goes that is made.
fn places(steps: &[Step], options: &Options) -> Result<Vec<Option<Place>>, Failure> {
    let nowhere = |step: &&Step| step.makes_a_client() && secret_file(step, options).is_none();
    if let Some(step) = steps.iter().find(nowhere).filter(|_| !options.show_secrets) {
        return Err(step.wanted.error(
            "its secret would have nowhere to go, so nothing was done: name a file with save = \"…\", or a folder with \
             --save-dir, or have it printed with --show-secrets",
        ));
    }
    let place = |step: &Step| match secret_file(step, options) {
        _ if !step.makes_a_client() => Ok(None),
        None => Ok(Some(Place::Screen)),
        Some(file) => {
            let shown = file.display().to_string();
            let saving = Saving::of_new(file).map_err(|error| step.wanted.error(&error.to_string()))?;
            Ok(Some(Place::File(saving, shown)))
        }
    };
    steps.iter().map(place).collect()
}

/// What was done, for people.
fn told(steps: &[Step], done: &[Done]) -> String {
    let mut text = String::from("\n");
    for (step, done) in steps.iter().zip(done) {
        let (word, look) = match done.outcome {
            Outcome::Created => ("created", Look::Green),
            Outcome::Updated => ("updated", Look::Yellow),
            Outcome::Failed => ("failed", Look::Red),
            Outcome::NotDone => ("not done", Look::Dim),
            Outcome::Unchanged => continue,
        };
        let name = output::harmless(&step.wanted.label());
        text.push_str(&format!("{} {name}", output::styled(word, look)));
        if let Some(file) = &done.saved {
            text.push_str(&format!("; its client_secret is in {file}, which only you can read"));
        }
        if let Some(secret) = &done.client_secret {
            text.push_str(&format!("; its client_secret, shown this once: {secret}"));
        }
        text.push('\n');
    }
    text
}

fn failed(done: &[Done]) -> Result<ExitCode, Failure> {
    let errors: Vec<_> = done.iter().filter_map(|done| done.error.as_deref()).collect();
    if errors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let is = |outcome| done.iter().filter(move |done| done.outcome == outcome).count();
    let (finished, left) = (is(Outcome::Created) + is(Outcome::Updated), is(Outcome::NotDone));
    Err(Failure::new(format!(
        "{}\n       {finished} done, {left} not begun. What is done stays; run this again to go on.",
        errors.join("\n       ")
    )))
}

/// What `--json` prints: the plan, and what became of it.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether it was carried out, or there was nothing to do.
    applied: bool,
    steps: Vec<ReportedStep<'a>>,
}

#[derive(Serialize)]
struct ReportedStep<'a> {
    kind: &'static str,
    name: &'a str,
    organization: Option<&'a str>,
    action: &'static str,
    changes: &'a [Change],
    cuts_tokens_off: bool,
    outcome: Outcome,
    saved: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    error: Option<&'a str>,
}

impl<'a> Report<'a> {
    fn of(steps: &'a [Step], done: &'a [Done], finished: bool) -> Self {
        let reported = |(index, step): (usize, &'a Step)| {
            let done = done.get(index);
            let nothing = match step.action {
                Action::Unchanged => Outcome::Unchanged,
                Action::Create | Action::Update => Outcome::NotDone,
            };
            ReportedStep {
                kind: step.wanted.kind.as_str(),
                name: &step.wanted.name,
                organization: step.wanted.organization.as_deref(),
                action: step.action.as_str(),
                changes: &step.changes,
                cuts_tokens_off: step.cuts_off,
                outcome: done.map_or(nothing, |done| done.outcome),
                saved: done.and_then(|done| done.saved.as_deref()),
                client_secret: done.and_then(|done| done.client_secret.as_deref()),
                error: done.and_then(|done| done.error.as_deref()),
            }
        };
        let applied = finished && done.iter().all(|done| done.error.is_none());
        Self { applied, steps: steps.iter().enumerate().map(reported).collect() }
    }
}
