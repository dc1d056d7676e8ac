//! Callers that go away, and runtimes that do.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mintage::client::{Error, TokenCache, TokenRequest, TokenSource};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{Endpoint, Say, Time, at_once, settle, turns, until};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Waits for a moment in a thread without a runtime.
fn until_here(what: &str, so: impl Fn() -> bool) {
    for _ in 0..2500 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("in five seconds it did not come about that {what}");
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_away_take_nothing_with_them() {
    for going in ["one", "all", "every other"] {
        let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
        endpoint.hold(true);
        let source = endpoint.source(&time).build().unwrap();
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(async move { source.token().await.unwrap().reveal().to_owned() })
            })
            .collect();
        until("it is asked", || endpoint.asked() == 1).await;
        let goes = |number: usize| match going {
            "one" => number == 0,
            "all" => true,
            _ => number.is_multiple_of(2),
        };
        for (number, caller) in callers.iter().enumerate() {
            if goes(number) {
                caller.abort();
            }
        }
        settle().await;
        endpoint.hold(false);
        until("the token is there", || source.health().valid).await;
        let token = at_once(source.token()).expect("it waits").unwrap();
        for (number, caller) in callers.into_iter().enumerate() {
            match goes(number) {
                true => assert!(caller.await.unwrap_err().is_cancelled()),
                false => assert_eq!(caller.await.unwrap(), token.reveal()),
            }
        }
        assert_eq!(endpoint.asked(), 1, "{going}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_go_away_after_any_look() {
    for looks in 0..8 {
        for replaces in [false, true] {
            let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
            let source = endpoint.source(&time).build().unwrap();
            let old = if replaces { Some(source.token().await.unwrap()) } else { None };
            {
                let mut caller = std::pin::pin!(async {
                    match &old {
                        Some(old) => source.replace(old).await,
                        None => source.token().await,
                    }
                });
                for _ in 0..looks {
                    if caller.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                    turns().await;
                }
            }
            settle().await;
            let token = match &old {
                Some(old) => source.replace(old).await.unwrap(),
                None => source.token().await.unwrap(),
            };
            assert!(old.as_ref().is_none_or(|old| !old.is_same(&token)));
            endpoint.quiet(&source).await;
            assert_eq!(endpoint.asked(), 1 + usize::from(replaces), "{looks}");
            // One for something else than the source keeps.
            let request = TokenRequest { resources: vec!["https://b.example".to_owned()], ..TokenRequest::default() };
            {
                let mut caller = std::pin::pin!(source.token_for(&request));
                for _ in 0..looks {
                    if caller.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                    turns().await;
                }
            }
            settle().await;
            source.token_for(&request).await.unwrap();
            assert_eq!(endpoint.asked(), 2 + usize::from(replaces), "{looks}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_with_little_patience_do_not_make_more_requests() {
    let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
    endpoint.hold(true);
    let source = endpoint.source(&time).build().unwrap();
    for _ in 0..9 {
        let impatient = async {
            tokio::select! {
                _ = source.token() => panic!("there is none"),
                () = tokio::time::sleep(Duration::from_millis(900)) => {}
            }
        };
        tokio::join!(impatient, time.advance(Duration::from_secs(1)));
    }
    endpoint.hold(false);
    let patient = tokio::time::timeout(Duration::from_millis(1), source.token());
    patient.await.expect("the request went on").unwrap();
    assert_eq!(endpoint.asked(), 1);
}

#[test]
fn a_runtime_may_end_while_a_request_is_on_its_way() {
    let endpoint = Endpoint::new(Say::lives(3600));
    endpoint.hold(true);
    let source = endpoint.live();
    let (first, second) = (runtime(), runtime());
    let ask = |source: TokenSource| async move { source.token().await.map(|token| token.lifetime()) };
    let lost = first.spawn(ask(source.clone()));
    until_here("it is asked", || endpoint.asked() == 1);
    let waits = second.spawn(ask(source.clone()));
    let mut changes = source.changes();
    let watches = second.spawn(async move { changes.changed().await });
    std::thread::sleep(Duration::from_millis(20));
    drop(first);
    endpoint.hold(false);
    let second = runtime_waits(second, async move {
        waits.await.unwrap().unwrap();
        watches.await.unwrap().unwrap();
        assert!(lost.await.is_err());
    });
    assert!(source.health().valid && endpoint.asked() == 2, "{}", endpoint.asked());
    drop(second);
}

/// In five seconds at most.
fn runtime_waits(runtime: Runtime, until: impl Future<Output = ()>) -> Runtime {
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), until).await.expect("it hangs") });
    runtime
}

#[test]
fn a_runtime_may_end_while_nothing_is_on_its_way() {
    let endpoint = Endpoint::new(Say::lives(2));
    let source = endpoint.live();
    let (first, second) = (runtime(), runtime());
    let mut changes = source.changes();
    let token = first.block_on(source.token()).unwrap();
    assert!(second.block_on(changes.changed()).unwrap().is_same(&token));
    let watches = second.spawn(async move {
        changes.changed().await.unwrap();
    });
    drop(first);
    // One without any runtime is served as well.
    assert!(at_once(source.token()).unwrap().unwrap().is_same(&token));
    runtime_waits(second, async move { watches.await.unwrap() });
    assert!(endpoint.asked() >= 2);
    // The same with a call alone.
    let third = runtime();
    let before = endpoint.asked();
    assert!(third.block_on(source.token()).is_ok());
    until_here("it is renewed", || endpoint.asked() > before + 1);
}

#[test]
fn a_runtime_may_end_after_a_refusal() {
    let paused = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (first, second) = (paused(), paused());
    let endpoint = Endpoint::new(Say::refused(401, "invalid_client"));
    let (time, other) = (first.block_on(async { Time::stands() }), second.block_on(async { Time::stands() }));
    let source = endpoint.source(&time).build().unwrap();
    first.block_on(source.token()).unwrap_err();
    first.block_on(time.advance(Duration::from_secs(40)));
    second.block_on(other.advance(Duration::from_secs(41)));
    endpoint.says(Say::lives(3600));
    endpoint.hold(true);
    let waits = second.spawn({
        let source = source.clone();
        async move { source.token().await }
    });
    second.block_on(turns());
    first.block_on(until("it is asked", || endpoint.asked() == 2));
    drop(time);
    drop(first);
    endpoint.hold(false);
    second.block_on(until("the token is there", || source.health().valid));
    second.block_on(waits).unwrap().unwrap();
    assert_eq!(endpoint.asked(), 3);
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let endpoint = Endpoint::new(Say::lives(3600));
    let source = endpoint.live();
    assert!(matches!(at_once(source.token()), Some(Err(Error::NoRuntime))));
    assert!(matches!(at_once(source.changes().changed()), Some(Err(Error::NoRuntime))));
    let error = at_once(source.token_for(&TokenRequest::default())).unwrap().unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("runtime"));
    // With one that has ended, too.
    let ended = runtime();
    let handle = ended.handle().clone();
    drop(ended);
    let inside = handle.enter();
    assert!(matches!(at_once(source.token()), Some(Err(Error::NoRuntime))));
    assert!(matches!(at_once(source.changes().changed()), Some(Err(Error::NoRuntime))));
    drop(inside);
    assert!(!source.health().valid && endpoint.asked() == 0);
    // It is not held against one that lives.
    runtime().block_on(source.token()).unwrap();
    runtime().block_on(async { source.replace(&source.token().await.unwrap()).await }).unwrap();
}

#[test]
fn a_runtime_that_can_do_neither_timers_nor_sockets_is_none() {
    let endpoint = Endpoint::new(Say::lives(3600));
    for (what, half) in [
        ("no sockets", Builder::new_current_thread().enable_time().build().unwrap()),
        ("neither", Builder::new_current_thread().build().unwrap()),
        ("no timers", Builder::new_current_thread().enable_io().build().unwrap()),
    ] {
        let source = endpoint.live();
        assert!(matches!(half.block_on(source.token()), Err(Error::NoRuntime)), "{what}");
        let callers = || std::iter::repeat_with(|| source.token()).take(100);
        for caller in callers() {
            assert!(half.block_on(caller).is_err(), "{what}");
        }
        runtime().block_on(source.token()).unwrap();
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn with_the_last_clone_the_task_ends() {
    for (shared, on_its_way, watched) in
        [(false, false, false), (false, true, false), (true, false, false), (true, true, false), (false, false, true)]
    {
        let (time, endpoint) = (Time::stands(), Endpoint::new(Say::lives(3600)));
        until("those of the last one are gone", || tasks() == 0).await;
        let before = tasks();
        // A connection that is kept is a task as well.
        endpoint.closes();
        let cache = TokenCache::default();
        let mut builder = endpoint.source(&time);
        if shared {
            builder = builder.cache(&cache);
        }
        let source = builder.build().unwrap();
        let clone = source.clone();
        let changes = if watched { Some(source.changes()) } else { None };
        if on_its_way {
            endpoint.hold(true);
            let mut caller = std::pin::pin!(source.token());
            assert!(matches!(caller.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
            until("it is asked", || endpoint.asked() == 1).await;
        } else {
            source.token().await.unwrap();
        }
        drop(source);
        settle().await;
        assert!(tasks() > before);
        drop(clone);
        if let Some(mut changes) = changes {
            changes.changed().await.unwrap();
            time.advance(Duration::from_secs(3301)).await;
            changes.changed().await.unwrap();
            assert_eq!(endpoint.asked(), 2);
        }
        settle().await;
        let asked = endpoint.asked();
        until("the tasks are gone", || tasks() == before).await;
        for _ in 0..30 {
            time.advance(Duration::from_secs(600)).await;
        }
        assert_eq!(endpoint.asked(), asked, "{shared} {on_its_way}");
        endpoint.hold(false);
        // A source that is made later is none the worse for it.
        let mut builder = endpoint.source(&time);
        if shared {
            builder = builder.cache(&cache);
        }
        builder.build().unwrap().token().await.unwrap();
        drop(Arc::new(cache));
    }
}
