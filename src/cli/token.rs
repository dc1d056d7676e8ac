//! `mintage token get|explain|inspect`

use std::path::PathBuf;
use std::process::ExitCode;

use crate::client::{Credentials, Endpoint, TokenClient, TokenRequest};
use crate::scope::ScopeSet;

use super::{Failure, Global, explain, inspect, output};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Fetch a token and print it, and nothing else
    ///
    /// The credentials come from MINTAGE_CLIENT_ID and MINTAGE_CLIENT_SECRET, or from a file.
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
    from: From,
    /// A scope to ask for; as often as there are scopes. Unless set: all that the
    /// client was granted, but mintage: scopes only if it has no others or --resource names the issuer
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The identifier of the API it is to be for; as often as there are APIs
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// Read the credentials from FILE: JSON, as `mintage client create --save` writes it
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct From {
    /// The issuer; its token endpoint is read from its metadata
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The token endpoint
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
}

pub(super) async fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Get(get) => fetch(global, get).await,
        Command::Explain(arguments) => explain::token(global, arguments).await,
        Command::Inspect(arguments) => inspect::run(global, arguments).await,
    }
}

async fn fetch(global: &Global, get: Get) -> Result<ExitCode, Failure> {
    let endpoint = match (get.from.issuer, get.from.token_url) {
        (Some(issuer), _) => Endpoint::Issuer(issuer),
        (None, Some(url)) => Endpoint::TokenUrl(url),
        (None, None) => return Err(Failure::new("name the issuer with --issuer, or the endpoint with --token-url")),
    };
    let credentials = match &get.credentials {
        Some(path) => Credentials::from_file(path)?,
        None => Credentials::from_env()?,
    };
    let scopes = ScopeSet::parse(&get.scopes.join(" ")).map_err(Failure::new)?;
    let request = TokenRequest { scopes, resources: get.resources };
    let token = TokenClient::connect(&endpoint).await?.fetch(&credentials, &request).await?;
    if global.json {
        output::json(&token)?;
    } else {
        output::line(&token.access_token)?;
    }
    Ok(ExitCode::SUCCESS)
}
