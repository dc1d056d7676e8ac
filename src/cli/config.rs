//! `mintage config check|show`

use std::process::ExitCode;

use serde_json::json;

use crate::server::config::{ConfigError, Overrides};
use crate::server::guards::Guards;

use super::{Failure, Global, output};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check the configuration, and say which key is wrong
    Check,
    /// Print the effective configuration, secrets redacted
    Show,
}

pub(super) fn run(global: &Global, command: &Command) -> Result<ExitCode, Failure> {
    let config = global.load(Overrides::default())?;
    Guards::new(&config.guard).map_err(|error| Failure::from(ConfigError::Value(error)))?;
    match command {
        Command::Check if global.json => output::json(&json!({ "ok": true }))?,
        Command::Check => output::line("the configuration is good")?,
        Command::Show if global.json => output::json(&config.to_json())?,
        Command::Show => output::print(&config.to_toml())?,
    }
    Ok(ExitCode::SUCCESS)
}
