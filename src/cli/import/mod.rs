//! `mintage import hydra|keycloak|json`: the clients of another system, with their ids and secrets.
//!
//! A reader for each system tells what its export holds; the plan says what becomes of it, and is the same for all.

mod hydra;
mod json;
mod keycloak;
mod plan;
mod read;

use std::path::PathBuf;
use std::process::ExitCode;

use super::admin::Admin;
use super::{Failure, Global};

use plan::Plan;
use read::{Found, documents};

/// Their clients go on with the ids and secrets that they have. Hashed secrets (bcrypt, PBKDF2, Argon2id) are checked as
/// they are until first used, and then kept under Argon2id. Scopes that no API defines yet are defined: under the API with
/// the identifier of the client's one audience, if that is a URI, or else under --api.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Ory Hydra: its OAuth2 clients as JSON or JSON Lines, out of its database, since its API gives no secrets
    Hydra(Arguments),
    /// Keycloak: a realm, as `kc.sh export` writes it
    Keycloak(Arguments),
    /// Any other: clients as `mintage client import` takes them, as JSON or JSON Lines
    Json(Arguments),
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The export
    file: PathBuf,
    /// The API under which scopes are defined that belong to no other
    #[arg(long, value_name = "IDENTIFIER")]
    api: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What tells the clients of an export.
type Reader = fn(Vec<serde_json::Value>) -> Result<Vec<Found>, String>;

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let (arguments, read): (_, Reader) = match command {
        Command::Hydra(arguments) => (arguments, hydra::read),
        Command::Keycloak(arguments) => (arguments, keycloak::read),
        Command::Json(arguments) => (arguments, json::read),
    };
    let file = arguments.file.display();
    let bytes =
        std::fs::read(&arguments.file).map_err(|error| Failure::new(format!("{file} cannot be read: {error}")))?;
    let found = documents(&bytes).and_then(read).map_err(|why| Failure::new(format!("{file}: {why}")))?;
    let admin = Admin::connect(global)?;
    let plan = Plan::make(&admin, found, arguments.api.as_deref()).await?;
    plan.show(global, arguments.dry_run)?;
    if arguments.dry_run {
        return Ok(if plan.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    plan.carry_out(global, &admin).await
}
