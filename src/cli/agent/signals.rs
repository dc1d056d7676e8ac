//! The signals that are caught, from before anything is served that has to be cleared away.

use std::future::poll_fn;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::cli::Failure;

/// What ends an agent.
pub(super) const ENDING: &[Signal] = &[Signal::INT, Signal::TERM];
/// What is the affair of the program that it runs; each of them would end an agent that does not catch it, and leave the
/// program behind.
pub(super) const PASSED_ON: &[Signal] =
    &[Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// Signals as they come.
#[derive(Debug)]
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Catches these from now on.
    pub(super) fn catch(wanted: &[Signal]) -> Result<Self, Failure> {
        let catch = |wanted: &Signal| Ok((*wanted, unix::signal(SignalKind::from_raw(wanted.as_raw()))?));
        wanted.iter().map(catch).collect::<Result<_, Failure>>().map(Self)
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let come =
                self.0.iter_mut().find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name));
            come.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
