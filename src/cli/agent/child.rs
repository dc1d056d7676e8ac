//! The program that an agent runs, with the token where the program looks for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{ErrorKind, PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use crate::cli::Failure;
use crate::client::Token;

use super::notify;
use super::signals::Signals;
use super::tokens::Tokens;

/// How a program is given its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Handover {
    /// In `MINTAGE_ACCESS_TOKEN`
    #[default]
    Env,
    /// In a file descriptor that can be read once, whose number is in `MINTAGE_ACCESS_TOKEN_FD`
    Fd,
}

/// The program and its arguments.
pub(super) fn command(shell: Option<OsString>, program: Vec<OsString>) -> Option<Command> {
    if let Some(line) = shell {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line);
        return Some(command);
    }
    let mut words = program.into_iter();
    let mut command = Command::new(words.next()?);
    command.args(words);
    Some(command)
}

/// Refuses names of tokens whose variables would be one and the same: one of the two would be lost.
pub(super) fn check(tokens: &Tokens) -> Result<(), Failure> {
    let mut parts = BTreeMap::new();
    for named in tokens.iter() {
        let name = named.name.as_str();
        if let Some(other) = parts.insert(variable_part(name), name) {
            return Err(Failure::new(format!(
                "the tokens {other} and {name} would be in the same environment variable"
            )));
        }
    }
    Ok(())
}

/// Runs the program when there is a token for it, and ends with it: the exit code is the program's.
pub(super) async fn run(
    mut command: Command,
    tokens: &Tokens,
    handover: Handover,
    environment: Vec<(&'static str, OsString)>,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let first = tokio::select! {
        first = first_of_each(tokens) => first?,
        told = signals.next() => return Ok(ended_by(told.as_raw())),
    };
    clear(&mut command);
    command.envs(environment);
    let mut descriptors = Vec::new();
    let only = tokens.iter().count() == 1;
    for (named, token) in tokens.iter().zip(first) {
        let suffix = if only { String::new() } else { format!("_{}", variable_part(&named.name)) };
        match handover {
            Handover::Env => {
                command.env(format!("MINTAGE_ACCESS_TOKEN{suffix}"), token.reveal());
            }
            Handover::Fd => {
                let descriptor = readable_once(&token)?;
                command.env(format!("MINTAGE_ACCESS_TOKEN_FD{suffix}"), descriptor.as_raw_fd().to_string());
                descriptors.push(descriptor);
            }
        }
        if let Some(file) = &named.file {
            // It may change to another folder.
            command.env(format!("MINTAGE_ACCESS_TOKEN_FILE{suffix}"), std::path::absolute(file)?);
        }
    }
    // So that what the program started ends with it. With a terminal, which it may open whatever its stdin is, it has to
    // stay among those that may read it.
    let grouped = std::fs::File::open("/dev/tty").is_err();
    if grouped {
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(|error| not_started(&command, &error))?;
    drop(descriptors);
    // For how long it takes after that is for the program to say, and for who told it.
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            told = signals.next() => {
                if told == Signal::TERM {
                    notify::stopping();
                }
                // What was typed at the terminal has reached the program already.
                if grouped || !matches!(told, Signal::INT | Signal::QUIT) {
                    pass_on(&child, told, grouped);
                }
            }
        }
    }
}

/// Waits, for as long as it takes, until each is there, and its file. What does not pass by itself is no reason to wait.
async fn first_of_each(tokens: &Tokens) -> Result<Vec<Token>, Failure> {
    for named in tokens.iter() {
        match named.source.token().await {
            Err(error) if !error.is_retryable() => return Err(error.into()),
            _ => drop(named.source.changes().changed().await?),
        }
        named.file_is_good().await;
    }
    let mut first = Vec::new();
    for named in tokens.iter() {
        // It may have ended while another was waited for.
        let mut changes = named.source.changes();
        first.push(loop {
            changes.changed().await?;
            if let Ok(token) = named.source.token().await {
                break token;
            }
        });
    }
    Ok(first)
}

/// Takes away what the agent alone is to know, what systemd tells it, and what another agent may have said.
fn clear(command: &mut Command) {
    for variable in ["MINTAGE_CLIENT_ID", "MINTAGE_CLIENT_SECRET", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        command.env_remove(variable);
    }
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("MINTAGE_ACCESS_TOKEN") || name.starts_with("MINTAGE_AGENT_") {
            command.env_remove(&variable);
        }
    }
}

fn pass_on(child: &Child, told: Signal, grouped: bool) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    // It may have ended in this moment.
    let _ = if grouped { kill_process_group(pid, told) } else { kill_process(pid, told) };
}

/// The end of a pipe that the token is in, which the program inherits. Nothing of it is on any disk, nor in `/proc` for
/// longer than until it is read.
fn readable_once(token: &Token) -> Result<PipeReader, Failure> {
    let (reader, mut writer) = std::io::pipe()?;
    // Far less than what a pipe holds, so nobody has to read for this to end.
    writer.write_all(token.reveal().as_bytes())?;
    fcntl_setfd(&reader, FdFlags::empty()).map_err(std::io::Error::from)?;
    Ok(reader)
}

fn variable_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// With the exit codes that shells have for it.
fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
    let program = command.as_std().get_program().to_string_lossy();
    Failure { code, ..Failure::new(format!("{program}: {error}")) }
}

/// The program's own, or that of the signal that ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        (None, Some(signal)) => ended_by(signal),
        (None, None) => ExitCode::FAILURE,
    }
}

/// 128 and the signal, as shells have it.
fn ended_by(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}
