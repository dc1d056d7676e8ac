//! The service as it is, with a store on a disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use mintage::api::{NewApi, NewClient, ScopeDefinition};
use mintage::limit::MAX_REQUESTS;
use mintage::server::config::{Admin, Config, Keys, Limits, Network, RateKeys, Store};
use mintage::server::model::Origin;
use mintage::server::service::Caller;
use mintage::server::{Parts, Server, init_telemetry};
use mintage::source_ip::Allowlist;

use super::Result;
use super::process::{API, Ready, SCOPES};

/// How many requests there may be.
fn limits(kind: &str) -> Result<Limits> {
    let mut limits = Limits { token: RateKeys::unlimited(), ..Limits::default() };
    match kind {
        // As it is by default, but for the client at the token endpoint: nobody measures a 429.
        "off" => limits.failed_auth.per_minute = 0,
        "failures" => {}
        // What no generator reaches; it costs as much as what it does.
        "on" => limits.token = RateKeys { per_minute: MAX_REQUESTS, per_day: MAX_REQUESTS, ..RateKeys::default() },
        other => return Err(format!("{other} are no limits").into()),
    }
    Ok(limits)
}

pub(crate) async fn serve(data: &Path, sockets: &Path, kind: &str) -> Result<()> {
    let config = Config {
        limits: limits(kind)?,
        network: Network { trusted_proxies: Allowlist::parse(["127.0.0.0/8"])?, ..Network::default() },
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        store: Store { url: format!("redb:{}", data.join("mintage.redb").display()) },
        keys: Keys { dir: data.join("keys"), ..Keys::default() },
        admin: Admin { socket: sockets.join("admin.sock") },
        ..Config::default()
    };
    // Off by default in a library: what it costs to have a subscriber is part of what is measured.
    let _logs = init_telemetry(&config.telemetry);
    let server = Server::start(&config, Parts::default(), false).await?;
    let (address, service) = (server.address(), server.service());
    let caller = || Caller::everything(Origin::SYSTEM);
    let defined = |name: &str| ScopeDefinition { name: name.to_owned(), description: String::new() };
    let api =
        NewApi { identifier: API.to_owned(), scopes: SCOPES.into_iter().map(defined).collect(), ..NewApi::default() };
    service.create_api(api, &caller()).await.map_err(|error| error.detail())?;
    let client = NewClient {
        name: "Bench".to_owned(),
        scopes: SCOPES.into_iter().map(str::to_owned).collect(),
        ..NewClient::default()
    };
    let client = service.create_client(client, &caller()).await.map_err(|error| error.detail())?;
    let client_secret = client.value.client_secret.ok_or("a new client has a secret")?;
    let running = server.run();
    let ended = Ready { address, client_id: client.value.client_id, client_secret }.announce().await;
    running.stop().await;
    ended
}
