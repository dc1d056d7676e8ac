//! Clocks that go wrong, tokens as they change, health, and resources that refuse what they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mintage::client::{Error, Token, TokenSource};
use mintage::clock::{Clock, UnixTime};

use super::{Endpoint, NOW, Say, Time, at_once, settle, turns, until};

/// A clock on the wall, which anybody can set.
#[derive(Debug)]
struct Wall(AtomicI64);

impl Clock for Wall {
    fn now(&self) -> UnixTime {
        UnixTime::from_seconds(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

impl Wall {
    fn set(&self, by: i64) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

struct Clocks {
    time: Time,
    wall: Arc<Wall>,
    endpoint: Endpoint,
    source: TokenSource,
}

impl Clocks {
    fn new(lives: u64) -> Self {
        let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(lives)));
        let wall = Arc::new(Wall(AtomicI64::new(NOW)));
        let source = endpoint.source(&time).clock(Arc::clone(&wall) as _).build().unwrap();
        Self { time, wall, endpoint, source }
    }

    /// As long as both clocks go right.
    async fn passes(&self, seconds: u32) {
        self.wall.set(i64::from(seconds));
        self.time.advance(Duration::from_secs(seconds.into())).await;
        self.endpoint.quiet(&self.source).await;
    }

    /// As a caller does: without waiting where there is one.
    async fn token(&self) -> Token {
        let token = self.source.token().await.unwrap();
        assert!(token.is_valid(self.wall.now()));
        token
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_keeps_no_token_alive() {
    let clocks = Clocks::new(3600);
    let first = clocks.token().await;
    clocks.passes(100).await;
    clocks.wall.set(-3600);
    let mut ages = std::collections::BTreeMap::new();
    let mut passed = 100;
    for _ in 0..120 {
        let token = clocks.token().await;
        let since = *ages.entry(token.reveal().to_owned()).or_insert(if token.is_same(&first) { 0 } else { passed });
        // The first caller comes a minute after it was fetched, at most.
        assert!(passed - since < 3600, "{passed}");
        clocks.passes(60).await;
        passed += 60;
    }
    assert_eq!(clocks.endpoint.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_costs_a_request_and_no_more() {
    let clocks = Clocks::new(3600);
    let first = clocks.token().await;
    clocks.passes(100).await;
    clocks.wall.set(7200);
    assert!(at_once(clocks.source.token()).is_none(), "it has ended");
    let second = clocks.token().await;
    assert!(!second.is_same(&first));
    // And back again, and so on.
    for turn in 0..60 {
        clocks.wall.set(if turn % 2 == 0 { -7200 } else { 7200 });
        clocks.token().await;
        clocks.passes(30).await;
    }
    assert!(clocks.endpoint.asked() <= 3, "{}", clocks.endpoint.asked());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_wakes_up_without_a_token() {
    let clocks = Clocks::new(3600);
    let first = clocks.token().await;
    // Nobody asks: it is found out within ten seconds.
    clocks.wall.set(7200);
    clocks.passes(11).await;
    assert_eq!(clocks.endpoint.asked(), 2);
    let second = at_once(clocks.source.token()).expect("it waits").unwrap();
    assert!(!second.is_same(&first));
    // Somebody asks at once, a thousand times.
    clocks.wall.set(7200);
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let source = clocks.source.clone();
            tokio::spawn(async move { source.token().await.unwrap().reveal().to_owned() })
        })
        .collect();
    for caller in callers {
        assert_ne!(caller.await.unwrap(), second.reveal());
    }
    assert_eq!(clocks.endpoint.asked(), 3);
    // Within the lead: it is good, and renewed.
    let third = clocks.token().await;
    clocks.wall.set(3400);
    assert!(at_once(clocks.source.token()).unwrap().unwrap().is_same(&third));
    clocks.passes(11).await;
    assert_eq!(clocks.endpoint.asked(), 4);
    // While the endpoint is down.
    clocks.endpoint.says(Say::status(503));
    clocks.wall.set(7200);
    assert!(clocks.source.token().await.is_err());
    assert!(!clocks.source.health().valid);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_while_the_answer_came_asks_once_more() {
    let clocks = Clocks::new(3600);
    clocks.endpoint.hold(true);
    let waits = tokio::spawn({
        let source = clocks.source.clone();
        async move { source.token().await.unwrap() }
    });
    until("it is asked", || clocks.endpoint.asked() == 1).await;
    clocks.wall.set(7200);
    clocks.endpoint.hold(false);
    let token = waits.await.unwrap();
    assert!(token.is_valid(clocks.wall.now()));
    assert_eq!((clocks.endpoint.asked(), clocks.source.health().fetched), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_when_it_comes_is_not_asked_for_twice() {
    let clocks = Clocks::new(1);
    clocks.endpoint.hold(true);
    let waits = tokio::spawn({
        let source = clocks.source.clone();
        async move { source.token().await }
    });
    until("it is asked", || clocks.endpoint.asked() == 1).await;
    clocks.wall.set(3);
    clocks.time.advance(Duration::from_secs(3)).await;
    clocks.endpoint.hold(false);
    assert!(waits.await.unwrap().is_ok());
    settle().await;
    clocks.endpoint.quiet(&clocks.source).await;
    assert_eq!(clocks.endpoint.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_bring_each_token_to_all_who_wait() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    let source = endpoint.source(&time).build().unwrap();
    let mut one = source.changes();
    let mut other = source.changes();
    // Nobody has called `token`, and nobody can any more.
    drop(source);
    let (first, same) = tokio::join!(one.changed(), other.changed());
    let mut last = first.unwrap();
    assert!(last.is_same(&same.unwrap()));
    for turn in 2..6 {
        // Looks and goes away again.
        for _ in 0..3 {
            assert!(at_once(one.changed()).is_none());
        }
        time.advance(Duration::from_secs(3301)).await;
        let (next, same) = tokio::join!(one.changed(), other.changed());
        let next = next.unwrap();
        assert!(next.is_same(&same.unwrap()) && !next.is_same(&last));
        assert_eq!(endpoint.asked(), turn);
        last = next;
    }
    // One that comes when it is there is lost on nobody, though nobody waits.
    time.advance(Duration::from_secs(3301)).await;
    until("it is asked", || endpoint.asked() == 6).await;
    settle().await;
    assert!(at_once(one.changed()).expect("it waits").is_ok());
    drop(one);
    time.advance(Duration::from_secs(3301)).await;
    until("it is asked", || endpoint.asked() == 7).await;
    settle().await;
    // Of two, the newer.
    assert_eq!(at_once(other.changed()).expect("it waits").unwrap().reveal(), "token-7");
    assert!(at_once(other.changed()).is_none());
}

#[tokio::test(start_paused = true)]
async fn changes_come_through_a_failure() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::status(500)));
    let source = endpoint.source(&time).build().unwrap();
    let mut changes = source.changes();
    let waits = tokio::spawn(async move { changes.changed().await.map(|token| token.lifetime()) });
    for _ in 0..10 {
        time.advance(Duration::from_secs(5)).await;
        endpoint.quiet(&source).await;
    }
    assert!(!waits.is_finished() && source.health().failures > 2);
    endpoint.says(Say::lives(60));
    for _ in 0..13 {
        time.advance(Duration::from_secs(5)).await;
        endpoint.quiet(&source).await;
    }
    assert_eq!(waits.await.unwrap().unwrap(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn health_says_how_it_goes() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::status(500)));
    let source = endpoint.source(&time).build().unwrap();
    let moment = |seconds: i64| UnixTime::from_seconds(NOW + seconds).to_string();
    let health = || serde_json::to_value(source.health()).unwrap();
    let new = health();
    assert_eq!(new["valid"], false);
    assert_eq!((new["fetched"].as_u64(), new["failures"].as_u64()), (Some(0), Some(0)));
    assert!(new["last_error"].is_null() && new["retry_in"].is_null() && new["expires_at"].is_null());
    // It failed.
    endpoint.says(Say::status(503).with("retry-after", "100"));
    source.token().await.unwrap_err();
    let failed = health();
    assert!(failed["last_error"].as_str().unwrap().contains("503") && failed["failures"] == 1);
    assert!((99..=110).contains(&failed["retry_in"].as_u64().unwrap()) && failed["valid"] == false);
    // It is well.
    endpoint.says(Say::lives(3600));
    time.advance(Duration::from_secs(111)).await;
    source.token().await.unwrap();
    let well = health();
    assert_eq!(well["valid"], true);
    assert_eq!((&well["fetched_at"], &well["expires_at"]), (&moment(111).into(), &moment(3711).into()));
    assert_eq!((well["fetched"].as_u64(), well["failures"].as_u64()), (Some(1), Some(0)));
    assert!(well["last_error"].is_null() && well["retry_in"].is_null());
    // It fails, and the token is good.
    endpoint.says(Say::refused(401, "invalid_client"));
    time.advance(Duration::from_secs(3400)).await;
    until("the renewal has failed", || source.health().failures == 1).await;
    assert!(health()["valid"] == true && health()["expires_at"] == moment(3711));
    // It has ended.
    time.advance(Duration::from_secs(200)).await;
    let ended = health();
    assert!(ended["valid"] == false && ended["expires_at"] == moment(3711) && ended["retry_in"] == 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_with_the_same_refused_token_are_one_request() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    let source = endpoint.source(&time).build().unwrap();
    let mut refused = source.token().await.unwrap();
    for storm in 2..5 {
        endpoint.hold(true);
        let callers: Vec<_> = (0..1000)
            .map(|_| {
                let (source, refused) = (source.clone(), refused.clone());
                tokio::spawn(async move { source.replace(&refused).await })
            })
            .collect();
        until("it is asked", || endpoint.asked() == storm).await;
        // Who only wants one is served with the old one meanwhile.
        assert!(at_once(source.token()).expect("it waits").unwrap().is_same(&refused));
        endpoint.hold(false);
        let mut tokens = Vec::new();
        for caller in callers {
            tokens.push(caller.await.unwrap().unwrap());
        }
        assert!(tokens.iter().all(|token| token.is_same(&tokens[0]) && !token.is_same(&refused)));
        assert_eq!(endpoint.asked(), storm);
        // Those who come late with it are given the new one.
        assert!(at_once(source.replace(&refused)).unwrap().unwrap().is_same(&tokens[0]));
        refused = tokens.remove(0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_refuses_every_token_does_not_make_a_loop() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    let source = endpoint.source(&time).build().unwrap();
    let (mut asked_in_a_minute, mut callers) = (0, Vec::new());
    for second in (0..3600).step_by(5) {
        for _ in 0..5 {
            let source = source.clone();
            callers.push(tokio::spawn(async move {
                let token = source.token().await.unwrap();
                source.replace(&token).await.unwrap();
            }));
            turns().await;
        }
        time.advance(Duration::from_secs(5)).await;
        endpoint.quiet(&source).await;
        if second == 60 {
            asked_in_a_minute = endpoint.asked();
        }
    }
    for caller in callers {
        caller.await.unwrap();
    }
    // Three at once, then after 1, 2, 4 … 60 s, and the first token and its renewal.
    assert!((5..=11).contains(&asked_in_a_minute), "{asked_in_a_minute}");
    assert!(endpoint.asked() > 50 && endpoint.asked() <= 2 + 3 + 6 + 60, "{}", endpoint.asked());
    // Once it takes them again, it is forgotten.
    time.advance(Duration::from_secs(301)).await;
    let token = source.token().await.unwrap();
    assert!(!source.replace(&token).await.unwrap().is_same(&token));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_what_there_is_while_the_endpoint_is_down() {
    for say in [Say::status(503), Say::refused(401, "invalid_client"), Say::Hang, Say::status(200)] {
        let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
        let source = endpoint.source(&time).build().unwrap();
        let token = source.token().await.unwrap();
        endpoint.says(say.clone());
        for step in 0..60 {
            let (other, refused) = (source.clone(), token.clone());
            let replaces = tokio::spawn(async move { other.replace(&refused).await });
            turns().await;
            for _ in 0..100 {
                assert!(at_once(source.token()).expect("it waits").unwrap().is_same(&token), "{say:?}");
            }
            time.advance(Duration::from_secs(5)).await;
            endpoint.quiet(&source).await;
            if replaces.is_finished() {
                let answer: Result<Token, Error> = replaces.await.unwrap();
                assert!(answer.is_err() || answer.is_ok_and(|other| other.is_same(&token)));
            }
            assert!(endpoint.asked() <= 2 + 8 + step / 4, "{say:?}: {}", endpoint.asked());
        }
        endpoint.says(Say::lives(3600));
        time.advance(Duration::from_secs(11)).await;
        for _ in 0..13 {
            time.advance(Duration::from_secs(5)).await;
            endpoint.quiet(&source).await;
        }
        assert!(!source.replace(&token).await.unwrap().is_same(&token), "{say:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_has_ended_is_not_given_again() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(20)));
    let source = endpoint.source(&time).build().unwrap();
    let mut token = source.token().await.unwrap();
    for second in 0..250 {
        if second == 150 {
            // By now there is a minute between two that are forced, which is more than a token lives.
            endpoint.says(Say::refused(403, "access_denied"));
        }
        if let Ok(other) = source.replace(&token).await {
            assert!(other.is_valid(UnixTime::from_seconds(NOW + second)), "{second}");
            token = other;
        }
        time.advance(Duration::from_secs(1)).await;
        endpoint.quiet(&source).await;
    }
    assert!(!source.health().valid);
}
