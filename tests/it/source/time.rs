//! Time that stands, and waiting.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mintage::clock::{ManualClock, UnixTime};

use super::NOW;

/// Time that the test moves: the clock, and tokio's timers. In a test with `start_paused`, which would otherwise let
/// them run on while a request is on its way.
#[derive(Debug)]
pub struct Time {
    pub clock: Arc<ManualClock>,
    passed: Mutex<Duration>,
    _stands: mpsc::Sender<()>,
}

impl Time {
    pub fn stands() -> Self {
        let (stands, until) = mpsc::channel();
        // Tokio does not move time on by itself while something blocks.
        drop(tokio::task::spawn_blocking(move || until.recv().is_ok()));
        let clock = Arc::new(ManualClock::new(UnixTime::from_seconds(NOW)));
        Self { clock, passed: Mutex::default(), _stands: stands }
    }

    /// Moves time on, at once.
    pub async fn advance(&self, span: Duration) {
        {
            let mut passed = self.passed.lock().unwrap();
            let before = passed.as_secs();
            *passed += span;
            self.clock.advance(Duration::from_secs(passed.as_secs() - before));
        }
        tokio::time::advance(span).await;
        settle().await;
    }

    /// Moves time on second by second, with a moment for what happens in each.
    pub async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.advance(Duration::from_secs(1)).await;
        }
    }
}

/// A moment of real time, in which what is on its way arrives.
pub async fn settle() {
    turns().await;
    tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(2))).await.unwrap();
    turns().await;
}

/// Lets all that is ready in this runtime run on, a connection be made and a request be written: a few looks at what
/// has arrived.
pub async fn turns() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// Waits, in real time, until something is so.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..2500 {
        if so() {
            return;
        }
        settle().await;
    }
    panic!("in five seconds it did not come about that {what}");
}

/// Whether a future is done when it is polled for the first time.
pub fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
