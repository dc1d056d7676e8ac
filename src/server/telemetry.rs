//! Logs: to stderr, text on a terminal and JSON otherwise.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use super::config::{LogFormat, Telemetry};

/// The most lines that wait to be written; more are lost. Whoever reads the logs and stalls must not stall the service.
const WAITING: usize = 8192;

/// Starts logging, until the guard is dropped, which writes what waits. A second call changes nothing.
pub fn init(settings: &Telemetry) -> WorkerGuard {
    let filter = EnvFilter::try_new(&settings.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING).finish(std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(terminal);
    // Somebody else's subscriber, in a test or an embedding program, is left in place.
    drop(if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() });
    guard
}
