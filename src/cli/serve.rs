//! `mintage serve`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::oauth::metadata::{TOKEN_PATH, endpoint};
use crate::server::config::Overrides;
use crate::server::service::{QUICKSTART_ID, Quickstart};
use crate::server::{Parts, Server, init_telemetry};

use super::{Failure, Global, output};

#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// Listen on ADDRESS (127.0.0.1:8080 unless configured)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The issuer: the `iss` of every token, byte for byte
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The store, such as redb:data/mintage.redb
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
    /// The folder of the signing keys
    #[arg(long, value_name = "DIR")]
    keys_dir: Option<PathBuf>,
    /// Do not register the client `quickstart` on the first start
    #[arg(long)]
    no_quickstart: bool,
}

impl Arguments {
    /// Whether any of them was used.
    pub(super) fn is_given(&self) -> bool {
        self.listen.is_some()
            || self.issuer.is_some()
            || self.store_url.is_some()
            || self.keys_dir.is_some()
            || self.no_quickstart
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = global.load(Overrides {
        listen: arguments.listen,
        issuer: arguments.issuer,
        store_url: arguments.store_url,
        keys_dir: arguments.keys_dir,
        socket: None,
    })?;
    let _logs = init_telemetry(&config.telemetry);
    // Before anything is made, so that no signal is missed.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut server = Server::start(&config, Parts::default(), !arguments.no_quickstart).await.map_err(Failure::new)?;
    let address = server.address();
    let quickstart = server.take_quickstart();
    let service = std::sync::Arc::clone(server.service());
    // This program is the service alone: what its libraries count is the service's.
    if metrics::set_global_recorder(service.metrics().recorder()).is_err() {
        tracing::debug!("somebody else counts in this process");
    }
    let running = server.run();
    let issuer = &service.settings().issuer;
    tracing::info!(%address, %issuer, "listening");
    if let Some(quickstart) = quickstart {
        output::print(&introduction(&quickstart, &format!("http://{address}")))?;
    }
    service.end_first_start().await.map_err(|error| Failure::new(error.detail()))?;
    drop(service);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// What the first start prints, once. Each line works when it is pasted, for itself.
fn introduction(quickstart: &Quickstart, base: &str) -> String {
    let secret = quickstart.secret.reveal();
    let exchange = format!(
        "curl -s -u {QUICKSTART_ID}:{secret} -d grant_type=client_credentials '{}'",
        endpoint(base, TOKEN_PATH)
    );
    let extract = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;
    let whoami = endpoint(base, "/api/v1/whoami");
    let program = std::env::args().next().unwrap_or_else(|| "mintage".to_owned());
    format!(
        "Mintage is listening on {base}\n\n\
         Get a token:\n\n  {exchange}\n\n\
         Call a guarded route with one:\n\n  curl -s -H \"Authorization: Bearer $({exchange} | {extract})\" '{whoami}'\n\n\
         Both use a client that was made for trying things out. This is shown once; its secret ends in 24 hours:\n\n  \
         client_id:     {QUICKSTART_ID}\n  \
         client_secret: {secret}\n  \
         scope:         mintage:projects:read\n\n\
         In another terminal: {program} client create --help\n"
    )
}
