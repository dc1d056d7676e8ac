//! The command line: one file a command.
//!
//! Responsible for: arguments, what is printed, exit codes (0 done, 1 failed, 2 wrong usage, of a token request also 3
//! refused and 4 not now). Never: deciding; it asks the server over the admin socket, or over its public listener with a
//! token that `client` fetches.

mod admin;
mod agent;
mod api;
mod api_key;
mod apply;
mod audit;
mod bulk;
mod client;
mod config;
mod confirm;
mod edit;
mod explain;
mod import;
mod inspect;
mod key;
mod limits;
mod organization;
mod output;
mod policy;
mod project;
mod quotas;
mod role;
mod save;
mod serve;
mod source;
mod store;
mod times;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::server::config::{Config, ConfigError, Overrides, load};

/// Why a command failed, in words for a person, and in a number for a script.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
struct Failure {
    why: String,
    code: u8,
}

impl Failure {
    /// Exit code 1.
    fn new(why: impl ToString) -> Self {
        Self { why: why.to_string(), code: 1 }
    }

    /// Arguments that make no sense together.
    fn usage(why: impl ToString) -> Self {
        Self { code: 2, ..Self::new(why) }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(format!("the configuration cannot be used:\n{error}"))
    }
}

impl From<crate::client::Error> for Failure {
    fn from(error: crate::client::Error) -> Self {
        let code = match &error {
            error if error.is_retryable() => 4,
            crate::client::Error::Refused { .. } => 3,
            crate::client::Error::Request(_) | crate::client::Error::Fetch(crate::fetch::FetchError::BadUrl) => 2,
            _ => 1,
        };
        Self { code, ..Self::new(error) }
    }
}

impl From<crate::fetch::FetchError> for Failure {
    fn from(error: crate::fetch::FetchError) -> Self {
        Self::new(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

/// Short-lived, scoped JWTs for machine-to-machine calls (OAuth2 client credentials).
///
/// Without a command it serves: `mintage` is `mintage serve`.
#[derive(Debug, Parser)]
#[command(name = "mintage", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    serve: serve::Arguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Args)]
struct Global {
    /// Read the configuration from FILE instead of mintage.toml; MINTAGE_CONFIG names one, too
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    /// The admin socket (admin.socket of the configuration)
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Administer the server of this issuer, from anywhere, with a client's credentials; MINTAGE_URL names one, too
    #[arg(long, global = true, value_name = "ISSUER")]
    url: Option<String>,
    /// With --url: read the credentials from FILE, as `mintage client create --save` writes it; MINTAGE_CLIENT_ID and
    /// MINTAGE_CLIENT_SECRET unless set
    #[arg(long, global = true, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

impl Global {
    fn load(&self, overrides: Overrides) -> Result<Config, Failure> {
        // Not by clap, which would take it for the agent's --config as well.
        let file = self.config.clone().or_else(|| std::env::var_os("MINTAGE_CONFIG").map(PathBuf::from));
        Ok(load(file.as_deref(), &Overrides { socket: self.socket.clone(), ..overrides })?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(serve::Arguments),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Make and change organizations, which hold projects
    #[command(subcommand)]
    Organization(organization::Command),
    /// Make and change projects, which hold clients
    #[command(subcommand)]
    Project(project::Command),
    /// Define and change roles: named sets of scopes that clients hold
    #[command(subcommand)]
    Role(role::Command),
    /// Make what is registered what a file says: shows a plan, then does it; what the file does not name stays
    Apply(apply::Arguments),
    /// Register and change APIs (resource servers) and the scopes they define
    #[command(subcommand)]
    Api(api::Command),
    /// Register and change clients, rotate their secrets, cut them off
    #[command(subcommand)]
    Client(client::Command),
    /// Make and change API keys, for programs that know no OAuth; rotate them, cut them off
    #[command(subcommand)]
    ApiKey(api_key::Command),
    /// Take over the clients of another system, with their ids and secrets
    #[command(subcommand)]
    Import(import::Command),
    /// Look at the signing keys, rotate and revoke them
    #[command(subcommand)]
    Key(key::Command),
    /// Back the store up, put a backup in place, look a store or a backup through
    #[command(subcommand)]
    Store(store::Command),
    /// Read the audit log, export it, and find out whether it is as it was written
    #[command(subcommand)]
    Audit(audit::Command),
    /// Fetch a token, or look into one
    #[command(subcommand)]
    Token(token::Command),
    /// Keep tokens fresh for programs in any language: over HTTP on this machine, in files, or for a program that it runs
    Agent(agent::Arguments),
    /// Say why a request was refused, by the request_id of its answer
    Explain(explain::Request),
    /// Print completions for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.is_some() && cli.serve.is_given() {
        let error = Cli::command().error(
            clap::error::ErrorKind::ArgumentConflict,
            "options of `serve` go behind it: mintage serve --listen …",
        );
        error.exit();
    }
    output::keep_answered_panics_quiet();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&Failure::new(error)),
    };
    let code = runtime.block_on(run(cli)).unwrap_or_else(|failure| output::fail(&failure));
    // A file system that hangs may hold a thread that reads: that is no reason to stay.
    runtime.shutdown_background();
    code
}

async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let global = &cli.global;
    match cli.command {
        None => serve::run(global, cli.serve).await,
        Some(Command::Serve(arguments)) => serve::run(global, arguments).await,
        Some(Command::Config(command)) => config::run(global, &command),
        Some(Command::Organization(command)) => organization::run(global, command).await,
        Some(Command::Project(command)) => project::run(global, command).await,
        Some(Command::Role(command)) => role::run(global, command).await,
        Some(Command::Apply(arguments)) => apply::run(global, arguments).await,
        Some(Command::Api(command)) => api::run(global, command).await,
        Some(Command::Client(command)) => client::run(global, command).await,
        Some(Command::ApiKey(command)) => api_key::run(global, command).await,
        Some(Command::Import(command)) => import::run(global, command).await,
        Some(Command::Key(command)) => key::run(global, &command).await,
        Some(Command::Store(command)) => store::run(global, command).await,
        Some(Command::Audit(command)) => audit::run(global, command).await,
        Some(Command::Token(command)) => token::run(global, command).await,
        Some(Command::Agent(arguments)) => agent::run(global, arguments).await,
        Some(Command::Explain(arguments)) => explain::request(global, &arguments).await,
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mintage", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
