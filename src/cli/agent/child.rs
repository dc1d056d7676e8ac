//! The program that an agent runs, with the token where the program looks for it.

use std::ffi::OsString;
use std::io::{PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Failure;
use crate::client::Token;

use super::tokens::Tokens;

/// How long the program may take to end when the agent is told to.
const GRACE: Duration = Duration::from_secs(10);

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

/// Runs the program when there is a token for it, and ends with it: the exit code is the program's.
pub(super) async fn run(
    mut command: Command,
    tokens: &Tokens,
    handover: Handover,
    environment: Vec<(&'static str, OsString)>,
) -> Result<ExitCode, Failure> {
    // What the agent alone is to know, and what systemd tells it.
    for variable in ["MINTAGE_CLIENT_ID", "MINTAGE_CLIENT_SECRET", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        command.env_remove(variable);
    }
    command.envs(environment);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let first = tokio::select! {
        first = first_of_each(tokens) => first?,
        _ = interrupt.recv() => return Ok(ExitCode::from(128 + 2)),
        _ = terminate.recv() => return Ok(ExitCode::from(128 + 15)),
    };
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
            command.env(format!("MINTAGE_ACCESS_TOKEN_FILE{suffix}"), file);
        }
    }
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    // So that what the program started ends with it. With a terminal it has to stay among those that may read it.
    let grouped = !std::io::IsTerminal::is_terminal(&std::io::stdin());
    if grouped {
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(|error| Failure::new(format!("{program}: {error}")))?;
    drop(descriptors);
    let told = loop {
        let told = tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            _ = interrupt.recv() => Signal::INT,
            _ = terminate.recv() => Signal::TERM,
            _ = hang_up.recv() => Signal::HUP,
        };
        // Who typed ^C has told the program, too.
        if grouped || told != Signal::INT {
            pass_on(&child, told, grouped);
        }
        if told != Signal::HUP {
            break told;
        }
    };
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return Ok(exit_code(status?));
    }
    tracing::warn!(program, signal = told.as_raw(), "the program does not end, and is killed");
    pass_on(&child, Signal::KILL, grouped);
    Ok(exit_code(child.wait().await?))
}

/// Waits, for as long as it takes, until each is there.
async fn first_of_each(tokens: &Tokens) -> Result<Vec<Token>, Failure> {
    let mut first = Vec::new();
    for named in tokens.iter() {
        first.push(named.source.changes().changed().await?);
    }
    Ok(first)
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

/// The program's own, or 128 and the signal that ended it, as shells have it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
