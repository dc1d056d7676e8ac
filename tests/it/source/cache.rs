//! What shares a token and what does not; for how long one is renewed that nobody asks for; and how many are kept.

use std::time::Duration;

use mintage::client::{AuthMethod, Credentials, TokenCache, TokenRequest, TokenSource, TokenSourceBuilder};
use mintage::scope::ScopeSet;
use tokio::runtime::Handle;

use super::{Endpoint, SECRET, Say, Time, at_once, until};

fn request(scopes: &[&str], resources: &[&str]) -> TokenRequest {
    TokenRequest {
        scopes: ScopeSet::parse(&scopes.join(" ")).unwrap(),
        resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
    }
}

fn with(mut builder: TokenSourceBuilder, scopes: &[&str], resources: &[&str]) -> TokenSourceBuilder {
    for resource in resources {
        builder = builder.resource(*resource);
    }
    builder.scopes(scopes)
}

/// Moves time on, five minutes at a time, and then lets it stand until what `keeper`, a source or a cache, asked for has
/// come.
async fn pass(time: &Time, endpoint: &Endpoint, keeper: &impl std::fmt::Debug, minutes: u64) {
    for _ in 0..minutes / 5 {
        time.advance(Duration::from_secs(300)).await;
        endpoint.quiet(keeper).await;
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn sources_with_one_cache_share_what_is_for_the_same() {
    let (time, cache, endpoint) = (Time::stands(), TokenCache::default(), Endpoint::new(Say::lives(3600)));
    let source = |scopes: &[&str], resources: &[&str]| {
        with(endpoint.source(&time).cache(&cache), scopes, resources).build().unwrap()
    };
    let (a, b) = ("https://a.example", "https://b.example");
    let first = source(&["y", "x"], &[b, a]);
    endpoint.hold(true);
    let others = [
        first.clone(),
        source(&["x", "y"], &[a, b]),
        source(&["y", "x", "y", "x"], &[b, b, a]),
        source(&["x", "y"], &[a, b, a]),
    ];
    let asks = others.clone().map(|source| tokio::spawn(async move { source.token().await.unwrap() }));
    until("it is asked", || endpoint.asked() == 1).await;
    endpoint.hold(false);
    let token = first.token().await.unwrap();
    for other in asks {
        assert!(other.await.unwrap().is_same(&token));
    }
    for source in &others {
        for same in [request(&["x", "y"], &[a, b]), request(&["y", "x", "x"], &[b, a, a])] {
            assert!(source.token_for(&same).await.unwrap().is_same(&token));
        }
        let other = source.token_for(&request(&["x"], &[])).await.unwrap();
        assert!(!other.is_same(&token) && other.is_same(&first.token_for(&request(&["x"], &[])).await.unwrap()));
    }
    assert_eq!(endpoint.asked(), 2);
    // A secret of its own makes a cache of its own; and so does none.
    let alone = with(endpoint.source(&time), &["x", "y"], &[a, b]).build().unwrap();
    assert!(!alone.token().await.unwrap().is_same(&token));
}

#[tokio::test(start_paused = true)]
async fn sources_with_one_cache_share_nothing_else() {
    let (time, cache) = (Time::stands(), TokenCache::default());
    let (endpoint, other) = (Endpoint::new(Say::lives(3600)), Endpoint::new(Say::lives(3600)));
    let source = || with(endpoint.source(&time).cache(&cache), &["x"], &["https://a.example"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!(r#"{{"client_id":"billing","client_secret":"{SECRET}"}}"#)).unwrap();
    let builders = [
        source(),
        source().scopes(["y"]),
        source().scopes(["x", "y"]),
        source().scopes(["X"]),
        source().scopes([""; 0]),
        source().resource("https://b.example"),
        source().resource("https://a.example/"),
        with(endpoint.source(&time).cache(&cache), &["x"], &[]),
        source().credentials(Credentials::new("billing", "another")),
        source().credentials(Credentials::new("orders", SECRET)),
        source().credentials(Credentials::new("billings", &SECRET[1..])),
        source().credentials_file(file.path()),
        source().auth_method(AuthMethod::ClientSecretBasic),
        source().auth_method(AuthMethod::ClientSecretPost),
        with(other.source(&time).cache(&cache), &["x"], &["https://a.example"]),
    ];
    let mut tokens = Vec::new();
    let sources: Vec<_> = builders.into_iter().map(|builder| builder.build().unwrap()).collect();
    for source in &sources {
        let token = source.token().await.unwrap();
        assert!(!tokens.iter().any(|other| token.is_same(other)));
        tokens.push(token);
    }
    assert_eq!(endpoint.asked() + other.asked(), tokens.len());
}

#[tokio::test(start_paused = true)]
async fn another_token_is_renewed_while_it_is_asked_for_and_let_go_when_nobody_does() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    let source = endpoint.source(&time).build().unwrap();
    let wanted = request(&["x"], &[]);
    source.token_for(&wanted).await.unwrap();
    // Four hours in which somebody asks every ten minutes: a token lives for 55 minutes.
    for _ in 0..24 {
        pass(&time, &endpoint, &source, 10).await;
        assert!(at_once(source.token_for(&wanted)).expect("it waits").is_ok());
    }
    assert!((5..=6).contains(&endpoint.asked()), "{}", endpoint.asked());
    // The last is renewed once more: it was asked for. Then that is all.
    let before = endpoint.asked();
    pass(&time, &endpoint, &source, 240).await;
    assert!(endpoint.asked() <= before + 1, "{} after {before}", endpoint.asked());
    let left = endpoint.asked();
    source.token_for(&wanted).await.unwrap();
    pass(&time, &endpoint, &source, 240).await;
    assert_eq!(endpoint.asked(), left + 1, "who asks once has one");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_had_is_let_go_as_well() {
    for say in [Say::status(503), Say::status(200), Say::refused(400, "invalid_scope")] {
        let (time, endpoint) = (Time::stands(), Endpoint::new(say.clone()));
        let source = endpoint.source(&time).build().unwrap();
        let (idle, wanted) = (tasks(), request(&["x"], &[]));
        assert!(source.token_for(&wanted).await.is_err());
        pass(&time, &endpoint, &source, 60).await;
        assert!(endpoint.asked() <= 2, "{say:?}: {} requests for nobody", endpoint.asked());
        endpoint.says(Say::lives(3600));
        assert!(source.token_for(&wanted).await.is_ok(), "{say:?}");
        pass(&time, &endpoint, &source, 120).await;
        until("its task has ended", || tasks() <= idle + 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_are_kept_than_there_is_room_for_and_the_main_one_stays() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    let cache = TokenCache::with_capacity(8);
    let source = endpoint.source(&time).cache(&cache).build().unwrap();
    let main = source.token().await.unwrap();
    let idle = tasks();
    for number in 0..200 {
        let wanted = request(&[&format!("s{number}")], &[]);
        source.token_for(&wanted).await.unwrap();
    }
    // With connections that have not been closed yet.
    until("the tasks of the others have ended", || tasks() <= idle + 8 + 4).await;
    let asked = endpoint.asked();
    time.advance(Duration::from_secs(3301)).await;
    until("the main one is renewed", || !at_once(source.token()).unwrap().unwrap().is_same(&main)).await;
    pass(&time, &endpoint, &source, 240).await;
    let renewals = endpoint.asked() - asked;
    assert!((5..=6 + 8).contains(&renewals), "{renewals}");
    // No room at all is room for the one that is in use.
    let none = endpoint.source(&time).cache(&TokenCache::with_capacity(0)).build().unwrap();
    let token = none.token().await.unwrap();
    assert!(none.token_for(&request(&["x"], &[])).await.is_ok());
    assert!(at_once(none.token()).unwrap().unwrap().is_same(&token));
}

/// One that is asked for is kept, however much more often those have been that fill the cache.
#[tokio::test(start_paused = true)]
async fn what_is_new_stays_and_what_was_asked_for_longest_ago_goes() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    let source = endpoint.source(&time).cache(&TokenCache::with_capacity(4)).build().unwrap();
    let ask = async |scope: &str| source.token_for(&request(&[scope], &[])).await.unwrap();
    for _ in 0..50 {
        for scope in ["a", "b", "c", "d"] {
            ask(scope).await;
        }
    }
    assert_eq!(endpoint.asked(), 4);
    let new = ask("e").await;
    for _ in 0..10 {
        assert!(ask("e").await.is_same(&new));
    }
    for scope in ["b", "c", "d"] {
        ask(scope).await;
    }
    assert_eq!(endpoint.asked(), 5);
    ask("a").await;
    assert_eq!(endpoint.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn with_its_last_source_a_token_is_let_go_though_the_cache_goes_on() {
    let (time, endpoint, cache) = (Time::stands(), Endpoint::new(Say::lives(3600)), TokenCache::default());
    let build = |cache: &TokenCache| -> TokenSource { endpoint.source(&time).cache(cache).build().unwrap() };
    let (first, second) = (build(&cache), build(&cache));
    let token = first.token().await.unwrap();
    let mut changes = second.changes();
    assert!(changes.changed().await.unwrap().is_same(&token));
    drop((first, second));
    pass(&time, &endpoint, &cache, 120).await;
    assert!((3..=4).contains(&endpoint.asked()), "who follows the changes has them: {}", endpoint.asked());
    let third = build(&cache);
    assert!(at_once(third.token()).expect("it waits").is_ok(), "and who comes later, the token");
    drop(changes);
    pass(&time, &endpoint, &cache, 120).await;
    let asked = endpoint.asked();
    assert!((5..=7).contains(&asked), "{asked}");
    drop(third.clone());
    drop(third);
    pass(&time, &endpoint, &cache, 240).await;
    assert!(endpoint.asked() <= asked + 1, "{} requests for nobody", endpoint.asked() - asked);
    // And one with a cache of its own takes its task with it.
    let idle = tasks();
    let alone = build(&TokenCache::default());
    alone.token().await.unwrap();
    alone.token_for(&request(&["x"], &[])).await.unwrap();
    assert!(tasks() > idle);
    drop(alone);
    until("its tasks have ended", || tasks() <= idle).await;
}
