//! Does it matter how many clients there are? The same operations, in one run, with 100 clients and with 100,000.
//!
//! `cargo bench --bench many`

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs, reason = "a benchmark")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mintage::api::{NewApi, NewClient, ScopeDefinition};
use mintage::secret::ClientSecret;
use mintage::server::config::Config;
use mintage::server::model::Origin;
use mintage::server::service::{Caller, ClientFilter, IssueRequest, PageRequest, PresentedCredentials, Service};
use mintage::server::{Parts, Server};
use mintage::source_ip::{DecidedFrom, SourceAddress};

const FEW: usize = 100;
const MANY: usize = 100_000;
const ROUNDS: usize = 300;
/// How many are registered at once.
const AT_ONCE: usize = 512;

struct Figures {
    operations: Vec<(&'static str, Duration)>,
    start: Duration,
    file: u64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let few = runtime.block_on(measure(FEW));
    let many = runtime.block_on(measure(MANY));
    println!("{:<38}{:>16}{:>16}{:>8}", "median of one", format!("{FEW} clients"), format!("{MANY} clients"), "ratio");
    for ((name, a), (_, b)) in few.operations.iter().zip(&many.operations) {
        println!("{name:<38}{:>16}{:>16}{:>8.2}", shown(*a), shown(*b), b.as_secs_f64() / a.as_secs_f64());
    }
    println!("{:<38}{:>16}{:>16}", "start of the service", shown(few.start), shown(many.start));
    println!("{:<38}{:>13.1} MB{:>13.1} MB", "the store's file", few.file as f64 / 1e6, many.file as f64 / 1e6);
}

fn shown(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

fn caller() -> Caller {
    Caller::everything(Origin::SYSTEM)
}

fn client(number: usize) -> NewClient {
    NewClient {
        name: format!("client {number}"),
        client_id: Some(format!("c{number:06}")),
        scopes: vec!["orders:read".to_owned()],
        secret_ttl: number.is_multiple_of(50).then_some(3600 * 24 * 30),
        ..NewClient::default()
    }
}

async fn measure(clients: usize) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
    let path = dir.path().join("data/mintage.redb");
    config.store.url = format!("redb:{}", path.display());
    config.keys.dir = dir.path().join("keys");
    config.admin.socket = dir.path().join("data/admin.sock");
    let server = Server::start(&config, Parts::default(), false).await.unwrap();
    let secrets = fill(server.service(), clients).await;
    server.run().stop().await;

    let began = Instant::now();
    let server = Server::start(&config, Parts::default(), false).await.unwrap();
    let start = began.elapsed();
    let operations = operations(server.service(), clients, &secrets).await;
    let file = std::fs::metadata(&path).unwrap().len();
    server.run().stop().await;
    Figures { operations, start, file }
}

/// Registers so many clients; gives the secrets of some, spread over all.
async fn fill(service: &Arc<Service>, clients: usize) -> Vec<(String, String)> {
    let scopes = vec![ScopeDefinition { name: "orders:read".to_owned(), description: String::new() }];
    let api = NewApi { identifier: "https://orders.example".to_owned(), scopes, ..NewApi::default() };
    service.create_api(api, &caller()).await.unwrap();
    let mut secrets = Vec::new();
    for first in (0..clients).step_by(AT_ONCE) {
        let numbers = first..clients.min(first + AT_ONCE);
        let made = numbers.map(|number| {
            let service = Arc::clone(service);
            tokio::spawn(async move { service.create_client(client(number), &caller()).await.unwrap().value })
        });
        for made in made.collect::<Vec<_>>() {
            let made = made.await.unwrap();
            secrets.push((made.client_id, made.client_secret.unwrap()));
        }
    }
    let step = clients / FEW;
    secrets.into_iter().step_by(step).collect()
}

async fn operations(service: &Service, clients: usize, secrets: &[(String, String)]) -> Vec<(&'static str, Duration)> {
    let page = PageRequest { limit: Some(50), cursor: None };
    let middle = format!("c{:06}", clients / 2);
    let named = |name: String| ClientFilter { name: Some(name), ..ClientFilter::default() };
    let ending = ClientFilter {
        expiring_before: Some(service.clock().now().plus(Duration::from_secs(3600 * 24 * 60))),
        ..ClientFilter::default()
    };
    let list = async |filter: ClientFilter| drop(service.list_clients(filter, &page, &caller()).await.unwrap());
    vec![
        ("list, the first 50", median(async |_| list(ClientFilter::default()).await).await),
        ("find by name", median(async |_| list(named(format!("client {}", clients / 2))).await).await),
        ("find secrets that end, the first 50", median(async |_| list(ending.clone()).await).await),
        ("show one", median(async |_| drop(service.client(&middle, &caller()).await.unwrap())).await),
        ("a token, the client not yet at hand", tokens(service, secrets).await),
        ("a token, the client at hand", tokens(service, secrets).await),
    ]
}

async fn median(operation: impl AsyncFn(usize)) -> Duration {
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let began = Instant::now();
        operation(round).await;
        times.push(began.elapsed());
    }
    middle_of(times)
}

fn middle_of(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

async fn tokens(service: &Service, secrets: &[(String, String)]) -> Duration {
    let mut times = Vec::new();
    for (client_id, secret) in secrets {
        let request = IssueRequest {
            credentials: Some(PresentedCredentials {
                client_id: client_id.clone(),
                client_secret: ClientSecret::from(secret.clone()),
            }),
            grant_type: "client_credentials".to_owned(),
            scope: None,
            resources: Vec::new(),
            source: SourceAddress { ip: [127, 0, 0, 1].into(), from: DecidedFrom::Peer },
        };
        let began = Instant::now();
        service.issue(request).await.map_err(|refusal| refusal.error).unwrap();
        times.push(began.elapsed());
    }
    middle_of(times)
}
