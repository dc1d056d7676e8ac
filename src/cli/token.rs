//! `mintage token get|explain|inspect`

use std::process::ExitCode;

use crate::client::Token;
use crate::clock::UnixTime;

use super::{Failure, Global, explain, inspect, output, source};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Fetch a token and print it, and nothing else
    ///
    /// The credentials come from MINTAGE_CLIENT_ID and MINTAGE_CLIENT_SECRET, or from a file. Exit codes: 0 a token;
    /// 2 wrong usage; 3 refused: asking again changes nothing; 4 not now: try again later; 1 anything else.
    Get(Get),
    /// Say what a guarded route would decide about a token and why, check by check; the exit code is 0 only if it
    /// would be let through
    Explain(explain::Token),
    /// Take a token apart and say whether it is good; the exit code is 0 only if it is
    Inspect(inspect::Arguments),
}

#[derive(Debug, clap::Args)]
pub(super) struct Get {
    #[command(flatten)]
    source: source::Arguments,
    /// Print a whole header, `Authorization: Bearer …`, for pasting, or for curl: mintage token get --header … | curl -H @- URL
    #[arg(long)]
    header: bool,
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Get(get) => fetch(global, get).await,
        Command::Explain(arguments) => explain::token(global, arguments).await,
        Command::Inspect(arguments) => inspect::run(global, arguments).await,
    }
}

async fn fetch(global: &Global, get: Get) -> Result<ExitCode, Failure> {
    // Not by clap, which does not see a conflict with a --json that stands before the command.
    if global.json && get.header {
        return Err(Failure::usage("--header and --json: a header is not JSON"));
    }
    let Some(source) = get.source.source() else {
        return Err(Failure::usage("name the issuer with --issuer, or the endpoint with --token-url"));
    };
    let token = source.build()?.token().await?;
    if global.json {
        output::json(&Answer::from(&token))?;
    } else if get.header {
        output::line(&format!("Authorization: Bearer {}", token.reveal()))?;
    } else {
        output::line(token.reveal())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What `--json` prints: the answer of the endpoint, and when the token ends by the clock of this machine.
#[derive(serde::Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    expires_at: UnixTime,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_in: Option<u64>,
}

impl<'a> From<&'a Token> for Answer<'a> {
    fn from(token: &'a Token) -> Self {
        Self {
            access_token: token.reveal(),
            token_type: "Bearer",
            expires_in: token.lifetime().as_secs(),
            expires_at: token.expires_at(),
            scope: token.scope(),
            refresh_in: token.refresh_in().map(|span| span.as_secs()),
        }
    }
}
