//! `mintage agent`: tokens kept fresh for programs in any language, over HTTP on this machine, in files, or handed to a
//! program that it runs.

mod child;
mod config;
mod file;
mod http;
mod notify;
mod signals;
mod status;
mod tokens;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::http::{AdminSocket, max_connections, raise_descriptor_limit, serve_tcp, serve_unix};
use crate::server::init_telemetry;

use super::{Failure, Global, source};

use child::Handover;
use config::Config;
use signals::Signals;
use tokens::Tokens;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, override_usage = USAGE)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    source: source::Arguments,
    /// Write the bare token to FILE, mode 0600, replaced whole at every renewal
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Run a command line with /bin/sh as soon as there is a token, and end with it
    #[arg(long, value_name = "CMD", conflicts_with = "program")]
    exec: Option<OsString>,
    /// How --exec, or the program, is given the token
    #[arg(long, value_name = "HOW", default_value = "env")]
    exec_token: Handover,
    /// Run a program, without a shell
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
    #[command(subcommand)]
    command: Option<Command>,
}

const USAGE: &str = "mintage agent --issuer URL [--scope SCOPE]… [--listen 127.0.0.1:PORT] [--socket PATH] [--file FILE] \
                     [--exec CMD | -- PROGRAM…]\n       \
                     mintage agent --config agent.toml [--exec CMD | -- PROGRAM…]\n       \
                     mintage agent status (--socket PATH | --listen 127.0.0.1:PORT | --config agent.toml)";

/// Where an agent answers.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Serve GET /token on this loopback address; callers send the header X-Mintage-Agent: 1
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Serve GET /token on a Unix socket, mode 0600
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Read what to keep, and where to serve it, from FILE (agent.toml)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Ask a running agent how it goes; the exit code is 0 only if every token is there
    Status(Place),
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    if let Some(Command::Status(place)) = &arguments.command {
        return status::run(global, place).await;
    }
    let config = arguments.place.config(&arguments.source, arguments.file.as_deref())?;
    if config.tokens.is_empty() {
        return Err(Failure::usage(
            "name the issuer with --issuer, the endpoint with --token-url, or a file with [[token]] with --config",
        ));
    }
    let command = child::command(arguments.exec, arguments.program);
    let nowhere = config.tokens.iter().find(|kept| kept.file.is_none());
    if let (None, None, Some(kept), None) = (config.listen, &config.socket, nowhere, &command) {
        return Err(Failure::usage(format!(
            "say where the token {} goes: --listen 127.0.0.1:PORT, --socket PATH, --file FILE or --exec CMD",
            kept.name
        )));
    }
    let _logs = init_telemetry(&config.telemetry);
    let tokens = Arc::new(Tokens::new(&config)?);
    if command.is_some() {
        child::check(&tokens)?;
    } else {
        // A program would inherit it, and some cannot do with more than they were made for.
        raise_descriptor_limit();
    }
    let mut signals = Signals::catch(if command.is_some() { signals::PASSED_ON } else { signals::OWN })?;
    let (stop, stopped) = watch::channel(false);
    let served = Served::start(&config, &tokens, &stopped).await?;
    for named in tokens.iter() {
        tokio::spawn(file::keep(Arc::clone(named)));
    }
    let told = Arc::clone(&tokens);
    tokio::spawn(async move { notify::keep(&told).await });
    let done = match command {
        Some(command) => child::run(command, &tokens, arguments.exec_token, served.environment(), &mut signals).await,
        None => {
            while signals.next().await == Signal::HUP {
                tracing::info!("credentials are looked at every ten seconds; for another configuration, start anew");
            }
            Ok(ExitCode::SUCCESS)
        }
    };
    tracing::info!("stopping");
    notify::stopping();
    stop.send_replace(true);
    for task in served.tasks {
        drop(task.await);
    }
    done
}

/// What is served, and where.
struct Served {
    tasks: Vec<JoinHandle<()>>,
    address: Option<SocketAddr>,
    socket: Option<PathBuf>,
}

impl Served {
    async fn start(config: &Config, tokens: &Arc<Tokens>, stopped: &watch::Receiver<bool>) -> Result<Self, Failure> {
        let mut served = Self { tasks: Vec::new(), address: None, socket: config.socket.clone() };
        if let Some(address) = config.listen {
            let fail = |error| Failure::new(format!("cannot listen on {address}: {error}"));
            let listener = TcpListener::bind(address).await.map_err(fail)?;
            let address = listener.local_addr()?;
            served.address = Some(address);
            let routes = http::loopback_routes(Arc::clone(tokens));
            served.tasks.push(tokio::spawn(serve_tcp(listener, routes, None, stopped.clone())));
        }
        if let Some(path) = &config.socket {
            let socket = AdminSocket::bind(path)
                .map_err(|error| Failure::new(format!("cannot serve on {}: {error}", path.display())))?;
            let routes = http::routes(Arc::clone(tokens));
            served.tasks.push(tokio::spawn(serve_unix(socket, max_connections(), routes, None, stopped.clone())));
        }
        // Said only when each is there: who reads the first line may use the second place.
        if let Some(address) = served.address {
            tracing::info!(%address, "listening");
        }
        if let Some(path) = &served.socket {
            tracing::info!(socket = %path.display(), "listening");
        }
        Ok(served)
    }

    /// What a program is told, so that it can ask for the next token.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let address = self.address.map(|address| ("MINTAGE_AGENT_URL", format!("http://{address}").into()));
        // It may change to another folder.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let socket = self.socket.as_ref().map(|path| ("MINTAGE_AGENT_SOCKET", absolute(path).into_os_string()));
        address.into_iter().chain(socket).collect()
    }
}
