//! Runtimes that nobody runs, files that hang, pauses that outlive a task, caches that forget.

use std::time::Duration;

use mintage::client::{Credentials, TokenCache, TokenRequest};
use mintage::scope::ScopeSet;
use tokio::runtime::Builder;

use super::{Endpoint, SECRET, Say, Time, at_once, until};

fn other(scope: &str) -> TokenRequest {
    TokenRequest { scopes: ScopeSet::parse(scope).unwrap(), ..TokenRequest::default() }
}

/// A service that calls from threads of its own, each with a runtime that stands still between two calls.
#[test]
fn a_runtime_that_nobody_runs_holds_nobody_up() {
    let endpoint = Endpoint::new(Say::lives(1));
    let source = endpoint.live();
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let token = first.block_on(source.token()).unwrap();
    std::thread::sleep(Duration::from_millis(2200));
    let begun = std::time::Instant::now();
    let next = second.block_on(source.token()).unwrap();
    assert!(!next.is_same(&token) && begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // The task that was passed over ends when its runtime goes on, and leaves the other alone.
    first.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
    assert_eq!(endpoint.asked(), 2);
    std::thread::sleep(Duration::from_millis(2200));
    assert!(second.block_on(source.token()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_pauses_of_a_token_that_is_asked_for_now_and_then_grow_as_well() {
    let time = Time::stands();
    let endpoint = Endpoint::new(Say::status(500));
    let source = endpoint.source(&time).build().unwrap();
    for _ in 0..240 {
        assert!(source.token_for(&other("x")).await.is_err());
        time.advance(Duration::from_millis(1300)).await;
        endpoint.quiet(&source).await;
    }
    // Five minutes: six while the pauses grow, and one in six seconds at the worst, were each the shortest it can be.
    assert!((4..=30).contains(&endpoint.asked()), "{}", endpoint.asked());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_in_the_place_of_the_credentials_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials.json");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let endpoint = Endpoint::new(Say::lives(3600));
    let url = format!("{}/token", endpoint.url);
    let source = mintage::client::TokenSource::token_url(url).credentials_file(&path).build().unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(10), source.token()).await.expect("it hangs");
    assert!(refused.unwrap_err().to_string().contains("credentials.json"));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, format!(r#"{{"client_id":"billing","client_secret":"{SECRET}"}}"#)).unwrap();
    for _ in 0..200 {
        if source.token().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a good file mends nothing");
}

#[tokio::test(start_paused = true)]
async fn what_a_source_holds_is_in_the_cache_whatever_else_goes_through_it() {
    let time = Time::stands();
    let endpoint = Endpoint::new(Say::lives(3600));
    let cache = TokenCache::with_capacity(2);
    let first = endpoint.source(&time).cache(&cache).build().unwrap();
    let token = first.token().await.unwrap();
    for scope in ["a", "b", "c", "d"] {
        first.token_for(&other(scope)).await.unwrap();
    }
    let second = endpoint.source(&time).cache(&cache).build().unwrap();
    assert!(at_once(second.token()).expect("it waits").unwrap().is_same(&token));
    assert_eq!(endpoint.asked(), 5);
    until("all is answered", || endpoint.asked() == 5).await;
}

#[test]
fn what_stands_for_a_secret_is_not_shown() {
    let cache = TokenCache::default();
    let source = mintage::client::TokenSource::token_url("http://127.0.0.1:1/token")
        .credentials(Credentials::new("billing", "hunter2"))
        .cache(&cache)
        .build()
        .unwrap();
    let hash: String = mintage::crypto::sha256(b"billing\0hunter2").iter().map(|byte| format!("{byte}, ")).collect();
    for shown in [format!("{source:?}"), format!("{cache:?}")] {
        assert!(!shown.contains(hash.trim_end_matches(", ")), "{shown}");
    }
}
